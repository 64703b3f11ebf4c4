"""Headers of a tar, byte for byte those of Go's archive/tar, which every builder of images writes with.

POSIX.1-1988 (ustar) where an entry fits into it, and POSIX.1-2001 (pax) with no more records than are needed
where it does not.  There is one way to write each entry, so a layer has one digest.
"""

from __future__ import annotations

from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG

BLOCK = 512  # bytes
END = bytes(2 * BLOCK)
LINK = b"1"
TYPES = {S_IFREG: b"0", S_IFLNK: b"2", S_IFCHR: b"3", S_IFBLK: b"4", S_IFDIR: b"5", S_IFIFO: b"6"}
"""The type flags of what ``S_IFMT`` tells apart."""

_NAME, _PREFIX = 100, 155  # bytes
_SHORT, _LONG = 8, 12  # bytes of a number: digits of octal and a NUL


class Header:
    """What a header says.

    ``name``: with a slash at the end for a directory.  ``type``: of :data:`TYPES`, or :data:`LINK`.
    ``mode``: the 12 bits.  ``size``: bytes that follow.  ``mtime``: whole seconds.
    ``target``: of a link.  ``device``: major and minor; None for the header of records, which has none.
    ``records``: more pax records, key to value.
    """

    __slots__ = ("device", "gid", "mode", "mtime", "name", "records", "size", "target", "type", "uid")

    def __init__(
        self,
        name: bytes,
        type: bytes,
        mode: int = 0,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime: int = 0,
        target: bytes = b"",
        device: tuple[int, int] | None = (0, 0),
        records: dict[bytes, bytes] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime = mtime
        self.target = target
        self.device = device
        self.records = records or {}


def packed(header: Header) -> bytes:
    """The blocks of a header."""
    records = dict(header.records)
    is_ustar = not records
    split = _split(header.name)
    if not _is_plain(header.name, _NAME):
        records[b"path"] = header.name
        is_ustar = is_ustar and split is not None
    if not _is_plain(header.target, _NAME):
        records[b"linkpath"] = header.target
        is_ustar = False
    for key, number, size in (
        (b"uid", header.uid, _SHORT),
        (b"gid", header.gid, _SHORT),
        (b"size", header.size, _LONG),
        (b"mtime", header.mtime, _LONG),
    ):
        if not _fits(number, size):
            records[key] = b"%d" % number
            is_ustar = False
    if is_ustar:
        prefix, name = split or (b"", header.name)
        return _block(header, name, prefix)
    data = b"".join(_record(key, value) for key, value in sorted(records.items()))
    above, _, base = header.name.rpartition(b"/")
    parts = [part for part in (above, b"PaxHeaders.0", base) if part]
    extra = Header(_ascii(b"/".join(parts))[:_NAME].rstrip(b"/"), b"x", size=len(data), device=None)
    return (
        _block(extra, extra.name, b"") + data + padding(len(data)) + _block(header, _ascii(header.name), b"")
    )


def padding(size: int) -> bytes:
    """What follows so many bytes up to the next block."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """A long name as prefix and name, if it can be split so."""
    if len(name) <= _NAME or not name.isascii():
        return None
    end = len(name) - 1 if name.endswith(b"/") else len(name)
    if len(name) > _PREFIX + 1:
        end = _PREFIX + 1
    at = name.rfind(b"/", 0, end)
    rest = len(name) - at - 1
    if at <= 0 or rest > _NAME or rest == 0:
        return None
    return name[:at], name[at + 1 :]


def _is_plain(text: bytes, size: int) -> bool:
    return len(text) <= size and text.isascii()


def _fits(number: int, size: int) -> bool:
    return 0 <= number < 1 << 3 * (size - 1)


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, whose length counts its own digits."""
    length = len(key) + len(value) + 3
    digits = len(str(length))
    if len(str(length + digits)) > digits:
        digits += 1
    return b"%d %s=%s\n" % (length + digits, key, value)


def _ascii(name: bytes) -> bytes:
    return name if name.isascii() else bytes(byte for byte in name if byte < 0x80)


def _text(text: bytes, size: int) -> bytes:
    """A field of text; what is too long is cut, and then does not look like a directory's name."""
    if len(text) > size and text[size - 1 : size] == b"/":
        text = text[: size - 1].rstrip(b"/")
    return text[:size].ljust(size, b"\0")


def _number(number: int, size: int) -> bytes:
    return b"%0*o\0" % (size - 1, number if _fits(number, size) else 0)


def _block(header: Header, name: bytes, prefix: bytes) -> bytes:
    before = b"".join(
        (
            _text(name, _NAME),
            _number(header.mode, _SHORT),
            _number(header.uid, _SHORT),
            _number(header.gid, _SHORT),
            _number(header.size, _LONG),
            _number(header.mtime, _LONG),
        )
    )
    after = b"".join(
        (
            header.type,
            _text(_ascii(header.target), _NAME),
            b"ustar\x0000",
            bytes(64),  # the names of owner and group
            bytes(2 * _SHORT)
            if header.device is None
            else b"".join(_number(part, _SHORT) for part in header.device),
            _text(prefix, _PREFIX),
            bytes(12),
        )
    )
    checksum = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % checksum + after
