"""Real trees: a Debian root file system before and after packages came, went and were upgraded; and two
releases of a package from PyPI.  Every style is proved by ``--verify`` and by the judges."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

import pytest

from .conftest import needs_program, needs_root
from .debian import change_debian, make_debian, run
from .room import Room
from .test_judges import (
    apply,
    compare_with_overlayfs,
    compare_with_rsync,
    compare_with_tar,
    compare_with_umoci,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """The pair of root file systems, on which programs have run as they do in a build."""
    room = Room(tmp_path_factory.mktemp("debian"))
    lower, upper = room.path / "lower", room.path / "upper"
    make_debian(lower)
    upper.rmdir()
    change_debian(lower, upper)
    yield room
    shutil.rmtree(room.path)


@pytest.fixture(params=["oci", "overlay", "none"])
def written(debian: Room, request: pytest.FixtureRequest) -> Iterator[tuple[Room, str]]:
    """The pair with its difference in the directory ``out``, proved."""
    style: str = request.param
    debian.write(style, "--verify")
    yield debian, style
    for name in ("out", "applied", "mount", "image", "unpacked"):
        shutil.rmtree(debian.path / name, ignore_errors=True)
    for tar in debian.path.glob("*.tar"):
        tar.unlink()


@needs_root
@needs_program("debootstrap")
def test_a_debian_root(written: tuple[Room, str]) -> None:
    room, style = written
    changes = room.rows("out")
    assert len(changes) > 1000
    room.apply(style)
    if style == "none":
        # What went is still there; nothing that is in UPPER may be missing or differ.
        upper, applied = room.rows("upper"), room.rows("applied")
        assert set(upper) <= set(applied)
        return
    apply_checked(room)
    if style == "overlay":
        compare_with_overlayfs(room)
    else:
        compare_with_umoci(room)
        for name in ("image", "unpacked"):
            shutil.rmtree(room.path / name)
        compare_with_umoci(room, packed="differ")


def apply_checked(room: Room) -> None:
    compare_with_rsync(room)
    # GNU tar compares the times of all directories, also of those that no changeset carries.
    for path, row in room.rows("upper").items():
        if row["type"] == "dir":
            ns = row["mtime"][0] * 10**9 + row["mtime"][1]
            os.utime(room.path / "applied" / path, ns=(ns, ns))
    shutil.copystat(room.path / "upper", room.path / "applied")
    compare_with_tar(room)


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Two releases of a package of several thousand files, every file with the time of unpacking."""
    room = Room(tmp_path_factory.mktemp("django"))
    for release, tree in (("5.1", "lower"), ("5.1.1", "upper")):
        wheels = room.path / f"wheel-{release}"
        download = ["pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(wheels)]
        run(sys.executable, "-m", *download, f"django=={release}")
        run(sys.executable, "-m", "zipfile", "-e", next(wheels.glob("*.whl")), room.path / tree)
    yield room
    shutil.rmtree(room.path)


@needs_program("rsync")
def test_two_releases_of_a_package(django: Room) -> None:
    django.write("oci", "--verify")
    apply(django, "oci")
    compare_with_rsync(django)
