"""A difference as a layer: byte for byte what BuildKit exports, and what others make of it."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from .command import PROGRAMS, differ
from .conftest import RunDiffer, needs_root
from .native.cases import CASES, make
from .test_failures import wait_for_bytes
from .test_native import golden
from .trees import ACL_755, A, Builder, read_tree

pytestmark = pytest.mark.cli


@needs_root
@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_the_one_that_buildkit_exports(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir(mode=0o755)
        make(case, side, str(tmp_path / side))
    layer = tmp_path / "layer"
    status, _, err = run_differ(
        "--compare", "native", "--layer", layer, tmp_path / "lower", tmp_path / "upper"
    )
    assert status == 0, err
    digest = golden(case)["native"].get("layer_digest")
    found = "sha256:" + hashlib.sha256(layer.read_bytes()).hexdigest()
    assert found == digest


# ---------------------------------------------------------------- what it holds


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for side in (lower, upper):
        side.mkdir(mode=0o755)
        t = Builder(side)
        t.dir("d")
        t.file("d/same", b"same")
        t.file("d/gone", b"gone")
        t.settle(A)
    (upper / "d/gone").unlink()
    t = Builder(upper)
    t.file("d/new", b"new" * 1000)
    t.link("d/new", "d/twice")
    t.symlink("d/to", "new")
    t.fifo("d/fifo")
    t.settle(A)
    return lower, upper


def layer_of(run_differ: RunDiffer, sides: tuple[Path, Path], *options: object) -> bytes:
    layer = sides[0].parent / "layer"
    status, text, err = run_differ(*options, "--layer", layer, *sides)
    assert (status, text) == (0, ""), err
    return layer.read_bytes()


def test_what_gnu_tar_unpacks(sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path) -> None:
    out, unpacked = tmp_path / "out", tmp_path / "unpacked"
    status, _, err = run_differ(*sides, out)
    assert status == 0, err
    unpacked.mkdir()
    data = layer_of(run_differ, sides)
    subprocess.run(["tar", "-xpf", "-", "-C", unpacked], input=data, check=True)
    rows = [{**row, "mtime": [row["mtime"][0], 0]} for row in read_tree(out)[1:]]
    assert [row["path"] for row in rows] == ["d", "d/.wh.gone", "d/fifo", "d/new", "d/to", "d/twice"]
    assert read_tree(unpacked)[1:] == rows


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed(
    compression: str, sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path
) -> None:
    if compression == "zstd" and PROGRAMS is not None:
        status, _, err = run_differ("--compression=zstd", "--layer", tmp_path / "l", *sides)
        assert status == 2
        assert (
            err == "differ: --compression zstd: this Python has none; pip install zstandard, or take gzip\n"
        )
        assert not (tmp_path / "l").exists()
        return
    plain = layer_of(run_differ, sides)
    described = tmp_path / "described"
    options = [f"--compression={compression}", "--metadata-file", described]
    packed = layer_of(run_differ, sides, *options)
    if compression == "gzip":
        assert gzip.decompress(packed) == plain
    else:
        zstandard = pytest.importorskip("zstandard")
        assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain
    assert json.loads(described.read_text()) == {
        "mediaType": f"application/vnd.oci.image.layer.v1.tar+{compression}",
        "digest": "sha256:" + hashlib.sha256(packed).hexdigest(),
        "size": len(packed),
        "diffID": "sha256:" + hashlib.sha256(plain).hexdigest(),
        "changes": {"added": 4, "modified": 0, "removed": 1},
    }
    assert layer_of(run_differ, sides, *options) == packed
    assert len(layer_of(run_differ, sides, *options, "--compression-level=1")) >= len(packed)


def test_stdout(sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer) -> None:
    process = differ("--layer", "-", *sides, text=False)
    out: Any
    out, err = process.communicate()
    assert (process.returncode, out) == (0, layer_of(run_differ, sides)), err


def test_times_are_no_later_than_source_date_epoch(
    sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    def times() -> dict[str, float]:
        with tarfile.open(fileobj=io.BytesIO(layer_of(run_differ, sides))) as opened:
            return {member.name: member.mtime for member in opened}

    for path in ("d/new", "d"):
        os.utime(sides[1] / path, ns=(0, 1_700_000_000_999_999_999))
    before = times()
    assert before["d/new"] == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1650000000")
    assert times() == {name: min(time, 1_650_000_000) for name, time in before.items()}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "now")
    status, _, err = run_differ("--layer", sides[0].parent / "no", *sides)
    assert (status, err) == (2, "differ: SOURCE_DATE_EPOCH 'now': seconds since 1970 in decimal digits\n")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 5000)
    assert run_differ("--layer", sides[0].parent / "no", *sides)[0] == 2
    assert not (sides[0].parent / "no").exists()


@needs_root
def test_attributes(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    os.setxattr(sides[1] / "d/new", "user.x", b"1")
    layer = sides[0].parent / "layer"
    status, _, err = run_differ("--layer", layer, *sides)
    assert status == 0
    reason = "a layer has capabilities only (--layer-xattrs all)"
    assert f"differ: warning: user.x attributes of 2 entries not carried ({reason}), first d/new\n" in err
    with tarfile.open(layer) as opened:
        assert "SCHILY.xattr.user.x" not in opened.getmember("d/new").pax_headers
    with tarfile.open(fileobj=io.BytesIO(layer_of(run_differ, sides, "--layer-xattrs=all"))) as opened:
        assert opened.getmember("d/new").pax_headers["SCHILY.xattr.user.x"] == "1"


@needs_root
def test_owners(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    def owners(*options: str) -> dict[str, tuple[int, int]]:
        with tarfile.open(fileobj=io.BytesIO(layer_of(run_differ, sides, *options))) as opened:
            return {member.name: (member.uid, member.gid) for member in opened}

    os.chown(sides[1] / "d/new", 1000, 100_005)
    read = owners()
    assert (read["d/new"], read["d/twice"], read["d"]) == ((1000, 100_005), (1000, 100_005), (0, 0))
    maps = ["--uid-map=0:1000", "--uid-map=5:0:7", "--gid-map=0:100000:65536", "--gid-map=70000:0"]
    found = owners(*maps)
    assert (found["d/new"], found["d/twice"], found["d"]) == ((0, 5), (0, 5), (5, 70_000))
    assert found["d/.wh.gone"] == (0, 0)
    layer = sides[0].parent / "no"
    status, _, err = run_differ("--layer", layer, *maps[1:], *sides)
    assert (status, err) == (2, "differ: d/new: its uid 1000 is in no map; add one for it\n")
    assert not layer.exists()


@needs_root
def test_names_of_attributes(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    names = [b"user.\xe9", "user.é".encode(), b"user.z"]
    for name in [*names, b"user.a=b"]:
        os.setxattr(sides[1] / "d/new", name, b"1")
    layer = sides[0].parent / "layer"
    status, _, err = run_differ("--layer-xattrs=all", "--layer", layer, *sides)
    assert status == 0
    reason = "no name with = has a place in a tar"
    assert f"differ: warning: user.a=b attributes of 2 entries not carried ({reason}), first d/new\n" in err
    data = layer.read_bytes()
    places = [data.index(b"SCHILY.xattr." + name + b"=1\n") for name in sorted(names)]
    assert places == sorted(places)


# ---------------------------------------------------------------- trouble


def test_stdout_that_takes_nothing(sides: tuple[Path, Path], tmp_path: Path) -> None:
    """Results beside the layer are there only if all of it has been taken, also what Python held back."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    beside = ["--metadata-file", tmp_path / "m", "--report", tmp_path / "r"]
    with open("/dev/full", "wb") as full:
        process = differ("-q", "--layer", "-", *beside, *sides, stdout=full, env=environment)
        err = process.communicate()[1]
    assert process.returncode == 2
    assert err == "differ: results cannot be written to stdout: No space left on device\n"
    assert sorted(os.listdir(tmp_path)) == ["lower", "upper"]


def test_a_signal_while_nobody_reads(sides: tuple[Path, Path]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for name, size in (("d/large", 64_000), ("d/small", 3000)):
        (sides[1] / name).write_bytes(b"x" * size)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = differ("--layer", "-", *sides, stdout=write, env=environment)
    os.close(write)
    try:
        wait_for_bytes(read, process)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[1] == "differ: interrupted by SIGTERM\n"
        assert process.returncode == 128 + signal.SIGTERM
    finally:
        os.close(read)
        process.kill()
        process.wait()


@pytest.mark.parametrize("option", ["--report", "--metadata-file"])
def test_nothing_else_is_on_stdout(option: str, sides: tuple[Path, Path]) -> None:
    reason = "the layer is all that can be on stdout; name a file for it or for the rest"
    for layer in ("-", "/dev/stdout"):
        process = differ("--layer", layer, option, "/dev/stdout", *sides)
        assert process.communicate() == ("", f"differ: {reason}\n")
        assert process.returncode == 2


def test_a_link_to_the_layer_is_its_path_too(
    sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path
) -> None:
    (tmp_path / "layer").write_text("old")
    (tmp_path / "link").symlink_to("layer")
    status, _, err = run_differ("--layer", tmp_path / "layer", "--metadata-file", tmp_path / "link", *sides)
    assert (status, err) == (
        2,
        f"differ: {tmp_path}/layer: is the path of two results; name another\n",
    )
    # A device takes everything.
    assert run_differ("-q", "--layer", "/dev/null", "--metadata-file", "/dev/null", *sides) == (0, "", "")


def test_a_whiteout_and_an_entry_of_one_name(
    sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path
) -> None:
    for name in ("a", "-a"):
        (sides[0] / name).write_text("")
        (sides[1] / f".wh.{name}").write_text("")
        layer = tmp_path / "layer"
        status, _, err = run_differ("--allow-wh-names", "--layer", layer, *sides)
        assert status == 2
        assert f"the entry .wh.{name}, which is there already" in err
        assert not layer.exists()
        (sides[1] / f".wh.{name}").unlink()
        (sides[0] / name).unlink()


@needs_root
def test_ids_in_attributes_are_not_mapped(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    os.setxattr(sides[1] / "d/new", "system.posix_acl_access", ACL_755)
    layer = sides[0].parent / "layer"
    status, _, err = run_differ("--layer-xattrs=all", "--uid-map=0:0", "--layer", layer, *sides)
    assert status == 0
    kind = "system.posix_acl_access attributes of 2 entries"
    assert f"differ: warning: {kind} not carried (the ids in it are not mapped), first d/new\n" in err


def test_nothing_is_left_of_a_layer_that_fails(
    sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path
) -> None:
    (sides[1] / "d/.wh.x").write_text("")
    (tmp_path / "layer").write_text("old")
    status, _, err = run_differ("--layer", tmp_path / "layer", "--metadata-file", tmp_path / "m", *sides)
    assert status == 2
    assert "cannot exist in an image" in err
    assert sorted(os.listdir(tmp_path)) == ["layer", "lower", "upper"]
    assert (tmp_path / "layer").read_text() == "old"


def test_a_layer_lies_outside_both_trees(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    for side in sides:
        status, _, err = run_differ("--layer", side / "layer", *sides)
        where = f"lies in {side}; write to a directory outside both trees"
        assert (status, err) == (2, f"differ: {side}/layer: {where}\n")
        assert not (side / "layer").exists()


def test_two_results_have_two_paths(sides: tuple[Path, Path], run_differ: RunDiffer, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    for option in ("--metadata-file", "--report"):
        status, _, err = run_differ("--layer", layer, option, layer, *sides)
        assert (status, err) == (2, f"differ: {layer}: is the path of two results; name another\n")
        assert not layer.exists()


def test_a_full_disk(sides: tuple[Path, Path], run_differ: RunDiffer) -> None:
    status, _, err = run_differ("--layer", "/dev/full", *sides)
    assert (status, err) == (2, "differ: /dev/full: cannot be written: No space left on device\n")


@pytest.mark.inside
@pytest.mark.parametrize("size", [0, 100, 4000])
def test_a_file_that_changes_while_it_is_read(
    size: int, sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    real, path = os.read, sides[1] / "d/new"

    def read(fd: int, count: int) -> bytes:
        if os.fstat(fd).st_ino == path.stat().st_ino:
            os.truncate(path, size)
        return real(fd, count)

    monkeypatch.setattr(os, "read", read)
    layer = sides[0].parent / "layer"
    status, _, err = run_differ("--layer", layer, *sides)
    reason = "changed while it was read; run again when nothing writes to the tree"
    assert (status, err) == (2, f"differ: {path}: {reason}\n")
    assert not layer.exists()


@needs_root
def test_a_name_that_is_too_long_for_a_whiteout_in_a_directory(
    sides: tuple[Path, Path], run_differ: RunDiffer
) -> None:
    (sides[0] / ("n" * 255)).write_text("")
    with tarfile.open(fileobj=io.BytesIO(layer_of(run_differ, sides))) as opened:
        assert ".wh." + "n" * 255 in opened.getnames()
