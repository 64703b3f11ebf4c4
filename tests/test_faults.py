"""Short forms of the campaign ``make faults`` (docs/reliability.md), and transfers that are cut short."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from differ import run
from differ.writers.store import Store

from .campaigns import bench, calls, fill, kills, moving
from .campaigns.material import make_changes, make_images, make_trees, reset, state
from .command import REPOSITORY
from .conftest import RunDiffer, needs_program, needs_root

pytestmark = needs_root

PARTS = [part for part in bench.PARTS if part != "processes"]


@needs_program("strace")
def test_a_system_call_fails() -> None:
    found = calls.campaign(
        ["OUT empty", "differ-apply", "--append", "differ-rebase", "oci: and tar:"],
        static=False,
        seconds=60,
        most=4,
    )
    assert {outcome for _, outcome, _ in found} >= {"exit 2"}
    assert [one for one in found if one[2]] == []


def test_a_signal_comes_at_a_random_instant() -> None:
    parts = ("OUT absent", "OUT empty")
    found, wrong = kills.campaign(1, static=False, seconds=60, parts=parts, files=300)
    assert len(found) == len(parts) * (len(kills.SIGNALS) - 1)
    assert wrong == []


def test_a_disk_is_full() -> None:
    found, wrong = fill.campaign(quick=True)
    assert found["ext4"] == {"exit 2": 4}
    assert found["ramfs, no attributes"] == {"losses warned of": 4}
    assert found.get("ntfs-3g, no owners and modes", {"losses warned of": 4}) == {"losses warned of": 4}
    assert wrong == []


def test_a_tree_changes_while_it_is_read() -> None:
    found, wrong = moving.campaign(5, static=False, seconds=60)
    assert sum(found.values()) == 5
    assert wrong == []


# ---------------------------------------------------------------- transfers that are cut short

FEW = 1000  # bytes that are moved by one call


def cut_short(monkeypatch: pytest.MonkeyPatch, *missing: str) -> dict[str, int]:
    """Let each call move few bytes, and those named not work at all; how often each was cut."""
    count: dict[str, int] = {}

    def patch(name: str, shortened: Callable[..., tuple[Any, ...]]) -> None:
        real = getattr(os, name)

        def call(*args: Any) -> Any:
            count[name] = count.get(name, 0) + 1
            if name in missing:
                raise OSError(38, os.strerror(38))
            return real(*shortened(*args))

        monkeypatch.setattr(os, name, call)

    patch("read", lambda fd, size: (fd, min(size, FEW)))
    patch("pread", lambda fd, size, offset: (fd, min(size, FEW), offset))
    patch("write", lambda fd, data: (fd, data[:FEW]))
    patch("pwrite", lambda fd, data, offset: (fd, data[:FEW], offset))
    patch("preadv", lambda fd, buffers, offset: (fd, [memoryview(buffers[0])[:FEW]], offset))
    patch(
        "copy_file_range", lambda source, target, size, *offsets: (source, target, min(size, FEW), *offsets)
    )
    patch("sendfile", lambda target, source, offset, size: (target, source, offset, min(size, FEW)))
    return count


@pytest.mark.inside
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("missing", [(), ("copy_file_range",), ("copy_file_range", "sendfile")])
def test_transfers_are_cut_short(
    tmp_path: Path,
    run_differ: RunDiffer,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    missing: tuple[str, ...],
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    make_trees(tmp_path)
    make_images(tmp_path)
    program, _, existing, image = bench.PARTS[part]
    if program == "differ-apply":
        make_changes(tmp_path)
    line = bench.words_of(part, tmp_path)
    found = []
    for cut in (False, True):
        results = reset(tmp_path, existing, image)
        with monkeypatch.context() as patched:
            count = cut_short(patched, *missing) if cut else {}
            status, _, err = run_differ(
                *line, apply=program == "differ-apply", rebase=program == "differ-rebase"
            )
        assert status == 0, err
        found.append(state(results))
    assert sum(count.values()) > 100
    assert found[0] == found[1]


# ---------------------------------------------------------------- an image that cannot be published


@pytest.mark.inside
@pytest.mark.parametrize("new", [False, True], ids=["layout", "empty directory"])
@pytest.mark.parametrize("at", ["index.json", "oci-layout", "blob", "list"])
def test_an_image_that_is_not_published_leaves_the_layout_as_it_was(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, new: bool, at: str
) -> None:
    make_trees(tmp_path)
    make_images(tmp_path)
    image = tmp_path / "image"
    to = ["--append", f"oci:{image}:latest"]
    if new:
        image = tmp_path / "new"
        image.mkdir()
        to += ["--to", f"oci:{image}:latest"]
    elif at == "oci-layout":
        return  # which is there
    before = state(image)
    real = os.rename
    moved: list[object] = []

    def rename(source: bytes, target: bytes, **options: Any) -> None:
        is_blob = source == target
        moved.extend([target] if is_blob else [])
        if target == at.encode() or (at == "blob" and is_blob and len(moved) == 2):
            raise OSError(5, os.strerror(5))
        real(source, target, **options)

    def refuse(self: Store) -> dict[str, Any]:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patched:
        if at == "list":
            patched.setattr(Store, "_index", refuse)
        else:
            patched.setattr(os, "rename", rename)
        result = run_differ(tmp_path / "lower", tmp_path / "upper", *to)
    assert result == (2, "", f"differ: {image}: cannot be written: Input/output error\n")
    assert state(image) == before
    assert run_differ("-q", tmp_path / "lower", tmp_path / "upper", *to) == (0, "", "")
    index = json.loads((image / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    assert hashlib.sha256((image / "blobs/sha256" / digest).read_bytes()).hexdigest() == digest


def test_a_signal_that_comes_after_the_end_is_not_told(tmp_path: Path) -> None:
    """Whoever was told of it would take the result for none."""
    make_trees(tmp_path)
    code = (
        "import atexit, os, sys; from differ.cli import main;"
        "atexit.register(lambda: [os.kill(os.getpid(), number) for number in (1, 2, 15)]);"
        "sys.exit(main())"
    )
    trees = [str(tmp_path / name) for name in ("lower", "upper", "out")]
    done = subprocess.run(
        [sys.executable, "-c", code, "-q", *trees], cwd=REPOSITORY, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out/changed").read_text() == "upper"


@pytest.mark.inside
def test_a_failure_that_has_no_name_is_about_the_result(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trees(tmp_path)

    def refuse(*trees: object) -> bytes:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(run, "overlay_mounts", refuse)  # which asks for the facts of a descriptor
    layer = tmp_path / "layer.tar"
    result = run_differ(tmp_path / "lower", tmp_path / "upper", "--layer", layer)
    assert result == (2, "", f"differ: {layer}: cannot be made: Too many open files\n")
    assert not layer.exists()


@pytest.mark.inside
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trees(tmp_path)
    make_images(tmp_path)
    subprocess.run(["gzip", str(tmp_path / "upper.tar")], check=True)
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        if offset > 100:
            raise OSError(5, os.strerror(5))
        return real(fd, min(size, 1000), offset)

    monkeypatch.setattr(os, "pread", pread)
    status, _, err = run_differ(tmp_path / "lower", f"tar:{tmp_path}/upper.tar.gz")
    assert (status, err) == (2, f"differ: {tmp_path}/upper.tar.gz: cannot be read: Input/output error\n")


@pytest.mark.inside
def test_a_source_that_cannot_be_read_is_not_told_as_a_result(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trees(tmp_path)
    real = os.pread
    cut_short(monkeypatch, "copy_file_range", "sendfile")

    def pread(fd: int, size: int, offset: int) -> bytes:
        if offset > 100_000:
            raise OSError(5, os.strerror(5))
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    status, _, err = run_differ(tmp_path / "lower", tmp_path / "upper", tmp_path / "out")
    assert (status, err) == (2, f"differ: {tmp_path}/upper/big: cannot be read: Input/output error\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.inside
def test_what_was_only_read_may_fail_to_close(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trees(tmp_path)
    real = os.close

    def close(fd: int) -> None:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        real(fd)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise InterruptedError(4, os.strerror(4))

    monkeypatch.setattr(os, "close", close)
    result = run_differ("-q", "--verify", tmp_path / "lower", tmp_path / "upper", tmp_path / "out")
    assert result == (0, "", "")


@pytest.mark.inside
def test_owners_and_modes_that_are_taken_but_not_kept_are_told(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the drivers for NTFS and CIFS do."""
    make_trees(tmp_path)
    for name in ("chown", "fchown"):
        monkeypatch.setattr(os, name, lambda *args, **options: None)
    line = ["-q", tmp_path / "lower", tmp_path / "upper", tmp_path / "out"]
    why = "the file system does not keep them"
    status, _, err = run_differ("--strict", *line)
    assert (status, err) == (
        2,
        f"differ: becomes-directory/f: cannot carry owners: {why} (--strict is given)\n",
    )
    fchmod = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda fd, mode: fchmod(fd, 0o700))
    status, _, err = run_differ(*line[1:])
    assert status == 0
    assert f"warning: owners of 2 entries not carried ({why}), first becomes-directory/f\n" in err
    assert re.search(rf"warning: modes of \d+ entries not carried \({why}\), first acl\n", err)
