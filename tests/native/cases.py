"""The pairs of trees whose difference BuildKit's DiffOp was measured on (golden/ holds its results).

Each case is a description, how LOWER is built, and how it is changed into UPPER.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..trees import ACL_644, ACL_755, CAP_NET_BIND, CAP_NET_RAW, T_LOWER, T_UPPER, A, B, Builder, Z

Step = Callable[[Builder], Any]

CASES: dict[str, tuple[str, Step, Step]] = {}


def nop(t: Builder) -> None:
    pass


def simple(name: str, desc: str, lower: Step, mutate: Step) -> None:
    CASES[name] = (desc, lower, mutate)


def base(t: Builder) -> None:
    """a little tree which most cases start from"""
    t.dirs("etc", "usr", "usr/bin", "usr/share", "usr/share/doc", "var")
    t.file("etc/passwd", "root:x:0:0\n")
    t.file("etc/hosts", "127.0.0.1 localhost\n", mtime=Z)
    t.file("usr/bin/tool", "ELF...", mode=0o755)
    t.file("usr/share/doc/readme", "read me\n")
    t.file("usr/share/doc/licence", "free\n", mtime=Z)
    t.symlink("usr/bin/t", "tool")


# ---------------------------------------------------------------- plain add / remove / modify
simple("identical", "no difference at all", base, nop)
simple(
    "add_file",
    "one regular file added in an existing directory",
    base,
    lambda t: t.file("usr/bin/new", "new", mode=0o755),
)
simple("add_empty_file", "zero-length file added", base, lambda t: t.file("var/empty", ""))
simple(
    "remove_file", "one file removed from a nested directory", base, lambda t: t.rm("usr/share/doc/readme")
)
simple(
    "remove_file_root",
    "one file removed from the root",
    lambda t: (t.file("a", "a"), t.file("b", "b")),
    lambda t: t.rm("a"),
)
simple(
    "modify_size",
    "content and size and mtime changed",
    base,
    lambda t: t.file("etc/passwd", "root:x:0:0\nu:x:1:1\n"),
)
simple(
    "modify_same_size",
    "content and mtime changed, size equal",
    base,
    lambda t: t.file("etc/passwd", "ROOT:x:0:0\n"),
)

# ---------------------------------------------------------------- time rules
simple(
    "content_same_mtime_ns",
    "content differs; size, mtime equal, ns not zero",
    lambda t: t.file("f", "aaaa", mtime=A),
    lambda t: t.file("f", "bbbb", mtime=A),
)
simple(
    "content_ns_lower_zero",
    "content differs; same second; ns zero only in lower",
    lambda t: t.file("f", "aaaa", mtime=Z),
    lambda t: t.file("f", "bbbb", mtime=A),
)
simple(
    "same_content_ns_lower_zero",
    "content equal; same second; ns zero only in lower",
    lambda t: t.file("f", "aaaa", mtime=Z),
    lambda t: t.file("f", "aaaa", mtime=A),
)
simple("mtime_only_file", "file mtime (seconds) only", base, lambda t: t.meta("etc/passwd", mtime=B))
simple(
    "mtime_only_zero_ns",
    "file mtime (seconds) only, ns zero on both",
    lambda t: t.file("f", "aaaa", mtime=Z),
    lambda t: t.meta("f", mtime=(Z[0] + 1, 0)),
)
simple(
    "mtime_only_empty_file",
    "empty file, mtime seconds only",
    lambda t: t.file("f", "", mtime=A),
    lambda t: t.meta("f", mtime=B),
)
simple("mtime_only_dir", "directory mtime only", base, lambda t: t.meta("usr/share", mtime=B))
simple("mtime_only_symlink", "symlink mtime only", base, lambda t: t.meta("usr/bin/t", mtime=B))
simple(
    "rewrite_identical_same_mtime",
    "file replaced by a new inode with equal bytes, metadata and mtime",
    lambda t: (t.file("f", "aaaa", mtime=A), t.file("g", "aaaa", mtime=Z)),
    lambda t: (t.rm("f"), t.file("f", "aaaa", mtime=A), t.rm("g"), t.file("g", "aaaa", mtime=Z)),
)
simple(
    "ns_rounding",
    "added file with .999999999 s: truncated or rounded?",
    nop,
    lambda t: t.file("f", "f", mtime=(1500000000, 999999999)),
)
simple(
    "huge_mtime",
    "mtime after 2242 (beyond 33 bits) on added file and dir",
    nop,
    lambda t: (
        t.file("f", "f"),
        t.dir("d"),
        t.meta("f", mtime=(9000000000, 999999999)),
        t.meta("d", mtime=(9000000000, 5)),
    ),
)

# ---------------------------------------------------------------- mode, owner
simple(
    "mode_dir", "directory mode only; its children unchanged", base, lambda t: t.meta("usr/share", mode=0o700)
)
simple("uid_file", "file uid only", base, lambda t: t.meta("etc/passwd", uid=1000))
simple("gid_file", "file gid only", base, lambda t: t.meta("etc/passwd", gid=1000))
simple("owner_dir", "directory uid and gid only", base, lambda t: t.meta("usr/share", uid=1000, gid=1001))
simple(
    "mode_zero",
    "mode 0000 dir holding a changed child; mode 0000 file added",
    lambda t: (t.dir("d"), t.file("d/f", "a"), t.meta("d", mode=0)),
    lambda t: (t.file("d/f", "bb"), t.file("z", "z", mode=0)),
)

# ---------------------------------------------------------------- xattrs
simple(
    "xattr_user_add",
    "user.* xattr added, nothing else",
    base,
    lambda t: t.meta("etc/passwd", xattrs={"user.k": b"v"}),
)
simple(
    "xattr_user_change",
    "user.* xattr value changed, nothing else",
    lambda t: t.file("f", "f", xattrs={"user.k": b"1"}, mtime=A),
    lambda t: t.meta("f", xattrs={"user.k": b"2"}),
)
simple(
    "xattr_capability_add",
    "security.capability added, nothing else",
    base,
    lambda t: t.meta("usr/bin/tool", xattrs={"security.capability": CAP_NET_RAW}),
)
simple(
    "xattr_capability_change",
    "security.capability changed, nothing else",
    lambda t: t.file("f", "f", mode=0o755, xattrs={"security.capability": CAP_NET_RAW}, mtime=A),
    lambda t: t.meta("f", xattrs={"security.capability": CAP_NET_BIND}),
)
simple(
    "acl_add_same_mode",
    "POSIX access ACL added, mode bits as before",
    base,
    lambda t: t.meta("etc/passwd", xattrs={"system.posix_acl_access": ACL_644}),
)
simple(
    "xattrs_on_added",
    "added file, dir and symlink carry xattrs (binary value with NUL and newline too)",
    nop,
    lambda t: (
        t.file(
            "f",
            "f",
            xattrs={
                "user.k": b"v",
                "user.bin": b"\x00\n=\xff",
                "user.empty": b"",
                "trusted.k": b"v",
                "security.capability": CAP_NET_RAW,
                "system.posix_acl_access": ACL_644,
            },
        ),
        t.dir(
            "d",
            xattrs={
                "user.k": b"v",
                "trusted.k": b"v",
                "system.posix_acl_access": ACL_755,
                "system.posix_acl_default": ACL_755,
            },
        ),
        t.symlink("l", "f", xattrs={"trusted.k": b"v"}),
    ),
)
simple(
    "xattr_parent",
    "unchanged parent directory with user. and ACL xattrs, changed child",
    lambda t: (
        t.dir("d", mode=0o750, uid=7, gid=8, xattrs={"user.k": b"v", "system.posix_acl_default": ACL_755}),
        t.file("d/f", "a"),
    ),
    lambda t: t.file("d/f", "bb"),
)

# ---------------------------------------------------------------- symlinks
simple(
    "symlink_target_same_len_ns",
    "symlink target changed, same length, same mtime, ns not zero",
    lambda t: t.symlink("l", "aaaa", mtime=A),
    lambda t: (t.rm("l"), t.symlink("l", "bbbb", mtime=A)),
)
simple(
    "symlink_kinds",
    "added symlinks: dangling, absolute, loop, to dir, to .., 300 byte target, empty-looking",
    base,
    lambda t: (
        t.symlink("dangling", "nowhere"),
        t.symlink("abs", "/etc/passwd"),
        t.symlink("loop", "loop"),
        t.symlink("todir", "usr/share"),
        t.symlink("up", "../../.."),
        t.symlink("long", "x/" * 150 + "y"),
        t.symlink("sp", " "),
    ),
)


# ---------------------------------------------------------------- type changes
def types(t: Builder) -> None:
    t.dirs("d", "d/sub")
    t.file("d/x", "x")
    t.file("d/sub/y", "y")
    t.file("f", "f")
    t.symlink("l", "d")


simple(
    "file_to_dir",
    "file becomes a directory with a child",
    types,
    lambda t: (t.rm("f"), t.dir("f"), t.file("f/c", "c")),
)
simple(
    "dir_to_file",
    "directory with nested children becomes a file",
    types,
    lambda t: (t.rm("d"), t.file("d", "now a file")),
)
simple(
    "symlink_to_dir",
    "symlink to dir becomes a real directory with a child",
    types,
    lambda t: (t.rm("l"), t.dir("l"), t.file("l/c", "c")),
)
simple(
    "symlink_to_file",
    "symlink becomes the file it pointed to",
    base,
    lambda t: (t.rm("usr/bin/t"), t.file("usr/bin/t", "ELF...", mode=0o777)),
)

# ---------------------------------------------------------------- directories
simple(
    "remove_nested",
    "files at several depths removed, directories stay (one becomes empty)",
    base,
    lambda t: (
        t.rm("usr/share/doc/readme"),
        t.rm("usr/share/doc/licence"),
        t.rm("etc/hosts"),
        t.rm("usr/bin/t"),
    ),
)
simple(
    "remove_and_parent_mode",
    "child removed and its directory chmodded",
    base,
    lambda t: (t.rm("usr/share/doc/readme"), t.meta("usr/share/doc", mode=0o700)),
)
simple(
    "recreate_dir",
    "directory removed and made again with other content (opaque in overlayfs)",
    base,
    lambda t: (t.rm("usr/share"), t.dir("usr/share"), t.file("usr/share/only", "only")),
)
simple(
    "recreate_dir_overlap",
    "directory removed and made again: one child new, one with the same name changed, one with equal metadata",
    base,
    lambda t: (
        t.rm("usr/share/doc"),
        t.dir("usr/share/doc"),
        t.file("usr/share/doc/readme", "other text\n"),
        t.file("usr/share/doc/licence", "free\n", mtime=Z),
        t.file("usr/share/doc/extra", "x"),
    ),
)
simple(
    "recreate_dir_empty",
    "directory with children removed and made again empty",
    base,
    lambda t: (t.rm("usr/share"), t.dir("usr/share")),
)
simple("empty_dir_remove", "empty directory removed", base, lambda t: t.rm("var"))
simple(
    "parent_meta",
    "changed file below three unchanged directories with distinct metadata",
    lambda t: (
        t.dir("a", mode=0o711, uid=1, gid=2),
        t.dir("a/b", mode=0o1777, uid=3, gid=4),
        t.dir("a/b/c", mode=0o2750, uid=5, gid=6),
        t.file("a/b/c/f", "f", mtime=A),
        t.meta("a", mtime=A),
        t.meta("a/b", mtime=B),
        t.meta("a/b/c", mtime=Z),
        t.file("a/b/other", "o", mtime=A),
        t.meta("a/b", mtime=B),
    ),
    lambda t: t.file("a/b/c/f", "g", mode=None),
)
simple(
    "whiteout_parent_meta",
    "file removed below unchanged directories with distinct metadata; their mtimes reset",
    lambda t: (
        t.dir("a", mode=0o711, uid=1, gid=2),
        t.dir("a/b", mode=0o1777, uid=3, gid=4),
        t.file("a/b/f", "f", mtime=A),
        t.file("a/b/g", "g", mtime=A),
        t.meta("a/b", mtime=B),
        t.meta("a", mtime=A),
    ),
    lambda t: (t.rm("a/b/f"), t.meta("a/b", mtime=B)),
)
simple(
    "dir_mtime_from_child",
    "child added, directory mtime put back to the old value",
    lambda t: (t.dir("d"), t.file("d/x", "x"), t.meta("d", mtime=A)),
    lambda t: (t.file("d/y", "y"), t.meta("d", mtime=A)),
)
simple(
    "child_added_then_gone",
    "only directory mtimes differ (a child was made and removed)",
    base,
    lambda t: (t.file("var/tmp", ""), t.rm("var/tmp")),
)
simple("rename_dir", "directory tree renamed", base, lambda t: t.mv("usr/share", "usr/shared"))
simple(
    "rename_file",
    "file renamed in place (same inode, same metadata)",
    base,
    lambda t: t.mv("etc/passwd", "etc/passwd-"),
)
simple(
    "swap_files",
    "two files of equal size and equal mtime exchanged",
    lambda t: (t.file("a", "aaaa", mtime=A), t.file("b", "bbbb", mtime=A)),
    lambda t: (t.mv("a", "c"), t.mv("b", "a"), t.mv("c", "b")),
)
simple(
    "order",
    "added names which sort differently by path string and by component",
    lambda t: t.dirs("a", "a.b"),
    lambda t: (
        t.file("a/z", "1"),
        t.file("a-x", "2"),
        t.file("a.b/q", "3"),
        t.file("a0", "4"),
        t.dir("A"),
        t.file("A/y", "5"),
        t.file("a b", "6"),
        t.file("a!", "7"),
        t.file("\u00e4", "8"),
    ),
)


# ---------------------------------------------------------------- hard links
def hl(t: Builder) -> None:
    t.dir("d")
    t.file("a", "data", mtime=A)
    t.link("a", "d/b")
    t.link("a", "z")
    t.file("other", "o", mtime=A)


simple(
    "hl_add_group",
    "three new names for one new inode, over two directories",
    base,
    lambda t: (t.file("etc/h1", "hard"), t.link("etc/h1", "usr/bin/h2"), t.link("etc/h1", "var/h0")),
)
simple(
    "hl_add_to_unchanged_after",
    "new link to an unchanged file; new name sorts after it",
    lambda t: t.file("a", "data", mtime=A),
    lambda t: t.link("a", "b"),
)
simple(
    "hl_add_to_unchanged_dirs",
    "new link to an unchanged file, in another directory, both in unchanged directories",
    base,
    lambda t: t.link("usr/share/doc/readme", "etc/readme"),
)
simple("hl_remove_one", "one of three links removed", hl, lambda t: t.rm("d/b"))
simple(
    "hl_replace_one",
    "one of three links replaced by a separate changed file",
    hl,
    lambda t: (t.rm("d/b"), t.file("d/b", "changed")),
)
simple(
    "hl_join_identical",
    "two files with equal bytes and metadata become one inode",
    lambda t: (t.file("a", "data", mtime=A), t.file("b", "data", mtime=A)),
    lambda t: (t.rm("b"), t.link("a", "b")),
)
simple(
    "hl_content",
    "content changed through the shared inode (three links)",
    hl,
    lambda t: t.file("a", "changed data", mode=None),
)
simple("hl_mode", "mode changed on the shared inode (three links)", hl, lambda t: t.meta("a", mode=0o600))
simple(
    "hl_symlink",
    "hard-linked symlink added",
    base,
    lambda t: (t.symlink("etc/l1", "hosts"), t.link("etc/l1", "etc/l2")),
)
simple(
    "hl_add_between",
    "two unchanged links a and z get a third link m",
    lambda t: (t.file("a", "data", mtime=A), t.link("a", "z")),
    lambda t: t.link("a", "m"),
)
simple(
    "hl_capability",
    "new hard link pair with security.capability",
    base,
    lambda t: (
        t.file("etc/h1", "hard", xattrs={"security.capability": CAP_NET_RAW}),
        t.link("etc/h1", "etc/h2"),
    ),
)

# ---------------------------------------------------------------- special files
simple(
    "special_add",
    "fifo, char 1/3, block 7/0 added",
    base,
    lambda t: (
        t.fifo("var/p", mode=0o600),
        t.chr("var/null", (1, 3), mode=0o666),
        t.blk("var/loop0", (7, 0), mode=0o660, gid=6),
    ),
)
simple(
    "special_unchanged",
    "fifo, socket, devices and a symlink unchanged, ns zero (must not be opened)",
    lambda t: (
        t.fifo("p", mtime=Z),
        t.sock("s", mtime=Z),
        t.chr("c", (5, 0), mtime=Z),
        t.blk("b", (7, 9), mtime=Z),
        t.symlink("l", "x", mtime=Z),
        t.file("f", "f", mtime=Z),
    ),
    nop,
)
simple(
    "dev_rdev",
    "char device number changed, mtime equal",
    lambda t: t.chr("c", (1, 3), mtime=A),
    lambda t: (t.rm("c"), t.chr("c", (1, 5), mtime=A)),
)
simple("socket_add", "socket added in an unchanged directory", base, lambda t: t.sock("var/s"))
simple(
    "socket_replaces_file",
    "file becomes a socket",
    base,
    lambda t: (t.rm("etc/passwd"), t.sock("etc/passwd")),
)
simple("chr00_add", "char device 0/0 added where nothing was", base, lambda t: t.chr("var/w", (0, 0), mode=0))
simple(
    "chr00_replaces_file",
    "file becomes a char device 0/0",
    base,
    lambda t: (t.rm("etc/passwd"), t.chr("etc/passwd", (0, 0), mode=0)),
)


def write_deep(fd: int, name: str) -> None:
    with open(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd), "w") as file:
        file.write("deep")


def sparse(t: Builder, tail: bytes) -> None:
    with open(t.p("sparse"), "wb") as f:
        f.truncate(4 << 20)
        f.seek(1 << 20)
        f.write(b"data")
        f.seek((4 << 20) - 1)
        f.write(tail)


simple("sparse_add", "sparse file added (4 MiB, two data islands)", base, lambda t: sparse(t, b"e"))
simple(
    "sparse_modify",
    "sparse file, last byte changed, mtime changed",
    lambda t: sparse(t, b"e"),
    lambda t: sparse(t, b"f"),
)

# ---------------------------------------------------------------- names
NAMES = [
    b"new\nline",
    b"tab\t",
    b"back\\slash",
    b"-rf",
    b"--",
    b" lead",
    b"trail ",
    b"quote\"'",
    b"*?[x]",
    b"#c",
    b"%41",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"bad\xff\xfe",
    b"\x01\x02",
    b"...",
    b"..x",
    b"~",
    b"a:b",
    b"a=b",
    b"\xf0\x9f\x98\x80",
]
simple(
    "names_add",
    "added files with awkward names (newline, non-UTF-8, dash, backslash, glob, NFC/NFD ...)",
    lambda t: t.dir("n"),
    lambda t: [t.file(b"n/" + n, n) for n in NAMES],
)
simple(
    "names_remove",
    "removed files with awkward names",
    lambda t: (t.dir("n"), [t.file(b"n/" + n, n) for n in NAMES]),
    lambda t: [t.rm(b"n/" + n) for n in NAMES],
)
simple(
    "symlink_target_max",
    "symlink with a 4095 byte target added",
    base,
    lambda t: t.symlink("etc/l", "x" * 4095),
)
simple(
    "name_255",
    "255 byte name added; another 255 byte name removed (whiteout name would be 259 bytes)",
    lambda t: t.file(b"r" * 255, "r"),
    lambda t: (t.rm(b"r" * 255), t.file(b"a" * 255, "a")),
)
simple(
    "path_long",
    "path of 900 bytes, names of 150",
    lambda t: None,
    lambda t: t.deep(
        [c * 150 for c in "abcde"],
        lambda fd: write_deep(fd, "f" * 150),
    ),
)


# ---------------------------------------------------------------- names which start with .wh.
def wh(t: Builder) -> None:
    t.dir("d")
    t.file("d/foo", "foo", mtime=A)
    t.file("d/bar", "bar", mtime=A)
    t.dir("e")
    t.file("e/x", "x", mtime=A)


simple(
    "wh_add_matching",
    "literal file .wh.foo added beside an unchanged foo",
    wh,
    lambda t: t.file("d/.wh.foo", "literal"),
)
simple(
    "wh_add_opq",
    "literal file .wh..wh..opq added in a directory with unchanged files",
    wh,
    lambda t: t.file("e/.wh..wh..opq", ""),
)
simple(
    "wh_add_dir",
    "literal directory .wh.dir with a child added",
    wh,
    lambda t: (t.dir("d/.wh.dir"), t.file("d/.wh.dir/c", "c")),
)
simple(
    "wh_bare",
    'literal names ".wh.", ".wh..", ".wh..." added',
    wh,
    lambda t: (t.file("d/.wh.", "1"), t.file("d/.wh..", "2"), t.file("d/.wh...", "3")),
)
simple(
    "wh_collision",
    "foo removed, and a literal file .wh.foo added",
    wh,
    lambda t: (t.rm("d/foo"), t.file("d/.wh.foo", "literal")),
)


# ---------------------------------------------------------------- mixed
def big(t: Builder) -> None:
    t.dirs("bin", "etc", "lib", "lib/m", "srv", "srv/a", "srv/a/b", "home")
    for i in range(12):
        t.file(f"lib/m/f{i:02d}", "x" * i, mtime=A if i % 2 else Z)
    t.file("srv/a/b/one", "1", mtime=A)
    t.file("srv/a/two", "2", mtime=A)
    t.file("bin/sh", "sh", mode=0o755, mtime=A)
    t.link("bin/sh", "bin/bash")
    t.symlink("home/link", "../srv", mtime=A)


def big_mut(t: Builder) -> None:
    t.rm("srv/a")
    t.file("srv/a", "file now")
    t.rm("home/link")
    t.dir("home/link")
    t.file("home/link/in", "in")
    t.file("lib/m/f03", "yyy")
    t.rm("lib/m/f04")
    t.meta("lib/m/f05", mode=0o600)
    t.meta("lib/m/f06", mtime=B)
    t.rm("lib/m/f07")
    t.dir("lib/m/f07")
    t.link("bin/sh", "bin/dash")
    t.rm("etc")
    t.fifo("bin/pipe")
    t.meta("lib", mtime=B)


simple("mixed", "many kinds of change in one tree", big, big_mut)


def make(name: str, side: str, root: str | bytes) -> None:
    """Make the tree ``side``, ``lower`` or ``upper``, of a case in an empty directory."""
    os.umask(0)
    _, lower, mutate = CASES[name]
    t = Builder(root)
    lower(t)
    t.settle(T_LOWER)
    if side == "upper":
        mutate(t)
        t.settle(T_UPPER)
