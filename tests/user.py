"""An ordinary user, with two trees and a copy of the program that this user can reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .command import PROGRAMS, program
from .trees import ACL_644, ACL_755, A, B, Builder

ROOT = os.geteuid() == 0
USER = 12345 if ROOT else os.geteuid()
GROUP = 54321 if ROOT else os.getegid()
OTHER_GROUP = 54322


class Place:
    """A directory of the user's, with two trees and a copy of the program that the user can reach."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.code = path / "code"
        shutil.copytree(
            Path(__file__).parent.parent / "differ",
            self.code / "differ",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.programs = PROGRAMS and str(shutil.copytree(PROGRAMS, self.code / "bin"))
        self.lower, self.upper, self.out = path / "lower", path / "upper", path / "out"
        for tree in (self.lower, self.upper):
            tree.mkdir()
        self.own(path, self.lower, self.upper)

    @staticmethod
    def own(*paths: Path) -> None:
        for path in paths:
            os.chown(path, USER, GROUP, follow_symlinks=False)

    def run(
        self, *words: object, apply: bool = False, groups: tuple[int, ...] = (), cwd: Path | None = None
    ) -> tuple[int, str, str]:
        """The command as the user; exit status, stdout and stderr."""
        who = {"user": USER, "group": GROUP, "extra_groups": groups} if ROOT else {}
        result = subprocess.run(  # type: ignore[call-overload]
            [*program(apply, self.code, self.programs), *map(str, words)],
            cwd=cwd or self.path,
            env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **who,
        )
        assert "Traceback" not in result.stderr, result.stderr
        return result.returncode, result.stdout, result.stderr

    def diff(self, *options: object, status: int = 0) -> list[str]:
        """Write UPPER less LOWER; the lines on stderr before the last."""
        got, _, err = self.run(*options, self.lower, self.upper, self.out)
        assert got == status, err
        return err.splitlines()[:-1]

    def fails(self, path: Path, reason: str, *options: object) -> None:
        """The run ends with one line about this path and leaves nothing."""
        before = sorted(os.listdir(self.path))
        assert self.run(*options, self.lower, self.upper, self.out) == (2, "", f"differ: {path}: {reason}\n")
        assert sorted(os.listdir(self.path)) == before


def user_place() -> Iterator[Place]:
    """For a fixture."""
    # Not below pytest's directory, which is closed to other users.
    path = Path(tempfile.mkdtemp(prefix="differ-user-"))
    path.chmod(0o755)
    try:
        yield Place(path)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", path], check=True)
        subprocess.run(["rm", "-rf", path], check=True)


def mine(t: Builder, path: str, mode: int = 0o644, xattrs: dict[str, bytes] | None = None) -> None:
    """A file of the user's."""
    t.file(path, path, mode=0o600, xattrs=xattrs)
    t.meta(path, uid=USER, gid=GROUP)
    t.meta(path, mode=mode, mtime=A)


def my_tree(t: Builder) -> None:
    """Everything that an ordinary user can have."""
    t.dirs("readonly", "readonly/below", "acl")
    mine(t, "readonly/below/f", 0o444, xattrs={"user.a": b"\0\xff", "user.empty": b""})
    mine(t, "readonly/g", 0o400)
    t.symlink("readonly/l", "nowhere", uid=USER, gid=GROUP, mtime=B)
    mine(t, "setuid", 0o6755)
    mine(t, "acl/f", 0o644, xattrs={"system.posix_acl_access": ACL_644})
    t.fifo("fifo", uid=USER, gid=GROUP, mode=0o620, mtime=A)
    t.sock("socket", uid=USER, gid=GROUP, mtime=A)
    t.link("setuid", "acl/link")
    t.link("readonly/l", "acl/l")
    acl = {"system.posix_acl_default": ACL_755}
    for path, mode, xattrs in (
        ("readonly/below", 0o555, {"user.a": b"1"}),
        ("readonly", 0o500, {}),
        ("acl", 0o3755, acl),
    ):
        t.meta(path, uid=USER, gid=GROUP, xattrs=xattrs)
        t.meta(path, mode=mode, mtime=B)
