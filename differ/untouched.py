"""Candidates between two overlay mounts of which one has more layers.

A name whose inode is the same in both mounts is the same entry, and below such a directory nothing differs: to
change anything there overlayfs makes the directory in an additional layer (docs/untouched.md).
"""

from __future__ import annotations

import os
from stat import S_ISDIR

from . import linux
from .candidates import AT_ONCE, Here, Looker
from .scan import seek

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Between, Item
    from .model import Stat, Tally


class UntouchedFinder(Looker):
    """Looks only into directories that an additional layer holds.

    ``view``: whether the inode number alone tells; else the times and the mode have to be the same too,
    because what was copied to the top keeps the number of what was below.
    """

    def __init__(self, between: Between, tally: Tally, *, view: bool) -> None:
        super().__init__(between, tally)
        self._view = view

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        self._seek(parents)
        here = Here(parents)
        lower, upper = linux.list_inodes(self._lower.fd), linux.list_inodes(self._upper.fd)
        alike = [name for name, inode in upper.items() if lower.get(name) == inode]
        other = [name for name, inode in lower.items() if upper.get(name) != inode]
        if not self._view:
            for at in range(0, len(alike), AT_ONCE):
                other += self._copied(here, alike[at : at + AT_ONCE])
        here.whole += [name for name in upper if name not in lower]
        for name in other:
            after = self._upper.stat(name) if name in upper else None
            self._touched(here, name, self._lower.stat(name), after)
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

    def _touched(self, here: Here, name: bytes, lower: Stat | None, upper: Stat | None) -> None:
        """Look at a name that an additional layer holds, or hides; the facts are None where it is absent."""
        if lower is not None and upper is not None and S_ISDIR(lower.st_mode) and S_ISDIR(upper.st_mode):
            here.names.append(name)
            here.items.append(([*here.parents, name], b"", 0, 0))
            return
        if lower is not None:
            self._gone([*here.parents, name], lower)
        if lower is not None or upper is not None:
            here.whole.append(name)

    def _note(self, lower: Stat, changed: bool) -> None:
        """Note a name of an inode of LOWER that has more names."""
        if lower.st_nlink > 1:
            self.found.links.append((lower.st_ino, lower.st_nlink, changed))

    def _gone(self, path: list[bytes], facts: Stat) -> None:
        """Note the names of inodes with several that are gone with an entry of LOWER."""
        if not S_ISDIR(facts.st_mode):
            self._note(facts, changed=True)
            return
        tree = self._lower
        stack = [path]
        while stack:
            above = stack.pop()
            seek(tree.descent, tree.descent.names, above)
            for name in tree.names():
                below = tree.stat(name)
                if S_ISDIR(below.st_mode):
                    stack.append([*above, name])
                else:
                    self._note(below, changed=True)
        seek(tree.descent, tree.descent.names, path[:-1])
