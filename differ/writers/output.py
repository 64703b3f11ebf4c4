"""The places where results are written.

A directory is there whole or not at all:

* an OUT that did not exist is written under another name beside it and gets its own name last;
* an OUT that exists (a mount point cannot be renamed) holds the file ``.differ-unfinished`` as long
  as it is being written, which ``differ-apply`` and ``--verify`` refuse.

A run that fails or is interrupted removes what it wrote.
"""

from __future__ import annotations

import errno
import os
from stat import S_ISDIR, S_ISLNK, S_ISREG

from .. import linux
from ..apply import UNFINISHED
from ..model import DifferError, os_reason
from .directory import DEFAULT_ACL, remove_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LINES_HELD = 256  # lines of a report written by one call


class Output:
    """An output directory.

    ``path``: absent, or an empty directory.
    ``fd``: once :meth:`open` has returned, the directory to write into.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.fd = -1
        self._above, self._name = os.path.split(path.rstrip(b"/") or b"/")
        self._parent = -1
        self._staged: bytes | None = None
        self._taken = False
        self._before: os.stat_result | None = None
        self._acl: bytes | None = None

    def open(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Make the directory ready.

        ``inputs``: descriptors of the directories that it must be outside of, and what to call them.
        Raises :class:`DifferError` when the path cannot be used.  Whatever it raises,
        :meth:`discard` leaves everything as it was.
        """
        try:
            self._parent = linux.open_root(self._above or b".")
            if self._name in (b"", b".", b".."):
                # No name of its own to look up in a parent.
                self.fd = linux.open_root(self.path)
                self._take(inputs)
            elif self._exists():
                self.fd = linux.open_directory(self._name, self._parent)
                self._take(inputs)
            else:
                _check_outside(self._parent, self.path, inputs)
                self._stage()
        except NotADirectoryError as error:
            raise DifferError("is not a directory", self.path) from error
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def _exists(self) -> bool:
        try:
            facts = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if S_ISLNK(facts.st_mode):
            raise DifferError("is a symbolic link; name the directory that it points to", self.path)
        return True

    def _take(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Use the directory that is there."""
        _check_outside(self.fd, self.path, inputs)
        names = linux.list_names(self.fd)
        if names:
            if UNFINISHED in names:
                raise DifferError("holds what a killed run has left; empty it first", self.path)
            raise DifferError("is not empty; name a directory that is, or one that does not exist", self.path)
        self._before = os.fstat(self.fd)
        self._taken = True
        try:
            marker = linux.create_file(UNFINISHED, self.fd)
        except OSError:
            self._taken = False
            raise
        os.close(marker)
        # What is written must not inherit it; the directory gets it back.
        self._acl = linux.remove_xattr(self.fd, DEFAULT_ACL)

    def _stage(self) -> None:
        """Make a directory beside the one that is wanted."""
        self._staged = _staged_name()
        try:
            os.mkdir(self._staged, 0o700, dir_fd=self._parent)
        except OSError:
            self._staged = None
            raise
        self.fd = linux.open_directory(self._staged, self._parent)
        self._acl = linux.remove_xattr(self.fd, DEFAULT_ACL)

    def publish(self) -> None:
        """Say that the result is whole.

        Raises :class:`DifferError` when the directory cannot get its name.
        """
        try:
            if self._staged is None:
                os.unlink(UNFINISHED, dir_fd=self.fd)
                self._taken = False
                self._restore()
            else:
                umask = os.umask(0)
                os.umask(umask)
                os.fchmod(self.fd, 0o777 & ~umask)
                self._restore()
                os.rename(self._staged, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
                self._staged = None
        except OSError as error:
            reason = os_reason(error)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                reason = "somebody else has made it meanwhile"
            raise DifferError(f"cannot be written: {reason}", self.path) from error

    def discard(self) -> None:
        """Remove what was written, if it was not published, and close everything.

        Raises :class:`DifferError` when that fails, which names what is left.
        """
        left = self.path
        try:
            if self._staged is not None and _is_there(self._staged, self._parent):
                left = os.path.join(self._above, self._staged)
                if self.fd >= 0:
                    remove_below(self.fd)
                os.rmdir(self._staged, dir_fd=self._parent)
            elif self._taken:
                remove_below(self.fd)
                self._restore()
        except OSError as error:
            raise DifferError(
                f"holds an unfinished result that cannot be removed: {os_reason(error)}", left
            ) from error
        finally:
            self._close()

    def _restore(self) -> None:
        if self._acl is not None:
            linux.write_xattr_fd(self.fd, DEFAULT_ACL, self._acl)
        # In a directory that is not ours we may write but not set times.
        if self._before is not None and os.geteuid() in (0, self._before.st_uid):
            os.utime(self.fd, ns=(self._before.st_atime_ns, self._before.st_mtime_ns))

    def _close(self) -> None:
        linux.close_all(self.fd, self._parent)
        self.fd = self._parent = -1


class OutputFile:
    """A file of results that is there whole or not at all.

    ``path``: where; written under another name beside it first, unless it is something other than
    a regular file (a pipe, a symbolic link as /dev/stdout), which takes the bytes as they come.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._above, self._name = os.path.split(path)
        self._parent = -1
        self._fd = -1
        self._staged: bytes | None = None
        self._pending: list[bytes] = []

    def open(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Make the file ready; ``inputs`` and errors are those of :meth:`Output.open`."""
        try:
            self._parent = linux.open_root(self._above or b".")
            try:
                facts = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
                regular = S_ISREG(facts.st_mode)
                if S_ISDIR(facts.st_mode) or self._name in (b"", b".", b".."):
                    raise DifferError("is a directory; name a file for the report", self.path)
            except FileNotFoundError:
                regular = True
            if regular:
                _check_outside(self._parent, self.path, inputs)
                self._staged = _staged_name()
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._fd = os.open(self._staged, flags, 0o666, dir_fd=self._parent)
            else:
                self._check_target(inputs)
                if _is_stdout(self._name, self._parent):
                    # Opened anew it would start at the front of what is there already.
                    self._fd = os.dup(1)
                else:
                    flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
                    self._fd = os.open(self._name, flags, dir_fd=self._parent)
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def _check_target(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Refuse a symbolic link that leads into an input."""
        try:
            above = linux.open_root(os.path.dirname(os.path.realpath(self.path)))
        except FileNotFoundError:
            return  # a pipe, or a file that has no name any more
        try:
            _check_outside(above, self.path, inputs)
        finally:
            os.close(above)

    def write(self, line: str) -> None:
        """Add one line; raises :class:`DifferError`."""
        self._pending.append(line.encode("utf-8") + b"\n")
        if len(self._pending) >= _LINES_HELD:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def publish(self) -> None:
        """Give the file its name; raises :class:`DifferError`."""
        self._flush()
        try:
            fd, self._fd = self._fd, -1
            os.close(fd)  # some file systems say only now that the disk is full
            if self._staged is None:
                return
            os.rename(self._staged, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error
        self._staged = None

    def discard(self) -> None:
        """Remove the file, if it was not published, and close everything."""
        try:
            if self._staged is not None and _is_there(self._staged, self._parent):
                os.unlink(self._staged, dir_fd=self._parent)
        except OSError as error:
            left = os.path.join(self._above, self._staged or b"")
            raise DifferError(f"cannot be removed: {os_reason(error)}", left) from error
        finally:
            linux.close_all(self._fd, self._parent)
            self._fd = self._parent = -1


def _staged_name() -> bytes:
    """What a result is called until it has its own name."""
    return b".differ-" + os.urandom(8).hex().encode()


def _is_stdout(name: bytes, dir_fd: int) -> bool:
    """Whether a name leads to the file that standard output is."""
    try:
        there, stdout = os.stat(name, dir_fd=dir_fd), os.fstat(1)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (stdout.st_dev, stdout.st_ino)


def _is_there(name: bytes, dir_fd: int) -> bool:
    """Whether a name is still, or already, in a directory.

    A signal may have come between a call and the note that it has returned.
    """
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _check_outside(fd: int, path: bytes, inputs: Iterable[tuple[int, bytes]]) -> None:
    """Raise :class:`DifferError` if the directory ``fd`` is one of the inputs or below one.

    Inodes are compared and not names, on the way up to the root: a symbolic link or a second mount
    leads nowhere else.
    """
    forbidden = {}
    for input_fd, shown in inputs:
        facts = os.fstat(input_fd)
        forbidden[(facts.st_dev, facts.st_ino)] = shown
    here = os.dup(fd)
    try:
        inode = None
        while True:
            facts = os.fstat(here)
            if (facts.st_dev, facts.st_ino) == inode:
                return
            inode = (facts.st_dev, facts.st_ino)
            if inode in forbidden:
                raise DifferError(
                    f"lies in {os.fsdecode(forbidden[inode])}; write to a directory outside both trees", path
                )
            above = linux.open_parent(here)
            os.close(here)
            here = above
    finally:
        os.close(here)
