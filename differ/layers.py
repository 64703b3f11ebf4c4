"""Candidates named by the additional layers themselves, where their directories can be reached: on a host, as root.

What a layer holds only says where to look.  Whether a name differs is found out as always, through the two
mounts: no whiteout is interpreted here and no time is trusted.
"""

from __future__ import annotations

import os

from . import linux
from .finder import Here
from .scan import Descent, seek
from .untouched import UntouchedFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Item
    from .finder import Between
    from .model import Stat, Tally
    from .scan import DiskTree

_MARKS = ("overlay.opaque", "overlay.redirect")
_NO_LAYERS = 1  # the beginning of an item below which the layers' own paths are no guide


class LayersFinder(UntouchedFinder):
    """Looks at the names that the additional layers hold.

    ``layers``: descriptors of their directories, which stay the caller's.
    The rest is as for :class:`.untouched.UntouchedFinder`.
    """

    def __init__(self, between: Between, tally: Tally, *, view: bool, layers: list[int]) -> None:
        super().__init__(between, tally, view=view)
        self._layers = [Descent(os.dup(layer)) for layer in layers]

    def close(self) -> None:
        """Close the trees and the layers."""
        super().close()
        for layer in self._layers:
            layer.close()

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        if start == _NO_LAYERS or not self._is_merged(parents):
            items = super()._directory(parents, start)
            return [(below, name, _NO_LAYERS, end) for below, name, _, end in items]
        here = Here(parents)
        names = set[bytes]()
        for layer in self._standing(parents):
            names.update(linux.list_inodes(layer.fd))
        # By their paths, as there are few names in each of these directories.  Should one be replaced by a symbolic
        # link meanwhile, no more comes of it than a name to be looked at.
        for name in names:
            path = b"/".join([*parents, name])
            self._touched(here, name, _facts(self._lower, path), _facts(self._upper, path))
        return self._seen(here, len(names))

    def _standing(self, parents: list[bytes]) -> list[Descent]:
        """The layers that have a directory, which stand there then."""
        standing = []
        for layer in self._layers:
            try:
                seek(layer, layer.names, parents)
            except (FileNotFoundError, NotADirectoryError):
                continue
            standing.append(layer)
        return standing

    def _is_merged(self, parents: list[bytes]) -> bool:
        """Whether a directory in UPPER is that of LOWER with what the layers have there."""
        if not self._view and parents:
            # One that hides what is below, or stands for another, has an inode number of its own.
            path = b"/".join(parents)
            lower, upper = _facts(self._lower, path), _facts(self._upper, path)
            return lower is not None and upper is not None and lower.st_ino == upper.st_ino
        for layer in self._standing(parents):
            if any(xattr.endswith(_MARKS) for xattr in linux.list_xattrs_fd(layer.fd)):
                return False
        return True


def _facts(tree: DiskTree, path: bytes) -> Stat | None:
    """The facts of a path below the root, None if there is no such thing; raises ``OSError``."""
    try:
        return os.stat(path, dir_fd=tree.root_fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
