"""Compressed bytes, read and hashed on the way."""

from __future__ import annotations

import os

from .content import new_sha256
from .model import DifferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""How they begin."""
_READ = 256 * 1024  # bytes


class Stored:
    """The bytes of a file, from its beginning, hashed on the way."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._hash = new_sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as many as are asked for or fewer; none at the end."""
        data = os.pread(self._fd, _READ if size < 0 else min(size, _READ), self._at)
        self._at += len(data)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read():
            pass

    def is_cut_off(self) -> bool:
        """Whether the last frame of zstd has no end, which zstandard does not notice (RFC 8878, 3.1)."""
        at, end = 0, os.fstat(self._fd).st_size
        while at < end:
            head = os.pread(self._fd, 8, at).ljust(8, b"\0")
            if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # a frame to be skipped
                at += 8 + int.from_bytes(head[4:], "little")
                continue
            if not head.startswith(ZSTD):
                break  # which the library refuses
            flags = head[4]
            single = flags >> 5 & 1
            at += 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
            is_last = False
            while not is_last and at < end:
                block = int.from_bytes(os.pread(self._fd, 3, at).ljust(3, b"\0"), "little")
                is_last = bool(block & 1)
                # A block of one byte again and again is stored as that byte.
                at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
            if not is_last:
                at = end + 1
            at += 4 * (flags >> 2 & 1)
        return at > end

    def digest(self) -> str:
        """The digest of what was read."""
        return f"sha256:{self._hash.hexdigest()}"


def decompressor(stored: Stored, magic: bytes, path: bytes) -> tuple[Any, tuple[type[Exception], ...]]:
    """What reads the unpacked bytes, and what it raises for bytes that it cannot unpack.

    ``magic``: the first bytes.  ``path``: what to call it.
    Raises :class:`DifferError` for a compression that this Python has not, and what is given back as the second.
    """
    raw: Any = stored
    if magic.startswith(GZIP):
        from gzip import BadGzipFile, GzipFile
        from zlib import error

        return GzipFile(fileobj=raw, mode="rb"), (BadGzipFile, EOFError, error)
    try:
        from compression.zstd import ZstdError, ZstdFile  # Python 3.14 and newer

        return ZstdFile(raw), (ZstdError, EOFError)
    except ImportError:
        pass
    try:
        from zstandard import ZstdDecompressor, ZstdError
    except ImportError:
        raise DifferError(
            "is compressed with zstd, which this Python has not; pip install zstandard, or make it gzip", path
        ) from None
    if stored.is_cut_off():
        raise DifferError("is damaged: it ends too early", path)
    return ZstdDecompressor().stream_reader(raw, read_across_frames=True), (ZstdError,)
