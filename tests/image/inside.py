"""What the base image can do inside a build: make trees, change them, and tell what is in one.

The same steps are made on a directory of the host to know what a build must give.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable

from ..native.cases import CASES
from ..trees import ACL_644, CAP_NET_RAW, T_LOWER, T_UPPER, A, AnyPath, Builder, Row, Time, read_tree

Step = Callable[[Builder], None]

B: Time = (1550000000, 321654987)
"""As the other times here less than half a second, because buildah rounds to the nearest one."""

CHANGING = ("opt", "srv", "usr/local", "usr/share", "var")
"""Where steps work: nothing else is given fixed times, because a build mounts things elsewhere."""


def sample(t: Builder) -> None:
    """What the base image has besides its programs."""
    t.dirs(
        "etc",
        "opt",
        "opt/plugins",
        "opt/tool",
        "srv",
        "usr/local",
        "usr/local/bin",
        "usr/share",
        "usr/share/doc",
    )
    t.dirs("var", "var/cache", "var/cache/index")
    # A build makes these where they are missing, and they would be a difference.
    for name in ("hosts", "hostname", "resolv.conf"):
        t.file(f"etc/{name}")
    t.file("opt/plugins/one", "1\n")
    t.file("opt/tool/run", "run\n", mode=0o755)
    t.file("opt/tool/conf", "a = 1\n")
    t.file("opt/tool/old", "old\n")
    t.symlink("opt/tool/link", "run")
    t.file("usr/share/doc/a", "a\n")
    t.file("usr/share/doc/b", "b\n")
    t.file("var/cache/index/1", "1\n", uid=7)
    t.file("srv/data", "data\n")
    t.link("srv/data", "srv/twin")


def add(t: Builder) -> None:
    """What a command may make: all that a layer can hold."""
    t.file("usr/local/bin/prog", "prog\n", mode=0o755, xattrs={"security.capability": CAP_NET_RAW})
    t.file("usr/local/bin/suid", "suid\n", mode=0o4755, uid=3, gid=4)
    t.meta("usr/local/bin/suid", mode=0o4755)
    t.dirs("usr/local/lib", "usr/local/lib/app")
    t.file("usr/local/lib/app/data", "data\n", mode=0o640, uid=1000, gid=1001, mtime=A)
    t.link("usr/local/lib/app/data", "usr/local/bin/data")
    t.symlink("usr/local/lib/app/current", "/usr/local/lib/app/data", uid=1000, gid=1001, mtime=B)
    t.file(b"usr/local/lib/app/new\nline \xff", "x")
    t.dir("usr/local/lib/drop", mode=0o1777)
    t.file("usr/local/lib/sparse")
    os.truncate(t.p("usr/local/lib/sparse"), 1 << 20)
    t.meta("usr/local/lib/app", mode=0o2750, uid=1000, gid=1001)


ADDED = [
    "usr/local/bin/data",
    "usr/local/bin/prog",
    "usr/local/bin/suid",
    "usr/local/lib",
    "usr/local/lib/app",
    "usr/local/lib/app/current",
    "usr/local/lib/app/data",
    "usr/local/lib/app/new\nline \udcff",
    "usr/local/lib/drop",
    "usr/local/lib/sparse",
]


def change(t: Builder) -> None:
    t.file("opt/tool/conf", "a = 2\nb = 1\n", uid=33)
    t.meta("opt/tool/run", mode=0o4711)
    t.meta("usr/share/doc", mode=0o700)
    # On overlayfs a change to one name of an inode would part it from the others.
    for name in ("srv/data", "srv/twin"):
        t.rm(name)
    t.file("srv/data", "data\n", mtime=B)
    t.link("srv/data", "srv/twin")
    t.rm("opt/tool/link")
    t.file("opt/tool/link", "a file now\n")


CHANGED = ["opt/tool/conf", "opt/tool/link", "opt/tool/run", "srv/data", "srv/twin", "usr/share/doc"]


def remove(t: Builder) -> None:
    t.rm("opt/tool/old")
    t.rm("var/cache")


REMOVED = ["opt/tool/old", "var/cache"]


ABOVE = ["opt", "opt/tool", "srv", "usr", "usr/local", "usr/local/bin", "usr/share", "var"]
"""The directories above what was changed, which come with it."""


def upgrade(t: Builder) -> None:
    """What makes the base a newer one: nothing that the other steps touch."""
    t.file("opt/tool/version", "2\n")
    t.file("usr/share/doc/b", "newer b\n", mtime=B)
    t.rm("usr/share/doc/a")
    t.dir("srv/new", mode=0o711, gid=9)


# Two steps whose results differ in nothing that BuildKit's keys for the content of a mount know: the time
# of a file, a hard link, an ACL.
def unseen_one(t: Builder) -> None:
    t.meta("usr/share/doc/b", mtime=A)
    t.file("srv/c", "alike\n")
    t.file("srv/d", "alike\n")
    t.file("srv/e", "e\n", xattrs={"system.posix_acl_access": ACL_644})


def unseen_two(t: Builder) -> None:
    t.meta("usr/share/doc/b", mtime=B)
    t.file("srv/c", "alike\n")
    t.link("srv/c", "srv/d")
    t.file("srv/e", "e\n")


def file_to_directory(t: Builder) -> None:
    t.rm("usr/share/doc/a")
    t.dir("usr/share/doc/a")
    t.file("usr/share/doc/a/b", "b\n")


def directory_to_file(t: Builder) -> None:
    t.rm("opt/plugins")
    t.file("opt/plugins", "none\n")


def special(t: Builder) -> None:
    t.fifo("srv/fifo", mode=0o600)
    t.chr("srv/null", (1, 3), mode=0o666)


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        *(add, change, remove, upgrade, special),
        *(unseen_one, unseen_two),
        *(file_to_directory, directory_to_file),
    )
}


def perform(root: str, *steps: str) -> None:
    """Do the steps, and give everything that they touch a fixed time."""
    for step in steps:
        STEPS[step](Builder(root))
    for name in CHANGING:
        Builder(os.path.join(root, name)).settle(T_UPPER)


def settle_base(root: str) -> None:
    """The times of the base image."""
    Builder(root).settle(T_LOWER)


class Unprivileged(Builder):
    """Makes what can be made without ``CAP_SYS_ADMIN``: no ``trusted.*`` attributes."""

    def meta(
        self,
        path: AnyPath,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime: Time | None = None,
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        mine = {name: value for name, value in (xattrs or {}).items() if not name.startswith("trusted.")}
        super().meta(path, mode, uid, gid, mtime, mine)


def make_cases(side: str, root: str) -> dict[str, str]:
    """Make one side of every measured case in a directory of its name; which could not be, and why."""
    os.umask(0)
    failed = {}
    for name, (_, lower, mutate) in CASES.items():
        tree = os.path.join(root, name)
        os.mkdir(tree, 0o755)
        t = Unprivileged(tree)
        try:
            lower(t)
            t.settle(T_LOWER)
            if side == "upper":
                mutate(t)
                t.settle(T_UPPER)
        except OSError as error:
            failed[name] = str(error.strerror)
    return failed


def rows_of_cases(root: str) -> dict[str, list[Row]]:
    """What is in each directory, less its root."""
    return {
        name: read_tree(os.path.join(root, name))[1:]
        for name in sorted(os.listdir(root))
        if stat.S_ISDIR(os.lstat(os.path.join(root, name)).st_mode)
    }


def said(root: str) -> dict[str, str]:
    """The text of each file in a directory."""
    paths = {entry.name: entry.path for entry in os.scandir(root) if entry.is_file(follow_symlinks=False)}
    texts = {}
    for name, path in paths.items():
        with open(path, errors="replace") as file:
            texts[name] = file.read()
    return texts


def main() -> None:
    """``do STEP...``, ``cases SIDE DIRECTORY``, ``rows DIRECTORY``, ``said DIRECTORY`` or ``tree DIRECTORY``."""
    command, *words = sys.argv[1:]
    if command == "do":
        perform("/", *words)
    elif command == "cases":
        os.mkdir(words[1])
        json.dump(make_cases(*words), sys.stdout)
    elif command == "rows":
        json.dump(rows_of_cases(*words), sys.stdout)
    elif command == "said":
        json.dump(said(*words), sys.stdout)
    elif command == "tree":
        json.dump(read_tree(*words), sys.stdout)
    else:
        sys.exit(f"{command}: unknown")
