"""A new OUT is a directory as mkdir(1) makes one there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunDiffer, needs_root
from .trees import ACL_755, A, B, Builder, Row, acl, read_tree
from .user import GROUP, OTHER_GROUP, USER, Place, mine, user_place

pytestmark = pytest.mark.cli

DEFAULT_ACL = "system.posix_acl_default"
OPEN_ACL = acl((1, 7, None), (2, 7, 1000), (4, 7, None), (8, 5, 78), (16, 7, None), (32, 7, None))
SHORT_ACL = acl((1, 7, None), (4, 5, None), (32, 0, None))

each_umask = pytest.mark.parametrize("umask", [0o022, 0o077, 0, 0o027], ids="{:03o}".format)


@pytest.fixture
def place() -> Iterator[Place]:
    yield from user_place()


def pair(place: Path) -> tuple[Path, Path]:
    for side in ("lower", "upper"):
        (place / side).mkdir()
    t = Builder(place / "upper")
    t.dirs("d", "d/e")
    t.file("d/f", "1", mode=0o640, mtime=A)
    t.meta("d/e", mode=0o2750, mtime=B)
    t.meta("d", mtime=B)
    return place / "lower", place / "upper"


def own(root: Path) -> Row:
    """The facts of a directory itself, less its time."""
    row = read_tree(root)[0]
    del row["mtime"]
    return row


def check(above: Path, tree: Path) -> None:
    """OUT is as the directory that mkdir(1) makes beside it, and what it holds is as in the tree."""
    subprocess.run(["mkdir", above / "made"], check=True)
    assert own(above / "out") == own(above / "made")
    assert read_tree(above / "out")[1:] == read_tree(tree)[1:]


@needs_root
@each_umask
@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("mode", [0o755, 0o2755, 0o3777, 0o1777], ids="{:04o}".format)
def test_below_a_set_gid_directory(
    tmp_path: Path, run_differ: RunDiffer, umask: int, apply: bool, mode: int
) -> None:
    lower, upper = pair(tmp_path)
    above = tmp_path / "above"
    above.mkdir()
    os.chown(above, 7, 8)
    above.chmod(mode)
    os.umask(umask)
    status, _, err = run_differ("--strict", lower, upper, above / "out", apply=apply)
    assert status == 0, err
    assert own(above / "out")["gid"] == (8 if mode & 0o2000 else 0)
    check(above, upper)


@each_umask
@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("set_gid", [0, 0o2000], ids=["", "set-gid"])
@pytest.mark.parametrize("value", [ACL_755, OPEN_ACL, SHORT_ACL], ids=["755", "open", "short"])
def test_below_a_directory_with_a_default_acl(
    tmp_path: Path, run_differ: RunDiffer, umask: int, apply: bool, set_gid: int, value: bytes
) -> None:
    lower, upper = pair(tmp_path)
    above = tmp_path / "above"
    above.mkdir()
    os.setxattr(above, DEFAULT_ACL, value)
    above.chmod(0o750 | set_gid)
    os.umask(umask)
    status, _, err = run_differ("--strict", lower, upper, above / "out", apply=apply)
    assert status == 0, err
    assert own(above / "out")["xattrs"][DEFAULT_ACL] == value.hex()
    check(above, upper)


@needs_root
@pytest.mark.parametrize("value", [None, OPEN_ACL, SHORT_ACL], ids=["none", "open", "short"])
def test_of_an_ordinary_user(place: Place, value: bytes | None) -> None:
    mine(Builder(place.upper), "f")
    above = place.path / "above"
    above.mkdir()
    os.chown(above, 7, OTHER_GROUP)
    if value is not None:
        os.setxattr(above, DEFAULT_ACL, value)
    above.chmod(0o2777)
    groups = (OTHER_GROUP,)
    status, _, err = place.run("--strict", place.lower, place.upper, above / "out", groups=groups)
    assert status == 0, err
    subprocess.run(["mkdir", above / "made"], user=USER, group=GROUP, extra_groups=groups, check=True)
    assert own(above / "out") == own(above / "made")
    assert own(above / "out")["gid"] == OTHER_GROUP
    assert read_tree(above / "out")[1:] == read_tree(place.upper)[1:]
