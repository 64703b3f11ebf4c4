"""Two trees joined directory by directory, name by name.

The order is that of semantics.md section 3: depth first, names by their bytes, ``/`` below every
other byte.  The stack is explicit, so depth is bounded by memory and not by Python's recursion.
What is held at any moment is the names of the open directories and nothing about their entries.
"""

from __future__ import annotations

from stat import S_ISDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .model import Entry, Stat, Tree

    Step = tuple["Directory", bytes, "Stat | None", "Stat | None", "Directory | None"]

_KEPT = 4096  # bytes, the longest path that a directory keeps


class Directory:
    """A directory that the walk is in, on the side or sides where it is one.

    ``parent``, ``name``: where it stands; the root has neither.
    ``in_lower``, ``in_upper``: the sides on which it is entered.  Below a directory that UPPER has
    not, only names of LOWER are met, each of them gone together with its topmost ancestor.
    ``entry``: UPPER's entry, set by the consumer before the walk goes below; None for the root.
    ``written``: for the consumer, whether the directory is in the stream already.
    """

    __slots__ = ("_path", "entry", "in_lower", "in_upper", "name", "parent", "written")

    def __init__(self, parent: Directory | None, name: bytes, in_lower: bool, in_upper: bool) -> None:
        self.parent = parent
        self.name = name
        self.in_lower = in_lower
        self.in_upper = in_upper
        self.entry: Entry | None = None
        self.written = False
        self._path = b"" if parent is None else None

    def path(self, name: bytes = b"") -> bytes:
        """The path below the root of ``name`` in this directory, or of the directory itself."""
        own = self._path if self._path is not None else self._climb()
        return (own + b"/" + name if own else name) if name else own

    def _climb(self) -> bytes:
        parts = []
        above: Directory | None = self
        while above is not None and above._path is None:
            parts.append(above.name)
            above = above.parent
        if above is not None and above._path:
            parts.append(above._path)
        parts.reverse()
        path = b"/".join(parts)
        # Kept for the names in it; not where directories are so deep that the paths of all would fill the memory.
        if len(path) <= _KEPT:
            self._path = path
        return path


def walk(lower: Tree, upper: Tree, below_removed: bool) -> Iterator[Step]:
    """Every name of either tree as (directory, name, lower, upper, child).

    ``lower``, ``upper``: the facts of the name on each side, None where it is absent.
    ``child``: the directory that the walk enters next, None if it enters none.  While a step is
    handled both trees stand in ``directory`` (on the sides where that is one), so the consumer
    can ask them about ``name``.
    ``below_removed``: also go below what only LOWER has.
    """
    root = Directory(None, b"", True, True)
    stack = [(root, iter(joined(lower.names(), upper.names())))]
    while stack:
        directory, names = stack[-1]
        for name, has_lower, has_upper in names:
            lower_stat = lower.stat(name) if has_lower else None
            upper_stat = upper.stat(name) if has_upper else None
            in_lower = lower_stat is not None and S_ISDIR(lower_stat.st_mode)
            in_upper = upper_stat is not None and S_ISDIR(upper_stat.st_mode)
            if not in_upper and not (in_lower and below_removed):
                yield directory, name, lower_stat, upper_stat, None
                continue
            child = Directory(directory, name, in_lower, in_upper)
            yield directory, name, lower_stat, upper_stat, child
            if in_lower:
                lower.enter(name, lower_stat)
            if in_upper:
                upper.enter(name, upper_stat)
            stack.append(
                (child, iter(joined(lower.names() if in_lower else [], upper.names() if in_upper else [])))
            )
            break
        else:
            stack.pop()
            if stack:
                if directory.in_lower:
                    lower.leave()
                if directory.in_upper:
                    upper.leave()


def joined(lower: list[bytes], upper: list[bytes]) -> Iterable[tuple[bytes, bool, bool]]:
    """The names of two directories as (name, in lower, in upper), by bytes."""
    if lower == upper:
        return [(name, True, True) for name in lower]
    in_lower = frozenset(lower)
    in_upper = frozenset(upper)
    return [(name, name in in_lower, name in in_upper) for name in sorted(in_lower | in_upper)]
