"""Names that may differ between two trees on disk, as a tree of names, and trees that have no others.

What looks for them is in finder.py, untouched.py and layers.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Stat, Tally
    from .scan import DiskTree

    Node = dict[bytes, "Node | None"]
    """The candidates in a directory, each with those below it; None where every name is one."""
    Item = tuple[list[bytes], bytes, int, int]
    """A directory, or with a name a part of a file: from one byte to another."""
    Row = tuple[list[bytes], list[bytes], list[bytes], list[bytes]]
    """A directory, candidates in it, those below which every name is one, and files whose bytes differ."""

ROOT: Item = ([], b"", 0, 0)


class Found:
    """What was found out.

    ``identical``: bytes of files that were proven to be one inode.
    ``directories``: how many were looked into.
    ``links``: names in LOWER, by the inode, how many it has in all, and whether this one may have changed.
    """

    __slots__ = ("directories", "identical", "links", "rows")

    def __init__(
        self,
        rows: list[Row] | None = None,
        links: list[tuple[int, int, bool]] | None = None,
        identical: int = 0,
        directories: int = 0,
    ) -> None:
        self.rows = rows or []
        self.links = links or []
        self.identical = identical
        self.directories = directories

    def values(self) -> tuple[list[Row], list[tuple[int, int, bool]], int, int]:
        """What another process can make the same of."""
        return self.rows, self.links, self.identical, self.directories


class Candidates:
    """All that was found, as a tree of names.

    ``tally``: counts what was found.
    ``directories``: how many were looked into.
    ``unequal``: the paths of files whose bytes differ, which need not be read again.
    """

    def __init__(self, tally: Tally) -> None:
        self.root: Node | None = {}
        self.directories = 0
        self.unequal: set[bytes] = set()
        self._links: dict[int, list[int]] = {}
        self._tally = tally

    def add(self, found: Found) -> None:
        """Add what was found."""
        self._tally.identical += found.identical
        self.directories += found.directories
        for inode, names_in_all, changed in found.links:
            known = self._links.setdefault(inode, [names_in_all, 0, False])
            known[1] += 1
            known[2] |= changed
        for parents, names, whole, unequal in found.rows:
            if whole == [b""]:
                self.forget()
                continue
            node = self._node(parents)
            if node is None:
                continue
            for name in names:
                node.setdefault(name, {})
            for name in whole:
                node[name] = None
            for name in unequal:
                node.setdefault(name, {})
                self.unequal.add(b"/".join([*parents, name]))

    def is_whole(self) -> bool:
        """Whether all names were met of each inode with several of which one may have changed: what became of
        one tells nothing of the others, and they change with it."""
        return all(met == names or not changed for names, met, changed in self._links.values())

    def forget(self) -> None:
        """Take every name for a candidate."""
        self.root = None

    def _node(self, parents: list[bytes]) -> Node | None:
        node = self.root
        for name in parents:
            if node is None:
                return None
            node = node.setdefault(name, {})
        return node


class CandidateTree:
    """A tree with no other names than candidates.

    ``found``: the candidates.
    """

    def __init__(self, tree: DiskTree, found: Candidates) -> None:
        self._tree = tree
        self._nodes = [found.root]
        self._unequal = found.unequal
        self._facts: dict[bytes, Stat] = {}
        self.xattrs = tree.xattrs
        self.target = tree.target
        self.open = tree.open
        self.path = tree.path
        self.depth = tree.depth
        self.close = tree.close

    def names(self) -> list[bytes]:
        """The candidates in the current directory that are there, in byte order."""
        node = self._nodes[-1]
        if node is None:
            return self._tree.names()
        facts = [(name, self._tree.find(name)) for name in sorted(node)]
        self._facts = {name: there for name, there in facts if there is not None}
        return [*self._facts]

    def is_unequal(self, name: bytes) -> bool:
        """Whether the bytes of the file ``name`` in the current directory are known to differ."""
        return b"/".join([*self._tree.descent.names, name]) in self._unequal

    def stat(self, name: bytes) -> Stat:
        """The facts of ``name`` in the current directory."""
        return self._facts.pop(name, None) or self._tree.stat(name)

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``."""
        node = self._nodes[-1]
        self._tree.enter(name, seen)
        self._nodes.append(None if node is None else node.get(name))
        self._facts = {}

    def leave(self) -> None:
        """Step back into the parent."""
        self._tree.leave()
        self._nodes.pop()
        self._facts = {}

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        self._tree.seek(parents)
        del self._nodes[1:]
        self._facts = {}
        for name in parents:
            node = self._nodes[-1]
            self._nodes.append(None if node is None else node.get(name))
