"""The overlay style, where the kernel says what an entry means.

What it would not show as an entry is refused, and so are its own attributes that say "look elsewhere":
whoever applies them as they are gets files without their bytes, or directories without their entries.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunDiffer, needs_root
from .disks import disk
from .listing import names
from .trees import ACL_755, A, B, Builder, read_tree, without

pytestmark = [pytest.mark.cli, needs_root]

NAMESPACES = ("trusted", "user")
each_namespace = pytest.mark.parametrize("namespace", NAMESPACES)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for side in ("lower", "upper", "changes"):
        (tmp_path / side).mkdir()
    return tmp_path


# ---------------------------------------------------------------- opaque directories


def opaque_pair(place: Path) -> None:
    """Directories in LOWER with entries, and the same ones in CHANGES with one other entry each."""
    for side, name in (("lower", "below"), ("changes", "above")):
        t = Builder(place / side)
        t.dirs("d", "d/sub", "d/sub/deep", "other")
        for path in ("d", "d/sub", "d/sub/deep", "other"):
            t.file(f"{path}/{name}", name, mtime=A)
            t.file(f"{path}/both", name, mtime=A)
    Builder(place / "lower").dirs("d/gone", "d/sub/gone")
    Builder(place / "lower").file("d/gone/f")


def applied(place: Path, run_differ: RunDiffer, *options: str) -> list[str]:
    status, _, err = run_differ(*options, place / "lower", place / "changes", place / "applied", apply=True)
    assert status == 0, err
    return names(place / "applied")


@each_namespace
def test_nothing_shows_through_an_opaque_directory(
    place: Path, run_differ: RunDiffer, namespace: str
) -> None:
    opaque_pair(place)
    os.setxattr(place / "changes/d", f"{namespace}.overlay.opaque", b"y")
    found = applied(place, run_differ, "--whiteout=overlay")
    assert [path for path in found if path.startswith("d")] == [
        "d",
        *("d/above", "d/both", "d/sub", "d/sub/above", "d/sub/both"),
        *("d/sub/deep", "d/sub/deep/above", "d/sub/deep/both"),
    ]
    assert [path for path in found if path.startswith("other")] == [
        *("other", "other/above", "other/below", "other/both")
    ]
    assert (place / "applied/d/both").read_text() == "above"
    # The result stands on nothing, so it needs no mark.
    assert os.listxattr(place / "applied/d") == []


@each_namespace
def test_a_directory_may_be_opaque_below_one_that_is_not(
    place: Path, run_differ: RunDiffer, namespace: str
) -> None:
    opaque_pair(place)
    os.setxattr(place / "changes/d/sub", f"{namespace}.overlay.opaque", b"y")
    found = applied(place, run_differ, "--whiteout=overlay")
    assert {"d/gone", "d/gone/f", "d/below"} <= set(found)
    assert [path for path in found if path.startswith("d/sub")] == [
        *("d/sub", "d/sub/above", "d/sub/both", "d/sub/deep", "d/sub/deep/above", "d/sub/deep/both")
    ]


@pytest.mark.parametrize(
    ("options", "attribute", "value"),
    [
        (["--whiteout=overlay"], "trusted.overlay.opaque", b"n"),
        (["--whiteout=overlay"], "trusted.overlay.opaque", b""),
        (["--whiteout=overlay"], "trusted.overlay.origin", b"y"),
        (["--whiteout=overlay"], "user.opaque", b"y"),
        (["--whiteout=oci"], "trusted.overlay.opaque", b"y"),
        (["--whiteout=none"], "user.overlay.opaque", b"y"),
    ],
)
def test_what_makes_no_directory_opaque(
    place: Path, run_differ: RunDiffer, options: list[str], attribute: str, value: bytes
) -> None:
    opaque_pair(place)
    os.setxattr(place / "changes/d", attribute, value)
    found = applied(place, run_differ, *options)
    assert {"d/below", "d/gone/f", "d/sub/below", "d/sub/deep/below", "d/sub/gone"} <= set(found)


# ---------------------------------------------------------------- attributes that lead elsewhere


@each_namespace
@pytest.mark.parametrize("attribute", ["metacopy", "redirect"])
@pytest.mark.parametrize("path", ["x", "d/e/x"])
@pytest.mark.parametrize("kind", ["file", "dir"])
@pytest.mark.parametrize("in_lower", [False, True])
def test_an_attribute_that_leads_elsewhere_is_refused(
    place: Path, run_differ: RunDiffer, namespace: str, attribute: str, path: str, kind: str, in_lower: bool
) -> None:
    for side in ("lower", "changes"):
        t = Builder(place / side)
        t.dirs("d", "d/e")
        if side == "changes" or in_lower:
            (t.dir if kind == "dir" else t.file)(path)
    name = f"{namespace}.overlay.{attribute}"
    os.setxattr(place / "changes" / path, name, b"/y")
    refused(place, run_differ, path, name)
    # In another style it means nothing.
    for style in ("oci", "none"):
        assert path in applied(place, run_differ, "--whiteout", style)
        shutil.rmtree(place / "applied")


def refused(place: Path, run_differ: RunDiffer, path: str, attribute: str) -> None:
    changes = place / "changes"
    before = sorted(os.listdir(place))
    status, text, err = run_differ(
        "--whiteout=overlay", place / "lower", changes, place / "applied", apply=True
    )
    assert (status, text, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"differ-apply: {changes / path}: "), err
    assert attribute in err
    assert sorted(os.listdir(place)) == before


# ---------------------------------------------------------------- changes that the kernel has made


@contextlib.contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """LOWER to work in, with CHANGES as the upper directory."""
    for name in ("work", "merged"):
        (place / name).mkdir()
    where = place / "merged"
    layers = f"lowerdir={place / 'lower'},upperdir={place / 'changes'},workdir={place / 'work'}"
    mount = ("mount", "-t", "overlay", "overlay", "-o")
    subprocess.run([*mount, ",".join([layers, *options]), where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Path]:
    """A place on a file system that overlayfs takes for its upper directory."""
    with disk(tmp_path, "tmpfs") as where:
        for side in ("lower", "changes"):
            (where / side).mkdir()
        yield where


def test_a_file_without_its_bytes_is_refused(writable: Path, run_differ: RunDiffer) -> None:
    Builder(writable / "lower").dir("d")
    Builder(writable / "lower").file("d/f", "data" * 1000)
    with mounted(writable, "metacopy=on") as merged:
        (merged / "d/f").chmod(0o600)
    assert (writable / "changes/d/f").stat().st_blocks == 0
    refused(writable, run_differ, "d/f", "trusted.overlay.metacopy")


def test_a_directory_without_its_entries_is_refused(writable: Path, run_differ: RunDiffer) -> None:
    Builder(writable / "lower").dirs("d", "d/old")
    Builder(writable / "lower").file("d/old/f", "data")
    with mounted(writable, "redirect_dir=on", "metacopy=off") as merged:
        (merged / "d/old").rename(merged / "d/new")
    assert os.listdir(writable / "changes/d/new") == []
    refused(writable, run_differ, "d/new", "trusted.overlay.redirect")


def test_the_kernels_own_changes_are_applied(writable: Path, run_differ: RunDiffer) -> None:
    t = Builder(writable / "lower")
    t.dirs("again", "again/sub", "kept", "gone", "closed")
    for path in ("again/f", "again/sub/f", "kept/f", "kept/gone", "gone/f", "closed/f", "file"):
        t.file(path, path, mtime=A)
    t.meta("closed", mode=0o500, xattrs={"system.posix_acl_default": ACL_755}, mtime=B)
    with mounted(writable, "redirect_dir=off", "metacopy=off") as merged:
        m = Builder(merged)
        for path in ("again", "gone", "kept/gone", "file"):
            m.rm(path)
        m.dir("again", mtime=B)
        m.file("again/new", "new", mtime=A)
        m.dir("again/sub", mode=0o711)
        m.dir("file")
        m.file("file/f")
        m.file("closed/f", "longer", mtime=A)
        m.settle(B)
        wanted = read_tree(merged)
    marks = [path for path in ("again", "file") if "trusted.overlay.opaque" in xattrs(writable, path)]
    assert "again" in marks
    assert stat.S_ISCHR((writable / "changes/gone").lstat().st_mode)
    applied(writable, run_differ, "--strict", "--whiteout=overlay")
    assert read_tree(writable / "applied")[1:] == wanted[1:]


def xattrs(place: Path, path: str) -> list[str]:
    return os.listxattr(place / "changes" / path)


# ---------------------------------------------------------------- a device that is no entry


@pytest.mark.parametrize("path", ["zero", "d/e/zero"])
@pytest.mark.parametrize("how", ["added", "unchanged", "one inode", "modified", "replaces"])
def test_a_device_that_the_kernel_would_not_show_is_refused(
    place: Path, run_differ: RunDiffer, path: str, how: str
) -> None:
    for side in ("lower", "upper"):
        t = Builder(place / side)
        t.dirs("d", "d/e")
        t.file("d/e/x", side, mtime=A)
        if side == "lower" and how == "replaces":
            t.file(path)
        elif side == "lower" and how == "one inode":
            t.chr(path, (0, 0), mtime=A)
        elif how == "one inode":
            os.link(place / "lower" / path, place / "upper" / path)
        elif side == "upper" or how != "added":
            t.chr(path, (0, 0), mode=0o600 if how == "modified" and side == "upper" else 0o644, mtime=A)
    trees = (place / "lower", place / "upper")
    for out in ([], [place / "out"]):
        status, _, err = run_differ("--whiteout=overlay", *trees, *out)
        assert (status, err.count("\n")) == (2, 1), err
        assert err.startswith(f"differ: {path}: a character device 0:0 "), err
        assert sorted(os.listdir(place)) == ["changes", "lower", "upper"]
    status, _, err = run_differ("--whiteout=overlay", "--allow-wh-names", *trees, place / "out")
    assert status == 0, err
    written = [] if how in ("unchanged", "one inode") else [path]
    assert [name for name in names(place / "out") if name.endswith("zero")] == written
    status, _, err = run_differ("--verify", "--whiteout=oci", *trees, place / "oci")
    assert status == 0, err


def test_the_device_is_refused_in_equal_trees(place: Path, run_differ: RunDiffer) -> None:
    Builder(place / "upper").dir("d")
    Builder(place / "upper").chr("d/zero", (0, 0))
    words = (place / "upper", place / "upper")
    status, _, err = run_differ("--whiteout=overlay", *words, place / "out")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("differ: d/zero: a character device 0:0 ")
    assert run_differ("--whiteout=overlay", "--ignore=d/zero", *words, place / "out")[0] == 0
    assert names(place / "out") == []
    assert run_differ("--exit-code", *words)[:2] == (0, "")


@pytest.mark.parametrize("kind", ["gone", "file", "dir"])
def test_the_device_may_be_in_lower_alone(place: Path, run_differ: RunDiffer, kind: str) -> None:
    Builder(place / "lower").chr("zero", (0, 0))
    if kind != "gone":
        t = Builder(place / "upper")
        (t.file if kind == "file" else t.dir)("zero")
    status, _, err = run_differ(
        "--whiteout=overlay", "--verify", place / "lower", place / "upper", place / "out"
    )
    assert status == 0, err
    layers = f"lowerdir={place / 'out'}:{place / 'lower'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"ro,{layers}", place / "changes"], check=True)
    try:
        shown = read_tree(place / "changes")[1:]
    finally:
        subprocess.run(["umount", place / "changes"], check=True)
    assert without(shown, "mtime") == without(read_tree(place / "upper")[1:], "mtime")
