"""The bytes of regular files: compared, copied, hashed.

Bytes are compared and never hashes: it cannot collide and costs a seventh (speed-facts.md 3D).
"""

from __future__ import annotations

import errno
import os
from stat import S_IFMT

from .linux import close_all, next_data, next_hole
from .model import DifferError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib

    from .model import Stat, Tally, Tree

_BLOCK = 256 * 1024  # bytes read at a time
LAST = 2**63 - 1
"""The largest size of a file; the kernel reads nothing that might end behind it (pread(2), EINVAL)."""
_COPY_BLOCK = 8 * 1024 * 1024  # bytes copied by one call, so that a signal or a tick waits for little


# What is not read is compared too, so a small file wants a small buffer.
_SMALL = (4 * 1024, 32 * 1024)


def _buffer(size: int) -> bytearray:
    # A large allocation starts 16 bytes into a page, where copying from the page cache runs at a
    # quarter of its speed on common processors; 48 bytes further on it does not.
    buffer = bytearray(size + 48)
    del buffer[:48]
    return buffer


class Comparer:
    """Compares files, with a few pairs of buffers for all of them.

    ``tally``: counts the bytes compared.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._pairs: list[tuple[int, bytearray, bytearray]] = []  # none until there is something to compare

    def same(
        self,
        lower: Tree,
        upper: Tree,
        name: bytes,
        lower_stat: Stat,
        upper_stat: Stat,
        part: tuple[int, int] | None = None,
    ) -> bool:
        """Whether the regular file ``name``, of one size on both sides, holds the same bytes there.

        ``part``: from which byte to which; None for all.
        Raises :class:`DifferError` when a file cannot be read or changes meanwhile.
        """
        if not upper_stat.st_size:
            # On some file systems that is no promise: to open it is to see.  In an archive it is one.
            for tree, facts in ((lower, lower_stat), (upper, upper_stat)):
                if facts.st_dev >= 0:
                    close_all(tree.open(name, facts))
            return True
        left = lower.open(name, lower_stat)
        try:
            right = upper.open(name, upper_stat)
            try:
                sparse = is_sparse(lower_stat) or is_sparse(upper_stat)
                start, end = part or (0, upper_stat.st_size)
                same = self.equal(left, right, start, end, sparse)
                if not is_unchanged(left, lower_stat):
                    raise changed(lower.path(name))
                if same is None or not is_unchanged(right, upper_stat):
                    raise changed(upper.path(name))
            except OSError as error:
                # Which of the two could not be read is not known; either name leads to the place.
                raise DifferError(f"cannot be compared: {os_reason(error)}", upper.path(name)) from error
            finally:
                close_all(right)
        finally:
            close_all(left)
        return same

    def equal(self, left: int, right: int, start: int, end: int, sparse: bool) -> bool | None:
        """Whether two open files hold the same bytes from ``start`` to ``end``; None if one ends before.

        ``sparse``: whether one may have holes.  Raises ``OSError``.
        """
        self._pairs = self._pairs or [(size, _buffer(size), _buffer(size)) for size in (*_SMALL, _BLOCK)]
        offset = start
        while offset < end:
            if sparse:
                offset = min(next_data(left, offset, end), next_data(right, offset, end))
                if offset >= end:
                    break
            wanted = end - offset
            for pair in self._pairs:
                if wanted <= pair[0]:
                    break
            size, a, b = pair
            wanted = min(wanted, size)
            filled = False
            try:
                filled = (
                    _fill(left, a, offset, wanted) >= wanted and _fill(right, b, offset, wanted) >= wanted
                )
            finally:
                if not filled:
                    self._pairs = []  # which hold bytes that nobody has compared
            if not filled:
                return None
            self._tally.compared += wanted
            # Past the last byte read both buffers hold what they held before, which was equal: no
            # slice is needed to compare a short block, and the copy after a mismatch keeps it so.
            if a != b:
                a[:] = b
                return False
            offset += wanted
            self._tally.tick()
        return True


def _fill(fd: int, buffer: bytearray, offset: int, wanted: int) -> int:
    """Read at least ``wanted`` bytes at ``offset`` into ``buffer``; fewer only at the file's end."""
    # To ask for what the buffer holds, and not for what is wanted, saves making a view of it.
    if offset > LAST - len(buffer):
        with memoryview(buffer) as view:
            count = os.preadv(fd, [view[:wanted]], offset)
    else:
        count = os.preadv(fd, [buffer], offset)
    while 0 < count < wanted:
        with memoryview(buffer) as view:
            more = os.preadv(fd, [view[count:wanted]], offset + count)
        if more == 0:
            break
        count += more
    return count


def is_sparse(facts: Stat) -> bool:
    """Whether a file has fewer blocks (of 512 bytes) than its size needs, and so may have holes."""
    blocks: int = getattr(facts, "st_blocks", 0)
    return blocks * 512 < facts.st_size


def unreadable(error: OSError, path: bytes) -> DifferError:
    """The error for what the kernel does not let us read."""
    return DifferError(f"cannot be read: {os_reason(error)}", path)


def changed(path: bytes) -> DifferError:
    """The error for a file that is no longer what it was when it was looked at."""
    return DifferError("changed while it was read; run again when nothing writes to the tree", path)


def is_unchanged(fd: int, seen: Stat) -> bool:
    """Whether an open file is still the one that was ``seen``."""
    if seen.st_dev < 0:
        return True  # it was made from an archive, for us alone
    now = os.fstat(fd)
    return (
        now.st_ino == seen.st_ino
        and now.st_dev == seen.st_dev
        and now.st_size == seen.st_size
        and now.st_mtime_ns == seen.st_mtime_ns
        and S_IFMT(now.st_mode) == S_IFMT(seen.st_mode)
    )


def check_unchanged(fd: int, seen: Stat, path: bytes) -> None:
    """Raise :class:`DifferError` if an open file is no longer the one that was ``seen``; ``path``: what to call it."""
    try:
        if is_unchanged(fd, seen):
            return
    except OSError as error:
        raise unreadable(error, path) from error
    raise changed(path)


class Copier:
    """Copies files by the cheapest call that works, holes left as holes.

    ``tally``: counts the bytes written.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._methods = [_copy_file_range, _sendfile, _read_write]

    def copy(self, source: int, target: int, facts: Stat, path: bytes) -> None:
        """Copy the open file ``source``, which has ``facts``, into the empty file ``target``.

        ``path``: what to call the source.  Raises :class:`DifferError` when the source changes meanwhile or is
        seen not to be readable, ``OSError`` when the target cannot be written, or nobody knows which of the two.
        """
        size = facts.st_size
        sparse = is_sparse(facts)
        offset = 0
        while offset < size:
            end = size
            if sparse:
                try:
                    offset = next_data(source, offset, size)
                    if offset >= size:
                        break
                    end = next_hole(source, offset, size)
                except OSError as error:
                    raise unreadable(error, path) from error
            while offset < end:
                count = self._some(source, target, offset, min(end - offset, _COPY_BLOCK), path)
                if count == 0:
                    raise changed(path)
                offset += count
                self._tally.written += count
                self._tally.tick()
        if sparse:
            os.ftruncate(target, size)
        check_unchanged(source, facts, path)

    def _some(self, source: int, target: int, offset: int, count: int, path: bytes) -> int:
        while True:
            method = self._methods[0]
            try:
                done = method(source, target, offset, count, path)
            except OSError as error:
                if len(self._methods) == 1 or error.errno not in _METHOD_DOES_NOT_WORK:
                    raise
            else:
                if done or len(self._methods) == 1:
                    return done
                # Some file systems answer 0 instead of an error; only read(2) is to be believed.
            del self._methods[0]


_METHOD_DOES_NOT_WORK = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EBADF}
)
"""copy_file_range(2) across file systems or on overlayfs, sendfile(2) into some of them, and either
under a seccomp filter that does not know it."""


def _copy_file_range(source: int, target: int, offset: int, count: int, path: bytes) -> int:
    return os.copy_file_range(source, target, count, offset, offset)


def _sendfile(source: int, target: int, offset: int, count: int, path: bytes) -> int:
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, count)


def _read_write(source: int, target: int, offset: int, count: int, path: bytes) -> int:
    try:
        data = os.pread(source, min(count, _BLOCK), offset)
    except OSError as error:
        raise unreadable(error, path) from error
    view = memoryview(data)
    done = 0
    while done < len(data):
        done += os.pwrite(target, view[done:], offset + done)
    return done


def sha256(fd: int, size: int) -> str:
    """The SHA-256 of the first ``size`` bytes of an open file, in hexadecimal.

    Raises :class:`DifferError` if this Python has none.
    """
    digest = new_sha256()
    offset = 0
    while offset < size:
        data = os.pread(fd, min(_BLOCK, size - offset), offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return str(digest.hexdigest())


def new_sha256() -> hashlib._Hash:
    """A SHA-256 to be fed; raises :class:`DifferError` if this Python has none."""
    # hashlib takes 5 ms to import, and the program in the image has no OpenSSL under it; these are
    # the modules that it would choose from.
    try:
        from _hashlib import openssl_sha256

        return openssl_sha256()
    except ImportError:
        pass
    try:
        from _sha256 import sha256 as builtin  # Python 3.11
    except ImportError:
        try:
            from _sha2 import sha256 as builtin  # Python 3.12 and newer
        except ImportError:
            raise DifferError("this build of Python has no SHA-256") from None
    hash_: hashlib._Hash = builtin()
    return hash_
