"""Candidates between two directories, found by looking at every name.

The plan decides, and looks at candidates only; what is no candidate has been found equal here, as cheaply as
that can be done: a directory at a time, names relative to the current directory, no value made for a name.
Whatever is not certain here is a candidate: a name with more than one link, a device, an error.
"""

from __future__ import annotations

import os
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISDIR

from . import linux
from .candidates import Found
from .compare import counted
from .content import Comparer, is_unchanged
from .scan import seek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .candidates import Item
    from .compare import Profile
    from .model import Stat, Tally
    from .scan import DiskTree

AT_ONCE = 1024  # names whose facts are held
_BIG = 64 * 1024 * 1024  # bytes of a file that are compared in one piece


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
            self.found.rows.append((parents[:-1], [], parents[-1:] or [b""], []))
            return []

    def _part(self, parents: list[bytes], name: bytes, start: int, end: int) -> None:
        try:
            self._seek(parents)
            equal = self._equal(name, start, end)
        except OSError:
            equal = None
        if equal is None:
            self.found.rows.append((parents, [name], [], []))
        elif not equal:
            self.found.rows.append((parents, [], [], [name]))

    def _equal(self, name: bytes, start: int, end: int) -> bool | None:
        left = linux.open_file(name, self._lower.fd)
        try:
            right = linux.open_file(name, self._upper.fd)
            try:
                facts = os.fstat(left), os.fstat(right)
                equal = self._comparer.equal(left, right, start, end, sparse=False)
                if is_unchanged(left, facts[0]) and is_unchanged(right, facts[1]):
                    return equal
                return None
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
        for at in range(0, len(both), AT_ONCE):
            names = both[at : at + AT_ONCE]
            self._by_name(here, [name for name in names if name not in files])
            self._by_descriptor(here, [name for name in names if name in files])
        return self._seen(here, len(both))

    def _seen(self, here: Here, names: int) -> list[Item]:
        """Note what was found in a directory of so many names; the items below it."""
        if here.names or here.whole or here.unequal:
            self.found.rows.append((here.parents, here.names, here.whole, here.unequal))
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
        comparer, found = self._comparer, self.found
        for name in names:
            left = right = -1
            try:
                left = open_file(name, lower_fd)
                right = open_file(name, upper_fd)
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
                sparse = lower.st_blocks * 512 < size or upper.st_blocks * 512 < size
                if size > _BIG and not sparse:
                    for start in range(0, size, _BIG):
                        here.items.append((here.parents, name, start, min(start + _BIG, size)))
                    continue
                if size:
                    equal = comparer.equal(left, right, 0, size, sparse)
                    # Whoever looks again sees what it has become, or says that it changes.
                    if equal is None or not (is_unchanged(left, lower) and is_unchanged(right, upper)):
                        here.names.append(name)
                    elif not equal:
                        here.unequal.append(name)
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

    __slots__ = ("items", "late", "names", "parents", "unequal", "whole")

    def __init__(self, parents: list[bytes]) -> None:
        self.parents = parents
        self.names: list[bytes] = []
        self.whole: list[bytes] = []
        self.unequal: list[bytes] = []
        self.items: list[Item] = []
        self.late: list[bytes] = []
