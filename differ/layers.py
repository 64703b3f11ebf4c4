"""Candidates named by the additional layer itself, where its directory can be reached: on a host, as root.

What the layer holds only says where to look.  Whether a name differs is found out as always, through the two
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
_NO_LAYER = 1  # the beginning of an item below which the layer's own paths are no guide


class LayerFinder(UntouchedFinder):
    """Looks at the names that the additional layer holds.

    ``layer``: a descriptor of its directory, which stays the caller's.
    The rest is as for :class:`.untouched.UntouchedFinder`.
    """

    def __init__(self, between: Between, tally: Tally, *, view: bool, layer: int) -> None:
        super().__init__(between, tally, view=view)
        self._layer = Descent(os.dup(layer))

    def close(self) -> None:
        """Close the trees and the layer."""
        super().close()
        self._layer.close()

    def _directory(self, parents: list[bytes], start: int) -> list[Item]:
        is_there = start != _NO_LAYER and self._goes_to(parents)
        if start == _NO_LAYER or not self._is_merged(parents, is_there):
            items = super()._directory(parents, start)
            return [(below, name, _NO_LAYER, end) for below, name, _, end in items]
        here = Here(parents)
        names = [*linux.list_inodes(self._layer.fd)] if is_there else []
        # By their paths, as there are few names in each of these directories.  Should one be replaced by a symbolic
        # link meanwhile, no more comes of it than a name to be looked at.
        for name in names:
            path = b"/".join([*parents, name])
            self._touched(here, name, _facts(self._lower, path), _facts(self._upper, path))
        return self._seen(here, len(names))

    def _goes_to(self, parents: list[bytes]) -> bool:
        """Whether the layer has a directory; it stands there then."""
        try:
            seek(self._layer, self._layer.names, parents)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _is_merged(self, parents: list[bytes], is_there: bool) -> bool:
        """Whether a directory in UPPER is that of LOWER with what the layer has there, if it has one there."""
        if not self._view and parents:
            # One that hides what is below, or stands for another, has an inode number of its own.
            path = b"/".join(parents)
            lower, upper = _facts(self._lower, path), _facts(self._upper, path)
            return lower is not None and upper is not None and lower.st_ino == upper.st_ino
        return not (
            is_there and any(xattr.endswith(_MARKS) for xattr in linux.list_xattrs_fd(self._layer.fd))
        )


def _facts(tree: DiskTree, path: bytes) -> Stat | None:
    """The facts of a path below the root, None if there is no such thing; raises ``OSError``."""
    try:
        return os.stat(path, dir_fd=tree.root_fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
