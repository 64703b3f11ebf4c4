"""A directory on disk as a tree, read through directory descriptors.

A name is always looked up in the open directory that holds it, never through a path, so a path may
be longer than PATH_MAX, and a directory that somebody replaces by a symbolic link during the run
leads nowhere (semantics.md rule 3.12).
"""

from __future__ import annotations

import errno
import os

from . import linux
from .compare import is_private
from .content import changed, check_unchanged, unreadable
from .model import DifferError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Stat, Tree

SCRATCH = b"scratch"
"""The argument that stands for an empty tree, as in ``FROM scratch``."""

_OPEN_DIRECTORIES = 64  # descriptors one descent keeps; deeper ones are opened again on the way up


class Descent:
    """The open directories from a root down to the one where one stands.

    ``fd``: the root's descriptor; the descent owns it.
    Only the lowest directories stay open, so depth costs no descriptors.
    """

    def __init__(self, fd: int) -> None:
        self._fds = [fd]
        self._inodes = [_inode(os.fstat(fd))]
        self.names: list[bytes] = []

    @property
    def fd(self) -> int:
        """The current directory."""
        return self._fds[-1]

    @property
    def root_fd(self) -> int:
        """The root, which is always open."""
        return self._fds[0]

    @property
    def inode(self) -> tuple[int, int]:
        """The device and the inode of the current directory."""
        return self._inodes[-1]

    def is_elsewhere(self) -> bool:
        """Whether the current directory is on another file system than the root."""
        return self._inodes[-1][0] != self._inodes[0][0]

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``.

        Raises ``OSError``: ``NotADirectoryError`` if it is none, ``ESTALE`` if it is not the one that
        was ``seen``.
        """
        fd = linux.open_directory(name, self._fds[-1])
        inode = _inode(os.fstat(fd))
        if seen is not None and inode != _inode(seen):
            linux.close_all(fd)
            raise _moved()
        self._fds.append(fd)
        self._inodes.append(inode)
        self.names.append(name)
        far = len(self._fds) - 1 - _OPEN_DIRECTORIES
        if far > 0 and self._fds[far] >= 0:
            linux.close_all(self._fds[far])
            self._fds[far] = -1

    def leave(self) -> None:
        """Step back into the parent.

        Raises ``OSError``, ``ESTALE`` if the current directory has been moved elsewhere since it
        was entered.
        """
        if self._fds[-2] < 0:
            parent = linux.open_parent(self._fds[-1])
            if _inode(os.fstat(parent)) != self._inodes[-2]:
                linux.close_all(parent)
                raise _moved()
            self._fds[-2] = parent
        linux.close_all(self._fds.pop())
        self._inodes.pop()
        self.names.pop()

    def close(self) -> None:
        """Close every directory."""
        while self._fds:
            linux.close_all(self._fds.pop())


def _moved() -> OSError:
    return OSError(errno.ESTALE, "was moved or replaced meanwhile")


def _inode(facts: Stat | os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def steps(standing: list[bytes], wanted: list[bytes]) -> tuple[int, list[bytes]]:
    """How to get from one directory of a tree to another: how often to leave, what to enter then."""
    # Mostly one lies below the other, and both may be very deep.
    if standing == wanted[: len(standing)]:
        return 0, wanted[len(standing) :]
    if wanted == standing[: len(wanted)]:
        return len(standing) - len(wanted), []
    common = 0
    for here, there in zip(standing, wanted):
        if here != there:
            break
        common += 1
    return len(standing) - common, wanted[common:]


class DiskTree:
    """The tree below a directory.

    ``root``: the directory, as the user named it; a symbolic link there is followed, nowhere else.
    ``wanted``: which extended attributes the tree has; by default all that are not private.
    ``fd``: a descriptor of the root, if it is open already; the tree owns it.
    ``ends_at_mounts``: whether a directory on another file system than the root is taken for an empty one, as by
    tar, du and rsync with ``--one-file-system``.
    ``descent``: where it stands.
    Raises :class:`DifferError` if there is no such directory.
    """

    def __init__(
        self,
        root: bytes,
        wanted: Callable[[str], bool] | None = None,
        fd: int = -1,
        ends_at_mounts: bool = False,
    ) -> None:
        self._root = root
        self._ends_at_mounts = ends_at_mounts
        self.wanted = wanted if wanted is not None else is_not_private
        self._avoided: dict[tuple[int, int], str] = {}
        try:
            self.descent = Descent(fd if fd >= 0 else linux.open_root(root))
        except OSError as error:
            raise DifferError(_no_root(error), root) from error

    def again(self) -> DiskTree:
        """A second tree below the same root, with a current directory of its own."""
        try:
            fd = os.dup(self.root_fd)
        except OSError as error:
            raise DifferError(f"cannot be opened: {os_reason(error)}", self._root) from error
        tree = DiskTree(self._root, self.wanted, fd, self._ends_at_mounts)
        tree._avoided = self._avoided
        return tree

    def avoid(self, fd: int, what: str) -> None:
        """Take it for an error to meet the directory ``fd`` in the tree: it is being written.

        ``what``: what to call it.
        """
        self._avoided[_inode(os.fstat(fd))] = what

    def check_here(self) -> None:
        """Raise :class:`DifferError` if the current directory is to be avoided."""
        if self._avoided:
            self._check_avoided(b"", self.descent.inode)

    def check(self, name: bytes, seen: Stat) -> None:
        """Raise :class:`DifferError` if the directory ``name`` in the current one is to be avoided."""
        if self._avoided:
            self._check_avoided(name, _inode(seen))

    def _check_avoided(self, name: bytes, inode: tuple[int, int]) -> None:
        what = self._avoided.get(inode)
        if what is not None:
            raise DifferError(f"is {what}, seen through another mount", self.path(name))

    @property
    def root_fd(self) -> int:
        """The root."""
        return self.descent.root_fd

    @property
    def fd(self) -> int:
        """The current directory."""
        return self.descent.fd

    def depth(self) -> int:
        """How many directories lie between the root and the current one."""
        return len(self.descent.names)

    def path(self, name: bytes = b"") -> bytes:
        """How a message should call ``name`` in the current directory."""
        below = b"/".join([*self.descent.names, name] if name else self.descent.names)
        return self._root.rstrip(b"/") + b"/" + below if below else self._root

    def ends_here(self) -> bool:
        """Whether the tree ends at the current directory, whatever that holds."""
        return self._ends_at_mounts and self.descent.is_elsewhere()

    def names(self) -> list[bytes]:
        """The names in the current directory, in byte order."""
        if self.ends_here():
            return []
        try:
            return linux.list_names(self.descent.fd)
        except OSError as error:
            raise self._unreadable(error, b"") from error

    def stat(self, name: bytes) -> Stat:
        """The facts of ``name`` in the current directory."""
        try:
            return os.stat(name, dir_fd=self.descent.fd, follow_symlinks=False)
        except OSError as error:
            raise self._unreadable(error, name) from error

    def find(self, name: bytes) -> Stat | None:
        """The facts of ``name`` in the current directory; None if there is no such name."""
        try:
            return os.stat(name, dir_fd=self.descent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error, name) from error

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``, which must still be the one that was ``seen``."""
        if seen is not None:
            self.check(name, seen)
        try:
            self.descent.enter(name, seen)
        except OSError as error:
            raise self._unreadable(error, name) from error

    def leave(self) -> None:
        """Step back into the parent of the current directory."""
        try:
            self.descent.leave()
        except OSError as error:
            raise self._unreadable(error, b"") from error

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        seek(self, self.descent.names, parents)

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        """The extended attributes of ``name`` that the tree has."""
        try:
            return linux.read_xattrs(self.descent.fd, name, self.wanted)
        except OSError as error:
            raise self._unreadable(error, name) from error

    def target(self, name: bytes) -> bytes:
        """Where the symbolic link ``name`` points."""
        try:
            return os.readlink(name, dir_fd=self.descent.fd)
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is no symbolic link any more
                raise changed(self.path(name)) from error
            raise self._unreadable(error, name) from error

    def open(self, name: bytes, facts: Stat) -> int:
        """A descriptor to read the regular file ``name``, which must still have ``facts``."""
        try:
            fd = linux.open_file(name, self.descent.fd)
        except OSError as error:
            raise self._unreadable(error, name) from error
        try:
            check_unchanged(fd, facts, self.path(name))
            if not facts.st_size and linux.holds_more(fd, 0):
                # Nobody knows where such a file ends, and some never do.
                raise DifferError(
                    "holds bytes though its size is 0, as files of /proc do;"
                    " leave it out (--ignore, --one-file-system)",
                    self.path(name),
                )
        except OSError as error:
            linux.close_all(fd)
            raise self._unreadable(error, name) from error
        except DifferError:
            linux.close_all(fd)
            raise
        return fd

    def close(self) -> None:
        """Close every directory."""
        self.descent.close()

    def _unreadable(self, error: OSError, name: bytes) -> DifferError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE):
            return DifferError(
                "vanished or was replaced while the tree was read; run again when nothing writes to it",
                self.path(name),
            )
        return unreadable(error, self.path(name))


def seek(tree: Tree | Descent, standing: list[bytes], parents: list[bytes]) -> None:
    """Move a tree or a descent from the directory ``standing`` to the directory ``parents``."""
    if standing == parents:
        return
    up, down = steps(standing, parents)
    for _ in range(up):
        tree.leave()
    for name in down:
        tree.enter(name)


def is_not_private(xattr: str) -> bool:
    """Whether an attribute belongs to the tree itself."""
    return not is_private(xattr)


def _no_root(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "no such directory (for an empty LOWER write scratch)"
    if error.errno == errno.ENOTDIR:
        return "is not a directory; differ compares two directory trees"
    return f"cannot be opened: {os_reason(error)}"


class EmptyTree:
    """The tree ``scratch``: a root and nothing in it."""

    def again(self) -> EmptyTree:
        """Itself: there is nowhere to stand but the root."""
        return self

    def names(self) -> list[bytes]:
        """None."""
        return []

    def find(self, name: bytes) -> Stat | None:
        """None: there is no such name."""
        return None

    def stat(self, name: bytes) -> Stat:
        """Nothing can be asked of a name that is not there; nor can the methods below."""
        raise LookupError(name)

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """See :meth:`stat`."""
        raise LookupError(name)

    def leave(self) -> None:
        """See :meth:`stat`."""
        raise LookupError

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        """See :meth:`stat`."""
        raise LookupError(name)

    def target(self, name: bytes) -> bytes:
        """See :meth:`stat`."""
        raise LookupError(name)

    def open(self, name: bytes, facts: Stat) -> int:
        """See :meth:`stat`."""
        raise LookupError(name)

    def path(self, name: bytes = b"") -> bytes:
        """How a message should call it."""
        return SCRATCH

    def depth(self) -> int:
        """Always at the root."""
        return 0

    def seek(self, parents: list[bytes]) -> None:
        """There is only the root."""
        if parents:
            raise LookupError(parents[0])

    def close(self) -> None:
        """Nothing is open."""
