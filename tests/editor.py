"""What people do to a tree that is there already, as single calls."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Any

from .trees import AnyPath, Builder


class Editor(Builder):
    """A builder that can do what people do to a tree that is there already."""

    def sparse(self, path: AnyPath, size: int, at: int, data: bytes, **meta: Any) -> None:
        """A file that is a hole but for ``data``."""
        with open(self.p(path), "wb") as file:
            file.truncate(size)
            file.seek(at)
            file.write(data)
        self.meta(path, **meta)

    def flip(self, path: AnyPath) -> None:
        """Change the last byte of a file in place; its size and time tell nothing."""
        facts = os.stat(self.p(path))
        if facts.st_size:
            with open(self.p(path), "r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last[0] ^ 1]))
            os.utime(self.p(path), ns=(facts.st_mtime_ns, facts.st_mtime_ns))

    def strip(self, path: AnyPath) -> None:
        """Take all extended attributes."""
        for name in os.listxattr(self.p(path), follow_symlinks=False):
            os.removexattr(self.p(path), name, follow_symlinks=False)

    def again(self, path: AnyPath) -> None:
        """A new inode that looks like the old one, linked with nothing."""
        source, target = self.p(b"~old"), self.p(path)
        os.rename(target, source)
        facts = os.lstat(source)
        if stat.S_ISREG(facts.st_mode):
            shutil.copyfile(source, target)
        elif stat.S_ISLNK(facts.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, facts.st_mode, facts.st_rdev)
        copy_facts(source, target)
        os.unlink(source)

    def recreate(self, path: AnyPath, kept: list[bytes]) -> None:
        """A new directory that looks like the old one, with some of its children."""
        source, target = self.p(b"~old"), self.p(path)
        os.rename(target, source)
        os.mkdir(target)
        for name in kept:
            os.rename(os.path.join(source, name), os.path.join(target, name))
        copy_facts(source, target)
        shutil.rmtree(source)

    def join(self, source: AnyPath, path: AnyPath) -> None:
        """Make a name another one of ``source``'s."""
        self.rm(path)
        self.link(source, path)

    def swap(self, path: AnyPath, other: AnyPath) -> None:
        """Exchange two names."""
        self.mv(path, b"~old")
        self.mv(other, path)
        self.mv(b"~old", other)


def copy_facts(source: bytes, target: bytes) -> None:
    """Give ``target`` the owner, mode, attributes and time of ``source``, and no others."""
    facts = os.lstat(source)
    os.chown(target, facts.st_uid, facts.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(facts.st_mode):
        os.chmod(target, stat.S_IMODE(facts.st_mode))
    wanted = os.listxattr(source, follow_symlinks=False)
    for name in os.listxattr(target, follow_symlinks=False):
        if name not in wanted:
            os.removexattr(target, name, follow_symlinks=False)
    for name in wanted:
        value = os.getxattr(source, name, follow_symlinks=False)
        os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(facts.st_mtime_ns, facts.st_mtime_ns), follow_symlinks=False)


def link_copy(source: bytes, target: bytes) -> None:
    """Fill ``target`` with the tree ``source``: new directories, the same files."""
    for name in os.listdir(source):
        inner, copy = os.path.join(source, name), os.path.join(target, name)
        if stat.S_ISDIR(os.lstat(inner).st_mode):
            os.mkdir(copy)
            link_copy(inner, copy)
            copy_facts(inner, copy)
        else:
            os.link(inner, copy, follow_symlinks=False)
