"""OUT: what it may be, where it may lie, and what becomes of the directory itself."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import xattr

from .conftest import RunDiffer, needs_root
from .listing import names
from .trees import ACL_755, read_tree, without

pytestmark = pytest.mark.cli

DEFAULT_ACL = "system.posix_acl_default"


class Trees:
    """Two trees with one added file, in a directory that is also the current one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lower, self.upper, self.out = place / "lower", place / "upper", place / "out"
        for path in (self.lower, self.upper, self.upper / "d"):
            path.mkdir()
        (self.upper / "d/new").write_text("new")

    def written(self, out: Path) -> bool:
        return names(out) == ["d", "d/new"]


@pytest.fixture
def trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trees:
    monkeypatch.chdir(tmp_path)
    return Trees(tmp_path)


def refused(run_differ: RunDiffer, trees: Trees, out: object, reason: str, apply: bool = False) -> None:
    """The run fails with this reason for this path, and nothing has changed."""
    before = read_tree(trees.place)
    status, text, err = run_differ(trees.lower, trees.upper, out, apply=apply)
    command = "differ-apply" if apply else "differ"
    assert (status, text) == (2, "")
    assert err.startswith(f"{command}: {out}: {reason}"), err
    assert err.count("\n") == 1
    assert read_tree(trees.place) == before


# ---------------------------------------------------------------- an OUT that is used


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_an_absent_out_is_made_as_mkdir_makes_it(trees: Trees, run_differ: RunDiffer, umask: int) -> None:
    os.umask(umask)
    assert run_differ(trees.lower, trees.upper, trees.out)[0] == 0
    assert stat.S_IMODE(trees.out.stat().st_mode) == 0o777 & ~umask
    assert trees.written(trees.out)
    assert sorted(os.listdir(trees.place)) == ["lower", "out", "upper"]


@pytest.mark.parametrize(
    "out", ["out", "out/", "out//", "./out", "out/../out", "lower/../out", "linked/out", "linked/../out"]
)
@pytest.mark.parametrize("exists", [False, True])
def test_the_ways_to_write_a_path(trees: Trees, run_differ: RunDiffer, out: str, exists: bool) -> None:
    (trees.place / "elsewhere").mkdir()
    (trees.place / "linked").symlink_to("elsewhere")
    wanted = trees.place / "elsewhere/out" if out == "linked/out" else trees.out
    if exists or out == "out/../out":
        wanted.mkdir()
    status, _, err = run_differ("--verify", "lower", "./upper/", out)
    assert status == 0, err
    assert trees.written(wanted)
    assert not [name for name in os.listdir(wanted.parent) if name.startswith(".differ")]


@pytest.mark.parametrize("out", [".", "./", "../here", "./."])
def test_the_current_directory_is_a_directory(
    trees: Trees, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    here = trees.place / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    status, _, err = run_differ("--verify", "../lower", "../upper", out)
    assert status == 0, err
    assert trees.written(here)
    assert os.getcwd() == str(here)


def test_inputs_may_be_symbolic_links_and_one_tree(trees: Trees, run_differ: RunDiffer) -> None:
    (trees.place / "link").symlink_to("upper")
    assert run_differ("--exit-code", "link", "upper", trees.out)[0] == 0
    assert os.listdir(trees.out) == []
    assert run_differ("scratch", "link/", trees.place / "all")[0] == 0
    assert trees.written(trees.place / "all")


def test_one_input_may_lie_in_the_other(trees: Trees, run_differ: RunDiffer) -> None:
    assert run_differ("upper/d", "upper", trees.out)[0] == 0
    assert names(trees.out) == [".wh.new", "d", "d/new"]


@needs_root
def test_an_empty_out_keeps_its_own_facts(trees: Trees, run_differ: RunDiffer) -> None:
    trees.out.mkdir()
    os.chown(trees.out, 7, 8)
    xattr.setxattr(trees.out, DEFAULT_ACL, ACL_755)
    xattr.setxattr(trees.out, "user.mine", b"kept")
    trees.out.chmod(0o2751)
    os.utime(trees.out, ns=(10**18 + 1, 10**18 + 2))
    (own,) = read_tree(trees.out)
    before = trees.out.stat()
    status, _, err = run_differ("--verify", trees.lower, trees.upper, trees.out)
    assert status == 0, err
    after = trees.out.stat()
    assert read_tree(trees.out)[0] == own
    assert after.st_ino == before.st_ino
    # And nothing that is written in it has any of them.
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]


@needs_root
def test_entries_inherit_nothing_from_above_out(trees: Trees, run_differ: RunDiffer) -> None:
    above = trees.place / "above"
    above.mkdir()
    os.chown(above, 7, 8)
    above.chmod(0o2777)
    xattr.setxattr(above, DEFAULT_ACL, ACL_755)
    status, _, err = run_differ("--verify", trees.lower, trees.upper, above / "out")
    assert status == 0, err
    assert read_tree(above / "out")[1:] == read_tree(trees.upper)[1:]


def test_a_failed_run_leaves_an_empty_out_empty(trees: Trees, run_differ: RunDiffer) -> None:
    trees.out.mkdir(mode=0o750)
    os.utime(trees.out, ns=(1, 2))
    deep = trees.upper / "e/f"
    deep.mkdir(parents=True)
    (deep / ".wh.x").touch()
    before = read_tree(trees.out)
    status, _, err = run_differ(trees.lower, trees.upper, trees.out)
    assert status == 2
    assert err.startswith("differ: e/f/.wh.x: "), err
    assert read_tree(trees.out) == before
    assert sorted(os.listdir(trees.place)) == ["lower", "out", "upper"]


def test_a_result_can_be_written_over_nothing_only_once(trees: Trees, run_differ: RunDiffer) -> None:
    assert run_differ(trees.lower, trees.upper, trees.out)[0] == 0
    refused(run_differ, trees, trees.out, "is not empty; name a directory that is")


# ---------------------------------------------------------------- an OUT that is refused


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("name", ["file", ".hidden", ".differ-0", ".wh..wh..opq"])
def test_not_empty(trees: Trees, run_differ: RunDiffer, name: str, apply: bool) -> None:
    trees.out.mkdir()
    (trees.out / name).touch()
    refused(run_differ, trees, trees.out, "is not empty", apply)


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
@pytest.mark.parametrize("below", ["", "/out", "/"])
def test_no_directory(trees: Trees, run_differ: RunDiffer, make: object, below: str) -> None:
    assert callable(make)
    make(trees.place / "thing")
    refused(run_differ, trees, f"{trees.place}/thing{below}", "is not a directory")


@pytest.mark.parametrize("target", ["empty", "nowhere", "file", "upper"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_symbolic_link(trees: Trees, run_differ: RunDiffer, target: str, slash: str) -> None:
    (trees.place / "empty").mkdir()
    (trees.place / "file").touch()
    (trees.place / "link").symlink_to(target)
    refused(run_differ, trees, f"{trees.place}/link{slash}", "is a symbolic link")


def test_a_missing_parent(trees: Trees, run_differ: RunDiffer) -> None:
    refused(run_differ, trees, trees.place / "none/out", "cannot be written: No such file or directory")


INSIDE = [
    # OUT, the input it lies in
    ("lower", "lower"),
    ("upper", "upper"),
    ("upper/", "upper"),
    ("./lower/.", "lower"),
    ("lower/out", "lower"),
    ("upper/d/out", "upper"),
    ("upper/d/../out", "upper"),
    ("lower/../upper/out", "upper"),
    ("upper/empty", "upper"),
    ("linked/out", "upper"),
    ("linked/../d/e/f", "upper"),
]


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize(("out", "inside"), INSIDE)
def test_inside_an_input(trees: Trees, run_differ: RunDiffer, out: str, inside: str, apply: bool) -> None:
    (trees.upper / "d/e").mkdir()
    (trees.upper / "empty").mkdir()
    (trees.place / "linked").symlink_to("upper/d")
    refused(run_differ, trees, out, f"lies in {trees.place / inside}; ", apply)


def test_an_input_is_known_by_any_of_its_names(trees: Trees, run_differ: RunDiffer) -> None:
    (trees.place / "link").symlink_to("upper")
    before = read_tree(trees.place)
    assert run_differ("lower", "link/d/..", "upper/out")[0] == 2
    assert run_differ("lower", "link", trees.upper)[0] == 2
    assert read_tree(trees.place) == before


@pytest.fixture
def bound(trees: Trees) -> Iterator[Path]:
    """A second mount of a directory inside UPPER."""
    (trees.upper / "sub/empty").mkdir(parents=True)
    (trees.upper / "sub/empty/deep").mkdir()
    where = trees.place / "bound"
    where.mkdir()
    subprocess.run(["mount", "--bind", trees.upper / "sub", where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


@needs_root
@pytest.mark.parametrize("out", ["out", "empty/deep", "empty/deep/out", "empty/out"])
def test_inside_an_input_through_another_mount(
    trees: Trees, bound: Path, run_differ: RunDiffer, out: str
) -> None:
    # It is found only when the walk meets it; the directory around it has had a new name by then.
    before = without(read_tree(trees.upper), "mtime")
    status, _, err = run_differ(trees.lower, trees.upper, bound / out)
    assert (status, err.count("\n")) == (2, 1)
    assert "is the output directory, seen through another mount" in err
    assert without(read_tree(trees.upper), "mtime") == before


@needs_root
def test_an_input_through_another_mount(trees: Trees, bound: Path, run_differ: RunDiffer) -> None:
    before = read_tree(trees.upper)
    assert run_differ(trees.lower, bound, trees.upper / "sub/out")[0] == 2
    assert run_differ(trees.lower, trees.upper / "sub", bound / "out")[0] == 2
    assert run_differ(trees.lower, bound, bound / "empty/deep")[0] == 2
    assert read_tree(trees.upper) == before


@needs_root
def test_out_may_be_a_mount_point(trees: Trees, run_differ: RunDiffer) -> None:
    trees.out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0751", "differ-test", trees.out], check=True)
    try:
        status, _, err = run_differ("--verify", trees.lower, trees.upper, trees.out)
        assert status == 0, err
        assert trees.written(trees.out)
        assert stat.S_IMODE(trees.out.stat().st_mode) == 0o751
    finally:
        subprocess.run(["umount", trees.out], check=True)
    assert os.listdir(trees.out) == []
