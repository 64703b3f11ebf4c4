"""The inverse: a tree with a directory of changes laid over it.

:class:`MergedTree` shows what unpacking the changes on LOWER gives, without writing anything.  It
reads markers and nothing of what decided them, so that it can stand witness for a result
(verify.py), and it is what ``differ-apply`` writes out.
"""

from __future__ import annotations

from stat import S_ISDIR

from .content import unreadable
from .linux import read_xattrs
from .model import DifferError
from .scan import DiskTree, seek
from .whiteout import OPAQUE_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Stat, Tree
    from .whiteout import Style

UNFINISHED = b".differ-unfinished"
"""The file that an output directory holds as long as it is being written."""


class _Layer:
    """What the changes have in one directory, read once when it is entered.

    ``below``: the names of LOWER that show through, once somebody has asked for them.
    """

    __slots__ = ("below", "entries", "hidden", "opaque")

    def __init__(self) -> None:
        self.entries: dict[bytes, Stat] = {}
        self.hidden: set[bytes] = set()
        self.opaque = False
        self.below: frozenset[bytes] | None = None


class MergedTree:
    """LOWER as it looks with the changes on top.

    ``lower``: any tree.  ``changes``: those, written in ``style``: a directory, or the tar of a layer.
    A directory on both sides is merged, with the facts of the changes' one.  A hard link joins names
    of one side only, as in every layered file system.
    Raises :class:`DifferError` when a marker in the changes names nothing, or they are unfinished.
    """

    def __init__(self, lower: Tree, changes: Tree, style: Style) -> None:
        self._lower = lower
        self._changes = changes
        self._style = style
        self._names: list[bytes] = []
        # For the root and each directory entered: whether LOWER stands there too, and what the
        # changes have there, None if they have no such directory.
        self._stack: list[tuple[bool, _Layer | None]] = []
        root = self._read_layer(opaque=False)
        if UNFINISHED in root.entries:
            raise DifferError(
                "holds changes that were not written to the end; make them again", changes.path(UNFINISHED)
            )
        self._stack.append((True, root))

    def names(self) -> list[bytes]:
        """The names in the current directory, in byte order."""
        layer = self._stack[-1][1]
        if layer is None:
            return self._lower.names()
        return sorted(self._below(layer).union(layer.entries))

    def stat(self, name: bytes) -> Stat:
        """The facts of ``name`` in the current directory."""
        layer = self._stack[-1][1]
        if layer is not None and name in layer.entries:
            return layer.entries[name]
        return self._lower.stat(name)

    def in_changes(self, name: bytes) -> bool:
        """Whether the entry of ``name`` in the current directory is the changes' one."""
        layer = self._stack[-1][1]
        return layer is not None and name in layer.entries

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``."""
        layer = self._stack[-1][1]
        if layer is None or name not in layer.entries:
            self._lower.enter(name, seen)
            self._stack.append((True, None))
        else:
            facts = self._lower.stat(name) if name in self._below(layer) else None
            merged = facts is not None and S_ISDIR(facts.st_mode) and not self._is_opaque(name)
            self._changes.enter(name, layer.entries[name])
            if merged:
                self._lower.enter(name, facts)
            self._stack.append((merged, self._read_layer(opaque=not merged)))
        self._names.append(name)

    def leave(self) -> None:
        """Step back into the parent."""
        in_lower, layer = self._stack.pop()
        if in_lower:
            self._lower.leave()
        if layer is not None:
            self._changes.leave()
        self._names.pop()

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        seek(self, self._names, parents)

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        """The extended attributes of ``name``."""
        return self._side(name).xattrs(name, facts)

    def target(self, name: bytes) -> bytes:
        """Where the symbolic link ``name`` points."""
        return self._side(name).target(name)

    def open(self, name: bytes, facts: Stat) -> int:
        """A descriptor to read the regular file ``name``."""
        return self._side(name).open(name, facts)

    def path(self, name: bytes = b"") -> bytes:
        """How a message should call ``name`` in the current directory."""
        if name:
            return self._side(name).path(name)
        return self._lower.path() if self._stack[-1][0] else self._changes.path()

    def depth(self) -> int:
        """How many directories lie between the root and the current one."""
        return len(self._names)

    def close(self) -> None:
        """Close both sides."""
        self._lower.close()
        self._changes.close()

    def _side(self, name: bytes) -> Tree:
        return self._changes if self.in_changes(name) else self._lower

    def _below(self, layer: _Layer) -> frozenset[bytes]:
        """The names in the current directory that LOWER has and the changes do not remove."""
        if layer.below is None:
            in_lower = self._stack[-1][0] and not layer.opaque
            layer.below = frozenset(self._lower.names()) - layer.hidden if in_lower else frozenset()
        return layer.below

    def _is_opaque(self, name: bytes) -> bool:
        return b"y" in self._marks(name, self._style.opaque_xattrs).values()

    def _check_whole(self, name: bytes) -> None:
        """Refuse an entry whose content or names lie in another layer."""
        for found in self._marks(name, self._style.partial_xattrs):
            raise DifferError(
                f"is only a part ({found}), the rest lies in another layer;"
                " mount the layers and take the merged tree",
                self._changes.path(name),
            )

    def _marks(self, name: bytes, wanted: tuple[str, ...]) -> dict[str, bytes]:
        """Those of the attributes ``wanted`` that an entry of the changes has."""
        if not wanted or not isinstance(self._changes, DiskTree):
            return {}
        try:
            return read_xattrs(self._changes.fd, name, wanted.__contains__)
        except OSError as error:
            raise unreadable(error, self._changes.path(name)) from error

    def _read_layer(self, opaque: bool) -> _Layer:
        changes = self._changes
        layer = _Layer()
        layer.opaque = opaque
        for name in changes.names():
            facts = changes.stat(name)
            try:
                hidden = self._style.hides(name, facts)
            except DifferError as error:
                raise DifferError(error.reason, changes.path(name)) from error
            if hidden is None:
                self._check_whole(name)
                layer.entries[name] = facts
            elif hidden == OPAQUE_NAME:
                layer.opaque = True
            elif hidden:
                layer.hidden.add(hidden)
        return layer
