"""LOWER and UPPER that are no directories: ``oci:DIR[:TAG]`` and ``tar:FILE[:FILE...]``."""

from __future__ import annotations

import os

from .content import unreadable
from .layered import LayeredTree, Layers
from .layout import Layout, Reference
from .linux import close_all
from .model import DifferError, os_reason
from .tarball import TAR, Tarball

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .layout import Image

    Key = str | tuple[int, int]

_MOST_LAYERS = 2**32  # of a run, more than there can be
_FIRST_DEVICE = -2  # layered.py has the number above for itself


class Archives:
    """The images and tars of a run, each layer opened once.

    ``wanted``: which extended attributes count.
    """

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._tarballs: dict[Key, tuple[Tarball, int]] = {}
        self._layouts: list[Layout] = []

    def tree(self, word: bytes, raw: bool = False) -> LayeredTree:
        """The tree that a word names; raises :class:`DifferError` if it names none.

        ``raw``: one tar, whose whiteouts are entries like others.
        """
        if word.startswith(TAR):
            files = word.removeprefix(TAR).split(b":")
            if not all(files):
                raise DifferError("expected tar:FILE[:FILE...]", word)
            if raw and len(files) > 1:
                raise DifferError("names several tars; apply one after the other", word)
            return self._layered(word, [self._file(path) for path in files], raw)
        return self.rootfs(self.image(Reference(word)), word)

    def image(self, reference: Reference) -> Image:
        """The image that is referred to; raises :class:`DifferError`."""
        layout = Layout(reference.directory)
        self._layouts.append(layout)
        return layout.image(reference.tag)

    def rootfs(self, image: Image, word: bytes) -> LayeredTree:
        """The tree that an image has; raises :class:`DifferError`.

        ``word``: what to call it.
        """
        found = []
        for descriptor, diff_id in image.layers:
            if diff_id not in self._tarballs:
                fd = image.layout.open_blob(descriptor)
                path = image.layout.blob_path(descriptor["digest"])
                self._keep(diff_id, Tarball(path, fd, descriptor["digest"], diff_id))
            found.append(self._tarballs[diff_id])
        return self._layered(word, found, raw=False)

    def _file(self, path: bytes) -> tuple[Tarball, int]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise DifferError(f"cannot be opened: {os_reason(error)}", path) from error
        try:
            facts = os.fstat(fd)
        except OSError as error:
            close_all(fd)
            raise unreadable(error, path) from error
        key = facts.st_dev, facts.st_ino
        if key in self._tarballs:
            close_all(fd)
        else:
            self._keep(key, Tarball(path, fd))
        return self._tarballs[key]

    def _keep(self, key: Key, tarball: Tarball) -> None:
        self._tarballs[key] = tarball, _FIRST_DEVICE - len(self._tarballs)

    def _layered(self, word: bytes, found: list[tuple[Tarball, int]], raw: bool) -> LayeredTree:
        layers = Layers(self._wanted, raw)
        # A layer that comes twice has new inodes each time.
        times: dict[int, int] = {}
        for tarball, device in found:
            times[device] = times.get(device, 0) + 1
            layers.apply(tarball, device - _MOST_LAYERS * (times[device] - 1))
        return LayeredTree(word, layers.finish())

    def close(self) -> None:
        """Close all files."""
        for tarball, _ in self._tarballs.values():
            tarball.close()
        for layout in self._layouts:
            layout.close()
