"""What somebody who is not root gets: everything that is theirs, and a word about what is not."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import needs_root
from .trees import ACL_644, ACL_755, CAP_NET_RAW, A, B, Builder, Row, read_tree, without

ROOT = os.geteuid() == 0
USER = 12345 if ROOT else os.geteuid()
GROUP = 54321 if ROOT else os.getegid()
OTHER_GROUP = 54322
STYLES = ("oci", "overlay", "none")
DENIED = "Permission denied"
NOT_PERMITTED = "Operation not permitted"


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
        main = "main_apply" if apply else "main"
        program = f"import os, sys; assert os.geteuid(); from differ.cli import {main}; sys.exit({main}())"
        who = {"user": USER, "group": GROUP, "extra_groups": groups} if ROOT else {}
        result = subprocess.run(  # type: ignore[call-overload]
            [os.path.realpath(sys.executable), "-c", program, *map(str, words)],
            cwd=cwd or self.path,
            env={"PYTHONPATH": str(self.code), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
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


@pytest.fixture
def place() -> Iterator[Place]:
    # Not below pytest's directory, which is closed to other users.
    path = Path(tempfile.mkdtemp(prefix="differ-user-"))
    path.chmod(0o755)
    try:
        yield Place(path)
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", path], check=True)
        subprocess.run(["rm", "-rf", path], check=True)


def mine(t: Builder, path: str, mode: int = 0o644, **facts: object) -> None:
    """A file of the user's."""
    t.file(path, path, uid=USER, gid=GROUP, mode=mode, mtime=A, **facts)


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
        t.meta(path, uid=USER, gid=GROUP, mode=mode, xattrs=xattrs, mtime=B)


def test_the_command_runs_as_somebody_else(place: Place) -> None:
    secret = place.path / "secret"
    secret.mkdir(mode=0)
    assert place.run(secret, place.upper)[0] == 2


@pytest.mark.parametrize("style", STYLES)
def test_own_files_are_carried_whole(place: Place, style: str) -> None:
    my_tree(Builder(place.upper))
    if style == "oci":
        (place.upper / "socket").unlink()
    assert place.diff("--strict", "--verify", "--whiteout", style) == []
    assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    assert place.out.stat().st_uid == USER


def test_own_files_are_applied_whole(place: Place) -> None:
    my_tree(Builder(place.lower))
    mine(Builder(place.upper), "new")
    status, _, err = place.run("--strict", place.lower, place.upper, place.out, apply=True)
    assert status == 0, err
    rows = [*read_tree(place.lower)[1:], *read_tree(place.upper)[1:]]
    rows.sort(key=lambda row: os.fsencode(row["path"]).split(b"/"))
    assert read_tree(place.out)[1:] == rows


@pytest.mark.parametrize("style", STYLES)
def test_whiteouts_need_no_privilege(place: Place, style: str) -> None:
    for tree in (place.lower, place.upper):
        t = Builder(tree)
        t.dirs("d", "whole")
        mine(t, "whole/f")
        mine(t, "d/gone")
        mine(t, "d/kept")
        t.meta("d", uid=USER, gid=GROUP, mode=0o555, mtime=A)
        t.meta("whole", uid=USER, gid=GROUP, mode=0o555, mtime=A)
    (place.upper / "d").chmod(0o755)
    (place.upper / "d/gone").unlink()
    shutil.rmtree(place.upper / "whole")
    os.chmod(place.upper / "d", 0o555)
    os.utime(place.upper / "d", (1, 1))
    assert place.diff("--strict", "--verify", "--whiteout", style) == []
    marker = {"oci": "file", "overlay": "chr"}.get(style)
    name = ".wh.{}" if style == "oci" else "{}"
    wanted = ["d"] if marker is None else sorted([name.format("whole"), "d", "d/" + name.format("gone")])
    rows = {row["path"]: row for row in read_tree(place.out)[1:]}
    assert sorted(rows) == wanted
    assert rows["d"]["mode"] == "0555"
    for path in wanted:
        if path != "d":
            assert (rows[path]["type"], rows[path]["mode"], rows[path]["mtime"]) == (marker, "0000", [0, 0])
    status, _, err = place.run(
        "--whiteout", style, place.lower, place.out, place.path / "applied", apply=True
    )
    assert status == 0, err
    if marker is not None:
        assert read_tree(place.path / "applied")[1:] == read_tree(place.upper)[1:]


# ---------------------------------------------------------------- what cannot be carried


def foreign(place: Place) -> None:
    """Three entries of root's that the user may read, and one of the user's."""
    t = Builder(place.upper)
    t.dir("dir", mtime=A)
    t.file("dir/file", "1", mtime=A)
    t.symlink("link", "dir", mtime=A)
    mine(t, "mine")
    t.meta("dir", mtime=A)


def owned(rows: list[Row]) -> list[Row]:
    return [{**row, "uid": USER, "gid": GROUP} for row in rows]


@needs_root
def test_foreign_owners_are_warned_about_once(place: Place) -> None:
    foreign(place)
    assert place.diff() == [
        f"differ: warning: owners of 3 entries not carried ({NOT_PERMITTED}), first dir/file"
    ]
    assert read_tree(place.out)[1:] == owned(read_tree(place.upper)[1:])


@needs_root
def test_every_foreign_owner_is_told_on_demand(place: Place) -> None:
    foreign(place)
    lines = place.diff("-v")
    told = [line for line in lines if line.endswith(f": owners not carried: {NOT_PERMITTED}")]
    assert sorted(told) == [
        f"differ: warning: {path}: owners not carried: {NOT_PERMITTED}"
        for path in ("dir", "dir/file", "link")
    ]


@needs_root
def test_quiet_says_nothing_of_it(place: Place) -> None:
    foreign(place)
    assert place.run("-q", place.lower, place.upper, place.out) == (0, "", "")


@needs_root
def test_a_result_with_other_owners_is_not_proved(place: Place) -> None:
    foreign(place)
    lines = place.diff("--verify", status=1)
    wrong = [line for line in lines if line.startswith("differ: not proved: ")]
    assert wrong == [
        f"differ: not proved: {path}: owner is {USER}:{GROUP} and should be 0:0"
        for path in ("dir", "dir/file", "link")
    ]


@needs_root
def test_strict_fails_for_it(place: Place) -> None:
    foreign(place)
    reason = f"cannot carry owners: {NOT_PERMITTED} (--strict is given)"
    status, text, err = place.run("--strict", place.lower, place.upper, place.out)
    assert (status, text, err) == (2, "", f"differ: dir/file: {reason}\n")
    assert not place.out.exists()


@needs_root
def test_every_kind_of_loss_has_its_line(place: Place) -> None:
    t = Builder(place.upper)
    t.chr("null", (1, 3), uid=USER, gid=GROUP)
    t.blk("disk", (7, 0), uid=USER, gid=GROUP)
    t.link("null", "null-too")
    mine(t, "capable", 0o755)
    t.meta("capable", xattrs={"security.capability": CAP_NET_RAW, "security.other": b"1"})
    mine(t, "file")
    t.meta("file", uid=0)
    t.settle(A)
    assert place.diff() == [
        f"differ: warning: devices of 3 entries not carried ({NOT_PERMITTED}), first disk",
        f"differ: warning: owners of 1 entry not carried ({NOT_PERMITTED}), first file",
        f"differ: warning: security.capability attributes of 1 entry not carried ({NOT_PERMITTED}), first capable",
        f"differ: warning: security.other attributes of 1 entry not carried ({NOT_PERMITTED}), first capable",
    ]
    assert sorted(os.listdir(place.out)) == ["capable", "file"]
    for path in ("disk", "capable"):
        (place.upper / path).unlink()
        shutil.rmtree(place.out, ignore_errors=True)
    status, _, err = place.run("--strict", place.lower, place.upper, place.out)
    assert (status, err) == (2, f"differ: file: cannot carry owners: {NOT_PERMITTED} (--strict is given)\n")
    (place.upper / "file").unlink()
    status, _, err = place.run("--strict", place.lower, place.upper, place.out)
    assert (status, err) == (2, f"differ: null: cannot carry devices: {NOT_PERMITTED} (--strict is given)\n")


@needs_root
def test_nothing_runs_as_somebody_it_was_not_meant_to(place: Place) -> None:
    """A set-id bit without its owner would give the user's own rights away."""
    t = Builder(place.upper)
    for path, mode, uid, gid in (
        ("root", 0o4755, 0, 0),
        ("group", 0o2755, USER, 0),
        ("both", 0o6711, 0, 0),
        ("mine", 0o6755, USER, GROUP),
        ("member", 0o2755, USER, OTHER_GROUP),
        ("no-member", 0o4750, 0, OTHER_GROUP),
    ):
        t.file(path, "1", uid=uid, gid=gid, mode=mode | 0o044, mtime=A)
    status, _, err = place.run(place.lower, place.upper, place.out, groups=(GROUP, OTHER_GROUP))
    assert status == 0, err
    rows = read_tree(place.out)[1:]
    assert {row["path"]: (row["mode"], row["uid"], row["gid"]) for row in rows} == {
        "root": ("0755", USER, GROUP),
        "group": ("0755", USER, GROUP),
        "both": ("0755", USER, GROUP),
        "mine": ("6755", USER, GROUP),
        "member": ("2755", USER, OTHER_GROUP),
        "no-member": ("0754", USER, OTHER_GROUP),
    }


# ---------------------------------------------------------------- what may not be read or written


def test_a_file_that_may_not_be_read(place: Place) -> None:
    mine(Builder(place.upper), "a")
    mine(Builder(place.upper), "b", 0)
    place.fails(place.upper / "b", f"cannot be read: {DENIED}")


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_file_that_may_not_be_compared(place: Place, side: str) -> None:
    for tree in (place.lower, place.upper):
        t = Builder(tree)
        t.dir("d")
        mine(t, "d/f", 0)
        t.meta("d", uid=USER, gid=GROUP)
    # Equal modes, so that the bytes are wanted; readable on one side all the same by an ACL's mask.
    place.fails(place.lower / "d/f", f"cannot be read: {DENIED}")
    os.chmod(place.lower / "d/f", 0o400)
    os.chmod(place.upper / "d/f", 0o400)
    os.chmod(place.path / side / "d/f", 0)
    # The modes differ, which is all there is to know; but UPPER's file must be written.
    status, _, err = place.run(place.lower, place.upper, place.out)
    assert status == (2 if side == "upper" else 0), err


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("mode", [0, 0o100, 0o400])
def test_a_directory_that_may_not_be_read(place: Place, side: str, mode: int) -> None:
    for tree in (place.lower, place.upper):
        t = Builder(tree)
        t.dir("d", uid=USER, gid=GROUP)
        mine(t, "d/f")
    directory = place.path / side / "d"
    directory.chmod(mode)
    # With mode 0400 the names can be had and nothing else.
    place.fails(directory / "f" if mode == 0o400 else directory, f"cannot be read: {DENIED}")


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_root_that_may_not_be_read(place: Place, side: str) -> None:
    (place.path / side).chmod(0)
    place.fails(place.path / side, f"cannot be opened: {DENIED}")


def test_what_is_ignored_need_not_be_readable(place: Place) -> None:
    t = Builder(place.upper)
    t.dir("secret")
    mine(t, "secret/f", 0)
    t.meta("secret", uid=USER, gid=GROUP, mode=0)
    mine(t, "x")
    assert place.diff("--ignore", "secret") == []
    assert os.listdir(place.out) == ["x"]


@pytest.mark.parametrize("existing", [False, True])
def test_an_out_that_may_not_be_written(place: Place, existing: bool) -> None:
    mine(Builder(place.upper), "x")
    closed = place.path / "closed"
    closed.mkdir()
    place.own(closed)
    closed.chmod(0o555)
    place.out = closed if existing else closed / "out"
    place.fails(place.out, f"cannot be written: {DENIED}")
    assert os.listdir(closed) == []


@needs_root
def test_an_out_of_somebody_else(place: Place) -> None:
    # As /tmp is: everybody may write, and only its owner may set its times.
    mine(Builder(place.upper), "x")
    place.out.mkdir()
    place.out.chmod(0o1777)
    assert place.diff("--strict", "--verify") == []
    assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    facts = place.out.stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o1777)


@needs_root
def test_an_out_of_somebody_else_with_a_default_acl(place: Place) -> None:
    mine(Builder(place.upper), "x")
    place.out.mkdir()
    place.out.chmod(0o777)
    os.setxattr(place.out, "system.posix_acl_default", ACL_755)
    before = without(read_tree(place.out), "mtime")
    status, _, err = place.run(place.lower, place.upper, place.out)
    # It cannot be kept from what is written in it: either the run says so, or the result is right.
    after = without(read_tree(place.out), "mtime")
    assert after[0] == before[0]
    if status == 0:
        assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    else:
        assert (status, err.count("\n"), after[1:]) == (2, 1, []), err


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_run_cleans_up_what_is_closed(place: Place, existing: bool) -> None:
    my_tree(Builder(place.upper))
    (place.upper / "socket").unlink()
    t = Builder(place.upper)
    t.dirs("a", "a/b")
    mine(t, "a/b/c")
    t.meta("a/b", uid=USER, gid=GROUP, mode=0o500)
    t.meta("a", uid=USER, gid=GROUP, mode=0o500)
    mine(t, "z", 0)
    if existing:
        place.out.mkdir()
        place.own(place.out)
    place.fails(place.upper / "z", f"cannot be read: {DENIED}")
    assert not existing or os.listdir(place.out) == []


# ---------------------------------------------------------------- where the user stands


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
def test_a_current_directory_that_cannot_be_entered_again(place: Place, mode: int) -> None:
    # As a service or `su` leaves one behind.
    here = place.path / "here"
    here.mkdir()
    here.chmod(mode)
    mine(Builder(place.upper), "x")
    status, _, err = place.run("--verify", place.lower, place.upper, place.out, cwd=here)
    assert status == 0, err
    assert os.listdir(place.out) == ["x"]
