"""The layers of an image as one tree, without unpacking them to a disk.

Layers are applied in order (image-spec layer.md): an entry replaces what was there, unless both are directories; a
whiteout removes what lower layers have, and nothing of its own layer.  A name leads where it would in the image's own
root: a symbolic link among its parents is followed inside the tree, and refused where it leads out of it.

An inode is known by the layer and the member that it comes from (``st_dev`` is negative, so it is never one of a
disk): two images with a layer in common have the inodes of that layer in common, and those need no comparison.
Memory grows with the number of entries.
"""

from __future__ import annotations

from stat import S_IFDIR, S_IFLNK, S_ISDIR, S_ISLNK

from .model import DifferError
from .scan import is_not_private, seek
from .whiteout import OPAQUE_NAME, PREFIX, STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Stat
    from .tarball import Member, Tarball

_LONGEST_NAME = 255  # bytes, NAME_MAX
_LONGEST_TARGET = 4095  # bytes, PATH_MAX less its NUL
_LINKS = 40  # symbolic links in one path, as the kernel has it (path_resolution(7))
_HIDES = STYLES["oci"].hides


class _NoDirectoryError(DifferError):
    """A name below something that is no directory."""


class Node:
    """An inode of an image; for its facts see :class:`.model.Stat`.

    ``children``: of a directory.  ``source``: of a regular file, where its bytes are.
    ``layer``: the number of the layer that it comes from.
    """

    __slots__ = (
        *(
            "children",
            "layer",
            "parts",
            "source",
            "st_blocks",
            "st_dev",
            "st_gid",
            "st_ino",
            "st_mode",
            "st_mtime_ns",
        ),
        *("st_nlink", "st_rdev", "st_size", "st_uid", "target", "xattrs"),
    )

    def __init__(self, inode: tuple[int, int], mode: int, layer: int) -> None:
        self.st_dev, self.st_ino = inode
        self.st_mode = mode
        self.layer = layer
        self.st_uid = self.st_gid = self.st_size = self.st_mtime_ns = self.st_rdev = self.st_blocks = 0
        self.st_nlink = 0
        self.xattrs: dict[str, bytes] = {}
        self.target = b""
        self.children: dict[bytes, Node] = {}
        self.source: Tarball | None = None
        self.parts: list[tuple[int, int, int]] = []

    def take(self, member: Member, source: Tarball, wanted: Callable[[str], bool]) -> None:
        """Take the facts of a member, which is no hard link."""
        self.st_mode = member.type | member.mode
        self.st_uid, self.st_gid, self.st_size = member.uid, member.gid, member.size
        self.st_mtime_ns, self.st_rdev = member.mtime_ns, member.rdev
        self.target = member.target
        if member.type == S_IFLNK:
            self.st_mode = S_IFLNK | 0o777  # which no system call changes on Linux
            self.st_size = len(member.target)
        self.xattrs = {name: value for name, value in member.xattrs.items() if wanted(name)}
        self.source, self.parts = source, member.parts
        # Files with holes have fewer blocks than their size needs.
        self.st_blocks = sum(-(-count // 512) for _, _, count in member.parts)


class Layers:
    """The root of an image, as its layers are applied.

    ``wanted``: which extended attributes count.
    ``raw``: whether whiteouts are entries like others: for a layer that is to be applied to something.
    """

    def __init__(self, wanted: Callable[[str], bool] = is_not_private, raw: bool = False) -> None:
        self._wanted = wanted
        self._raw = raw
        self._count = 0
        # Hard links of this layer, by the directory that they are in: the inode may be of a lower layer.
        self._links: set[tuple[int, bytes]] = set()
        self.root = Node((-1, 0), S_IFDIR | 0o755, 0)

    def apply(self, source: Tarball, device: int) -> None:
        """Apply a layer.

        ``device``: a negative number that no layer with other content has; not -1.
        Raises :class:`DifferError` for a layer that is damaged or leads out of the tree.
        """
        self._count += 1
        self._links.clear()
        for number, member in enumerate(source.members()):
            self._add(member, source, (device, number))

    def finish(self) -> Node:
        """The root; nothing may be applied after."""
        pending = [self.root]
        while pending:
            for child in pending.pop().children.values():
                child.st_nlink += 1
                if S_ISDIR(child.st_mode):
                    pending.append(child)
        return self.root

    def _add(self, member: Member, source: Tarball, inode: tuple[int, int]) -> None:
        names = _names(member.name)
        if names is None:
            raise source.refused(member.name, "leads out of the tree")
        if not names:
            if member.type != S_IFDIR:
                raise source.refused(member.name, "has no name")
            return  # the root's own facts belong to nobody
        *parents, name = names
        try:
            directory = self._resolve(parents, make=True)
            if not self._raw and name.startswith(PREFIX):
                hidden = _HIDES(name, self.root)
                if hidden is not None:
                    self._hide(directory, hidden)
                    return
            # The whiteout of a long name is longer than any name.
            _check_length(name.removeprefix(PREFIX))
            self._place(directory, name, member, source, inode)
        except _NoDirectoryError as error:
            # umoci removes one by one what was below a directory that is a file now.
            if not name.startswith(PREFIX):
                raise source.refused(member.name, error.reason) from error
        except DifferError as error:
            raise source.refused(member.name, error.reason) from error

    def _place(
        self, directory: Node, name: bytes, member: Member, source: Tarball, inode: tuple[int, int]
    ) -> None:
        there = directory.children.get(name)
        if not member.type:
            node = self._linked(member.target)
            if node is None:
                raise DifferError(
                    f"is a hard link to {member.target!r}, which is no file of this or a lower layer"
                )
            if node is there:
                return
            self._links.add((id(directory), name))
        elif member.type == S_IFDIR and there is not None and S_ISDIR(there.st_mode):
            node = there
            node.st_dev, node.st_ino = inode
            node.layer = self._count
            node.take(member, source, self._wanted)
        else:
            if len(member.target) > _LONGEST_TARGET:
                raise DifferError("has a target that no symbolic link can have")
            node = Node(inode, 0, self._count)
            node.take(member, source, self._wanted)
        directory.children[name] = node

    def _linked(self, target: bytes) -> Node | None:
        """What a hard link leads to."""
        names = _names(target)
        if names is None:
            raise DifferError(f"is a hard link to {target!r}, which leads out of the tree")
        if not names:
            return None
        *parents, name = names
        node = self._resolve(parents, make=False).children.get(name)
        return None if node is None or S_ISDIR(node.st_mode) else node

    def _resolve(self, parents: list[bytes], make: bool) -> Node:
        """The directory with this path.

        ``make``: whether directories that are missing are made, as every program does that unpacks a layer.
        """
        path = [self.root]
        left = parents[::-1]
        links = 0
        while left:
            name = left.pop()
            if name == b"..":  # of a symbolic link
                if len(path) == 1:
                    raise DifferError("goes through a symbolic link that leads out of the tree")
                path.pop()
                continue
            node = path[-1].children.get(name)
            if node is None and make:
                _check_length(name)
                node = Node((-1, 0), S_IFDIR | 0o755, self._count)
                path[-1].children[name] = node
            if node is None:
                raise DifferError("is a hard link into a directory that is not there")
            if S_ISLNK(node.st_mode):
                links += 1
                if links > _LINKS:
                    raise DifferError("goes through too many symbolic links")
                if node.target.startswith(b"/"):
                    del path[1:]
                left += [part for part in reversed(node.target.split(b"/")) if part not in (b"", b".")]
            elif S_ISDIR(node.st_mode):
                path.append(node)
            else:
                raise _NoDirectoryError("stands below something that is no directory")
        return path[-1]

    def _hide(self, directory: Node, hidden: bytes) -> None:
        """Remove what lower layers have of a name, or of all names."""
        for name in [*directory.children] if hidden == OPAQUE_NAME else [hidden] if hidden else []:
            node = directory.children.get(name)
            if node is None or (id(directory), name) in self._links:
                continue
            if not self._is_kept(node):
                del directory.children[name]

    def _is_kept(self, root: Node) -> bool:
        """Remove what is below a node and not of this layer; whether anything is left."""
        pending = [(root, False)]
        while pending:
            node, is_left = pending.pop()
            if is_left:
                for name, child in [*node.children.items()]:
                    if child.layer != self._count and not child.children:
                        if (id(node), name) not in self._links:
                            del node.children[name]
            elif S_ISDIR(node.st_mode):
                pending.append((node, True))
                pending += [(child, False) for child in node.children.values()]
        return root.layer == self._count or bool(root.children)


def _check_length(name: bytes) -> None:
    if len(name) > _LONGEST_NAME:
        raise DifferError("has a name that no directory can hold")


def _names(path: bytes) -> list[bytes] | None:
    """The names in a path below the root; None if it may lead elsewhere."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    return None if path.startswith(b"/") or b".." in names else names


class LayeredTree:
    """An image as a tree (:class:`.model.Tree`).

    ``shown``: what to call it.  ``root``: its root.
    """

    def __init__(self, shown: bytes, root: Node) -> None:
        self._shown = shown
        self._path = [root]
        self._names: list[bytes] = []

    def again(self) -> LayeredTree:
        """A second tree with the same root, with a current directory of its own."""
        return LayeredTree(self._shown, self._path[0])

    def names(self) -> list[bytes]:
        """The names in the current directory, in byte order."""
        return sorted(self._path[-1].children)

    def stat(self, name: bytes) -> Stat:
        """The facts of ``name`` in the current directory."""
        return self._path[-1].children[name]

    def find(self, name: bytes) -> Stat | None:
        """The facts of ``name`` in the current directory; None if there is no such name."""
        return self._path[-1].children.get(name)

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``."""
        self._path.append(self._path[-1].children[name])
        self._names.append(name)

    def leave(self) -> None:
        """Step back into the parent of the current directory."""
        self._path.pop()
        self._names.pop()

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        seek(self, self._names, parents)

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        """The extended attributes of ``name``."""
        return self._path[-1].children[name].xattrs

    def target(self, name: bytes) -> bytes:
        """Where the symbolic link ``name`` points."""
        return self._path[-1].children[name].target

    def open(self, name: bytes, facts: Stat) -> int:
        """A descriptor to read the regular file ``name``."""
        node = self._path[-1].children[name]
        if node.source is None:
            raise AssertionError("a regular file without bytes")
        return node.source.open(node.st_size, node.parts, self.path(name))

    def path(self, name: bytes = b"") -> bytes:
        """How a message should call ``name`` in the current directory."""
        below = b"/".join([*self._names, name] if name else self._names)
        return self._shown + b"/" + below if below else self._shown

    def depth(self) -> int:
        """How many directories lie between the root and the current one."""
        return len(self._names)

    def close(self) -> None:
        """Nothing is open here: the tarballs belong to who opened them."""
