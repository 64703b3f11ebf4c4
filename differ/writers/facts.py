"""What a written entry is given: owner, mode, attributes and time.

The order of the calls on each entry is that of semantics.md rule 3.11: owner, then mode, then
attributes, because chown(2) takes setuid bits and capabilities away and an ACL rewrites the mode;
times last.  ``user.`` attributes come first of all: setting one needs write permission, which the
mode may withhold from an ordinary user.
"""

from __future__ import annotations

import os
from stat import S_IMODE, S_ISDIR, S_ISLNK

from .. import linux
from ..model import DifferError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Entry, Stat

    Loss = tuple[str, bytes, str]
    """The arguments of :meth:`..model.Losses.add`."""

UNMAPPED = "read as the id that stands for all which this user namespace does not map"
DEFAULT_ACL = "system.posix_acl_default"
_ACCESS_ACL = "system.posix_acl_access"
OWNER_ALL = 0o700
SET_ID = 0o6000
# Between these times (ns) no file system in use clamps what it is given: 1970 and 2038.
_SAFE_TIMES = range(2**31 * 1_000_000_000)
# Linux knows of no unit between this one and a nanosecond (NTFS and CIFS count in 100 ns).
_COARSE = 100
_NOT_KEPT = "the file system does not keep them"


def is_unmapped(facts: Stat, unmapped: tuple[int, int]) -> bool:
    """Whether the owner of an entry may be another than the one that was read; ``unmapped``:
    :func:`..linux.unmapped_ids`.

    Which of the two it is the kernel does not tell.  What archives say is never mapped.
    """
    return facts.st_dev >= 0 and (facts.st_uid == unmapped[0] or facts.st_gid == unmapped[1])


class Again:
    """What a directory that was written before gets back when it is left once more."""

    __slots__ = ("acl", "mode", "mtime_ns")

    def __init__(self, mode: int, mtime_ns: int, acl: bytes | None) -> None:
        self.mode = mode
        self.mtime_ns = mtime_ns
        self.acl = acl


def reopen(fd: int) -> Again:
    """Make a directory that has its facts ready to be written into once more."""
    facts = os.fstat(fd)
    mode = S_IMODE(facts.st_mode)
    if mode & OWNER_ALL != OWNER_ALL:
        os.fchmod(fd, mode | OWNER_ALL)
    return Again(mode, facts.st_mtime_ns, linux.remove_xattr(fd, DEFAULT_ACL))


class FactsWriter:
    """Gives entries their facts.

    ``shown``: what to call the directory that paths start from.
    ``unmapped``: as for :func:`is_unmapped`.
    ``lost``: what could not be carried is added to it.
    """

    def __init__(self, shown: bytes, unmapped: tuple[int, int]) -> None:
        self._shown = shown
        self._unmapped = unmapped
        self.lost: list[Loss] = []
        # Some file systems cut times to whole seconds.  Until one has been seen not to, every time
        # is read back.
        self._fine_times = False
        # Some (NTFS and CIFS by their drivers) take every owner and mode and keep none.  Each is read back once.
        self._kept: set[tuple[int, int] | int] = set()

    def directory(self, fd: int, pending: Entry | Again, path: bytes) -> None:
        """Give an open directory what it is left with."""
        if isinstance(pending, Again):
            os.fchmod(fd, pending.mode)
            if pending.acl is not None:
                linux.write_xattr_fd(fd, DEFAULT_ACL, pending.acl)
            os.utime(fd, ns=(pending.mtime_ns, pending.mtime_ns))
        else:
            self.file(fd, pending, path)

    def file(self, fd: int, entry: Entry, path: bytes) -> None:
        """Give an open file or directory its facts."""
        facts = entry.stat
        for attribute, value in entry.xattrs.items():
            if attribute.startswith("user."):
                self._xattr(fd, -1, attribute, value, path)
        mode = S_IMODE(facts.st_mode)
        reason = self._own_as(fd, -1, facts)
        if reason is not None:
            self.lost.append(("owners", path, reason))
            # A program that was to run as its owner must not run as somebody else.
            if not S_ISDIR(facts.st_mode):
                mode &= ~SET_ID
        os.fchmod(fd, mode)
        self._check_mode(fd, -1, mode, path)
        if mode & SET_ID and S_IMODE(os.fstat(fd).st_mode) != mode:
            self.lost.append(("set-id bits", path, "not a member of the group"))
        for attribute, value in entry.xattrs.items():
            if attribute.startswith("user."):
                continue
            if not self._xattr(fd, -1, attribute, value, path) and attribute == _ACCESS_ACL:
                os.fchmod(fd, linux.mode_without_acl(mode, value))
        os.utime(fd, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        if not (self._fine_times and facts.st_mtime_ns in _SAFE_TIMES):
            self._check_time(os.fstat(fd).st_mtime_ns, facts.st_mtime_ns, path)

    def name(self, dir_fd: int, name: bytes, entry: Entry, path: bytes) -> None:
        """Give a symbolic link, device, FIFO or socket its facts, by its name: it is never opened."""
        facts = entry.stat
        mode = S_IMODE(facts.st_mode)
        reason = self._own_as(name, dir_fd, facts)
        if reason is not None:
            self.lost.append(("owners", path, reason))
            mode &= ~SET_ID
        if not S_ISLNK(facts.st_mode):
            # Linux before 6.6 has no chmod that stops at a symbolic link; but nobody else can reach
            # what is written before it is published (output.py).
            os.chmod(name, mode, dir_fd=dir_fd)
            self._check_mode(name, dir_fd, mode, path)
        for attribute, value in entry.xattrs.items():
            if not self._xattr(name, dir_fd, attribute, value, path) and attribute == _ACCESS_ACL:
                os.chmod(name, linux.mode_without_acl(mode, value), dir_fd=dir_fd)
        os.utime(name, ns=(facts.st_mtime_ns, facts.st_mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        if not (self._fine_times and facts.st_mtime_ns in _SAFE_TIMES):
            now = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            self._check_time(now.st_mtime_ns, facts.st_mtime_ns, path)

    def _check_time(self, now: int, wanted: int, path: bytes) -> None:
        """Count a time (ns) that the file system has not kept; note what its being kept proves."""
        if now != wanted:
            self.lost.append(("times", path, "outside the range of the file system, or finer than it keeps"))
        elif wanted % _COARSE:
            self._fine_times = True

    def _own_as(self, file: int | bytes, dir_fd: int, facts: Stat) -> str | None:
        """Give a file the owner that was read; why it may be another one."""
        reason = self.own(file, dir_fd, facts.st_uid, facts.st_gid)
        return UNMAPPED if reason is None and is_unmapped(facts, self._unmapped) else reason

    def own(self, file: int | bytes, dir_fd: int, uid: int, gid: int) -> str | None:
        """Give a file its owner, or at least its group; why not, if the kernel refuses.

        ``file``: a descriptor, or a name in ``dir_fd``.
        """
        try:
            _chown(file, dir_fd, uid, gid)
        except OSError as error:
            if error.errno not in linux.NOT_CARRIED:
                raise
            try:
                _chown(file, dir_fd, -1, gid)
            except OSError as group_error:
                if group_error.errno not in linux.NOT_CARRIED:
                    raise
            return os_reason(error)
        if (uid, gid) not in self._kept:
            now = _facts(file, dir_fd)
            if (now.st_uid, now.st_gid) != (uid, gid):
                return _NOT_KEPT
            self._kept.add((uid, gid))
        return None

    def _check_mode(self, file: int | bytes, dir_fd: int, mode: int, path: bytes) -> None:
        """Count a mode that the file system has not kept; of set-id bits there are other reasons."""
        mode &= ~SET_ID
        if mode not in self._kept:
            if S_IMODE(_facts(file, dir_fd).st_mode) & ~SET_ID != mode:
                self.lost.append(("modes", path, _NOT_KEPT))
            else:
                self._kept.add(mode)

    def _xattr(self, file: int | bytes, dir_fd: int, attribute: str, value: bytes, path: bytes) -> bool:
        """Give a file an attribute; whether the file system and our privileges allow it."""
        try:
            if isinstance(file, int):
                linux.write_xattr_fd(file, attribute, value)
            else:
                linux.write_xattr(dir_fd, file, attribute, value)
        except OSError as error:
            if error.errno not in linux.NOT_CARRIED:
                reason = f"attribute {attribute} cannot be written: {os_reason(error)}"
                raise DifferError(reason, self._shown + b"/" + path) from error
            namespace = attribute.split(".")[0]
            kind = (
                f"{namespace} attributes" if namespace in ("user", "trusted") else f"{attribute} attributes"
            )
            self.lost.append((kind, path, os_reason(error)))
            return False
        return True


def _facts(file: int | bytes, dir_fd: int) -> os.stat_result:
    if isinstance(file, int):
        return os.fstat(file)
    return os.stat(file, dir_fd=dir_fd, follow_symlinks=False)


def _chown(file: int | bytes, dir_fd: int, uid: int, gid: int) -> None:
    if isinstance(file, int):
        os.fchown(file, uid, gid)
    else:
        os.chown(file, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
