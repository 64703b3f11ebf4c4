"""Real trees: a Debian root file system before and after packages came, went and were upgraded; and two
releases of a package from PyPI.  Every style is proved by ``--verify`` and by the judges."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from differ.cli import main, main_rebase

from .conftest import needs_program, needs_root
from .debian import change_debian, make_debian, run
from .expected import Rows, in_order, left_over
from .image.saved import CAPABILITY, carried, unlike
from .room import Room, command
from .test_judges import (
    apply,
    compare_with_overlayfs,
    compare_with_rsync,
    compare_with_tar,
    compare_with_umoci,
)
from .test_layer_laws import apply_with_tar, names_of
from .trees import CAP_NET_BIND, A, Builder, Row, read_tree

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


def packed(room: Room, compression: str) -> tuple[bytes, str]:
    """A layer of the pair, unpacked again, and its digest."""
    layer, metadata = room.path / "packed", room.path / "packed.json"
    words = [
        "-q",
        "--layer-xattrs=all",
        "--compression",
        compression,
        "--layer",
        layer,
        "--metadata-file",
        metadata,
    ]
    status, _, err = command("differ", *words, room.path / "lower", room.path / "upper")
    assert (status, err) == (0, "")
    stored, described = layer.read_bytes(), json.loads(metadata.read_text())
    assert described["digest"] == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    data = gzip.decompress(stored) if compression == "gzip" else stored
    if compression == "zstd":
        data = zstandard.ZstdDecompressor().stream_reader(stored).read()
    assert described["diffID"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    for path in (layer, metadata):
        path.unlink()
    return data, described["digest"]


@needs_root
@needs_program("debootstrap")
def test_layers_of_a_debian_root(debian: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    tar, _ = packed(debian, "none")
    assert all(packed(debian, how)[0] == tar for how in ("gzip", "zstd"))
    (debian.path / "layer.tar").write_bytes(tar)
    apply_with_tar(debian)
    paths: Rows = {path: {} for path in names_of(debian)}
    seen, wanted = (left_over(in_order(debian.rows(tree)), paths, "oci") for tree in ("extracted", "upper"))
    assert len(paths) > 1000
    assert [in_seconds(row) for row in seen] == [in_seconds(row) for row in wanted]
    for name in ("extracted", "layer.tar"):
        run("rm", "-rf", debian.path / name)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for how in ("gzip", "zstd"):
        assert packed(debian, how)[1] == packed(debian, how)[1]


def in_seconds(row: Row) -> Row:
    """A row with the time that a layer has."""
    return {**row, "mtime": row.get("mtime", [None])[0]}


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


# ---------------------------------------------------------------- another base
UPGRADE = """\
set -e
export DEBIAN_FRONTEND=noninteractive
echo 'deb http://deb.debian.org/debian-security bookworm-security main' > /etc/apt/sources.list.d/security.list
apt-get -qq -o Acquire::Check-Valid-Until=false update
apt-get -qq upgrade -y
apt-get clean
"""
UPGRADED = "var/lib/dpkg/status"


def install(root: Path, conflicting: bool = False) -> None:
    """An application, installed into a base."""
    t = Builder(root)
    t.dirs("opt/app", "opt/app/lib")
    t.file("opt/app/server", b"server" * 1000, mode=0o755, mtime=A, xattrs={CAPABILITY: CAP_NET_BIND})
    t.file("opt/app/lib/one", b"1" * 100_000, mtime=A)
    t.link("opt/app/lib/one", "opt/app/lib/two")
    t.symlink("usr/bin/app", "/opt/app/server", mtime=A)
    t.dir("var/lib/app", mode=0o700, uid=1000, gid=1000)
    t.file("etc/profile.d/app.sh", b"APP=1\n", mtime=A)
    t.meta("usr/bin/who", mode=0o700)
    t.rm("usr/share/doc/bash")
    if conflicting:
        with (root / UPGRADED).open("a") as file:
            file.write("\n")


@pytest.fixture(scope="module")
def rebased(debian: Room) -> Iterator[tuple[Path, Path]]:
    """A layout with the images ``old``, ``app``, ``other`` and ``new``, and what ``app`` is on the new base."""
    place = debian.path / "rebase"
    place.mkdir()
    old, new, direct = debian.path / "lower", place / "new", place / "direct"
    run("cp", "-a", old, new)
    shutil.copyfile("/etc/resolv.conf", new / "etc/resolv.conf")
    run("chroot", new, "sh", "-c", UPGRADE)
    assert (old / UPGRADED).read_bytes() != (new / UPGRADED).read_bytes(), "nothing to upgrade"
    layout = place / "layout"
    for tag, base, more in (("old", old, ""), ("app", old, "app"), ("other", old, "other"), ("new", new, "")):
        word = ("--compression=none", "-q", "--append-to-scratch", f"oci:{layout}:{tag}")
        if not more:
            assert main([*word, "scratch", str(base)]) == 0
            continue
        run("cp", "-a", base, place / tag)
        install(place / tag, more == "other")
        top = ("--append", f"oci:{layout}:old", "--to", f"oci:{layout}:{tag}")
        assert main([*word[:2], str(base), str(place / tag), *top]) == 0
    run("cp", "-a", new, direct)
    install(direct)
    yield layout, direct
    shutil.rmtree(place)


def rebase(layout: Path, image: str, *options: str) -> int:
    words = [f"oci:{layout}:{tag}" for tag in ("old", image, "new")]
    return main_rebase([*words, "--to", f"oci:{layout}:top", "--progress=none", *options])


@needs_root
@needs_program("debootstrap")
@needs_program("umoci")
def test_an_application_on_an_upgraded_base(rebased: tuple[Path, Path], tmp_path: Path) -> None:
    layout, direct = rebased
    assert rebase(layout, "app") == 0
    run("umoci", "raw", "unpack", "--image", f"{layout}:top", tmp_path / "root")
    got, wanted = (carried(read_tree(tree)) for tree in (tmp_path / "root", direct))
    for rows in (got, wanted):
        for row in rows.values():
            if row["type"] == "dir":
                del row["mtime"]
    assert unlike(got, wanted) == []
    assert CAPABILITY in got["opt/app/server"]
    assert got["opt/app/lib/two"]["linkgroup"] == "opt/app/lib/one"
    shutil.rmtree(tmp_path / "root")


@needs_root
@needs_program("debootstrap")
def test_a_conflict_with_the_upgrade(rebased: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = rebased
    main(["-q", "scratch", str(layout), str(layout.parent / "before")])
    capsys.readouterr()
    assert rebase(layout, "other") == 1
    name, *versions = capsys.readouterr().out.splitlines()
    assert name == f"C {UPGRADED}"
    assert [line[:14].strip() for line in versions] == ["old base", "image", "new base"]
    assert main(["--exit-code", "-q", str(layout.parent / "before"), str(layout)]) == 0
    assert rebase(layout, "other", "--allow-conflicts") == 0
    capsys.readouterr()
    assert main([f"oci:{layout}:other", f"oci:{layout}:top"]) == 0
    differing = {line.split()[1] for line in capsys.readouterr().out.splitlines()}
    assert f"{UPGRADED}-old" in differing  # what only the upgrade has changed
    assert UPGRADED not in differing
