"""An OUT that exists is written in a private directory inside it: what is half-written is out of reach."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .command import Trees, differ, ended
from .conftest import RunDiffer, needs_program, needs_root
from .disks import disk
from .listing import names
from .test_failures import Held
from .trees import ACL_755, A, B, Builder, Z, read_tree
from .user import GROUP, OTHER_GROUP, USER, Place, mine, user_place

pytestmark = pytest.mark.cli

UNFINISHED = ".differ-unfinished"
STYLES = ("oci", "overlay", "none")
each_style = pytest.mark.parametrize("style", STYLES)


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


@pytest.fixture
def place() -> Iterator[Place]:
    yield from user_place()


# ---------------------------------------------------------------- while it is written


@pytest.fixture
def held(trees: Trees) -> Iterator[Held]:
    """A run in the middle of writing into an OUT that was there."""
    trees.make_out()
    run = Held(trees)
    yield run
    run.close()


def test_all_that_is_written_lies_in_a_private_directory(held: Held, trees: Trees) -> None:
    assert os.listdir(trees.out) == [UNFINISHED]
    facts = (trees.out / UNFINISHED).lstat()
    assert stat.S_ISDIR(facts.st_mode)
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o700, os.geteuid())
    held.read()
    status, _, err = ended(held.process)
    assert status == 0, err
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]
    own = trees.out.stat()
    assert (stat.S_IMODE(own.st_mode), own.st_mtime_ns) == (0o750, 2)


@needs_root
def test_it_is_private_whatever_out_says(trees: Trees) -> None:
    """OUT is open to everybody, by its mode and by what its entries are to inherit."""
    trees.out.mkdir()
    os.chown(trees.out, 7, GROUP)
    os.setxattr(trees.out, "system.posix_acl_default", ACL_755)
    trees.out.chmod(0o3777)
    before = read_tree(trees.out)[0]
    held = Held(trees)
    try:
        private = trees.out / UNFINISHED
        assert os.listdir(trees.out) == [UNFINISHED]
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        for user in (1000, USER):  # one that the ACL names, and one of OUT's group
            look = subprocess.run(
                ["ls", private], user=user, group=GROUP, extra_groups=(), capture_output=True, check=False
            )
            assert look.returncode != 0, look.stdout
        held.read()
        status, _, err = ended(held.process)
        assert status == 0, err
    finally:
        held.close()
    after = read_tree(trees.out)
    assert after[0] == before
    assert after[1:] == read_tree(trees.upper)[1:]


# ---------------------------------------------------------------- what a killed run leaves


def kill(held: Held) -> None:
    held.process.kill()
    assert ended(held.process)[0] < 0


def apply_refuses(changes: Path, trees: Trees) -> None:
    """As CHANGES, in every style."""
    before = read_tree(changes)
    for style in STYLES:
        words = ("--whiteout", style, trees.lower, changes, trees.place / "applied")
        assert ended(differ(*words, apply=True)) == (
            2,
            "",
            f"differ-apply: {changes}/{UNFINISHED}: holds changes that were not written to the end;"
            " make them again\n",
        )
    assert read_tree(changes) == before
    assert not (trees.place / "applied").exists()


def test_a_killed_run_leaves_an_out_that_nothing_takes(held: Held, trees: Trees) -> None:
    kill(held)
    assert os.listdir(trees.out) == [UNFINISHED]
    before = read_tree(trees.out)
    assert ended(differ(trees.lower, trees.upper, trees.out)) == (
        2,
        "",
        f"differ: {trees.out}: holds what a killed run has left; empty it first\n",
    )
    assert read_tree(trees.out) == before
    apply_refuses(trees.out, trees)


def test_a_killed_run_leaves_an_absent_out_under_another_name(trees: Trees) -> None:
    held = Held(trees)
    try:
        kill(held)
    finally:
        held.close()
    (left,) = trees.place.glob(".differ-*")
    assert not trees.out.exists()
    assert os.listdir(left) == [UNFINISHED]
    assert stat.S_IMODE((left / UNFINISHED).lstat().st_mode) == 0o700
    apply_refuses(left, trees)


@pytest.mark.parametrize("apply", [False, True])
def test_a_run_killed_while_it_moves_its_entries_up(trees: Trees, apply: bool) -> None:
    trees.out.mkdir()
    (trees.out / "d0").mkdir()
    (trees.out / UNFINISHED / "d1").mkdir(parents=True)
    apply_refuses(trees.out, trees)
    status, _, err = ended(differ(trees.lower, trees.upper, trees.out, apply=apply))
    assert (status, err.count("\n")) == (2, 1)
    assert names(trees.out) == [UNFINISHED, f"{UNFINISHED}/d1", "d0"]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("kind", ["dir", "symlink", "fifo"])
def test_no_entry_may_have_its_name(trees: Trees, run_differ: RunDiffer, existing: bool, kind: str) -> None:
    t = Builder(trees.upper)
    if kind == "dir":
        t.dir(UNFINISHED)
        t.file(f"{UNFINISHED}/f")
    elif kind == "symlink":
        t.symlink(UNFINISHED, "d0")
    else:
        t.fifo(UNFINISHED)
    t.dirs("d0/sub")
    t.file(f"d0/sub/{UNFINISHED}")
    if existing:
        trees.out.mkdir()
    status, text, err = run_differ(trees.lower, trees.upper, trees.out)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"differ: {UNFINISHED}: is the name that marks an unfinished result"), err
    assert not trees.out.exists() or os.listdir(trees.out) == []
    assert sorted(os.listdir(trees.place)) == ["lower", *(["out"] if existing else []), "upper"]
    t.rm(UNFINISHED)
    status, _, err = run_differ("--verify", trees.lower, trees.upper, trees.out)
    assert status == 0, err


# ---------------------------------------------------------------- what is moved up keeps its facts

MODES = (0o555, 0o500, 0o1777, 0o2755, 0o3711, 0o700, 0o755)


def directories(t: Builder, modes: tuple[int, ...], **owner: Any) -> None:
    """Directories that are closed, sticky and set-gid, each with something in it."""
    for number, mode in enumerate(modes):
        when = (A, B, Z)[number % 3]
        name = f"{mode:04o}"
        t.dirs(name, f"{name}/sub")
        t.file(f"{name}/f", name, mode=mode & 0o666, mtime=when, **owner)
        t.meta(f"{name}/sub", **owner, mtime=when)
        for path in (f"{name}/sub", name):
            t.meta(path, **owner)
            t.meta(path, mode=mode)
        t.meta(f"{name}/sub", mtime=when)
        t.meta(name, xattrs={"user.a": b"1"} if owner.get("uid") == 0 else {}, mtime=when)
    t.dir("empty", **owner)
    t.meta("empty", mode=0o555, mtime=A)


@needs_root
@pytest.mark.parametrize("kind", ["btrfs", "xfs", "ext4", "tmpfs"])
@needs_program("mkfs.btrfs")
@needs_program("mkfs.xfs")
@needs_program("mkfs.ext4")
def test_directories_keep_their_modes_and_times(tmp_path: Path, run_differ: RunDiffer, kind: str) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    lower.mkdir()
    upper.mkdir()
    directories(Builder(upper), (*MODES, 0), uid=5, gid=6)
    with disk(tmp_path, kind) as where:
        out = where / "out"
        out.mkdir()
        os.chown(out, 7, 8)
        out.chmod(0o2751)
        os.utime(out, ns=(10**18 + 1, 10**18 + 2))
        (own,) = read_tree(out)
        inode = out.stat().st_ino
        for words in (["--strict", "--verify", lower, upper], ["--strict", lower, upper]):
            apply = "--verify" not in words
            status, _, err = run_differ(*words, out, apply=apply)
            assert status == 0, err
            assert read_tree(out) == [own, *read_tree(upper)[1:]]
            assert out.stat().st_ino == inode
            subprocess.run(["find", out, "-mindepth", "1", "-delete"], check=True)
            os.utime(out, ns=(10**18 + 1, 10**18 + 2))


@each_style
@pytest.mark.parametrize("apply", [False, True])
def test_directories_of_an_ordinary_user(place: Place, style: str, apply: bool) -> None:
    # Moving a directory takes the right to write in it, as its .. changes.
    t = Builder(place.upper)
    directories(t, MODES, uid=USER, gid=GROUP)
    mine(t, "file", 0o400)
    t.symlink("link", "file", uid=USER, gid=GROUP, mtime=B)
    t.fifo("fifo", uid=USER, gid=GROUP, mode=0o600, mtime=A)
    place.out.mkdir()
    place.own(place.out)
    place.out.chmod(0o750)
    os.utime(place.out, ns=(1, 10**18 + 1))
    words = ["--strict", "--whiteout", style, *([] if apply else ["--verify"])]
    status, _, err = place.run(*words, place.lower, place.upper, place.out, apply=apply)
    assert status == 0, err
    assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    facts = place.out.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o750, 10**18 + 1)
    assert (facts.st_uid, facts.st_gid) == (USER, GROUP)


@needs_root
@pytest.mark.parametrize("mode", [0o1777, 0o2777, 0o3777, 0o777])
def test_directories_of_an_ordinary_user_in_an_out_of_somebody_else(place: Place, mode: int) -> None:
    directories(Builder(place.upper), MODES, uid=USER, gid=GROUP)
    place.out.mkdir()
    os.chown(place.out, 7, OTHER_GROUP)
    place.out.chmod(mode)
    status, _, err = place.run("--strict", "--verify", place.lower, place.upper, place.out)
    assert status == 0, err
    assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    facts = place.out.stat()
    assert (facts.st_uid, facts.st_gid, stat.S_IMODE(facts.st_mode)) == (7, OTHER_GROUP, mode)


@each_style
def test_whiteouts_and_links_at_the_top(trees: Trees, run_differ: RunDiffer, style: str) -> None:
    t = Builder(trees.lower)
    t.dirs("d0", "gone")
    t.file("away")
    t.file("d0/away")
    u = Builder(trees.upper)
    u.file("a", "1", mtime=A)
    u.link("a", "d3/z")
    u.link("a", "z")
    trees.make_out()
    status, _, err = run_differ("--verify", "--whiteout", style, trees.lower, trees.upper, trees.out)
    assert status == 0 or style == "none", err
    removed = {
        "oci": [".wh.away", ".wh.gone", "d0/.wh.away"],
        "overlay": ["away", "d0/away", "gone"],
        "none": [],
    }
    assert set(names(trees.out)) - set(names(trees.upper)) == set(removed[style])
    assert (trees.out / "a").stat().st_ino == (trees.out / "z").stat().st_ino
    assert (trees.out / "a").stat().st_nlink == 3


@pytest.mark.inside
@pytest.mark.parametrize("fails", [False, True])
def test_what_somebody_else_puts_into_out_stays_theirs(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    lower, upper, out = (tmp_path / name for name in ("lower", "upper", "out"))
    for tree in (lower, upper, out):
        tree.mkdir()
    (upper / "d").mkdir()
    (upper / "d/f").write_text("f")
    if fails:
        (upper / "d/.wh.x").touch()
    real = os.mkdir

    def mkdir(path: Any, *words: Any, **options: Any) -> None:
        real(path, *words, **options)
        (out / "theirs").write_text("theirs")

    monkeypatch.setattr(os, "mkdir", mkdir)
    status, text, err = run_differ(lower, upper, out)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert fails or err == f"differ: {out}: somebody else has written into it meanwhile\n"
    assert os.listdir(out) == ["theirs"]
    assert (out / "theirs").read_text() == "theirs"
