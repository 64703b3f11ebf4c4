"""Candidates named by the additional layer itself, where its directory can be reached: on a host, as root.

What the layer holds only says where to look.  Whether a name differs is found out as always, through the two
mounts: no whiteout is interpreted here and no time is trusted.
"""

from __future__ import annotations

import os

from . import linux
from .candidates import Here
from .compare import same_stat
from .model import DifferError
from .untouched import UntouchedFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .candidates import Between, Item, Known
    from .model import Stat, Tally

    Asked = tuple["Stat | None", bool]

_MARKS = ("overlay.opaque", "overlay.redirect")
_NO_LAYER = 1  # the beginning of an item below which the layer's own paths are no guide
_MANY = 512  # directories that are looked at before others may be given away
_DEEP = 64  # directories that are open on each side, one below the other
_KNOWN = 2048  # names of which is kept what was found out


class LayerFinder(UntouchedFinder):
    """Looks at the names that the additional layer holds.

    ``layer``: a descriptor of its directory, which stays the caller's.
    The rest is as for :class:`.untouched.UntouchedFinder`.
    """

    def __init__(self, between: Between, tally: Tally, *, view: bool, layer: int) -> None:
        super().__init__(between, tally, view=view)
        self._layer = os.dup(layer)
        self._items: list[Item] = []
        self._left = 0
        self._spare = _KNOWN

    def close(self) -> None:
        """Close the trees and the layer."""
        super().close()
        linux.close_all(self._layer)

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        if start == _NO_LAYER:
            items = super()._directory(parents, start)
            return [(below, name, _NO_LAYER, end) for below, name, _, end in items]
        self._seek(parents[:-1])
        self._items = []
        self._left = _MANY
        known = self.found.known
        for above in parents[:-1]:
            known = known[above][3] if above in known else {}
        name = parents[-1] if parents else b"."
        self._below(b"/".join(parents), name, self._lower.fd, self._upper.fd, known, _DEEP)
        return self._items

    def _below(
        self, path: bytes, name: bytes, lower: int, upper: int, known: dict[bytes, Known], deep: int
    ) -> None:
        """Look at a directory of the layer, and at those below it.

        ``path``: of it, empty for the root.  ``name``: its name in ``lower`` and ``upper``, directories that are open.
        ``known``: takes what is found out of the name.  ``deep``: how many more may be open.
        Each side is entered once: nearly all of these directories are only there for what is below them, and while
        they are open it costs least to see that they are alike.
        """
        if not self._left or not deep:
            self._items.append((path.split(b"/"), b"", 0, 0))
            return
        self._left -= 1
        found, asked, list_xattrs = self.found, self._asked, linux.list_xattrs
        lower_fd = upper_fd = -1
        try:
            try:
                lower_fd = linux.open_place(name, lower)
                upper_fd = linux.open_place(name, upper)
            except (FileNotFoundError, NotADirectoryError):
                # It is no directory on one side at least.
                os.fchdir(lower)
                there = asked(name)
                os.fchdir(upper)
                self._found(path.split(b"/")[:-1], [(name, there, asked(name))], known)
                return
            before, after = os.fstat(lower_fd), os.fstat(upper_fd)
            os.fchdir(self._layer)
            below: list[bytes] = []
            names: list[bytes] = []
            # One that hides what is below, or stands for another, has an inode number of its own, but in a view all have.
            if path and not self._view:
                is_merged = before.st_ino == after.st_ino
            else:
                is_merged = not any(xattr.endswith(_MARKS) for xattr in list_xattrs(path or b"."))
            if is_merged:
                # By the path: should a part of it be replaced by a symbolic link meanwhile, no more comes of it than
                # names to be looked at.
                with os.scandir(path or b".") as entries:
                    for entry in entries:
                        (below if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
            os.fchdir(lower_fd)
            xattrs = list_xattrs(b".") if path else []
            lowers = [*map(asked, names)] if names else []
            os.fchdir(upper_fd)
            xattrs += list_xattrs(b".") if path else []
            uppers = [*map(asked, names)] if names else []
            inside: dict[bytes, Known] = {}
            if path:
                bare = not xattrs or not any(map(self._wanted, xattrs))
                if self._spare:
                    self._spare -= 1
                    known[name] = before, after, bare, inside
                if not bare or not same_stat(before, after):
                    found.rows.append((path.split(b"/")[:-1], [name], [], []))
            else:
                inside = known
            if not is_merged:
                self._items.append((path.split(b"/") if path else [], b"", _NO_LAYER, 0))
                return
            found.directories += 1
            self._tally.entries += len(below) + len(names)
            self._tally.tick()
            if names:
                self._found(path.split(b"/") if path else [], zip(names, lowers, uppers), inside)
            prefix = path and path + b"/"
            for name in below:
                self._below(prefix + name, name, lower_fd, upper_fd, inside, deep - 1)
        except (OSError, DifferError):
            # Who looks at every name finds out what it is.
            *parents, last = path.split(b"/")
            found.rows.append((parents, [], [last], []))
        finally:
            linux.close_all(lower_fd, upper_fd)

    def _found(
        self, parents: list[bytes], names: Iterable[tuple[bytes, Asked, Asked]], known: dict[bytes, Known]
    ) -> None:
        """Note what was found out of names that are no directories, on one side at least.

        ``parents``: the directory that they are in.  ``known``: of names in it.
        """
        here = Here(parents)
        for name, (before, first), (after, second) in names:
            if self._spare:
                self._spare -= 1
                known[name] = before, after, first and second, {}
            self._touched(here, name, before, after)
        self._items += here.items
        self.found.rows.append((here.parents, here.names, here.whole, []))

    def _asked(self, name: bytes) -> Asked:
        """The facts of a name where the process stands, None if it is absent, and whether it has no attributes."""
        try:
            facts, xattrs = os.lstat(name), linux.list_xattrs(name)
        except FileNotFoundError:
            return None, True
        return facts, not xattrs or not any(map(self._wanted, xattrs))
