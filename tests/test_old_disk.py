"""A file system that cannot hold every time: what is lost is counted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunDiffer, needs_program, needs_root
from .trees import A, Builder, Z

pytestmark = [pytest.mark.cli, needs_root, needs_program("mkfs.ext4")]


@pytest.fixture
def old_disk(tmp_path: Path) -> Iterator[Path]:
    """ext4 with small inodes: times are whole seconds, and end in 2038."""
    image, where = tmp_path / "image", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    where.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-I", "128", image], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", "loop", image, where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


TIMES = {"whole": Z, "late": (5_000_000_000, 0), "fraction": A, "link": A}


def test_times_that_the_disk_cannot_hold_are_counted(
    tmp_path: Path, old_disk: Path, run_differ: RunDiffer
) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    lower.mkdir()
    upper.mkdir()
    t = Builder(upper)
    for name, when in TIMES.items():
        if name == "link":
            t.symlink(name, "x", mtime=when)
        else:
            t.file(name, mtime=when)
    status, _, err = run_differ(lower, upper, old_disk / "out")
    assert status == 0, err
    (warning,) = err.splitlines()[:-1]
    assert warning.startswith("differ: warning: times of 3 entries not carried (")
    assert (old_disk / "out/whole").stat().st_mtime_ns == Z[0] * 10**9
    status, _, err = run_differ("--strict", lower, upper, old_disk / "strict")
    assert status == 2
    assert err.startswith("differ: fraction: cannot carry times: ")
    assert not (old_disk / "strict").exists()
