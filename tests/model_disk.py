"""The edits of :mod:`.model_tree`, of a tree on a disk."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Any

from .model_tree import ModelTree
from .trees import KINDS

FORMATS = {name: kind for kind, name in KINDS.items()}


class Disk:
    """The same edits of a real tree, as the calls that people make."""

    def __init__(self, root: bytes) -> None:
        self.root = root

    def fill(self, tree: ModelTree) -> None:
        """Make an empty directory what the tree is, which has no time that is not set."""
        seen: dict[int, bytes] = {}
        nodes = tree.nodes()
        for path, node in nodes.items():
            first = seen.setdefault(id(node), path)
            if first != path:
                self.link(first, path)
                continue
            self.make(path, node.type, node.value)
            where = self._p(path)
            os.chown(where, node.uid, node.gid, follow_symlinks=False)
            if node.type != "symlink":
                os.chmod(where, node.mode)
            for name, value in node.xattrs.items():
                self.setxattr(path, name, value)
        for path, node in reversed(list(nodes.items())):
            assert node.mtime is not None
            self.utime(path, node.mtime)

    def make(self, path: bytes, type: str, value: Any = None) -> None:
        where = self._p(path)
        if type == "dir":
            os.mkdir(where, 0o755)
        elif type == "symlink":
            os.symlink(value, where)
        elif type == "file":
            self._write(where, os.O_CREAT | os.O_EXCL, 0, value)
        else:
            os.mknod(where, FORMATS[type] | 0o644, 0 if value is None else os.makedev(*value))

    def link(self, source: bytes, path: bytes) -> None:
        os.link(self._p(source), self._p(path), follow_symlinks=False)

    def remove(self, path: bytes) -> None:
        where = self._p(path)
        if stat.S_ISDIR(os.lstat(where).st_mode):
            shutil.rmtree(where)
        else:
            os.unlink(where)

    def rename(self, source: bytes, path: bytes) -> None:
        os.rename(self._p(source), self._p(path))

    def chmod(self, path: bytes, mode: int) -> None:
        os.chmod(self._p(path), mode)

    def chown(self, path: bytes, uid: int, gid: int) -> None:
        os.chown(self._p(path), uid, gid, follow_symlinks=False)

    def utime(self, path: bytes, mtime: int) -> None:
        os.utime(self._p(path), ns=(mtime, mtime), follow_symlinks=False)

    def write(self, path: bytes, data: bytes) -> None:
        self._write(self._p(path), os.O_TRUNC, 0, data)

    def patch(self, path: bytes, at: int, data: bytes) -> None:
        self._write(self._p(path), 0, at, data)

    def truncate(self, path: bytes, size: int) -> None:
        os.truncate(self._p(path), size)

    def setxattr(self, path: bytes, name: str, value: bytes) -> None:
        os.setxattr(self._p(path), name, value, follow_symlinks=False)

    def removexattr(self, path: bytes, name: str) -> None:
        os.removexattr(self._p(path), name, follow_symlinks=False)

    def _p(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def _write(self, where: bytes, flags: int, at: int, data: bytes) -> None:
        fd = os.open(where, os.O_WRONLY | flags, 0o644)
        try:
            if data:
                os.pwrite(fd, data, at)
        finally:
            os.close(fd)
