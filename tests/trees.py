"""Trees on disk for tests: built by fixed rules, read back by a reader that is not the product's.

Every time is fixed: an entry whose mtime is "now" (not set by whoever made it) gets T_LOWER or T_UPPER
when the tree is settled, so two runs give equal trees.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from typing import Any

AnyPath = str | bytes | os.PathLike[str]
Time = tuple[int, int]
"""Seconds and nanoseconds."""

T_LOWER: Time = (1600000000, 111111111)
T_UPPER: Time = (1650000000, 222222222)
A: Time = (1500000000, 123456789)  # two ordinary times, nanoseconds not zero
B: Time = (1550000000, 987654321)
Z: Time = (1500000000, 0)  # same second as A, nanoseconds zero (as unpacked from a ustar tar)
NOW_NS = range(1750000000 * 10**9, 4000000000 * 10**9)  # an mtime in this range is "now": to be settled


def cap(permitted: int) -> bytes:
    """A security.capability value, version 2, with the effective bit (linux/capability.h)."""
    return struct.pack("<IIIII", 0x02000001, permitted & 0xFFFFFFFF, 0, permitted >> 32, 0)


CAP_NET_RAW = cap(1 << 13)
CAP_NET_BIND = cap(1 << 10)


def acl(*entries: tuple[int, int, int | None]) -> bytes:
    """A system.posix_acl_* value from (tag, permissions, id).

    Tags: 1 USER_OBJ, 2 USER, 4 GROUP_OBJ, 8 GROUP, 16 MASK, 32 OTHER (linux/posix_acl_xattr.h).
    """
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, perm, 0xFFFFFFFF if who is None else who) for tag, perm, who in entries
    )


# The mode stays 0644 with this one: MASK 4 shows as the group bits.
ACL_644 = acl((1, 6, None), (2, 4, 1000), (4, 4, None), (16, 4, None), (32, 4, None))
ACL_755 = acl((1, 7, None), (2, 7, 1000), (4, 5, None), (16, 5, None), (32, 5, None))


class Builder:
    """Makes and changes the tree below ``root``; needs root for owners and devices."""

    def __init__(self, root: AnyPath) -> None:
        self.root = os.fsencode(root)

    def p(self, path: AnyPath) -> bytes:
        return os.path.join(self.root, os.fsencode(path))

    def meta(
        self,
        path: AnyPath,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime: Time | None = None,
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        p = self.p(path)
        if uid is not None or gid is not None:
            os.chown(p, -1 if uid is None else uid, -1 if gid is None else gid, follow_symlinks=False)
        if mode is not None and not os.path.islink(p):
            os.chmod(p, mode)
        for name, value in (xattrs or {}).items():
            os.setxattr(p, name, value, follow_symlinks=False)
        if mtime is not None:
            ns = mtime[0] * 10**9 + mtime[1]
            os.utime(p, ns=(ns, ns), follow_symlinks=False)

    def dir(self, path: AnyPath, mode: int = 0o755, **meta: Any) -> None:
        os.mkdir(self.p(path))
        self.meta(path, mode=mode, **meta)

    def dirs(self, *paths: AnyPath) -> None:
        for path in paths:
            self.dir(path)

    def file(self, path: AnyPath, data: AnyPath = b"", mode: int | None = 0o644, **meta: Any) -> None:
        """Create a file, or rewrite it in place."""
        with open(self.p(path), "wb") as file:
            file.write(os.fsencode(data))
        self.meta(path, mode=mode, **meta)

    def symlink(self, path: AnyPath, target: AnyPath, **meta: Any) -> None:
        os.symlink(os.fsencode(target), self.p(path))
        self.meta(path, **meta)

    def link(self, source: AnyPath, path: AnyPath) -> None:
        os.link(self.p(source), self.p(path), follow_symlinks=False)

    def node(
        self, path: AnyPath, kind: int, mode: int = 0o644, rdev: tuple[int, int] = (0, 0), **meta: Any
    ) -> None:
        os.mknod(self.p(path), kind | mode, os.makedev(*rdev))
        self.meta(path, mode=mode, **meta)

    def fifo(self, path: AnyPath, **meta: Any) -> None:
        self.node(path, stat.S_IFIFO, **meta)

    def sock(self, path: AnyPath, **meta: Any) -> None:
        self.node(path, stat.S_IFSOCK, **meta)

    def chr(self, path: AnyPath, rdev: tuple[int, int], **meta: Any) -> None:
        self.node(path, stat.S_IFCHR, rdev=rdev, **meta)

    def blk(self, path: AnyPath, rdev: tuple[int, int], **meta: Any) -> None:
        self.node(path, stat.S_IFBLK, rdev=rdev, **meta)

    def rm(self, path: AnyPath) -> None:
        p = self.p(path)
        if os.path.isdir(p) and not os.path.islink(p):
            shutil.rmtree(p)
        else:
            os.unlink(p)

    def mv(self, source: AnyPath, path: AnyPath) -> None:
        try:
            os.rename(self.p(source), self.p(path))
        except OSError as error:
            if error.errno != errno.EXDEV:  # a lower-layer directory on overlayfs (redirect_dir off)
                raise
            shutil.copytree(os.fsdecode(self.p(source)), os.fsdecode(self.p(path)), symlinks=True)
            shutil.rmtree(self.p(source))

    def deep(self, parts: list[str], make: Callable[[int], None]) -> None:
        """Make a chain of directories, longer than PATH_MAX if need be; ``make`` gets the last one's fd."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        for part in parts:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
            except FileExistsError:
                pass
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        make(fd)
        os.close(fd)

    def settle(self, when: Time) -> None:
        """Give every entry whose mtime is "now" the time ``when``."""
        ns = when[0] * 10**9 + when[1]
        for _, dirs, files, fd in os.fwalk(self.root, topdown=False):
            for name in dirs + files:
                if os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime_ns in NOW_NS:
                    os.utime(name, ns=(ns, ns), dir_fd=fd, follow_symlinks=False)
        if os.stat(self.root).st_mtime_ns in NOW_NS:
            os.utime(self.root, ns=(ns, ns))


KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
}

Row = dict[str, Any]


def read_tree(root: AnyPath) -> list[Row]:
    """Every entry below ``root`` with all its facts, in the order of a changeset; the root as ``.``.

    Names are ``os.fsdecode``d.  The names of one inode carry its first path as ``linkgroup``.
    """
    rows: list[Row] = []
    groups: dict[tuple[int, int], list[Row]] = {}
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path, name, dir_fd in itertools.chain([(b".", b".", fd)], _below(fd, b"")):
            row, inode = _read_entry(path, name, dir_fd)
            rows.append(row)
            if row["type"] != "dir":
                groups.setdefault(inode, []).append(row)
            if dir_fd != fd:
                os.close(dir_fd)
    finally:
        os.close(fd)
    for group in groups.values():
        if len(group) > 1:
            first = min(os.fsencode(row["path"]) for row in group)
            for row in group:
                row["linkgroup"] = os.fsdecode(first)
    rows.sort(key=lambda row: [] if row["path"] == "." else os.fsencode(row["path"]).split(b"/"))
    return rows


def _below(fd: int, above: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Every (path, name, descriptor of the directory it is in) below ``fd``; the caller closes it."""
    for name in map(os.fsencode, os.listdir(fd)):
        path = above + b"/" + name if above else name
        yield path, name, os.dup(fd)
        if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            yield from _below(below, path)
            os.close(below)


def _read_entry(path: bytes, name: bytes, dir_fd: int) -> tuple[Row, tuple[int, int]]:
    facts = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    row: Row = {
        "path": os.fsdecode(path),
        "type": KINDS[stat.S_IFMT(facts.st_mode)],
        "mode": f"{stat.S_IMODE(facts.st_mode):04o}",
        "uid": facts.st_uid,
        "gid": facts.st_gid,
        "mtime": list(divmod(facts.st_mtime_ns, 10**9)),
    }
    if row["type"] == "file":
        row["size"] = facts.st_size
        digest = hashlib.sha256()
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=dir_fd), "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        row["sha256"] = digest.hexdigest()
    elif row["type"] == "symlink":
        row["target"] = os.fsdecode(os.readlink(name, dir_fd=dir_fd))
    elif row["type"] in ("chr", "blk"):
        row["rdev"] = [os.major(facts.st_rdev), os.minor(facts.st_rdev)]
    via = b"/proc/self/fd/%d/%s" % (dir_fd, name)
    xattrs = {
        attribute: os.getxattr(via, attribute, follow_symlinks=False).hex()
        for attribute in sorted(os.listxattr(via, follow_symlinks=False))
        if attribute != "security.selinux"
    }
    if xattrs:
        row["xattrs"] = xattrs
    return row, (facts.st_dev, facts.st_ino)


def without(rows: list[Row], *keys: str) -> list[Row]:
    """The rows less some of their facts."""
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]
