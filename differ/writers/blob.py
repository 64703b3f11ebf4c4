"""The bytes of a layer: compressed, hashed on both sides, and described (image-spec descriptor.md)."""

from __future__ import annotations

from ..content import new_sha256
from ..model import DifferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Compressor(Protocol):
        """What zlib and zstd have in common."""

        def compress(self, data: bytes, /) -> bytes: ...

        def flush(self) -> bytes: ...


MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"
_DEFAULT_LEVELS = {"gzip": 6, "zstd": 3}
_GZIP = 31  # what zlib calls a window of 32 KiB in a gzip file, in whose header there is no time


class Blob:
    """Takes the bytes of a tar and gives what is stored.

    ``write``: takes that.
    ``compression``: ``none``, ``gzip`` or ``zstd``.  ``level``: how much; 0 for what is usual.
    Raises :class:`DifferError` if this Python cannot compress so.
    """

    def __init__(self, write: Callable[[bytes], object], compression: str, level: int = 0) -> None:
        self._write = write
        self._compression = compression
        self._compressor = _compressor(compression, level or _DEFAULT_LEVELS.get(compression, 0))
        self._tar, self._stored = new_sha256(), new_sha256()
        self.size = 0

    def put(self, data: bytes) -> None:
        """Take some bytes; what ``write`` raises passes through."""
        self._tar.update(data)
        self._store(data if self._compressor is None else self._compressor.compress(data))

    def finish(self) -> None:
        """Give what is left; nothing may come after."""
        if self._compressor is not None:
            self._store(self._compressor.flush())

    def _store(self, data: bytes) -> None:
        if data:
            self._stored.update(data)
            self.size += len(data)
            self._write(data)

    @property
    def diff_id(self) -> str:
        """The digest of the tar (image-spec config.md, "Layer DiffID")."""
        return f"sha256:{self._tar.hexdigest()}"

    def descriptor(self) -> dict[str, str | int]:
        """The descriptor of what is stored."""
        suffix = "" if self._compression == "none" else f"+{self._compression}"
        digest = f"sha256:{self._stored.hexdigest()}"
        return {"mediaType": MEDIA_TYPE + suffix, "digest": digest, "size": self.size}


def _compressor(compression: str, level: int) -> Compressor | None:
    if compression == "gzip":
        import zlib

        return zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    if compression == "zstd":
        return _zstd(level)
    return None


def _zstd(level: int) -> Compressor:
    compressor: Compressor
    try:
        from compression.zstd import ZstdCompressor  # Python 3.14 and newer

        compressor = ZstdCompressor(level)
    except ImportError:
        try:
            from zstandard import ZstdCompressor

            compressor = ZstdCompressor(level).compressobj()
        except ImportError:
            raise DifferError(
                "--compression zstd: this Python has none; pip install zstandard, or take gzip"
            ) from None
    return compressor
