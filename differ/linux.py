"""Every system call that is not plain ``os``, and what each expected errno means.

Names are always looked up in an open directory and symbolic links are never followed, so a path has
no maximum length and cannot be swapped for another while it is walked (openat(2)).

Linux has no ``*xattrat`` calls before 6.13 and Python none at all, so reading the attributes of a
name that must not be opened (a symbolic link, a device) goes through ``fchdir``: the process stands
in the tree while a run lasts.  ``/proc/self/fd`` would do the same, but a container may have no /proc.
"""

from __future__ import annotations

import errno
import os
import time
from _signal import SIGKILL  # as in cli.py: the signal module makes enums

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK and O_NOCTTY: should a FIFO or a terminal have taken the file's place, opening it must
# neither hang nor make it ours.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_CAP_SYS_ADMIN = 21
_NO_ID = 2**32 - 1  # which is none; all below it are
_NO_XATTRS = (errno.EOPNOTSUPP, errno.ENOSYS)
NOT_CARRIED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""What the kernel answers when a fact cannot be set here at all: no privilege (a capability, a mount
option, an id that is not mapped in the user namespace) or no such thing in the file system.  Every
other errno (a full disk, an I/O error) is a failure of the run."""


def open_root(path: bytes) -> int:
    """A descriptor for the directory ``path``; a symbolic link as its last part is followed."""
    return os.open(path, _DIRECTORY)


def open_directory(name: bytes, dir_fd: int) -> int:
    """A descriptor for the directory ``name`` in ``dir_fd``.

    Raises ``NotADirectoryError`` for anything else, a symbolic link to a directory included.
    """
    return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)


def open_place(name: bytes, dir_fd: int) -> int:
    """A descriptor for the directory ``name`` in ``dir_fd``, to stand in it and ask for its facts but not to list it.

    On an overlay that costs half of :func:`open_directory`, as nothing is opened in the layers.
    Raises ``NotADirectoryError`` as that does.
    """
    return os.open(name, _PLACE, dir_fd=dir_fd)


def open_parent(fd: int) -> int:
    """A descriptor for the directory that holds the directory ``fd``."""
    return os.open(b"..", _DIRECTORY, dir_fd=fd)


def open_file(name: bytes, dir_fd: int) -> int:
    """A descriptor to read the regular file ``name`` in ``dir_fd``."""
    return os.open(name, _FILE, dir_fd=dir_fd)


def holds_more(fd: int, size: int) -> bool:
    """Whether the open file ``fd`` holds more bytes than ``size``."""
    return bool(os.pread(fd, 1, size))


def close_all(*fds: int) -> None:
    """Close descriptors that nothing more is wanted of; -1 is none."""
    for fd in fds:
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                pass  # it is closed all the same: close(2), "Dealing with error returns"


def create_file(name: bytes, dir_fd: int, mode: int = 0o600) -> int:
    """A descriptor to write the new file ``name`` in ``dir_fd``.

    ``mode``: less the umask; as it is nobody else may open the file yet.
    """
    return os.open(name, _NEW_FILE, mode, dir_fd=dir_fd)


STAGED = b".differ-"
"""How the name of a result begins that has not its own yet."""


def staged_name() -> bytes:
    """What a result is called until it has its own name; nobody can foresee it."""
    return STAGED + os.urandom(8).hex().encode()


def memory_file() -> int:
    """A descriptor of a file in memory that has no name."""
    return os.memfd_create("differ", os.MFD_CLOEXEC)


def nameless_file(directory: bytes) -> int:
    """A descriptor of a new file in ``directory`` that has no name, and ends with its last descriptor."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # overlayfs before Linux 6.1, NFS: open(2), O_TMPFILE
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSYS):
            raise
    name = directory + b"/" + staged_name()
    fd = os.open(name, (_NEW_FILE & ~os.O_WRONLY) | os.O_RDWR, 0o600)
    os.unlink(name)
    return fd


def lock(fd: int) -> None:
    """Wait until no other process that asks has the directory ``fd`` to itself; given back when it is closed.

    Where a file system has no such locks nobody waits.
    """
    from fcntl import LOCK_EX, flock

    try:
        flock(fd, LOCK_EX)
    except OSError as error:
        # NFS locks nothing that is not open for writing: flock(2), "NFS details"
        if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def list_names(fd: int) -> list[bytes]:
    """The names in the directory ``fd``, in byte order."""
    # btrfs decides when a directory is opened or rewound which entries a reading will find.
    os.lseek(fd, 0, os.SEEK_SET)
    names = [os.fsencode(name) for name in os.listdir(fd)]
    names.sort()
    return names


def path_of(fd: int) -> bytes:
    """The path of the open directory ``fd``, without symbolic links; raises ``OSError`` where there is no /proc."""
    return os.readlink(b"/proc/self/fd/%d" % fd)


def device_of(fd: int) -> tuple[int, int]:
    """The major and minor number of the file system that an open file is in."""
    device = os.fstat(fd).st_dev
    return os.major(device), os.minor(device)


def device_at(path: bytes) -> tuple[int, int] | None:
    """The same of the directory ``path``, by its name alone; None if there is none."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return None
    return os.major(device), os.minor(device)


def mountinfo() -> bytes:
    """The mounts that this process sees (proc(5)); empty where there is no /proc."""
    try:
        return _whole(b"/proc/self/mountinfo")
    except OSError:
        return b""


def overlay_default(name: str) -> bytes | None:
    """A default of overlayfs; None if it cannot be read."""
    try:
        return _whole(b"/sys/module/overlay/parameters/" + name.encode()).strip()
    except OSError:
        return None


def sees_trusted_xattrs() -> bool:
    """Whether this process sees ``trusted.`` attributes: in a user namespace of a container it does not, whatever
    it is called there (xattr(7))."""
    try:
        if _whole(b"/proc/self/uid_map").split() != [b"0", b"0", b"4294967295"]:
            return False
        for line in _whole(b"/proc/self/status").split(b"\n"):
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    except (OSError, ValueError):
        pass
    return False


def unmapped_ids() -> tuple[int, int]:
    """The uid and the gid as which every one is read that this user namespace does not map; -1 where it maps all
    (user_namespaces(7), "Unmapped user and group IDs")."""
    return _unmapped(b"uid"), _unmapped(b"gid")


def _unmapped(kind: bytes) -> int:
    try:
        ranges = [line.split() for line in _whole(b"/proc/self/%s_map" % kind).splitlines()]
        if sum(int(count) for _, _, count in ranges) >= _NO_ID:
            return -1
        return int(_whole(b"/proc/sys/kernel/overflow%s" % kind))
    except (OSError, ValueError):
        return -1


def _whole(path: bytes) -> bytes:
    """The bytes of a file of the kernel's, which has no size."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while data := os.read(fd, 1 << 16):
            parts.append(data)
        return b"".join(parts)
    finally:
        close_all(fd)


def list_inodes(fd: int) -> dict[bytes, int]:
    """The names in the directory ``fd`` with their inode numbers, as the directory has them."""
    os.fchdir(fd)
    with os.scandir(b".") as entries:
        return {entry.name: entry.inode() for entry in entries}


_list_xattrs: Callable[..., list[str]]
_get_xattr: Callable[..., bytes]
_set_xattr: Callable[..., None]
_remove_xattr: Callable[..., None]
if hasattr(os, "listxattr"):
    _list_xattrs = os.listxattr
    _get_xattr = os.getxattr
    _set_xattr = os.setxattr
    _remove_xattr = os.removexattr
else:  # CPython built for musl before python/cpython#101857, and systems other than Linux
    import xattr as _package

    def _nofollow(call: Callable[..., object]) -> Callable[..., object]:
        """A call of the xattr package with the keyword that the ones of ``os`` have."""
        return lambda *args, follow_symlinks=True: call(*args, symlink=not follow_symlinks)

    _list_xattrs = _nofollow(_package.listxattr)  # type: ignore[assignment]
    _get_xattr = _nofollow(_package.getxattr)  # type: ignore[assignment]
    _set_xattr = _nofollow(_package.setxattr)  # type: ignore[assignment]
    _remove_xattr = _nofollow(_package.removexattr)  # type: ignore[assignment]


def list_xattrs(name: bytes) -> list[str]:
    """The names of the attributes of ``name`` in the current directory; of a symbolic link, its own."""
    try:
        return _list_xattrs(name, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise


def list_xattrs_fd(fd: int) -> list[str]:
    """The names of the attributes of the open file ``fd``."""
    try:
        return _list_xattrs(fd)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return []
        raise


def read_xattrs(dir_fd: int, name: bytes, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The attributes of ``name`` in ``dir_fd`` whose names are ``wanted``; of a symbolic link, its own.

    A file system without attributes has none; an attribute removed since it was listed is not there.
    """
    os.fchdir(dir_fd)
    listed = list_xattrs(name)
    found = {}
    for attribute in sorted(filter(wanted, listed)):
        try:
            found[attribute] = _get_xattr(name, attribute, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    return found


def write_xattr(dir_fd: int, name: bytes, attribute: str, value: bytes) -> None:
    """Give ``name`` in ``dir_fd``, or the symbolic link of that name, an attribute."""
    os.fchdir(dir_fd)
    _set_xattr(name, attribute, value, follow_symlinks=False)


def remove_xattr(fd: int, attribute: str) -> bytes | None:
    """Take an attribute from the open file ``fd``; its value, or None if there was none."""
    try:
        value = _get_xattr(fd, attribute)
        _remove_xattr(fd, attribute)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise
    return value


def write_xattr_fd(fd: int, attribute: str, value: bytes) -> None:
    """Give the open file ``fd`` an attribute."""
    _set_xattr(fd, attribute, value)


# The value of an ACL attribute: a version of 4 bytes, then for each entry a tag and permissions of 2
# bytes and an id of 4, all little-endian (linux/posix_acl_xattr.h).
_ACL_GROUP, _ACL_MASK = 0x04, 0x10


def mode_without_acl(mode: int, acl: bytes) -> int:
    """The permissions of a file that loses its access ACL.

    The group bits of a file with one are those of its mask, which bounds everybody that the ACL names.
    Without it they would be the owning group's, which may have had less.
    """
    entries = [acl[at : at + 8] for at in range(4, len(acl) - 7, 8)]
    bits = {int.from_bytes(entry[:2], "little"): int.from_bytes(entry[2:4], "little") for entry in entries}
    group = bits.get(_ACL_GROUP, 0) & bits.get(_ACL_MASK, 0o7)
    return mode & ~0o070 | (group & 0o7) << 3


def packet_pipe() -> tuple[int, int]:
    """The ends of a pipe, to read and to write, in which neither waits and each write is read as one piece
    (pipe(2), O_DIRECT); raises ``OSError`` where there are none."""
    return os.pipe2(os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def processor_time(pid: int) -> float:
    """The seconds of processor time that a child has used, endless if that cannot be told: the clock that
    clock_getcpuclockid(3) names, which Python does not have."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return float("inf")


def end_child(pid: int) -> None:
    """End a process that was forked, whatever it does, and wait for it."""
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def next_data(fd: int, offset: int, size: int) -> int:
    """Where the first byte at or after ``offset`` lies that is not in a hole; ``size`` if none does.

    A file system that knows no holes has none.
    """
    try:
        return min(os.lseek(fd, offset, os.SEEK_DATA), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return offset
        raise


def next_hole(fd: int, offset: int, size: int) -> int:
    """Where the data that ``offset`` lies in ends."""
    try:
        return min(os.lseek(fd, offset, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENXIO):
            return size
        raise
    except SystemError:
        # At the end of the largest file btrfs (Linux 6.18) answers with a number below 0, which is no error to Python.
        return size
