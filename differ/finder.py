"""Candidates between two directories, found by looking at every name.

The plan decides, and looks at candidates only; what is no candidate has been found equal here, as cheaply as
that can be done: a directory at a time, names relative to the current directory, no value made for a name.
Whatever is not certain here is a candidate: a name with more than one link, a device, an error.
"""

from __future__ import annotations

import os
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISDIR

from . import linux
from .candidates import AT_ONCE, Here, Looker
from .compare import counted, one_inode, same_stat
from .content import Comparer, is_sparse, is_unchanged
from .model import DifferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .candidates import Between, Item
    from .model import Stat, Tally

    Compiled = Callable[..., tuple[list[bytes], list[bytes], int, int]]

_READ = {"never": 0, "truncated": 1, "always": 2}  # what _suspects.c calls them
_BIG = 64 * 1024 * 1024  # bytes of a file that are compared in one piece


def compiled() -> Compiled | None:
    """What is compiled, if it is: imported as soon as there is something to compare."""
    try:
        from ._suspects import suspects
    except ImportError:
        return None
    return suspects


class Finder(Looker):
    """Looks at every name, and at the bytes of files if they count."""

    def __init__(self, between: Between, tally: Tally) -> None:
        super().__init__(between, tally)
        self._profile = between.profile
        self._comparer = Comparer(tally)
        self._compiled: Compiled | None = None
        self._is_compiled = True  # as far as is known

    def _part(self, parents: list[bytes], name: bytes, start: int, end: int) -> None:
        lower, upper = self._lower, self._upper
        try:
            self._seek(parents)
            facts = lower.stat(name), upper.stat(name)
            if not self._comparer.same(lower, upper, name, *facts, (start, end)):
                self.found.rows.append((parents, [], [], [name]))
        except (OSError, DifferError):
            self.found.rows.append((parents, [name], [], []))

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        self._seek(parents)
        self._lower.check_here()
        self._upper.check_here()
        if self._lower.ends_here() or self._upper.ends_here():
            # Who looks at every name sees where the trees end.
            self.found.rows.append((parents[:-1], [], parents[-1:], []))
            return []
        here = Here(parents)
        os.fchdir(self._upper.fd)
        if self._profile.bytes == "always":
            upper, upper_files = _listed()
            os.fchdir(self._lower.fd)
            listed, files = _listed()
            files &= upper_files  # nothing else is opened
            lower = {*listed}
        else:
            files = set()
            upper = os.listdir(b".")
            os.fchdir(self._lower.fd)
            lower = {*os.listdir(b".")}
        here.whole += lower.symmetric_difference(upper)
        both = [name for name in upper if name in lower]
        for at in range(0, len(both), AT_ONCE):
            names = both[at : at + AT_ONCE]
            self._by_name(
                here, self._suspects(here, [name for name in names if name not in files], opened=False)
            )
            self._by_descriptor(
                here, self._suspects(here, [name for name in names if name in files], opened=True)
            )
            self._tally.tick()
        return self._seen(here, len(both))

    def _suspects(self, here: Here, names: list[bytes], opened: bool) -> list[bytes]:
        """Those of the names that are not found alike at once; all where nothing was compiled to do that."""
        if not names or not self._is_compiled:
            return names
        if self._compiled is None:
            self._compiled = compiled()
            if self._compiled is None:
                self._is_compiled = False
                return names
        profile = self._profile
        alike, names, identical, compared = self._compiled(
            self._lower.fd,
            self._upper.fd,
            names,
            opened,
            self._groups,
            _READ[profile.bytes],
            profile.targets_always,
        )
        here.items += [([*here.parents, name], b"", 0, 0) for name in alike]
        self.found.identical += identical
        self._tally.compared += compared
        return names

    def _by_name(self, here: Here, names: list[bytes]) -> None:
        """Look at names that are not to be opened, or not yet."""
        if not names:
            return
        lstat, groups = os.lstat, self._groups
        os.fchdir(self._lower.fd)
        lowers = [lstat(name) for name in names]
        os.fchdir(self._upper.fd)
        alike = []
        for name, lower in zip(names, lowers):
            upper = lstat(name)
            kind = S_IFMT(upper.st_mode)
            if kind == S_IFDIR and S_ISDIR(lower.st_mode):
                here.items.append(([*here.parents, name], b"", 0, 0))
                if not same_stat(lower, upper):
                    here.names.append(name)
                    continue
            elif (
                not same_stat(lower, upper)
                or (groups and (lower.st_nlink > 1 or upper.st_nlink > 1))
                or (kind != S_IFREG and kind != S_IFLNK)
            ):
                here.whole.append(name)
                continue
            if one_inode(lower, upper):
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
        unread = []
        for (name, kind, lower, upper), lower_xattrs, upper_xattrs in zip(alike, lowers, uppers):
            if (lower_xattrs or upper_xattrs) and not self._same_xattrs(name, lower_xattrs, upper_xattrs):
                here.names.append(name)
                continue
            if kind == S_IFDIR:
                continue
            read = profile.reads(lower, upper)
            if kind == S_IFLNK:
                if (read or profile.targets_always) and os.readlink(name, dir_fd=lower_fd) != os.readlink(
                    name, dir_fd=upper_fd
                ):
                    here.names.append(name)
            elif read and upper.st_size:
                unread.append(name)
        self._by_descriptor(here, unread)

    def _same_xattrs(self, name: bytes, lower: list[str], upper: list[str]) -> bool:
        """Whether the attributes that count are the same, of those that are listed."""
        if not any(map(self._wanted, lower)) and not any(map(self._wanted, upper)):
            return True
        return counted(self._profile, linux.read_xattrs(self._lower.fd, name, self._wanted)) == counted(
            self._profile, linux.read_xattrs(self._upper.fd, name, self._wanted)
        )

    def _by_descriptor(self, here: Here, names: list[bytes]) -> None:
        """Look at files that must be read: what an open file tells costs half of what a name tells."""
        if not names:
            return
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
                    not same_stat(lower, upper)
                    or S_IFMT(upper.st_mode) != S_IFREG
                    or (groups and (lower.st_nlink > 1 or upper.st_nlink > 1))
                ):
                    here.whole.append(name)
                    continue
                if one_inode(lower, upper):
                    found.identical += size
                    continue
                lower_xattrs, upper_xattrs = list_xattrs(left), list_xattrs(right)
                if (lower_xattrs or upper_xattrs) and not self._same_xattrs(name, lower_xattrs, upper_xattrs):
                    here.names.append(name)
                    continue
                sparse = is_sparse(lower) or is_sparse(upper)
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
                elif linux.holds_more(left, 0) or linux.holds_more(right, 0):
                    here.names.append(name)
            except OSError:
                here.whole.append(name)
            finally:
                if right >= 0:
                    close(right)
                if left >= 0:
                    close(left)


def _listed() -> tuple[list[bytes], set[bytes]]:
    """The names in the current directory, and those that are of regular files."""
    names, files = [], set()
    with os.scandir(b".") as entries:
        for entry in entries:
            names.append(entry.name)
            if entry.is_file(follow_symlinks=False):
                files.add(entry.name)
    return names, files
