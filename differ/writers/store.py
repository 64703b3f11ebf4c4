"""An OCI layout that images are added to (image-spec image-layout.md).

Everything is written into a directory of its own first.  Then the blobs get their names, and ``index.json`` is
replaced last and at once: whoever reads the layout meanwhile sees the old image or the new one.
"""

from __future__ import annotations

import os

from .. import linux
from ..compressed import Stored
from ..content import unreadable
from ..layout import BLOBS, INDEX, INDEX_TYPE, REF_NAME, VERSION_FILE, Layout, digest_of, ref_name
from ..model import DifferError, os_reason
from .directory import remove_below
from .output import check_outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout import Image, Json

_BUFFER = 256 * 1024  # bytes
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Store:
    """A layout that images are added to.

    ``path``: its directory: a layout, an empty directory, or nothing yet.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._above, self._name = os.path.split(path.rstrip(b"/") or b"/")
        self._fd = self._parent = self._stage = -1
        self._staged: bytes | None = None
        self._beside = -1  # the directory that the staged one is in
        # What has its place already, as (how deep, name); it goes again if the index does not come to know of it.
        self._made: list[tuple[int, bytes]] = []

    def open(self, inputs: list[tuple[int, bytes]]) -> list[int]:
        """Make it ready; the directories that are written into.

        ``inputs``: descriptors of the directories that it must be outside of, and what to call them.
        Raises :class:`DifferError` if it cannot be used.
        """
        try:
            try:
                self._fd = linux.open_root(self.path)
                check_outside(self._fd, self.path, inputs)
                self._check()
            except FileNotFoundError:
                if self._name in (b"", b".", b".."):
                    raise
                self._parent = linux.open_root(self._above or b".")
                check_outside(self._parent, self.path, inputs)
            self._beside = max(self._fd, self._parent)
            self._staged = linux.staged_name()
            try:
                os.mkdir(self._staged, 0o777, dir_fd=self._beside)
            except OSError:
                self._staged = None
                raise
            self._stage = linux.open_directory(self._staged, self._beside)
        except OSError as error:
            raise self._failed(error) from error
        return [self._stage]

    def _check(self) -> None:
        """Raise :class:`DifferError` if the directory is neither empty nor a layout."""
        fd = linux.open_directory(b".", self._fd)
        try:
            # Another differ may be making it a layout; the lock goes with the descriptor.
            linux.lock(fd)
            if any(not name.startswith(linux.STAGED) for name in linux.list_names(fd)):
                Layout(self.path, os.dup(fd)).close()
        finally:
            linux.close_all(fd)

    def _failed(self, error: OSError) -> DifferError:
        return DifferError(f"cannot be written: {os_reason(error)}", self.path)

    def new(self, name: str) -> StagedBlob:
        """A blob to be written, called ``name`` until its digest is known; raises :class:`DifferError`."""
        try:
            return StagedBlob(self.path, self._stage, name.encode())
        except OSError as error:
            raise self._failed(error) from error

    def document(self, kind: str, document: Json) -> Json:
        """Store a JSON document of the media type ``kind``; its descriptor.  Raises :class:`DifferError`."""
        import json

        content = json.dumps(document, separators=(",", ":")).encode()
        with self.new("document") as blob:
            blob.put(content)
            blob.finish(digest_of(content))
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    def take(self, image: Image, descriptor: Json) -> None:
        """Store a blob of an image, if it is not there; raises :class:`DifferError`."""
        source = image.layout.open_blob(descriptor)
        path = image.layout.blob_path(descriptor["digest"])
        try:
            if self._fd >= 0 and self._is_of(image):
                return
            stored = Stored(source)
            with self.new("copy") as blob:
                while data := _next(stored, path):
                    blob.put(data)
                if stored.digest() != descriptor["digest"]:
                    raise DifferError(
                        "is not what its name says: its SHA-256 is another; fetch it again", path
                    )
                blob.finish(descriptor["digest"])
        finally:
            linux.close_all(source)

    def _is_of(self, image: Image) -> bool:
        """Whether the image is in this directory already."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.fstat(image.layout.fd))
        except OSError as error:
            raise unreadable(error, image.layout.path) from error

    def publish(self, tag: str, descriptor: Json) -> None:
        """Let ``tag`` be the image with this descriptor; raises :class:`DifferError`."""
        import json

        try:
            # Another differ may add an image at the same time, or make the layout.
            if self._fd < 0:
                linux.lock(self._parent)
                self._fd = self._made_meanwhile()
            root = self._stage if self._fd < 0 else self._fd
            linux.lock(root)
            blobs = linux.list_names(self._stage)
            index = self._index()
            others = [one for one in index["manifests"] if ref_name(one) != tag]
            index["manifests"] = [*others, {**descriptor, "annotations": {REF_NAME: tag}}]
            # All that needs room on the disk comes before all that is seen.
            documents = {VERSION_FILE: _LAYOUT} if self._is_new() else {}
            documents[INDEX] = json.dumps(index, separators=(",", ":")).encode()
            for name, content in documents.items():
                with StagedBlob(self.path, self._stage, name) as file:
                    file.put(content)
                    file.close()
            self._move(blobs, root)
            for name in documents:
                if name != INDEX:
                    self._made.append((0, name))
                os.rename(name, name, src_dir_fd=self._stage, dst_dir_fd=root)
            if self._fd < 0:
                os.rename(self._staged or b"", self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
                self._staged = None
            self._made.clear()
            if self._staged is not None:
                try:
                    os.rmdir(self._staged, dir_fd=self._beside)
                    self._staged = None
                except OSError:
                    pass  # the image is there; discard() tries once more, and tells
        except OSError as error:
            raise self._failed(error) from error

    def _made_meanwhile(self) -> int:
        """The layout's directory; -1 if it is not there yet."""
        try:
            return linux.open_directory(self._name, self._parent)
        except FileNotFoundError:
            return -1

    def _is_new(self) -> bool:
        """Whether there is no layout yet."""
        return self._fd < 0 or VERSION_FILE not in linux.list_names(self._fd)

    def _index(self) -> Json:
        """What ``index.json`` says now."""
        if self._is_new():
            return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
        layout = Layout(self.path, os.dup(self._fd))
        try:
            return {**layout.index(), "manifests": layout.entries()}
        finally:
            layout.close()

    def _move(self, blobs: list[bytes], root: int) -> None:
        """Give the blobs their place."""
        fds = [root]
        try:
            for depth, name in enumerate(BLOBS):
                try:
                    os.mkdir(name, 0o777, dir_fd=fds[-1])
                    self._made.append((depth, name))
                except FileExistsError:
                    pass
                fds.append(linux.open_directory(name, fds[-1]))
            there = set(linux.list_names(fds[-1]))
            for name in blobs:
                if name not in there:
                    self._made.append((len(BLOBS), name))
                os.rename(name, name, src_dir_fd=self._stage, dst_dir_fd=fds[-1])
        finally:
            linux.close_all(*fds[1:])

    def _take_back(self) -> None:
        """Remove what was given its place in a layout whose index does not know of it."""
        fds = [self._fd]
        try:
            for depth, name in reversed(self._made):
                while len(fds) <= depth:
                    fds.append(linux.open_directory(BLOBS[len(fds) - 1], fds[-1]))
                try:
                    if BLOBS[depth : depth + 1] == (name,):
                        os.rmdir(name, dir_fd=fds[depth])
                    else:
                        os.unlink(name, dir_fd=fds[depth])
                except FileNotFoundError:
                    pass  # it was about to be moved
        finally:
            linux.close_all(*fds[1:])

    def discard(self) -> None:
        """Remove what was not published, and close everything; raises :class:`DifferError`."""
        try:
            if self._staged is not None:
                if self._fd >= 0:
                    self._take_back()
                if self._stage >= 0:
                    remove_below(self._stage)
                os.rmdir(self._staged, dir_fd=self._beside)
        except OSError as error:
            reason = f"holds an unfinished image that cannot be removed: {os_reason(error)}"
            above = self.path if self._fd >= 0 else self._above
            raise DifferError(reason, os.path.join(above, self._staged or b"")) from error
        finally:
            linux.close_all(self._fd, self._stage, self._parent)
            self._fd = self._stage = self._parent = self._beside = -1


def _next(stored: Stored, path: bytes) -> bytes:
    try:
        return stored.read()
    except OSError as error:
        raise unreadable(error, path) from error


class StagedBlob:
    """A file that is being written.

    ``shown``: what to call it.  ``directory``, ``name``: where it is until :meth:`finish`.  Raises ``OSError``.
    """

    def __init__(self, shown: bytes, directory: int, name: bytes) -> None:
        self._shown = shown
        self._directory = directory
        self._name = name
        self._file = os.fdopen(linux.create_file(name, directory, 0o666), "wb", _BUFFER)

    def __enter__(self) -> StagedBlob:  # noqa: PYI034 - typing is not imported
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._file.close()
        except OSError:
            pass  # what it could not write is not wanted any more

    def put(self, data: bytes) -> None:
        """Add bytes; raises :class:`DifferError`."""
        try:
            self._file.write(data)
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self._shown) from error

    def close(self) -> None:
        """Write what is left; raises :class:`DifferError`."""
        try:
            self._file.close()
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self._shown) from error

    def finish(self, digest: str) -> None:
        """Write what is left and give it the name of its digest; raises :class:`DifferError`."""
        self.close()
        try:
            os.rename(
                self._name,
                digest.partition(":")[2].encode(),
                src_dir_fd=self._directory,
                dst_dir_fd=self._directory,
            )
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self._shown) from error
