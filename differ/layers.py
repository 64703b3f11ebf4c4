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
    from .model import Tally

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
            names.update(linux.list_names(layer.fd))
        for name in names:
            self._touched(here, name, self._lower.find(name), self._upper.find(name))
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
        self._seek(parents)
        if not self._view and parents:
            # One that hides what is below, or stands for another, has an inode number of its own.
            return os.fstat(self._lower.fd).st_ino == os.fstat(self._upper.fd).st_ino
        for layer in self._standing(parents):
            if any(xattr.endswith(_MARKS) for xattr in linux.list_xattrs_fd(layer.fd)):
                return False
        return True
