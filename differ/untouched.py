"""Candidates between two overlay mounts of which one has more layers.

A name whose inode is the same in both mounts is the same entry, and below such a directory nothing differs: to
change anything there overlayfs makes the directory in an additional layer (docs/untouched.md).
"""

from __future__ import annotations

import os
from stat import S_ISDIR

from . import linux
from .finder import AT_ONCE, Finder, Here
from .scan import seek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Item
    from .compare import Profile
    from .model import Stat, Tally
    from .scan import DiskTree


class UntouchedFinder(Finder):
    """Looks only into directories that an additional layer holds.

    ``view``: whether the inode number alone tells; else the times and the mode have to be the same too,
    because what was copied to the top keeps the number of what was below.
    """

    def __init__(
        self,
        lower: DiskTree,
        upper: DiskTree,
        profile: Profile,
        *,
        groups: bool,
        tally: Tally,
        view: bool,
    ) -> None:
        super().__init__(lower, upper, profile, groups=groups, tally=tally)
        self._view = view

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        self._seek(parents)
        here = Here(parents)
        lower, upper = linux.list_inodes(self._lower.fd), linux.list_inodes(self._upper.fd)
        alike = [name for name, inode in upper.items() if lower.get(name) == inode]
        other = [name for name, inode in upper.items() if lower.get(name, inode) != inode]
        if not self._view:
            for at in range(0, len(alike), AT_ONCE):
                other += self._copied(here, alike[at : at + AT_ONCE])
        here.whole += [name for name in upper if name not in lower]
        for name in [name for name in lower if name not in upper]:
            here.whole.append(name)
            self._gone(parents, name)
        for name in other:
            self._touched(here, name)
        return self._seen(here, len(upper))

    def _copied(self, here: Here, names: list[bytes]) -> list[bytes]:
        """Those names, of the same inode number in both mounts, that may have been copied to the top."""
        lstat = os.lstat
        os.fchdir(self._upper.fd)
        uppers = [(name, lstat(name)) for name in names]
        os.fchdir(self._lower.fd)
        copied = []
        for name, upper in uppers:
            lower = lstat(name)
            if (
                upper.st_ctime_ns != lower.st_ctime_ns
                or upper.st_mtime_ns != lower.st_mtime_ns
                or upper.st_ino != lower.st_ino
                or upper.st_mode != lower.st_mode
                or upper.st_size != lower.st_size
                or upper.st_uid != lower.st_uid
                or upper.st_gid != lower.st_gid
            ):
                copied.append(name)
            elif lower.st_nlink > 1 and not S_ISDIR(lower.st_mode):
                if self._groups:
                    here.whole.append(name)
                self._note(lower, changed=False)
        return copied

    def _touched(self, here: Here, name: bytes) -> None:
        """Look at a name that is in an additional layer, and was in one before."""
        lower = os.stat(name, dir_fd=self._lower.fd, follow_symlinks=False)
        if not S_ISDIR(lower.st_mode):
            here.whole.append(name)
            self._note(lower, changed=True)
        elif S_ISDIR(os.stat(name, dir_fd=self._upper.fd, follow_symlinks=False).st_mode):
            here.names.append(name)
            here.items.append(([*here.parents, name], b"", 0, 0))
        else:
            here.whole.append(name)
            self._gone(here.parents, name)

    def _note(self, lower: Stat, changed: bool) -> None:
        """Note a name of an inode of LOWER that has more names."""
        if lower.st_nlink > 1:
            self.found.links.append((lower.st_ino, lower.st_nlink, changed))

    def _gone(self, parents: list[bytes], name: bytes) -> None:
        """Note the names of inodes with several that are gone with a name of LOWER."""
        tree = self._lower
        facts = os.stat(name, dir_fd=tree.fd, follow_symlinks=False)
        if not S_ISDIR(facts.st_mode):
            self._note(facts, changed=True)
            return
        stack = [[*parents, name]]
        while stack:
            above = stack.pop()
            seek(tree.descent, tree.descent.names, above)
            for below in os.listdir(tree.fd):
                facts = os.stat(below, dir_fd=tree.fd, follow_symlinks=False)
                if S_ISDIR(facts.st_mode):
                    stack.append([*above, os.fsencode(below)])
                else:
                    self._note(facts, changed=True)
        seek(tree.descent, tree.descent.names, parents)
