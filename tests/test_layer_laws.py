"""A layer on top of LOWER is UPPER, whoever puts it there: GNU tar, umoci, differ-apply, or differ that reads both.

``DIFFER_LAWS=deep`` tries 5,000 pairs, in about half an hour; see test_laws.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from .conftest import needs_program, needs_root
from .expected import Rows, in_order, left_over
from .generated import Pair, Step, make, pairs
from .oci_layout import TAG, write_image
from .profiles import judged_deeply, law, tell_seed
from .room import Room, command, room
from .test_judges import archive, run, umoci_carries

pytestmark = needs_root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    tell_seed(pytestconfig)
    return tmp_path_factory.mktemp("layers")


@contextlib.contextmanager
def layered(pair: Pair, base: Path) -> Iterator[Room]:
    """Both trees, such as a layer can hold: whole seconds and no sockets; and the layer."""
    with room(base) as place:
        make(without_sockets(pair), place.path / "lower", place.path / "upper")
        for tree in ("lower", "upper"):
            for directory, names, files in os.walk(os.fsencode(place.path / tree)):
                for name in [*names, *files]:
                    path = os.path.join(directory, name)
                    ns = os.lstat(path).st_mtime_ns // 10**9 * 10**9
                    os.utime(path, ns=(ns, ns), follow_symlinks=False)
        write_layer(layer_of(place), place.path / "lower", place.path / "upper")
        yield place


def write_layer(layer: Path, lower: object, upper: object) -> None:
    words = ["--strict", "--layer-xattrs=all", "--layer", layer, lower, upper]
    status, _, err = command("differ", *words)
    assert (status, "warning" in err) == (0, False), err


def without_sockets(pair: Pair) -> Pair:
    def other(step: Step) -> Step:
        return step._replace(call="fifo") if step.call == "sock" else step

    return Pair(list(map(other, pair.lower)), list(map(other, pair.edits)), pair.shared)


def layer_of(place: Room) -> Path:
    return place.path / "layer.tar"


def names_of(place: Room) -> dict[str, tarfile.TarInfo]:
    """What is in the layer, by its path."""
    with tarfile.open(layer_of(place), encoding="utf-8", errors="surrogateescape") as opened:
        return {member.name.rstrip("/"): member for member in opened}


def check(place: Room, name: str, carried_by: str = "") -> None:
    """The tree of that name is UPPER.

    ``carried_by``: as for :func:`.test_judges.umoci_carries`; nothing is lost if it is empty.
    """
    paths: Rows = {path: {} for path in names_of(place)}
    seen, wanted = (left_over(in_order(place.rows(tree)), paths, "oci") for tree in (name, "upper"))
    if carried_by:
        seen, wanted = ([umoci_carries(row, carried_by) for row in rows] for rows in (seen, wanted))
    assert seen == wanted


@law
@given(pair=pairs())
def test_differ_applies_and_reads_a_layer(base: Path, pair: Pair) -> None:
    with layered(pair, base) as place:
        path = place.path
        status, _, err = command("differ-apply", path / "lower", f"tar:{layer_of(place)}", path / "applied")
        assert (status, "warning" in err) == (0, False), err
        check(place, "applied")
        for tree in ("lower", "upper"):
            write_layer(path / f"{tree}.tar", "scratch", path / tree)
        write_layer(path / "again.tar", f"tar:{path}/lower.tar", f"tar:{path}/upper.tar")
        assert (path / "again.tar").read_bytes() == layer_of(place).read_bytes()
        for lower, upper in (
            (f"tar:{path}/lower.tar:{layer_of(place)}", path / "upper"),
            (path / "lower", f"tar:{path}/lower.tar"),
        ):
            status, out, err = command("differ", "--exit-code", lower, upper)
            assert (status, out) == (0, ""), err


@needs_program("umoci")
@needs_program("tar")
@judged_deeply
@given(pair=pairs())
def test_umoci_and_gnu_tar_apply_a_layer(base: Path, pair: Pair) -> None:
    with layered(pair, base) as place:
        apply_with_tar(place)
        check(place, "extracted")
        lower = place.path / "lower.tar"
        archive(place.path / "lower", lower)
        words = "--exit-code", f"tar:{lower}:{layer_of(place)}", place.path / "upper"
        if not any(stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode) for mode in linked(place)):
            status, out, err = command("differ", *words)
            assert (status, out) == (0, ""), err
        layer = shutil.copy(layer_of(place), place.path / "moved.tar")
        write_image(place.path / "image", [lower, Path(layer)])
        run("umoci", "raw", "unpack", "--image", f"{place.path / 'image'}:{TAG}", place.path / "unpacked")
        check(place, "unpacked", carried_by="tar")


def linked(place: Room) -> Iterator[int]:
    """The modes of what has several names in UPPER: of special files GNU tar makes one for each name."""
    for directory, _, files in os.walk(os.fsencode(place.path / "upper")):
        for name in files:
            facts = os.lstat(os.path.join(directory, name))
            if facts.st_nlink > 1:
                yield facts.st_mode


def apply_with_tar(place: Room) -> None:
    """Extract the layer over a copy of LOWER, less what is removed or replaced."""
    copy = os.fsencode(place.path / "extracted")
    subprocess.run(["cp", "-a", place.path / "lower", copy], check=True)
    for path, member in names_of(place).items():
        above, name = os.path.split(os.fsencode(path))
        if name.startswith(b".wh."):
            remove(os.path.join(copy, above, name[4:]))
            continue
        there = os.path.join(copy, above, name)
        if not os.path.lexists(there):
            continue
        if member.isdir() and os.path.isdir(there) and not os.path.islink(there):
            # GNU tar leaves the attributes of a directory that is there.
            for attribute in os.listxattr(there):
                os.removexattr(there, attribute)
            # What it makes in one with setgid inherits that, and it does not look.
            os.chmod(there, 0o700)
        else:
            remove(there)
    words = ["--xattrs", "--xattrs-include=*", "--exclude=.wh.*", "--numeric-owner", "--same-owner", "-p"]
    words += ["--delay-directory-restore"]
    run("tar", "-x", *words, "-C", os.fsdecode(copy), "-f", layer_of(place))


def remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
