"""What a changeset amounts to: names and bytes, by kind and type and by directory.

A removed directory is one change, and so is a directory that something else has replaced.  What LOWER had
below it is gone all the same, and is looked up there and counted: the totals are those of names, not of changes.

Bytes are sizes of regular files: ``new`` what the added and modified ones have in UPPER, ``old`` what the
modified and removed ones have in LOWER.  A file of several names counts once on each side.

Memory grows with the directories that hold a change, where they are wanted, and with the inodes of several
names that are gone.
"""

from __future__ import annotations

from stat import S_IFMT, S_ISDIR, S_ISREG

from ..model import KINDS, TYPE_NAMES, ChangeKind
from ..walk import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..model import Change, Stat, Tree


class Sum:
    """What a directory, or all of a changeset, amounts to.

    ``names``: how many, by :class:`.ChangeKind`.  ``new``, ``old``: bytes.
    ``children``: the directories in it that hold changes.  A directory that is a change counts in its own sum.
    """

    __slots__ = ("children", "names", "new", "old")

    def __init__(self) -> None:
        self.names = dict.fromkeys(KINDS, 0)
        self.new = 0
        self.old = 0
        self.children: dict[bytes, Sum] = {}

    def add(self, kind: str, new: int, old: int) -> None:
        """Count one name."""
        self.names[kind] += 1
        self.new += new
        self.old += old


class Totals:
    """Counts changes.

    ``lower``: LOWER, to look below removed directories; it is moved about.  ``nothing``: an empty tree.
    ``by_directory``: whether the sums of directories are wanted.
    ``tick``: called for every name that is looked up in LOWER.
    """

    def __init__(self, lower: Tree, nothing: Tree, by_directory: bool, tick: Callable[[], None]) -> None:
        self.root = Sum()
        self._kinds = {kind: Sum() for kind in KINDS}
        self._types = {kind: dict.fromkeys([*TYPE_NAMES.values(), "unknown"], 0) for kind in KINDS}
        self._lower = lower
        self._nothing = nothing
        self._by_directory = by_directory
        self._tick = tick
        self._old_inodes: set[tuple[int, int]] = set()
        self._standing: list[bytes] = []
        self._chain = [self.root]

    def add(self, change: Change) -> None:
        """Count a change, which must not be of the kind UNMODIFIED.

        Raises :class:`.DifferError` when LOWER cannot be read below a directory that is gone.
        """
        lower = None if change.lower is None else change.lower.stat
        upper = None if change.upper is None else change.upper.stat
        path = change.path.split(b"/")
        new = upper.st_size if upper is not None and S_ISREG(upper.st_mode) and change.link is None else 0
        facts = upper or lower
        if facts is None:
            raise AssertionError("a change of nothing")
        self._count(change.kind, path, facts, new, 0 if lower is None else self._old(lower))
        if lower is not None and S_ISDIR(lower.st_mode) and (upper is None or not S_ISDIR(upper.st_mode)):
            self._below(path)

    def _below(self, path: list[bytes]) -> None:
        """Count what LOWER has below a directory that is gone."""
        self._lower.seek(path)
        for directory, name, lower, _, _ in walk(self._lower, self._nothing, below_removed=True):
            self._tick()
            if lower is not None:
                below = directory.path(name).split(b"/")
                self._count(ChangeKind.REMOVED, [*path, *below], lower, 0, self._old(lower))

    def _old(self, lower: Stat) -> int:
        """The bytes of a file of LOWER, the first time that its inode is met."""
        if not S_ISREG(lower.st_mode):
            return 0
        if lower.st_nlink > 1:
            inode = (lower.st_dev, lower.st_ino)
            if inode in self._old_inodes:
                return 0
            self._old_inodes.add(inode)
        return lower.st_size

    def _count(self, kind: str, path: list[bytes], facts: Stat, new: int, old: int) -> None:
        self._kinds[kind].add(kind, new, old)
        self._types[kind][TYPE_NAMES.get(S_IFMT(facts.st_mode), "unknown")] += 1
        if not self._by_directory:
            self.root.add(kind, new, old)
            return
        for each in self._above(path if S_ISDIR(facts.st_mode) else path[:-1]):
            each.add(kind, new, old)

    def _above(self, directory: list[bytes]) -> list[Sum]:
        """The sums from the root down to a directory; changes come directory by directory."""
        if directory != self._standing:
            shared = 0
            for here, there in zip(self._standing, directory):
                if here != there:
                    break
                shared += 1
            del self._chain[shared + 1 :]
            for name in directory[shared:]:
                self._chain.append(self._chain[-1].children.setdefault(name, Sum()))
            self._standing = directory
        return self._chain

    def lines(self) -> Iterator[str]:
        """Three lines, one for each kind: ``KIND NAMES, +NEW -OLD bytes``, and for each type that there is
        ``, COUNT TYPE``."""
        for kind in KINDS:
            total = self._kinds[kind]
            types = "".join(f", {count} {name}" for name, count in self._types[kind].items() if count)
            yield f"{kind} {total.names[kind]}, +{total.new} -{total.old} bytes{types}"
