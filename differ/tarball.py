"""The tar of a layer: verified, decompressed, and read as a list of its members.

A tar may come from anybody.  The standard library takes it apart; what it lets pass and no layer has (records that
change what follows, a damaged header in the middle, numbers out of range) is refused here.  What is compressed is
unpacked into a file without a name, so that the members can be read in any order and as often as needed.
"""

from __future__ import annotations

import errno
import os
from stat import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_ISREG

from . import linux
from .compressed import GZIP, ZSTD, Stored, decompressor
from .content import changed, is_unchanged, new_sha256
from .model import DifferError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator
    from typing import Any

TAR = b"tar:"
_READ = 256 * 1024  # bytes
_HEADER = 1024 * 1024  # bytes that a header may have: names and attributes, twice what Linux can hold
_HEADERS = 8 * _HEADER  # of one member: the map of a sparse file is in blocks of its own
_IN_MEMORY = 1024 * 1024  # bytes of a file whose copy needs no disk
_WITHOUT_DISK = 16 * 1024 * 1024  # bytes that are held in memory where there is no directory for them
_BLOCK = 512  # bytes
_NS = 1_000_000_000
_IDS = 2**32 - 1
_SIZES = 2**63
_TIMES = (
    2**63 // _NS
)  # seconds, about 292 years from 1970 on either side, as times in nanoseconds fit into 64 bits
_SHOWN = 40  # characters of a record that a message repeats
_XATTR = "SCHILY.xattr."
_OTHERS = {b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"PK\3\4": "zip", b"\x04\x22\x4d\x18": "lz4"}
_TYPES = {
    b"0": S_IFREG,
    b"\0": S_IFREG,
    b"7": S_IFREG,
    b"S": S_IFREG,
    b"2": S_IFLNK,
    b"3": S_IFCHR,
    b"4": S_IFBLK,
    b"5": S_IFDIR,
    b"6": S_IFIFO,
}


class Member:
    """One member of a tar.

    ``name``: as the tar has it.  ``type``: its ``S_IFMT`` bits; 0 for a hard link.
    ``target``: where a link of either kind leads.  ``mtime_ns``: since 1970.
    ``parts``: of a regular file, where its bytes lie: (where in the file, where in the tar, how many).
    """

    __slots__ = (
        "gid",
        "mode",
        "mtime_ns",
        "name",
        "parts",
        "rdev",
        "size",
        "target",
        "type",
        "uid",
        "xattrs",
    )

    def __init__(self, name: bytes, type: int) -> None:
        self.name = name
        self.type = type
        self.mode = self.uid = self.gid = self.size = self.mtime_ns = self.rdev = 0
        self.target = b""
        self.xattrs: dict[str, bytes] = {}
        self.parts: list[tuple[int, int, int]] = []


class Tarball:
    """An open tar.

    ``path``: what to call it.  ``fd``: the file as it is stored; the tarball owns it.
    ``digest``, ``diff_id``: what the SHA-256 of the stored and of the unpacked bytes must be; None for anything.
    Raises :class:`DifferError` if they are something else, or if the file cannot be unpacked.
    """

    def __init__(self, path: bytes, fd: int, digest: str | None = None, diff_id: str | None = None) -> None:
        self.path = path
        self._fd = fd
        try:
            self._seen = os.fstat(fd)
            if not S_ISREG(self._seen.st_mode):
                raise DifferError("is no regular file; write the tar into one", path)
            magic = os.pread(fd, 6, 0)
            self._refuse_others(magic)
            stored = Stored(fd)
            if magic.startswith((GZIP, ZSTD)):
                self._fd = self._unpack(stored, magic, diff_id)
                self._seen = os.fstat(self._fd)
                linux.close_all(fd)
            elif digest is not None or diff_id is not None:
                stored.drain()
                _check(path, diff_id, stored.digest(), "the layer's")
            _check(path, digest, stored.digest(), "its name's")
        except OSError as error:
            self.close()
            raise DifferError(f"cannot be read: {os_reason(error)}", path) from error
        except BaseException:
            self.close()
            raise

    def _refuse_others(self, magic: bytes) -> None:
        for other, name in _OTHERS.items():
            if magic.startswith(other):
                raise DifferError(
                    f"is compressed with {name}; a layer is a tar, or one in gzip or zstd", self.path
                )

    def _unpack(self, stored: Stored, magic: bytes, diff_id: str | None) -> int:
        source, errors = decompressor(stored, magic, self.path)
        spool, room = _spool()
        try:
            unpacked = new_sha256()
            try:
                while data := source.read(_READ):
                    unpacked.update(data)
                    room = _put(spool, data, room)
                stored.drain()
            except errors as error:
                raise DifferError(f"is damaged: {error}", self.path) from error
            _check(self.path, diff_id, f"sha256:{unpacked.hexdigest()}", "the layer's")
        except BaseException:
            linux.close_all(spool)
            raise
        return spool

    def close(self) -> None:
        """Close the file."""
        linux.close_all(self._fd)
        self._fd = -1

    def read(self, size: int, offset: int) -> bytes:
        """Bytes of the tar, fewer at its end; raises ``OSError``."""
        return os.pread(self._fd, size, offset)

    def open(self, size: int, parts: list[tuple[int, int, int]], path: bytes) -> int:
        """A descriptor to read a member's content with: a copy that nobody else sees.

        ``size``, ``parts``: as a :class:`Member` has them.  ``path``: what to call it.  Raises :class:`DifferError`.
        """
        try:
            fd, room = (linux.memory_file(), size) if size <= _IN_MEMORY else _spool()
            try:
                os.ftruncate(fd, size)
                for at, start, count in parts:
                    os.lseek(fd, at, os.SEEK_SET)
                    room = self._copy(fd, start, count, room)
                os.lseek(fd, 0, os.SEEK_SET)
            except BaseException:
                linux.close_all(fd)
                raise
        except OSError as error:
            raise DifferError(f"cannot be unpacked: {os_reason(error)}", path) from error
        return fd

    def _copy(self, fd: int, start: int, count: int, room: int) -> int:
        while count:
            data = self.read(min(count, _READ), start)
            if not data or not is_unchanged(self._fd, self._seen):
                raise changed(self.path)
            room = _put(fd, data, room)
            start, count = start + len(data), count - len(data)
        return room

    def members(self) -> Iterator[Member]:
        """The members, in their order; raises :class:`DifferError`."""
        import tarfile

        source = _Blocks(self)
        try:
            file: Any = source
            with tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape") as tar:
                while (found := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]
                    if not tar.pax_headers.keys() <= {"comment"}:
                        raise DifferError(
                            "has a record for all that follows, which no layer has; refused", self.path
                        )
                    yield self._member(found, tar.offset)
                    source.left = _HEADERS
                end: int = tar.offset
            # A damaged header in the middle is the end to the library.
            if source.last.strip(b"\0") or self.read(_BLOCK, end).strip(b"\0"):
                raise DifferError("is damaged: there is something else where a header should be", self.path)
        except (tarfile.TarError, ValueError, LookupError, OverflowError, RecursionError) as error:
            raise DifferError(f"is damaged, or no tar: {error}", self.path) from error
        except OSError as error:
            raise DifferError(f"cannot be read: {os_reason(error)}", self.path) from error

    def _member(self, found: tarfile.TarInfo, end: int) -> Member:
        records = found.pax_headers
        # The library lets the record with the path go before, which GNU tar makes up for a file with holes.
        name = _bytes(records.get("GNU.sparse.name", found.name))
        if found.type not in (*_TYPES, b"1"):
            raise self.refused(name, f"is of the type {found.type!r}, which no layer has")
        member = Member(name, _TYPES.get(found.type, 0))
        member.mode = found.mode & 0o7777
        member.uid, member.gid, member.size = found.uid, found.gid, found.size
        for record in ("uid", "gid", "size"):
            if record in records and not (records[record].isascii() and records[record].isdecimal()):
                raise self.refused(name, f"has the {record} {records[record][:_SHOWN]!r}")
        if not (0 <= member.uid < _IDS and 0 <= member.gid < _IDS and 0 <= member.size < _SIZES):
            raise self.refused(name, "has an owner or a size that is out of range")
        member.mtime_ns = self._time(name, records.get("mtime"), found)
        member.target = _bytes(found.linkname)
        if member.type == S_IFLNK and not member.target:
            raise self.refused(name, "is a symbolic link to nothing")
        if b"\0" in name or b"\0" in member.target:
            raise self.refused(name, "has a NUL in its name or its target")
        if member.type in (S_IFCHR, S_IFBLK):
            if not (0 <= found.devmajor < 1 << 12 and 0 <= found.devminor < 1 << 20):
                raise self.refused(name, "is a device with a number that Linux has not")
            member.rdev = os.makedev(found.devmajor, found.devminor)
        for key, value in records.items():
            if key.startswith(_XATTR) and key != _XATTR:
                if "\0" in key:
                    raise self.refused(name, "has a NUL in the name of an attribute")
                # As os.listxattr has it.
                member.xattrs[os.fsdecode(_bytes(key.removeprefix(_XATTR)))] = _bytes(value)
        if member.type == S_IFREG:
            member.parts = self._parts(name, found, end)
        else:
            member.size = 0
        return member

    def _time(self, name: bytes, record: str | None, found: tarfile.TarInfo) -> int:
        # The library makes a float of it, which has no nanoseconds.
        seconds, _, fraction = (str(int(found.mtime)) if record is None else record).partition(".")
        digits = seconds.removeprefix("-")
        if not (
            digits.isascii()
            and digits.isdecimal()
            and (not fraction or (fraction.isascii() and fraction.isdecimal()))
        ):
            raise self.refused(name, f"has the time {(record or seconds)[:_SHOWN]!r}")
        if len(digits) > _SHOWN or int(digits) >= _TIMES:
            raise self.refused(name, "has a time that is out of range")
        ns = int(digits) * _NS + int(fraction[:9].ljust(9, "0") or "0")
        return -ns if seconds.startswith("-") else ns

    def _parts(self, name: bytes, found: tarfile.TarInfo, end: int) -> list[tuple[int, int, int]]:
        sparse = getattr(found, "sparse", None)
        if sparse is None:
            return [(0, found.offset_data, found.size)] if found.size else []
        if "size" in found.pax_headers:
            # The library takes it for the size with the holes, and loses its way.
            raise self.refused(name, "is a file with holes of 8 GiB and more besides them")
        parts = []
        before, start = 0, found.offset_data
        for at, count in sparse:
            if count == 0:
                continue  # the old format fills its table with such
            if at < before or count < 0 or at + count > found.size or start + count > end:
                raise self.refused(name, "has holes that do not fit into it")
            before = at + count
            parts.append((at, start, count))
            start += count
        return parts

    def refused(self, name: bytes, reason: str) -> DifferError:
        """The error for a member that no layer may have."""
        return DifferError(f"{reason}; refused", self.path + b": " + name)


class _Blocks:
    """The tar as the library reads it: a file whose headers are not endless.

    ``last``: the block that was read last.  ``left``: bytes that the headers of the next member may have.
    """

    def __init__(self, tarball: Tarball) -> None:
        self._tarball = tarball
        self._at = 0
        self.last = b""
        self.left = _HEADERS

    def read(self, size: int) -> bytes:
        self.left -= size
        if not 0 <= size <= _HEADER or self.left < 0:
            raise DifferError(f"has a header of more than {_HEADER} bytes; refused", self._tarball.path)
        data = self._tarball.read(size, self._at)
        self._at += len(data)
        if size > 1:  # the library looks with one byte whether there is a header still
            self.last = data
        return data

    def seek(self, offset: int) -> None:
        if offset < self._at - _BLOCK:
            raise DifferError("leads backwards; refused", self._tarball.path)
        self._at = offset

    def tell(self) -> int:
        return self._at


def _spool() -> tuple[int, int]:
    """A file for what is unpacked, and how many bytes it may hold."""
    try:
        return linux.nameless_file(_room()), _SIZES
    except OSError:
        # A container made from scratch has no such directory, and many a layer is small.
        return linux.memory_file(), _WITHOUT_DISK


def _put(fd: int, data: bytes, room: int) -> int:
    """Write bytes for which there must be ``room``; the room that is left."""
    view = memoryview(data)
    try:
        if len(view) > room:
            os.close(linux.nameless_file(_room()))  # for its reason
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise _no_room(error) from error
    return room - len(data)


def _room() -> bytes:
    return os.environb.get(b"TMPDIR") or b"/var/tmp"


def _no_room(error: OSError) -> DifferError:
    reason = f"cannot hold what is unpacked: {os_reason(error)}; set TMPDIR to a directory with room"
    return DifferError(reason, _room())


def _check(path: bytes, wanted: str | None, found: str, whose: str) -> None:
    if wanted is not None and found != wanted:
        raise DifferError(f"is not what it should be: its SHA-256 is not {whose}; fetch it again", path)


def _bytes(text: str) -> bytes:
    """What the library has read, as it was: names are UTF-8 to it, whatever the locale says."""
    return text.encode("utf-8", "surrogateescape")
