"""Programs that know nothing of this project judge its results, on generated and on measured pairs of trees.

Each judge looks at what it can: what it cannot is left out by name, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from .conftest import needs_program, needs_root
from .editor import Editor
from .expected import in_order, left_over
from .generated import Pair, Step, make, pairs, perform
from .native import cases
from .oci_layout import TAG, write_image
from .profiles import judged, tell_seed
from .room import Room, room
from .trees import ACL_755, T_UPPER, A, Row

pytestmark = needs_root

NO_LAYER = {"name_255", "wh_add_matching", "wh_add_opq", "wh_add_dir", "wh_bare", "wh_collision"}
"""Cases with names that an image cannot hold, or whose whiteouts no directory can hold."""
NO_OVERLAY = {"chr00_add", "chr00_replaces_file"}
"""Cases with the device that overlayfs takes for a whiteout, which the style refuses."""

LAYERS = [case for case in cases.CASES if case not in NO_LAYER]
OVERLAYS = [case for case in cases.CASES if case not in NO_OVERLAY]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Where the trees are; a mount option can hold no name with a colon or a comma."""
    tell_seed(pytestconfig)
    path = tmp_path_factory.mktemp("judges")
    assert not {":", ",", "\\"} & set(str(path)), "run pytest with another --basetemp"
    return path


@contextlib.contextmanager
def generated(pair: Pair, base: Path, style: str) -> Iterator[Room]:
    with room(base) as place:
        if style == "overlay":
            pair = pair.without_zero_device()
        make(pair, place.path / "lower", place.path / "upper")
        place.write(style)
        yield place


@contextlib.contextmanager
def measured(case: str, base: Path, style: str) -> Iterator[Room]:
    with room(base) as place:
        for side in ("lower", "upper"):
            cases.make(case, side, str(place.path / side))
        os.umask(0o022)  # which making a case leaves at 0
        place.write(style)
        yield place


def run(*words: str | Path, status: int = 0) -> str:
    """Run a program that must end with this status; what it printed."""
    done = subprocess.run(words, capture_output=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return os.fsdecode(done.stdout)


# ---------------------------------------------------------------- the kernel
@needs_program("mount")
@judged
@given(pair=pairs())
def test_overlayfs_shows_upper(base: Path, pair: Pair) -> None:
    with generated(pair, base, "overlay") as place:
        compare_with_overlayfs(place)


@needs_program("mount")
@pytest.mark.parametrize("case", OVERLAYS)
def test_overlayfs_shows_upper_of_a_measured_pair(base: Path, case: str) -> None:
    with measured(case, base, "overlay") as place:
        compare_with_overlayfs(place)


def compare_with_overlayfs(place: Room) -> None:
    mount = place.path / "mount"
    mount.mkdir()
    layers = f"{place.path / 'out'}:{place.path / 'lower'}"
    run("mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={layers}", mount)
    try:
        seen = place.rows("mount")
    finally:
        run("umount", mount)
    out = place.rows("out")
    assert left_over(in_order(seen), out, "overlay") == left_over(
        in_order(place.rows("upper")), out, "overlay"
    )


# ---------------------------------------------------------------- umoci
@needs_program("umoci")
@needs_program("tar")
@judged
@given(pair=pairs())
def test_umoci_unpacks_upper(base: Path, pair: Pair) -> None:
    with generated(pair, base, "oci") as place:
        compare_with_umoci(place)


@needs_program("umoci")
@needs_program("tar")
@pytest.mark.parametrize("case", LAYERS)
def test_umoci_unpacks_upper_of_a_measured_pair(base: Path, case: str) -> None:
    with measured(case, base, "oci") as place:
        compare_with_umoci(place)


@needs_program("umoci")
@needs_program("tar")
@judged
@given(pair=pairs())
def test_umoci_unpacks_our_layer(base: Path, pair: Pair) -> None:
    with generated(pair, base, "oci") as place:
        compare_with_umoci(place, packed="differ")


@needs_program("umoci")
@needs_program("tar")
@pytest.mark.parametrize("case", LAYERS)
def test_umoci_unpacks_our_layer_of_a_measured_pair(base: Path, case: str) -> None:
    with measured(case, base, "oci") as place:
        compare_with_umoci(place, packed="differ")


def compare_with_umoci(place: Room, packed: str = "tar") -> None:
    """``packed``: what makes a layer of the changes, GNU tar of OUT or differ itself."""
    layers = [place.path / "lower.tar", place.path / "out.tar"]
    archive(place.path / "lower", layers[0])
    if packed == "tar":
        archive(place.path / "out", layers[1])
    else:
        status, _, err = place.differ("--strict", "--layer", str(layers[1]), "--layer-xattrs=all")
        assert status == 0, err
    image, unpacked = place.path / "image", "unpacked"
    write_image(image, layers)
    run("umoci", "raw", "unpack", "--image", f"{image}:{TAG}", place.path / unpacked)
    out = place.rows("out")
    seen, wanted = (
        [umoci_carries(row, packed) for row in left_over(in_order(place.rows(tree)), out, "oci")]
        for tree in (unpacked, "upper")
    )
    assert seen == wanted


def umoci_carries(row: Row, packed: str) -> Row:
    """What GNU tar or differ, and umoci, together can bring over."""
    left_out = set()
    if packed == "differ" and "mtime" in row:
        row = row | {"mtime": row["mtime"][:1]}  # a layer has whole seconds
    if row["type"] in ("fifo", "chr", "blk"):
        # GNU tar archives every name of a special file as a file of its own.
        left_out.add("linkgroup")
    # umoci reads tars with Go's archive/tar, where a PAX record without a value takes a record away.
    xattrs = {name: value for name, value in row.get("xattrs", {}).items() if value}
    if not xattrs:
        left_out.add("xattrs")
    return {key: value for key, value in (row | {"xattrs": xattrs}).items() if key not in left_out}


def archive(tree: Path, tar: Path) -> None:
    """A tar of everything in a directory, with every fact that GNU tar knows of."""
    facts = ["--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"]
    run("tar", "--create", "--format=posix", "--sort=name", "--sparse", *facts, "-C", tree, "-f", tar, ".")


# ---------------------------------------------------------------- rsync and GNU tar on what was applied
@needs_program("rsync")
@pytest.mark.parametrize("style", ["oci", "overlay"])
@judged
@given(pair=pairs())
def test_rsync_finds_nothing_to_do(style: str, base: Path, pair: Pair) -> None:
    with generated(pair, base, style) as place:
        apply(place, style)
        compare_with_rsync(place)


@needs_program("tar")
@pytest.mark.parametrize("style", ["oci", "overlay"])
@judged
@given(pair=pairs())
def test_tar_finds_no_difference(style: str, base: Path, pair: Pair) -> None:
    with generated(pair, base, style) as place:
        apply(place, style)
        compare_with_tar(place)


@needs_program("rsync")
@needs_program("tar")
@pytest.mark.parametrize("case", cases.CASES)
def test_rsync_and_tar_find_nothing_in_a_measured_pair(base: Path, case: str) -> None:
    style = "overlay" if case in NO_LAYER else "oci"
    with measured(case, base, style) as place:
        apply(place, style)
        compare_with_rsync(place)
        compare_with_tar(place)


def apply(place: Room, style: str) -> None:
    """Make the tree ``applied``; where the style has no sockets no tree has any."""
    place.apply(style)
    if style == "oci":
        for tree in ("applied", "upper"):
            for path, row in place.rows(tree).items():
                if row["type"] == "socket":
                    (place.path / tree / path).unlink()


def compare_with_rsync(place: Room) -> None:
    assert (rsync(place, "upper", "applied"), rsync(place, "applied", "upper")) == ("", "")


def rsync(place: Room, source: str, target: str) -> str:
    """What rsync would do to make the target like the source.

    Both directions are asked for, because it joins links but breaks none.  It compares nanoseconds with
    --modify-window=-1 only.  The times of directories are those of LOWER where nothing was written.
    """
    options = ["-aHAXn", "--delete", "--checksum", "--numeric-ids", "--omit-dir-times", "--modify-window=-1"]
    return run("rsync", *options, "--itemize-changes", f"{place.path / source}/", f"{place.path / target}/")


def compare_with_tar(place: Room) -> None:
    tar = place.path / "upper.tar"
    archive(place.path / "upper", tar)
    assert run("tar", "--compare", "--numeric-owner", "-C", place.path / "applied", "-f", tar) == ""


TAMPERING: dict[str, tuple[Step, bool]] = {
    # what is done to the applied tree, and whether GNU tar compares such a thing
    "content": (Step("flip", (b"d/f",), {}), True),
    "mode": (Step("meta", (b"d/f",), {"mode": 0o4755}), True),
    "directory mode": (Step("meta", (b"d",), {"mode": 0o700}), True),
    "owner": (Step("meta", (b"d/f",), {"gid": 7}), True),
    "owner of a symbolic link": (Step("meta", (b"l",), {"gid": 7}), False),
    "nanoseconds": (Step("meta", (b"d/f",), {"mtime": (A[0], A[1] + 1)}), True),
    "attribute": (Step("meta", (b"d/f",), {"xattrs": {"user.k": b"w"}}), False),
    "acl": (Step("meta", (b"d",), {"xattrs": {"system.posix_acl_default": ACL_755}}), False),
    "broken link": (Step("again", (b"h",), {}), True),
    "joined link": (Step("join", (b"c", b"e"), {}), False),
    "missing": (Step("rm", (b"d/f",), {}), True),
    "too much": (Step("fifo", (b"d/more",), {}), False),
}


@needs_program("rsync")
@needs_program("tar")
@pytest.mark.parametrize("tampering", TAMPERING)
def test_the_judges_can_say_no(base: Path, tampering: str) -> None:
    step, seen_by_tar = TAMPERING[tampering]
    with room(base) as place:
        for tree in ("upper", "applied"):
            (place.path / tree).mkdir(exist_ok=True)
            editor = Editor(place.path / tree)
            editor.dir("d", mtime=A)
            editor.file("d/f", "data", mtime=A, xattrs={"user.k": b"v"})
            editor.symlink("l", "d/f", mtime=A)
            editor.file("g", "linked", mtime=A)
            editor.link("g", "h")
            editor.file("c", "alike", mtime=A)
            editor.file("e", "alike", mtime=A)
        compare_with_rsync(place)
        compare_with_tar(place)
        perform([step], place.path / "applied", T_UPPER)
        with pytest.raises(AssertionError):
            compare_with_rsync(place)
        if seen_by_tar:
            with pytest.raises(AssertionError):
                compare_with_tar(place)
        else:
            compare_with_tar(place)
