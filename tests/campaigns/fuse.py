"""A file system whose files lie about themselves: the protocol of /dev/fuse, as far as reading needs it.

linux/fuse.h names the operations and the fields.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_FLAGS = 2 | 4  # MS_NOSUID, MS_NODEV
_DETACH = 2  # MNT_DETACH
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _DESTROY, _FORGET_MANY = (
    25,
    26,
    27,
    28,
    29,
    36,
    38,
    42,
)
_DIRECT = 1  # FOPEN_DIRECT_IO: what is read does not end where the size says
_ENDLESS = 1 << 62


class File:
    """A file.

    ``says``: its size, each time that it is asked for; by default what it holds.
    ``data``: its bytes at an offset, as many as are wanted.
    ``fails``: what reading it answers; 0 for the bytes.
    """

    def __init__(
        self,
        data: Callable[[int, int], bytes] | bytes,
        says: int | Iterator[int] | None = None,
        fails: int = 0,
    ) -> None:
        self.fails = fails
        if isinstance(data, bytes):
            held = data
            self.data: Callable[[int, int], bytes] = lambda offset, size: held[offset : offset + size]
            says = len(held) if says is None else says
        else:
            self.data = data
        self.says = says or 0

    def size(self) -> int:
        """What it says now."""
        return self.says if isinstance(self.says, int) else next(self.says)


Tree = dict[str, "Tree | File | list[str]"]
"""Directories by their names; a list of names is a directory that names its entries so, whatever they are."""


class _Server:
    def __init__(self, fd: int, tree: Tree) -> None:
        self._fd = fd
        self._nodes: list[Tree | File | list[str]] = [[], tree]
        self._ids: dict[tuple[int, str], int] = {}

    def serve(self) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                asked = os.read(self._fd, 1 << 20)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return
            _, code, unique, node = struct.unpack_from("<IIQQ", asked)
            if code in (_FORGET, _FORGET_MANY, _INTERRUPT):
                continue
            try:
                answer = self._answer(code, node, asked[40:])
                failed = 0
            except OSError as error:
                answer, failed = b"", -(error.errno or errno.EIO)
            try:
                os.write(self._fd, struct.pack("<IiQ", 16 + len(answer), failed, unique) + answer)
            except OSError:
                pass  # nobody waits for it any more

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        if code == _INIT:
            return struct.pack("<IIIIHHIIHHII24x", 7, 31, 1 << 16, 0, 16, 12, 1 << 16, 1, 16, 0, 0, 0)
        if code == _LOOKUP:
            return self._entry(node, body.rstrip(b"\0").decode())
        if code == _GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if code in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, _DIRECT if code == _OPEN else 0, 0)
        if code in (_READ, _READDIR):
            offset, size = struct.unpack_from("<QI", body, 8)
            return self._read(node, offset, size)
        if code == _STATFS:
            return struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        if code in (_RELEASE, _RELEASEDIR, _FLUSH, _DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def _entry(self, above: int, name: str) -> bytes:
        directory = self._nodes[above]
        if isinstance(directory, list):
            directory = {one: File(b"data") for one in directory}
        if not isinstance(directory, dict) or name not in directory:
            raise OSError(errno.ENOENT, "")
        if (above, name) not in self._ids:
            self._ids[above, name] = len(self._nodes)
            self._nodes.append(directory[name])
        node = self._ids[above, name]
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        found = self._nodes[node]
        is_file = isinstance(found, File)
        size = found.size() if isinstance(found, File) else 0
        mode = stat.S_IFREG | 0o644 if is_file else stat.S_IFDIR | 0o755
        blocks = -(-size // 512)
        return struct.pack(
            "<QQQQQQIIIIIIIIII",
            node,
            size,
            blocks,
            1,
            1,
            1,
            0,
            0,
            0,
            mode,
            1 if is_file else 2,
            0,
            0,
            0,
            4096,
            0,
        )

    def _read(self, node: int, offset: int, size: int) -> bytes:
        found = self._nodes[node]
        if isinstance(found, File):
            if found.fails:
                raise OSError(found.fails, "")
            return found.data(offset, size)
        names = [*found][offset:]
        out = b""
        for index, name in enumerate(names, offset + 1):
            raw = name.encode()
            entry = struct.pack("<QQII", index + 1000, index, len(raw), 0) + raw
            entry += bytes(-len(entry) % 8)
            if len(out) + len(entry) > size:
                break
            out += entry
        return out


@contextlib.contextmanager
def fuse(where: Path, tree: Tree) -> Iterator[Path]:
    """The file system mounted at ``where``, an existing directory; as root.  Raises ``OSError`` where there is none."""
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
    if _libc.mount(b"differ-test", os.fsencode(where), b"fuse", _FLAGS, options.encode()):
        os.close(fd)
        raise OSError(ctypes.get_errno(), "fuse cannot be mounted")
    pid = os.fork()
    if pid == 0:
        try:
            _Server(fd, tree).serve()
        finally:
            os._exit(0)
    os.close(fd)
    try:
        yield where
    finally:
        _libc.umount2(os.fsencode(where), _DETACH)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def endless(offset: int, size: int) -> bytes:
    """The data of a file that does not end."""
    return (b"endless\n" * (size // 8 + 1))[:size] if offset < _ENDLESS else b""
