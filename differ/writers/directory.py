"""Changes written as a directory.

The order of the calls on each entry is that of semantics.md rule 3.11: owner, then mode, then
attributes, because chown(2) takes setuid bits and capabilities away and an ACL rewrites the mode;
times last.  ``user.`` attributes come first of all: setting one needs write permission, which the
mode may withhold from an ordinary user.  A directory gets its own facts when it is left, so that
neither its times nor its default ACL know of what was written into it.
"""

from __future__ import annotations

import os
from stat import S_IFMT, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG

from .. import linux
from ..apply import UNFINISHED
from ..content import Copier
from ..model import ChangeKind, DifferError, os_reason
from ..scan import Descent, seek, steps
from ..whiteout import Marker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model import Change, Entry, Losses, Tally, Tree
    from ..whiteout import Style

DEFAULT_ACL = "system.posix_acl_default"
_ACCESS_ACL = "system.posix_acl_access"
_LONGEST_NAME = 255  # bytes, NAME_MAX of every Linux file system that images are built on
_OWNER_ALL = 0o700
_SET_ID = 0o6000
# Between these times (ns) no file system in use clamps what it is given: 1970 and 2038.
_SAFE_TIMES = range(2**31 * 1_000_000_000)
# Linux knows of no unit between this one and a nanosecond (NTFS and CIFS count in 100 ns).
_COARSE = 100


class _Again:
    """What a directory that was written before gets back when it is left once more."""

    __slots__ = ("acl", "mode", "mtime_ns")

    def __init__(self, mode: int, mtime_ns: int, acl: bytes | None) -> None:
        self.mode = mode
        self.mtime_ns = mtime_ns
        self.acl = acl


class DirectoryWriter:
    """Writes changes below a directory.

    ``root``: the directory's descriptor, which stays the caller's; its own facts are left alone.
    ``shown``: what to call it.
    ``source``: UPPER, for the content of files; the writer moves in it as it likes.
    ``style``: how removals are written.
    ``losses``: told what cannot be carried.  ``tally``: counts the bytes written.
    """

    def __init__(
        self, root: int, shown: bytes, source: Tree, style: Style, losses: Losses, tally: Tally
    ) -> None:
        self._shown = shown
        self._source = source
        self._style = style
        self._losses = losses
        self._copier = Copier(tally)
        self._descent = Descent(os.dup(root))
        self._link_sources = Descent(os.dup(root))
        # What each open directory below the root is given when it is left.
        self._pending: list[Entry | _Again] = []
        self._not_made: set[bytes] = set()
        # Some file systems cut times to whole seconds.  Until one has been seen not to, every time
        # is read back.
        self._fine_times = False

    def write(self, change: Change) -> None:
        """Write one change; the stream's contract (plan.py) says what has been written before.

        Raises :class:`DifferError`, which names the path.
        """
        *parents, name = change.path.split(b"/")
        if change.path == UNFINISHED and change.kind != ChangeKind.REMOVED:
            raise DifferError(
                "is the name that marks an unfinished result, and cannot be in a whole one;"
                " it must be removed or left out",
                change.path,
            )
        try:
            self._go(parents)
            if change.kind == ChangeKind.REMOVED:
                self._remove(name, change.path)
            elif change.link is not None:
                self._link(change.link, name, change.path)
            elif change.upper is not None:
                self._create(parents, name, change.path, change.upper)
        except OSError as error:
            raise self._failed(error, change.path) from error

    def finish(self) -> None:
        """Give the directories that are still open their facts.  Nothing may be written after."""
        self._go([])

    def close(self) -> None:
        """Give back the descriptors."""
        self._descent.close()
        self._link_sources.close()

    def _failed(self, error: OSError, path: bytes) -> DifferError:
        return DifferError(f"cannot be written: {os_reason(error)}", self._shown + b"/" + path)

    def _go(self, parents: list[bytes]) -> None:
        up, down = steps(self._descent.names, parents)
        for _ in range(up):
            try:
                self._settle_directory(self._descent.fd, self._pending.pop())
                self._descent.leave()
            except OSError as error:
                raise self._failed(error, b"/".join(self._descent.names)) from error
        for name in down:
            self._descent.enter(name)
            self._pending.append(self._reopen(self._descent.fd))

    def _reopen(self, fd: int) -> _Again:
        """Make a directory that has its facts ready to be written into once more."""
        facts = os.fstat(fd)
        mode = S_IMODE(facts.st_mode)
        if mode & _OWNER_ALL != _OWNER_ALL:
            os.fchmod(fd, mode | _OWNER_ALL)
        return _Again(mode, facts.st_mtime_ns, linux.remove_xattr(fd, DEFAULT_ACL))

    def _settle_directory(self, fd: int, pending: Entry | _Again) -> None:
        if isinstance(pending, _Again):
            os.fchmod(fd, pending.mode)
            if pending.acl is not None:
                linux.write_xattr_fd(fd, DEFAULT_ACL, pending.acl)
            os.utime(fd, ns=(pending.mtime_ns, pending.mtime_ns))
        else:
            self._settle(fd, pending, b"/".join(self._descent.names))

    def _create(self, parents: list[bytes], name: bytes, path: bytes, entry: Entry) -> None:
        mode = entry.stat.st_mode
        dir_fd = self._descent.fd
        if S_ISDIR(mode):
            os.mkdir(name, _OWNER_ALL, dir_fd=dir_fd)
            self._descent.enter(name)
            self._pending.append(entry)
        elif S_ISREG(mode):
            self._source.seek(parents)
            source = self._source.open(name, entry.stat)
            try:
                target = linux.create_file(name, dir_fd)
                try:
                    self._copier.copy(source, target, entry.stat, self._source.path(name))
                    self._settle(target, entry, path)
                finally:
                    os.close(target)
            finally:
                os.close(source)
        elif S_ISLNK(mode):
            os.symlink(entry.target or b"", name, dir_fd=dir_fd)
            self._settle_name(name, entry, path)
        else:
            self._make_node(name, entry, path)

    def _make_node(self, name: bytes, entry: Entry, path: bytes) -> None:
        facts = entry.stat
        dir_fd = self._descent.fd
        try:
            os.mknod(name, S_IFMT(facts.st_mode) | 0o600, facts.st_rdev, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in linux.NOT_CARRIED or not (S_ISCHR(facts.st_mode) or S_ISBLK(facts.st_mode)):
                raise
            self._losses.add("devices", path, os_reason(error))
            self._not_made.add(path)
            return
        self._settle_name(name, entry, path)

    def _link(self, source: bytes, name: bytes, path: bytes) -> None:
        if source in self._not_made:
            self._losses.add("devices", path, "is a hard link to a device that could not be made")
            return
        *parents, source_name = source.split(b"/")
        descent = self._link_sources
        seek(descent, descent.names, parents)
        os.link(source_name, name, src_dir_fd=descent.fd, dst_dir_fd=self._descent.fd, follow_symlinks=False)

    def _remove(self, name: bytes, path: bytes) -> None:
        marker = self._style.marker(name)
        if marker is None:
            return
        if len(marker.name) > _LONGEST_NAME:
            raise DifferError(
                "was removed, and no directory can hold the whiteout of a name longer than 251 bytes"
                " (--whiteout overlay and none can)",
                path,
            )
        try:
            self._write_marker(marker)
        except FileExistsError as error:
            raise DifferError(
                f"was removed, and its whiteout would take the place of the entry {marker.name!r}", path
            ) from error

    def _write_marker(self, marker: Marker) -> None:
        name = marker.name
        dir_fd = self._descent.fd
        if S_ISREG(marker.type):
            fd = linux.create_file(name, dir_fd)
            try:
                self._own(fd, 0, 0)
                os.fchmod(fd, 0)
                os.utime(fd, ns=(0, 0))
            finally:
                os.close(fd)
        else:
            # Anybody may make this one device: mknod(2), whiteouts are no device to the kernel.
            os.mknod(name, marker.type, 0, dir_fd=dir_fd)
            os.utime(name, ns=(0, 0), dir_fd=dir_fd, follow_symlinks=False)
            self._own(name, 0, 0)

    def _settle(self, fd: int, entry: Entry, path: bytes) -> None:
        """Give an open file or directory its facts."""
        facts = entry.stat
        for attribute, value in entry.xattrs.items():
            if attribute.startswith("user."):
                self._xattr(fd, attribute, value, path)
        mode = S_IMODE(facts.st_mode)
        reason = self._own(fd, facts.st_uid, facts.st_gid)
        if reason is not None:
            self._losses.add("owners", path, reason)
            # A program that was to run as its owner must not run as somebody else.
            if not S_ISDIR(facts.st_mode):
                mode &= ~_SET_ID
        os.fchmod(fd, mode)
        if mode & _SET_ID and S_IMODE(os.fstat(fd).st_mode) != mode:
            self._losses.add("set-id bits", path, "not a member of the group")
        for attribute, value in entry.xattrs.items():
            if attribute.startswith("user."):
                continue
            if not self._xattr(fd, attribute, value, path) and attribute == _ACCESS_ACL:
                os.fchmod(fd, linux.mode_without_acl(mode, value))
        os.utime(fd, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        if not (self._fine_times and facts.st_mtime_ns in _SAFE_TIMES):
            self._check_time(os.fstat(fd).st_mtime_ns, facts.st_mtime_ns, path)

    def _settle_name(self, name: bytes, entry: Entry, path: bytes) -> None:
        """Give a symbolic link, device, FIFO or socket its facts, by its name: it is never opened."""
        facts = entry.stat
        dir_fd = self._descent.fd
        mode = S_IMODE(facts.st_mode)
        reason = self._own(name, facts.st_uid, facts.st_gid)
        if reason is not None:
            self._losses.add("owners", path, reason)
            mode &= ~_SET_ID
        if not S_ISLNK(facts.st_mode):
            # Linux before 6.6 has no chmod that stops at a symbolic link; but nobody else can reach
            # what is written before it is published (output.py).
            os.chmod(name, mode, dir_fd=dir_fd)
        for attribute, value in entry.xattrs.items():
            if not self._xattr(name, attribute, value, path) and attribute == _ACCESS_ACL:
                os.chmod(name, linux.mode_without_acl(mode, value), dir_fd=dir_fd)
        os.utime(name, ns=(facts.st_mtime_ns, facts.st_mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        if not (self._fine_times and facts.st_mtime_ns in _SAFE_TIMES):
            now = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
            self._check_time(now.st_mtime_ns, facts.st_mtime_ns, path)

    def _check_time(self, now: int, wanted: int, path: bytes) -> None:
        """Count a time (ns) that the file system has not kept; note what its being kept proves."""
        if now != wanted:
            self._losses.add("times", path, "outside the range of the file system, or finer than it keeps")
        elif wanted % _COARSE:
            self._fine_times = True

    def _own(self, file: int | bytes, uid: int, gid: int) -> str | None:
        """Give a file its owner, or at least its group; why not, if the kernel refuses."""
        try:
            self._chown(file, uid, gid)
        except OSError as error:
            if error.errno not in linux.NOT_CARRIED:
                raise
            try:
                self._chown(file, -1, gid)
            except OSError as group_error:
                if group_error.errno not in linux.NOT_CARRIED:
                    raise
            return os_reason(error)
        return None

    def _chown(self, file: int | bytes, uid: int, gid: int) -> None:
        if isinstance(file, int):
            os.fchown(file, uid, gid)
        else:
            os.chown(file, uid, gid, dir_fd=self._descent.fd, follow_symlinks=False)

    def _xattr(self, file: int | bytes, attribute: str, value: bytes, path: bytes) -> bool:
        """Give a file an attribute; whether the file system and our privileges allow it."""
        try:
            if isinstance(file, int):
                linux.write_xattr_fd(file, attribute, value)
            else:
                linux.write_xattr(self._descent.fd, file, attribute, value)
        except OSError as error:
            if error.errno not in linux.NOT_CARRIED:
                reason = f"attribute {attribute} cannot be written: {os_reason(error)}"
                raise DifferError(reason, self._shown + b"/" + path) from error
            namespace = attribute.split(".")[0]
            kind = (
                f"{namespace} attributes" if namespace in ("user", "trusted") else f"{attribute} attributes"
            )
            self._losses.add(kind, path, os_reason(error))
            return False
        return True


def remove_below(fd: int, names: list[bytes] | None = None) -> None:
    """Remove everything below the directory ``fd``, which stays; following nothing.

    ``names``: what to remove of it, with everything below; all by default.
    Raises ``OSError`` when something cannot be removed.
    """
    descent = Descent(os.dup(fd))
    try:
        pending = [linux.list_names(fd) if names is None else names]
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                facts = os.stat(name, dir_fd=descent.fd, follow_symlinks=False)
                if not S_ISDIR(facts.st_mode):
                    os.unlink(name, dir_fd=descent.fd)
                    continue
                if facts.st_mode & _OWNER_ALL != _OWNER_ALL and os.geteuid() != 0:
                    os.chmod(name, _OWNER_ALL, dir_fd=descent.fd)
                descent.enter(name, facts)
                pending.append(linux.list_names(descent.fd))
            elif len(pending) > 1:
                pending.pop()
                name = descent.names[-1]
                descent.leave()
                os.rmdir(name, dir_fd=descent.fd)
            else:
                return
    finally:
        descent.close()
