"""What somebody who is not root gets: everything that is theirs, and a word about what is not."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator

import pytest

from .conftest import needs_root
from .listing import names
from .trees import CAP_NET_RAW, A, Builder, Row, read_tree
from .user import GROUP, OTHER_GROUP, USER, Place, mine, my_tree, user_place

pytestmark = pytest.mark.cli

STYLES = ("oci", "overlay", "none")
NOT_PERMITTED = "Operation not permitted"


@pytest.fixture
def place() -> Iterator[Place]:
    yield from user_place()


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
    (place.upper / "whole").chmod(0o755)
    shutil.rmtree(place.upper / "whole")
    os.chmod(place.upper / "d", 0o555)
    os.utime(place.upper / "d", (1, 1))
    assert place.diff("--strict", "--verify", "--whiteout", style) == []
    marker = {"oci": stat.S_IFREG, "overlay": stat.S_IFCHR}.get(style)
    name = ".wh.{}" if style == "oci" else "{}"
    wanted = ["d"] if marker is None else sorted([name.format("whole"), "d", "d/" + name.format("gone")])
    assert names(place.out) == wanted
    assert stat.S_IMODE((place.out / "d").stat().st_mode) == 0o555
    for path in wanted:
        if path != "d":
            facts = (place.out / path).lstat()
            assert (facts.st_mode, facts.st_mtime_ns) == (marker, 0)
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
    assert place.diff() == [f"differ: warning: owners of 3 entries not carried ({NOT_PERMITTED}), first dir"]
    assert read_tree(place.out)[1:] == owned(read_tree(place.upper)[1:])


@needs_root
def test_every_foreign_owner_is_told_on_demand(place: Place) -> None:
    foreign(place)
    lines = place.diff("-v")
    told = [line for line in lines if line.endswith(f": owners not carried: {NOT_PERMITTED}")]
    assert told == [
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
    assert (status, text, err) == (2, "", f"differ: dir: {reason}\n")
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
