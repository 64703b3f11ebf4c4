"""Names that may differ between two trees on disk, as a tree of names, and trees that have no others.

What looks for them is a :class:`Looker`, of which there are three: finder.py, untouched.py and layers.py.
"""

from __future__ import annotations

from .model import DifferError
from .scan import seek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from .compare import Profile
    from .model import Stat, Tally
    from .scan import DiskTree

    Node = dict[bytes, "Node | None"]
    """The candidates in a directory, each with those below it; None where every name is one."""
    Item = tuple[list[bytes], bytes, int, int]
    """A directory, or with a name a part of a file: from one byte to another."""
    Row = tuple[list[bytes], list[bytes], list[bytes], list[bytes]]
    """A directory, candidates in it, those below which every name is one, and files whose bytes differ."""

    Known = tuple["Stat | None", "Stat | None", bool, "dict[bytes, Known]"]
    """The facts of a name in both trees, None where it is absent, whether it has no attributes where it is, and what
    is known of the names below it."""

ROOT: Item = ([], b"", 0, 0)
NOTHING: dict[bytes, Known] = {}
"""What is known below a name of which nothing is known."""
AT_ONCE = 1024  # names whose facts are held


class Found:
    """What was found out.

    ``identical``: bytes of files that were proven to be one inode.
    ``directories``: how many were looked into.
    ``links``: names in LOWER, by the inode, how many it has in all, and whether this one may have changed.
    ``known``: of names in the root what needs not be asked again; not of all, and of none of another process.
    """

    __slots__ = ("directories", "identical", "known", "links", "rows")

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
        self.known: dict[bytes, Known] = {}

    def values(self) -> tuple[list[Row], list[tuple[int, int, bool]], int, int]:
        """What another process can make the same of."""
        return self.rows, self.links, self.identical, self.directories


class Candidates:
    """All that was found, as a tree of names.

    ``tally``: counts what was found.
    ``directories``: how many were looked into.
    ``unequal``: the paths of files whose bytes differ, which need not be read again.
    ``known``: as of :class:`Found`.
    """

    def __init__(self, tally: Tally) -> None:
        self.root: Node | None = {}
        self.directories = 0
        self.unequal: set[bytes] = set()
        self.known: dict[bytes, Known] = {}
        self._links: dict[int, list[int]] = {}
        self._tally = tally

    def add(self, found: Found) -> None:
        """Add what was found."""
        self._tally.identical += found.identical
        self.directories += found.directories
        self.known.update(found.known)
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


class Between:
    """Two trees and what counts as a difference between them.

    ``lower``, ``upper``: the trees.
    ``profile``: what is compared.
    ``groups``: whether names of inodes with several are candidates whatever else is known of them.
    """

    __slots__ = ("groups", "lower", "profile", "upper")

    def __init__(self, lower: DiskTree, upper: DiskTree, profile: Profile, *, groups: bool) -> None:
        self.lower = lower
        self.upper = upper
        self.profile = profile
        self.groups = groups


class Here:
    """What was found in a directory."""

    __slots__ = ("items", "names", "parents", "unequal", "whole")

    def __init__(self, parents: list[bytes]) -> None:
        self.parents = parents
        self.names: list[bytes] = []
        self.whole: list[bytes] = []
        self.unequal: list[bytes] = []
        self.items: list[Item] = []


class Looker:
    """Looks for candidates in one directory after the other, with trees of its own.

    ``between``: where.
    ``tally``: counts the names and bytes.
    """

    def __init__(self, between: Between, tally: Tally) -> None:
        self._lower = between.lower.again()
        self._upper = between.upper.again()
        self._wanted = between.upper.wanted
        self._groups = between.groups
        self._tally = tally
        self.found = Found()

    def take(self) -> Found:
        """What was found since the last time."""
        found, self.found = self.found, Found()
        return found

    def close(self) -> None:
        """Close the trees."""
        self._lower.close()
        self._upper.close()

    def look(self, item: Item) -> list[Item]:
        """Look at one item; the items below it."""
        parents, name, start, end = item
        if name:
            self._part(parents, name, start, end)
            return []
        try:
            return self._directory(parents, start)
        except (OSError, DifferError):
            # Who looks at every name finds out what it is.
            self.found.rows.append((parents[:-1], [], parents[-1:] or [b""], []))
            return []

    def _part(self, parents: list[bytes], name: bytes, start: int, end: int) -> None:
        """Look at a part of a file, which is no item of those who do not read any."""
        raise NotImplementedError

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        """Look at a directory; the items below it.

        ``start``: of the item, which says how to look where there is more than one way.
        """
        raise NotImplementedError

    def _seek(self, parents: list[bytes]) -> None:
        seek(self._lower.descent, self._lower.descent.names, parents)
        seek(self._upper.descent, self._upper.descent.names, parents)

    def _seen(self, here: Here, names: int) -> list[Item]:
        """Note what was found in a directory of so many names; the items below it."""
        if here.names or here.whole or here.unequal:
            self.found.rows.append((here.parents, here.names, here.whole, here.unequal))
        self.found.directories += 1
        self._tally.entries += names
        self._tally.tick()
        return here.items


class CandidateTree:
    """A tree with no other names than candidates.

    ``found``: the candidates.
    ``side``: which of what is known is of this tree, 0 or 1.
    A directory on disk is entered only when something is asked of it that is not known.
    """

    def __init__(self, tree: DiskTree, found: Candidates, side: Literal[0, 1]) -> None:
        self._tree = tree
        self._nodes = [found.root]
        self._unequal = found.unequal
        self._known = [found.known]
        self._side = side
        self._ahead: list[tuple[bytes, Stat | None]] = []  # directories that are not entered yet
        self._facts: dict[bytes, Stat] = {}
        self.close = tree.close

    def names(self) -> list[bytes]:
        """The candidates in the current directory that are there, in byte order."""
        node = self._nodes[-1]
        if node is None:
            return self._here().names()
        known, side = self._known[-1], self._side
        names = []
        for name in sorted(node) if len(node) > 1 else node:
            if name in known:
                if known[name][side] is not None:
                    names.append(name)
            elif (stat := self._here().find(name)) is not None:
                self._facts[name] = stat
                names.append(name)
        return names

    def is_unequal(self, name: bytes) -> bool:
        """Whether the bytes of the file ``name`` in the current directory are known to differ."""
        if not self._unequal:
            return False
        above = [*self._tree.descent.names, *(ahead for ahead, _ in self._ahead)]
        return b"/".join([*above, name]) in self._unequal

    def stat(self, name: bytes) -> Stat:
        """The facts of ``name`` in the current directory."""
        known = self._known[-1].get(name)
        facts = known[self._side] if known is not None else self._facts.pop(name, None)
        return facts or self._here().stat(name)

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``."""
        if seen is not None:
            self._tree.check(name, seen)
        self._ahead.append((name, seen))
        self._step(name)

    def leave(self) -> None:
        """Step back into the parent."""
        if self._ahead:
            self._ahead.pop()
        else:
            self._tree.leave()
        self._nodes.pop()
        self._known.pop()
        if self._facts:
            self._facts = {}

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        self._ahead = []
        self._tree.seek(parents)
        del self._nodes[1:], self._known[1:]
        for name in parents:
            self._step(name)

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        """The extended attributes of ``name``."""
        known = self._known[-1].get(name)
        if known is not None and known[2]:
            return {}
        return self._here().xattrs(name, facts)

    def target(self, name: bytes) -> bytes:
        """Where the symbolic link ``name`` points."""
        return self._here().target(name)

    def open(self, name: bytes, facts: Stat) -> int:
        """A descriptor to read the regular file ``name``, which must still have ``facts``."""
        return self._here().open(name, facts)

    def path(self, name: bytes = b"") -> bytes:
        """How a message should call ``name`` in the current directory."""
        ahead = [above for above, _ in self._ahead]
        return self._tree.path(b"/".join([*ahead, name] if name else ahead))

    def depth(self) -> int:
        """How many directories lie between the root and the current one."""
        return len(self._nodes) - 1

    def _step(self, name: bytes) -> None:
        node = self._nodes[-1]
        self._nodes.append(None if node is None else node.get(name))
        known = self._known[-1].get(name)
        self._known.append(NOTHING if known is None else known[3])
        if self._facts:
            self._facts = {}

    def _here(self) -> DiskTree:
        """The tree on disk, in the current directory."""
        while self._ahead:
            self._tree.enter(*self._ahead[0])
            del self._ahead[0]
        return self._tree
