"""Which names may differ between two directories on disk.

The plan decides, and looks at candidates only; what is no candidate has been found equal here, as cheaply as
that can be done: a directory at a time, names relative to the current directory, no value made for a name.
Whatever is not certain here is a candidate: a name with more than one link, a device, an error.
"""

from __future__ import annotations

import os
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISDIR

from . import linux
from .compare import counted
from .content import Comparer, is_sparse
from .scan import seek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .compare import Profile
    from .model import Stat, Tally
    from .scan import DiskTree

    Node = dict[bytes, "Node | None"]
    """The candidates in a directory, each with those below it; None where every name is one."""
    Item = tuple[list[bytes], bytes, int, int]
    """A directory, or with a name a part of a file: from one byte to another."""
    Row = tuple[list[bytes], list[bytes], list[bytes]]
    """A directory, candidates in it, and those below which every name is one."""
    Part = tuple[list[bytes], bytes, bool, int]
    """A part of a file: directory and name, whether it is equal, and the bytes compared."""

_AT_ONCE = 1024  # names whose facts are held
BIG = 64 * 1024 * 1024  # bytes of a file that are compared in one piece
ROOT: Item = ([], b"", 0, 0)


class Found:
    """What was found out.

    ``identical``: bytes of files that were proven to be one inode.
    ``directories``: how many were looked into.
    ``links``: names in LOWER, by the inode, how many it has in all, and whether this one may have changed.
    """

    __slots__ = ("directories", "identical", "links", "parts", "rows")

    def __init__(
        self,
        rows: list[Row] | None = None,
        parts: list[Part] | None = None,
        links: list[tuple[int, int, bool]] | None = None,
        identical: int = 0,
        directories: int = 0,
    ) -> None:
        self.rows = rows or []
        self.parts = parts or []
        self.links = links or []
        self.identical = identical
        self.directories = directories

    def values(self) -> tuple[list[Row], list[Part], list[tuple[int, int, bool]], int, int]:
        """What another process can make the same of."""
        return self.rows, self.parts, self.links, self.identical, self.directories


class Finder:
    """Looks for candidates in one directory after the other.

    ``lower``, ``upper``: the trees; it moves in them as it likes.
    ``profile``: what counts as a difference.
    ``groups``: whether names of inodes with several are candidates.
    ``tally``: counts the names and bytes.
    """

    def __init__(
        self, lower: DiskTree, upper: DiskTree, profile: Profile, *, groups: bool, tally: Tally
    ) -> None:
        self._lower = lower
        self._upper = upper
        self._wanted = upper.wanted
        self._avoided = upper.avoided
        self._profile = profile
        self._groups = groups
        self._tally = tally
        self._comparer = Comparer(tally)
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
        except (OSError, AvoidedError):
            # Who looks at every name finds out what it is.
            self.found.rows.append((parents[:-1], [], parents[-1:]) if parents else ([], [], [b""]))
            return []

    def _part(self, parents: list[bytes], name: bytes, start: int, end: int) -> None:
        before = self._tally.compared
        try:
            self._seek(parents)
            equal = self._equal(name, start, end)
        except OSError:
            equal = False
        self.found.parts.append((parents, name, equal, self._tally.compared - before))
        self._tally.compared = before

    def _equal(self, name: bytes, start: int, end: int) -> bool:
        left = linux.open_file(name, self._lower.fd)
        try:
            right = linux.open_file(name, self._upper.fd)
            try:
                sparse = is_sparse(os.fstat(left)) or is_sparse(os.fstat(right))
                return self._comparer.equal(left, right, start, end, sparse) is True
            finally:
                os.close(right)
        finally:
            os.close(left)

    def _seek(self, parents: list[bytes]) -> None:
        seek(self._lower.descent, self._lower.descent.names, parents)
        seek(self._upper.descent, self._upper.descent.names, parents)

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        """Look at a directory; the items below it.

        ``start``: of the item, which says how to look where there is more than one way.
        """
        self._seek(parents)
        here = Here(parents)
        os.fchdir(self._upper.fd)
        upper = os.listdir(b".")
        os.fchdir(self._lower.fd)
        if self._profile.bytes == "always":
            files = set()
            lower = set()
            with os.scandir(b".") as entries:
                for entry in entries:
                    lower.add(entry.name)
                    if entry.is_file(follow_symlinks=False):
                        files.add(entry.name)
        else:
            files = set()
            lower = {*os.listdir(b".")}
        here.whole += lower.symmetric_difference(upper)
        both = [name for name in upper if name in lower]
        for at in range(0, len(both), _AT_ONCE):
            names = both[at : at + _AT_ONCE]
            self._by_name(here, [name for name in names if name not in files])
            self._by_descriptor(here, [name for name in names if name in files])
        return self._seen(here, len(both))

    def _seen(self, here: Here, names: int) -> list[Item]:
        """Note what was found in a directory of so many names; the items below it."""
        if here.names or here.whole:
            self.found.rows.append((here.parents, here.names, here.whole))
        self.found.directories += 1
        self._tally.entries += names
        self._tally.tick()
        return here.items

    def _by_name(self, here: Here, names: list[bytes]) -> None:
        """Look at names that are not to be opened, or not yet."""
        lstat, groups = os.lstat, self._groups
        os.fchdir(self._lower.fd)
        lowers = [lstat(name) for name in names]
        os.fchdir(self._upper.fd)
        alike = []
        for name, lower in zip(names, lowers):
            upper = lstat(name)
            mode = upper.st_mode
            kind = S_IFMT(mode)
            if kind == S_IFDIR and S_ISDIR(lower.st_mode):
                here.items.append(([*here.parents, name], b"", 0, 0))
                self._check(lower, upper)
                if lower.st_mode != mode or lower.st_uid != upper.st_uid or lower.st_gid != upper.st_gid:
                    here.names.append(name)
                    continue
            elif (
                lower.st_mode != mode
                or lower.st_size != upper.st_size
                or lower.st_mtime_ns != upper.st_mtime_ns
                or lower.st_uid != upper.st_uid
                or lower.st_gid != upper.st_gid
                or (groups and (lower.st_nlink > 1 or upper.st_nlink > 1))
                or (kind != S_IFREG and kind != S_IFLNK)
            ):
                here.whole.append(name)
                continue
            if lower.st_ino == upper.st_ino and lower.st_dev == upper.st_dev:
                if kind == S_IFREG:
                    self.found.identical += upper.st_size
            else:
                alike.append((name, kind, lower, upper))
        if alike:
            self._by_attributes(here, alike)

    def _by_attributes(self, here: Here, alike: Sequence[tuple[bytes, int, Stat, Stat]]) -> None:
        """Look at attributes and targets of names whose other facts are the same."""
        list_xattrs = linux.list_xattrs
        lower_fd, upper_fd = self._lower.fd, self._upper.fd
        uppers = [list_xattrs(name) for name, _, _, _ in alike]
        os.fchdir(lower_fd)
        lowers = [list_xattrs(name) for name, _, _, _ in alike]
        profile = self._profile
        for (name, kind, lower, upper), lower_xattrs, upper_xattrs in zip(alike, lowers, uppers):
            if (lower_xattrs or upper_xattrs) and not self._same_xattrs(name, lower_xattrs, upper_xattrs):
                here.names.append(name)
                continue
            if kind == S_IFDIR:
                continue
            read = profile.bytes == "always" or (
                profile.bytes == "truncated" and not (lower.st_mtime_ns % 10**9 or upper.st_mtime_ns % 10**9)
            )
            if kind == S_IFLNK:
                if (read or profile.targets_always) and os.readlink(name, dir_fd=lower_fd) != os.readlink(
                    name, dir_fd=upper_fd
                ):
                    here.names.append(name)
            elif read and upper.st_size:
                here.late.append(name)
        if here.late:
            late, here.late = here.late, []
            self._by_descriptor(here, late)

    def _same_xattrs(self, name: bytes, lower: list[str], upper: list[str]) -> bool:
        """Whether the attributes that count are the same, of those that are listed."""
        if not any(map(self._wanted, lower)) and not any(map(self._wanted, upper)):
            return True
        return counted(self._profile, linux.read_xattrs(self._lower.fd, name, self._wanted)) == counted(
            self._profile, linux.read_xattrs(self._upper.fd, name, self._wanted)
        )

    def _by_descriptor(self, here: Here, names: list[bytes]) -> None:
        """Look at files that must be read: what an open file tells costs half of what a name tells."""
        open_file, fstat, list_xattrs, close = linux.open_file, os.fstat, linux.list_xattrs_fd, os.close
        lower_fd, upper_fd, groups = self._lower.fd, self._upper.fd, self._groups
        comparer, found, tally = self._comparer, self.found, self._tally
        for name in names:
            left = right = -1
            try:
                left, right = open_file(name, lower_fd), open_file(name, upper_fd)
                lower, upper = fstat(left), fstat(right)
                size = upper.st_size
                if (
                    lower.st_mode != upper.st_mode
                    or lower.st_size != size
                    or lower.st_mtime_ns != upper.st_mtime_ns
                    or lower.st_uid != upper.st_uid
                    or lower.st_gid != upper.st_gid
                    or S_IFMT(upper.st_mode) != S_IFREG
                    or (groups and (lower.st_nlink > 1 or upper.st_nlink > 1))
                ):
                    here.whole.append(name)
                    continue
                if lower.st_ino == upper.st_ino and lower.st_dev == upper.st_dev:
                    found.identical += size
                    continue
                lower_xattrs, upper_xattrs = list_xattrs(left), list_xattrs(right)
                if (lower_xattrs or upper_xattrs) and not self._same_xattrs(name, lower_xattrs, upper_xattrs):
                    here.names.append(name)
                    continue
                if size > BIG:
                    for start in range(0, size, BIG):
                        here.items.append((here.parents, name, start, min(start + BIG, size)))
                    continue
                if size:
                    before = tally.compared
                    sparse = lower.st_blocks * 512 < size or upper.st_blocks * 512 < size
                    if not comparer.equal(left, right, 0, size, sparse):
                        here.names.append(name)
                        tally.compared = before
            except OSError:
                here.whole.append(name)
            finally:
                if right >= 0:
                    close(right)
                if left >= 0:
                    close(left)

    def _check(self, lower: Stat, upper: Stat) -> None:
        avoided = self._avoided
        if (upper.st_dev, upper.st_ino) in avoided or (lower.st_dev, lower.st_ino) in avoided:
            raise AvoidedError


class AvoidedError(Exception):
    """A directory that is not to be entered: the walk says so."""


class Here:
    """What was found in a directory."""

    __slots__ = ("items", "late", "names", "parents", "whole")

    def __init__(self, parents: list[bytes]) -> None:
        self.parents = parents
        self.names: list[bytes] = []
        self.whole: list[bytes] = []
        self.items: list[Item] = []
        self.late: list[bytes] = []


class Candidates:
    """All that was found, as a tree of names.

    ``tally``: counts what was found, but not what a candidate that is looked at again counts once more.
    ``directories``: how many were looked into.
    """

    def __init__(self, tally: Tally) -> None:
        self.root: Node | None = {}
        self.directories = 0
        self._links: dict[int, list[int]] = {}
        self._tally = tally
        self._parts: dict[bytes, tuple[list[bytes], bytes, list[bool], list[int]]] = {}

    def add(self, found: Found) -> None:
        """Add what was found."""
        self._tally.identical += found.identical
        self.directories += found.directories
        for inode, names_in_all, changed in found.links:
            known = self._links.setdefault(inode, [names_in_all, 0, False])
            known[1] += 1
            known[2] |= changed
        for parents, names, whole in found.rows:
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
        for parents, name, equal, compared in found.parts:
            path = b"/".join([*parents, name])
            _, _, equals, counts = self._parts.setdefault(path, (parents, name, [], []))
            equals.append(equal)
            counts.append(compared)

    def settle(self) -> None:
        """Nothing will be added any more: files are equal if all their parts are."""
        for parents, name, equals, counts in self._parts.values():
            if all(equals):
                self._tally.compared += sum(counts)
                continue
            node = self._node(parents)
            if node is not None:
                node.setdefault(name, {})

    def is_whole(self) -> bool:
        """Whether all names were met of each inode with several of which one may have changed: what became of
        one tells nothing of the others, and they change with it."""
        return all(met == names or not changed for names, met, changed in self._links.values())

    def forget(self) -> None:
        """Take every name for a candidate."""
        self.root = None
        self._parts.clear()

    def _node(self, parents: list[bytes]) -> Node | None:
        node = self.root
        for name in parents:
            if node is None:
                return None
            node = node.setdefault(name, {})
        return node


class CandidateTree:
    """A tree with no other names than candidates.

    ``node``: those of the whole tree.
    """

    def __init__(self, tree: DiskTree, node: Node | None) -> None:
        self._tree = tree
        self._nodes = [node]
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
