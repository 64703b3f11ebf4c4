"""File systems with habits of their own, as OUT and as UPPER; what one cannot hold is counted."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunDiffer, needs_program, needs_root
from .disks import disk
from .trees import ACL_644, ACL_755, CAP_NET_RAW, A, B, Builder, Row, Z, acl, read_tree

pytestmark = [pytest.mark.cli, needs_root]

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
XFS_ACLS = ("trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")
"""How XFS shows the two to root a second time, in a form of its own."""

each_disk = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("btrfs", marks=needs_program("mkfs.btrfs")),
        pytest.param("xfs", marks=needs_program("mkfs.xfs")),
        "tmpfs",
    ],
)
STYLES = ("oci", "overlay", "none")


def pair(place: Path) -> tuple[Path, Path]:
    for side in ("lower", "upper"):
        (place / side).mkdir()
    return place / "lower", place / "upper"


def rows(root: Path) -> list[Row]:
    """The tree without its root, and without what XFS adds."""
    found = read_tree(root)[1:]
    for row in found:
        kept = {name: value for name, value in row.pop("xattrs", {}).items() if name not in XFS_ACLS}
        if kept:
            row["xattrs"] = kept
    return found


def fill(t: Builder) -> None:
    """Some of every kind, several levels deep."""
    t.dirs("a", "a/b", "a/b/c", "closed", "acl")
    t.file("a/b/c/f", "data", mode=0o6755, uid=5, gid=6, mtime=A)
    t.link("a/b/c/f", "a/l")
    t.file("a/capable", "1", mode=0o755, mtime=A)
    t.meta("a/capable", xattrs={"security.capability": CAP_NET_RAW, "trusted.t": b"\0"})
    t.symlink("a/s", "b", uid=7, mtime=B)
    t.fifo("a/fifo", mode=0o620, mtime=A)
    t.chr("a/null", (1, 3), mtime=A)
    t.file("acl/f", mode=0o644, xattrs={ACCESS: ACL_644}, mtime=A)
    t.file("closed/f", mode=0, mtime=Z)
    with open(t.p("a/sparse"), "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"data")
    t.meta("a/sparse", mtime=A)
    t.meta("acl", xattrs={ACCESS: ACL_755, DEFAULT: ACL_755}, mtime=A)
    t.meta("closed", mode=0, mtime=B)
    for path in ("a/b/c", "a/b", "a"):
        t.meta(path, mode=0o1751, mtime=A)


def make_out(where: Path, how: str) -> Path:
    """OUT on a disk: absent, an empty directory, or the root of it."""
    if how == "existing":
        (where / "out").mkdir(mode=0o750)
        os.utime(where / "out", ns=(1 * 10**18, 2 * 10**18))
    return where if how == "mount point" else where / "out"


each_out = pytest.mark.parametrize("how", ["absent", "existing", "mount point"])


# ---------------------------------------------------------------- every fact, on every disk


@each_disk
@each_out
def test_a_result_on_another_disk_is_proved(
    tmp_path: Path, run_differ: RunDiffer, kind: str, how: str
) -> None:
    lower, upper = pair(tmp_path)
    t = Builder(lower)
    t.dirs("a", "a/b")
    t.file("a/b/gone", mtime=A)
    fill(Builder(upper))
    with disk(tmp_path, kind) as where:
        out = make_out(where, how)
        status, _, err = run_differ("--strict", "--verify", lower, upper, out)
        assert status == 0, err
        assert err.endswith("; proved\n")
        written = rows(out)
        (whiteout,) = (row for row in written if row["path"] == "a/b/.wh.gone")
        written.remove(whiteout)
        assert written == rows(upper)
        status, _, err = run_differ("--strict", lower, out, tmp_path / "applied", apply=True)
        assert status == 0, err
    assert rows(tmp_path / "applied") == rows(upper)


@each_disk
@pytest.mark.parametrize("style", STYLES)
def test_trees_on_another_disk(tmp_path: Path, run_differ: RunDiffer, kind: str, style: str) -> None:
    with disk(tmp_path, kind) as where:
        lower, upper = pair(where)
        fill(Builder(upper))
        words = ["--strict", "--whiteout", style]
        # To the same disk, where files may be cloned, and to another one.
        for out in (where / "out", tmp_path / "out"):
            status, _, err = run_differ(*words, "--verify", lower, upper, out)
            assert status == 0, err
            assert rows(out) == rows(upper)
        status, _, err = run_differ(*words, lower, tmp_path / "out", where / "applied", apply=True)
        assert status == 0, err
        assert rows(where / "applied") == rows(upper)


@each_disk
@each_out
def test_a_failed_run_leaves_nothing_on_it(
    tmp_path: Path, run_differ: RunDiffer, kind: str, how: str
) -> None:
    lower, upper = pair(tmp_path)
    fill(Builder(upper))
    (upper / "z").mkdir()
    (upper / "z/.wh.refused").touch()
    with disk(tmp_path, kind) as where:
        out = make_out(where, how)
        before = read_tree(where)
        for apply in (False, True):
            if apply:
                # What stands for a name and is none ends a run as late.
                (upper / "z/.wh.").touch()
                (upper / "z/.wh.refused").unlink()
            status, text, err = run_differ(lower, upper, out, apply=apply)
            assert (status, text, err.count("\n")) == (2, "", 1)
            assert "z/.wh." in err
            after = read_tree(where)
            if how == "absent":  # the directory above has had a visitor
                assert os.listdir(where) == []
                before[0]["mtime"] = after[0]["mtime"]
            elif how == "existing":
                before[0]["mtime"] = after[0]["mtime"]
            assert after == before


# ---------------------------------------------------------------- XFS shows an ACL twice


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path, "xfs") as where:
        yield where


def with_acls(root: Path) -> None:
    """A file and a directory with ACLs, and another directory with a default one alone."""
    t = Builder(root)
    t.dirs("d", "default")
    t.file("d/f", "1", mode=0o644, xattrs={ACCESS: ACL_644}, mtime=A)
    t.meta("d", xattrs={ACCESS: ACL_755, DEFAULT: ACL_755}, mtime=A)
    t.meta("default", xattrs={DEFAULT: ACL_755}, mtime=A)


@needs_program("mkfs.xfs")
@needs_program("setfacl")
@pytest.mark.parametrize("on", ["ext4", "tmpfs"])
def test_a_copy_on_xfs_does_not_differ(tmp_path: Path, xfs: Path, run_differ: RunDiffer, on: str) -> None:
    with disk(tmp_path, on) as other:
        tree, copy = other / "tree", xfs / "copy"
        tree.mkdir()
        with_acls(tree)
        subprocess.run(["cp", "-a", tree, copy], check=True)
        shown = set(os.listxattr(copy / "d"))
        assert shown >= {ACCESS, DEFAULT, *XFS_ACLS}, "the kernel shows them to root"
        for trees in ((tree, copy), (copy, tree)):
            assert run_differ("--exit-code", *trees)[:2] == (0, "")
        subprocess.run(["setfacl", "-m", "u:77:r", copy / "d/f"], check=True)
        assert run_differ("--exit-code", tree, copy)[:2] == (1, "M d/f  ACL changed\n")


@needs_program("mkfs.xfs")
@pytest.mark.parametrize("apply", [False, True])
def test_acls_come_to_xfs_once(tmp_path: Path, xfs: Path, run_differ: RunDiffer, apply: bool) -> None:
    lower, upper = pair(tmp_path)
    with_acls(upper)
    words = ["--strict"] if apply else ["--strict", "--verify"]
    status, _, err = run_differ(*words, lower, upper, xfs / "out", apply=apply)
    assert status == 0, err
    assert rows(xfs / "out") == read_tree(upper)[1:]


@needs_program("mkfs.xfs")
@pytest.mark.parametrize("apply", [False, True])
def test_acls_leave_xfs_without_its_own_form(
    tmp_path: Path, xfs: Path, run_differ: RunDiffer, apply: bool
) -> None:
    lower, upper = pair(xfs)
    with_acls(upper)
    words = ["--strict"] if apply else ["--strict", "--verify"]
    status, _, err = run_differ(*words, lower, upper, tmp_path / "out", apply=apply)
    assert status == 0, err
    assert read_tree(tmp_path / "out")[1:] == rows(upper)
    found = {name for path in ("d", "d/f", "default") for name in os.listxattr(tmp_path / "out" / path)}
    assert found == {ACCESS, DEFAULT}


# ---------------------------------------------------------------- what a disk cannot hold


@needs_program("mkfs.xfs")
@needs_program("mkfs.ext4")
@pytest.mark.parametrize("name", ["d", "d/e", "s"])
def test_an_attribute_that_is_too_large_is_named(
    tmp_path: Path, xfs: Path, run_differ: RunDiffer, name: str
) -> None:
    lower, upper = pair(xfs)
    t = Builder(upper)
    t.dir("d")
    t.file("d/e", "in d")
    t.file("e", "after d")
    t.symlink("s", "nowhere")
    attribute = "trusted.big" if name == "s" else "user.big"
    t.meta(name, xattrs={attribute: bytes(8000)})
    with disk(tmp_path, "ext4") as ext4:
        out = ext4 / "out"
        status, text, err = run_differ(lower, upper, out)
        assert (status, text, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"differ: {out}/{name}: "), err
        assert attribute in err
        assert os.listdir(ext4) == ["lost+found"]


LOST_ACLS = [
    # What the mode shows is the mask; the owning group has what its own entry says, masked.
    (acl((1, 6, None), (2, 6, 77), (4, 0, None), (16, 6, None), (32, 0, None)), 0o660, 0o600),
    (acl((1, 7, None), (2, 7, 77), (4, 5, None), (16, 7, None), (32, 5, None)), 0o775, 0o755),
    (acl((1, 7, None), (2, 7, 77), (4, 6, None), (16, 5, None), (32, 1, None)), 0o751, 0o741),
    (acl((1, 6, None), (4, 4, None), (8, 6, 78), (16, 6, None), (32, 4, None)), 0o664, 0o644),
    (acl((1, 4, None), (2, 6, 77), (4, 7, None), (16, 0, None), (32, 0, None)), 0o400, 0o400),
]


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("kind", ["file", "dir", "fifo", "set-id"])
@pytest.mark.parametrize(
    ("value", "shown", "wanted"), LOST_ACLS, ids=[f"{shown:o}-{wanted:o}" for _, shown, wanted in LOST_ACLS]
)
def test_nobody_gains_by_an_acl_that_is_lost(
    tmp_path: Path, run_differ: RunDiffer, value: bytes, shown: int, wanted: int, kind: str, apply: bool
) -> None:
    lower, upper = pair(tmp_path)
    t = Builder(upper)
    make = t.dir if kind == "dir" else t.fifo if kind == "fifo" else t.file
    make("x", uid=5, gid=6)
    bits = 0o6000 if kind == "set-id" else 0
    t.meta("x", mode=0o700 | bits)
    t.meta("x", xattrs={ACCESS: value}, mtime=A)
    assert stat.S_IMODE((upper / "x").stat().st_mode) == shown | bits
    with disk(tmp_path, "ramfs") as ramfs:
        status, _, err = run_differ(lower, upper, ramfs / "out", apply=apply)
        assert status == 0, err
        (warning,) = err.splitlines()[:-1]
        command = "differ-apply" if apply else "differ"
        assert warning.startswith(f"{command}: warning: {ACCESS} attributes of 1 entry not carried (")
        facts = (ramfs / "out/x").stat()
        assert f"{stat.S_IMODE(facts.st_mode):04o}" == f"{wanted | bits:04o}"
        assert (facts.st_uid, facts.st_gid) == (5, 6)
        status, _, err = run_differ("--strict", lower, upper, ramfs / "strict", apply=apply)
        assert (status, os.listdir(ramfs)) == (2, ["out"])
        assert err.startswith(f"{command}: x: cannot carry {ACCESS} attributes: "), err


def test_the_mode_stays_where_only_a_default_acl_is_lost(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper = pair(tmp_path)
    Builder(upper).dir("d", mode=0o2775, gid=6)
    Builder(upper).meta("d", mode=0o2775, xattrs={DEFAULT: acl((1, 7, None), (4, 0, None), (32, 0, None))})
    with disk(tmp_path, "ramfs") as ramfs:
        status, _, err = run_differ(lower, upper, ramfs / "out")
        assert status == 0, err
        assert f"{DEFAULT} attributes of 1 entry not carried" in err
        assert stat.S_IMODE((ramfs / "out/d").stat().st_mode) == 0o2775


TIMES = {"whole": Z, "late": (5_000_000_000, 0), "fraction": A, "link": A}


@needs_program("mkfs.ext4")
def test_times_that_the_disk_cannot_hold_are_counted(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper = pair(tmp_path)
    t = Builder(upper)
    for name, when in TIMES.items():
        if name == "link":
            t.symlink(name, "x", mtime=when)
        else:
            t.file(name, mtime=when)
    # ext4 with small inodes: times are whole seconds, and end in 2038.
    with disk(tmp_path, "ext4", "-I", "128") as old_disk:
        status, _, err = run_differ(lower, upper, old_disk / "out")
        assert status == 0, err
        (warning,) = err.splitlines()[:-1]
        assert warning.startswith("differ: warning: times of 3 entries not carried (")
        assert (old_disk / "out/whole").stat().st_mtime_ns == Z[0] * 10**9
        status, _, err = run_differ("--strict", lower, upper, old_disk / "strict")
        assert status == 2
        assert err.startswith("differ: fraction: cannot carry times: ")
        assert not (old_disk / "strict").exists()
