"""The places where results are written.

A directory is there whole or not at all.  Everything is written into ``.differ-unfinished``, a directory
inside OUT that is closed to everybody else, and moved up when all is there.  So nobody can put a
symbolic link in the way of a writer, and what a killed run has left is known by that name, which
``differ-apply`` and ``--verify`` refuse.  An OUT that did not exist also gets its own name last: a
mount point cannot be renamed, this one can.

A run that fails or is interrupted removes what it wrote.
"""

from __future__ import annotations

import errno
import os
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from .. import linux
from ..apply import UNFINISHED
from ..content import unreadable
from ..model import DifferError, os_reason
from .directory import remove_below
from .facts import DEFAULT_ACL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Place = tuple[int, int, bytes]
    """A directory's device and inode, and a name in it."""

_NESTED_MOUNTS = 100  # mounts of one directory on itself that are looked through
_LINES_HELD, _BYTES_HELD = 256, 256 * 1024  # of a result, written by one call


class Output:
    """An output directory.

    ``path``: absent, or an empty directory.
    ``fd``: once :meth:`open` has returned, the directory to write into.
    ``root``: the directory that is called ``path`` in the end; complete after :meth:`publish`.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.fd = self.root = -1
        self._above, self._name = os.path.split(path.rstrip(b"/") or b"/")
        self._parent = -1
        self._staged: bytes | None = None
        self._taken = False
        self._moved: list[bytes] = []
        self._before: os.stat_result | None = None

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
                self.root = linux.open_root(self.path)
                self._take(inputs)
            elif self._exists():
                self.root = linux.open_directory(self._name, self._parent)
                self._take(inputs)
            else:
                check_outside(self._parent, self.path, inputs)
                self._stage()
            self._close_to_others()
        except NotADirectoryError as error:
            raise DifferError("is not a directory", self.path) from error
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def place(self) -> Place | None:
        """Where it is; None if it has no name of its own."""
        return None if self._name in (b"", b".", b"..") else _place(self._parent, self._name)

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
        check_outside(self.root, self.path, inputs)
        names = linux.list_names(self.root)
        if names:
            if UNFINISHED in names:
                raise DifferError("holds what a killed run has left; empty it first", self.path)
            raise DifferError("is not empty; name a directory that is, or one that does not exist", self.path)
        self._before = os.fstat(self.root)

    def _stage(self) -> None:
        """Make a directory beside the one that is wanted, as mkdir(1) would make that one."""
        self._staged = linux.staged_name()
        try:
            os.mkdir(self._staged, 0o777, dir_fd=self._parent)
        except OSError:
            self._staged = None
            raise
        self.root = linux.open_directory(self._staged, self._parent)

    def _close_to_others(self) -> None:
        """Make the directory to write into."""
        self._taken = True
        try:
            os.mkdir(UNFINISHED, 0o700, dir_fd=self.root)
        except OSError:
            self._taken = False
            raise
        self.fd = linux.open_directory(UNFINISHED, self.root)
        # What is written must not inherit an ACL or a group.
        linux.remove_xattr(self.fd, DEFAULT_ACL)
        os.fchmod(self.fd, 0o700)
        owner = os.fstat(self.fd).st_uid
        if owner != os.geteuid() and owner != self._owner_given():
            raise DifferError("somebody else writes to it", self.path)

    def _owner_given(self) -> int:
        """The owner that the file system gives to what we make, where that is not always us (a user
        namespace, vfat, NFS)."""
        probe = linux.staged_name()
        os.close(linux.create_file(probe, self.fd))
        owner = os.stat(probe, dir_fd=self.fd, follow_symlinks=False).st_uid
        os.unlink(probe, dir_fd=self.fd)
        return owner

    def publish(self) -> None:
        """Say that the result is whole.

        Raises :class:`DifferError` when the directory cannot get its entries or its name.
        """
        try:
            if linux.list_names(self.root) != [UNFINISHED]:
                raise DifferError("somebody else has written into it meanwhile", self.path)
            for name in linux.list_names(self.fd):
                self._moved.append(name)
                self._move_up(name)
            os.rmdir(UNFINISHED, dir_fd=self.root)
            self._restore_times()
            if self._staged is not None:
                os.rename(self._staged, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
                self._staged = None
            self._taken = False
        except OSError as error:
            reason = os_reason(error)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
                reason = "somebody else has made it meanwhile"
            raise DifferError(f"cannot be written: {reason}", self.path) from error

    def _move_up(self, name: bytes) -> None:
        try:
            os.rename(name, name, src_dir_fd=self.fd, dst_dir_fd=self.root)
        except PermissionError:
            facts = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            if not S_ISDIR(facts.st_mode):
                raise
            # To move a directory is to change its "..", which an ordinary user must be allowed to.
            os.chmod(name, 0o700, dir_fd=self.fd)
            fd = linux.open_directory(name, self.fd)
            try:
                os.rename(name, name, src_dir_fd=self.fd, dst_dir_fd=self.root)
            finally:
                os.fchmod(fd, S_IMODE(facts.st_mode))
                linux.close_all(fd)

    def discard(self) -> None:
        """Remove what was written, if it was not published, and close everything.

        Raises :class:`DifferError` when that fails, which names what is left.
        """
        left = self.path
        try:
            if self._staged is not None and _is_there(self._staged, self._parent):
                left = os.path.join(self._above, self._staged)
                if self.root >= 0:
                    remove_below(self.root)
                os.rmdir(self._staged, dir_fd=self._parent)
            elif self._taken and self._before is not None:
                # What somebody else has put there stays.
                ours = [name for name in (*self._moved, UNFINISHED) if _is_there(name, self.root)]
                remove_below(self.root, ours)
                self._restore_times()
        except OSError as error:
            raise DifferError(
                f"holds an unfinished result that cannot be removed: {os_reason(error)}", left
            ) from error
        finally:
            linux.close_all(self.fd, self.root, self._parent)
            self.fd = self.root = self._parent = -1

    def _restore_times(self) -> None:
        # In a directory that is not ours we may write but not set times.
        if self._before is not None and os.geteuid() in (0, self._before.st_uid):
            os.utime(self.root, ns=(self._before.st_atime_ns, self._before.st_mtime_ns))


class OutputFile:
    """A file of results, ``what`` for messages, that is there whole or not at all.

    ``path``: where; written under another name beside it first, unless it is something other than
    a regular file (a pipe, a symbolic link as /dev/stdout), which takes the bytes as they come.
    """

    def __init__(self, path: bytes, what: str) -> None:
        self.path = path
        self._what = what
        self.is_stdout = False
        self._above, self._name = os.path.split(path)
        self._parent = -1
        self._fd = -1
        self._staged: bytes | None = None
        self._pending: list[bytes] = []
        self._held = 0

    def open(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Make the file ready; ``inputs`` and errors are those of :meth:`Output.open`."""
        try:
            self._parent = linux.open_root(self._above or b".")
            try:
                facts = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
                regular = S_ISREG(facts.st_mode)
                if S_ISDIR(facts.st_mode) or self._name in (b"", b".", b".."):
                    raise DifferError(f"is a directory; name a file for the {self._what}", self.path)
            except FileNotFoundError:
                regular = True
            if regular:
                check_outside(self._parent, self.path, inputs)
                self._staged = linux.staged_name()
                self._fd = linux.create_file(self._staged, self._parent, 0o666)
            else:
                self._check_target(inputs)
                if _is_stdout(self._name, self._parent):
                    # Opened anew it would start at the front of what is there already.
                    self._fd, self.is_stdout = os.dup(1), True
                else:
                    flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
                    self._fd = os.open(self._name, flags, dir_fd=self._parent)
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def place(self) -> Place:
        """Where it is."""
        return _place(self._parent, self._name)

    def same_as(self, other: OutputFile) -> bool:
        """Whether both lead to one regular file, by whatever names; raises ``OSError``."""
        is_one_name = self._staged is not None and self.place() == other.place()
        return is_one_name or not self._inodes().isdisjoint(other._inodes())

    def _inodes(self) -> set[tuple[int, int]]:
        """What is written to, and what takes its place."""
        found = [os.fstat(self._fd)]
        if self._staged is not None and _is_there(self._name, self._parent):
            found.append(os.stat(self._name, dir_fd=self._parent, follow_symlinks=False))
        return {(facts.st_dev, facts.st_ino) for facts in found if S_ISREG(facts.st_mode)}

    def directory(self) -> int:
        """The directory in which a file is made; -1 if none is."""
        return -1 if self._staged is None else self._parent

    def _check_target(self, inputs: Iterable[tuple[int, bytes]]) -> None:
        """Refuse a symbolic link that leads into an input."""
        try:
            above = linux.open_root(os.path.dirname(os.path.realpath(self.path)))
        except FileNotFoundError:
            return  # a pipe, or a file that has no name any more
        try:
            check_outside(above, self.path, inputs)
        finally:
            linux.close_all(above)

    def write(self, line: str) -> None:
        """Add one line; raises :class:`DifferError`."""
        self.put(line.encode("utf-8") + b"\n")

    def put(self, data: bytes) -> None:
        """Add bytes; raises :class:`DifferError`."""
        self._held += len(data)
        self._pending.append(data)
        if len(self._pending) >= _LINES_HELD or self._held >= _BYTES_HELD:
            self._flush()

    def _flush(self) -> None:
        data = memoryview(b"".join(self._pending))
        self._pending.clear()
        self._held = 0
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def finish(self) -> None:
        """Write what is left: nothing may come after.  Raises :class:`DifferError`."""
        if self._fd < 0:
            return
        self._flush()
        try:
            fd, self._fd = self._fd, -1
            os.close(fd)  # some file systems say only now that the disk is full
        except OSError as error:
            raise DifferError(f"cannot be written: {os_reason(error)}", self.path) from error

    def publish(self) -> None:
        """Finish the file and give it its name; raises :class:`DifferError`."""
        self.finish()
        if self._staged is None:
            return
        try:
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


def _place(directory: int, name: bytes) -> Place:
    facts = os.fstat(directory)
    return facts.st_dev, facts.st_ino, name


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


def check_outside(fd: int, path: bytes, inputs: Iterable[tuple[int, bytes]]) -> None:
    """Raise :class:`DifferError` if the directory ``fd`` is one of the inputs or below one.

    Inodes are compared and not names, on the way up to the root: a symbolic link or a second mount
    leads nowhere else.
    """
    forbidden = {}
    for input_fd, shown in inputs:
        try:
            facts = os.fstat(input_fd)
        except OSError as error:
            raise unreadable(error, shown) from error
        forbidden[(facts.st_dev, facts.st_ino)] = shown
    root = os.stat(b"/")
    here = os.dup(fd)
    try:
        inode = None
        still = 0
        # A directory may be mounted below itself, so one that is its own parent need not be the root.
        while still < _NESTED_MOUNTS:
            facts = os.fstat(here)
            still = still + 1 if (facts.st_dev, facts.st_ino) == inode else 0
            inode = (facts.st_dev, facts.st_ino)
            if inode in forbidden:
                raise DifferError(
                    f"lies in {os.fsdecode(forbidden[inode])}; write to a directory outside both trees", path
                )
            if still and inode == (root.st_dev, root.st_ino):
                return
            above = linux.open_parent(here)
            linux.close_all(here)
            here = above
    finally:
        # A signal may have come between the two lines above.
        linux.close_all(here)
