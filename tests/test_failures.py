"""Runs that are ended from outside: by a signal, or by a disk that is full."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import stat
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .command import Trees, differ, ended
from .conftest import RunDiffer, needs_root
from .trees import read_tree

pytestmark = pytest.mark.cli


SOME = 1100  # lines of a report, after which something has been written


def wait_for_bytes(pipe: int, process: subprocess.Popen[str]) -> None:
    """Until the pipe holds something: as its writer has more than fits, it will stand still."""
    waiting = array.array("i", [0])
    end = time.monotonic() + 30
    while not waiting[0]:
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"the run did not stand still: {process.communicate()}")
        time.sleep(0.005)


class Held:
    """A run that stands still in the middle of writing, because nobody reads the rest of its report."""

    def __init__(self, trees: Trees, *words: object, **options: Any) -> None:
        fifo = trees.place / "fifo"
        os.mkfifo(fifo)
        self.pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, 4096)
        self.process = differ("--report", fifo, *words, trees.lower, trees.upper, trees.out, **options)
        lines = 0
        while lines < SOME:
            wait_for_bytes(self.pipe, self.process)
            lines += os.read(self.pipe, 1 << 16).count(b"\n")
        wait_for_bytes(self.pipe, self.process)
        end = time.monotonic() + 30
        while len(written(trees)) <= 100:
            assert time.monotonic() < end, "nothing is written"
            time.sleep(0.005)
        fifo.unlink()

    def read(self) -> None:
        """Let it go on."""
        os.set_blocking(self.pipe, True)
        while os.read(self.pipe, 1 << 16):
            pass

    def close(self) -> None:
        os.close(self.pipe)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


@pytest.fixture
def held(trees: Trees, request: pytest.FixtureRequest) -> Iterator[Held]:
    """A run into an OUT that is there already if the test is parametrized so."""
    if getattr(request, "param", False):
        trees.make_out()
    run = Held(trees)
    yield run
    run.close()


both = pytest.mark.parametrize("held", [False, True], ids=["absent", "existing"], indirect=True)


def written(trees: Trees) -> list[Path]:
    """The files that are there although the run has not ended."""
    return [path for path in trees.place.glob("**/f[0-9]*") if trees.upper not in path.parents]


# ---------------------------------------------------------------- signals


@both
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_nothing(held: Held, trees: Trees, number: signal.Signals) -> None:
    existing = trees.out.exists()
    held.process.send_signal(number)
    status, _, err = ended(held.process)
    assert status == 128 + number
    assert err == f"differ: {trees.out}: interrupted by {number.name}\n"
    assert sorted(os.listdir(trees.place)) == ["lower", *(["out"] if existing else []), "upper"]
    if existing:
        assert os.listdir(trees.out) == []
        facts = trees.out.stat()
        assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o750, 2)


def test_a_signal_that_our_parent_ignores_is_ignored(trees: Trees) -> None:
    # As nohup(1) starts a program.
    held = Held(trees, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    try:
        held.process.send_signal(signal.SIGHUP)
        held.read()
        status, _, err = ended(held.process)
        assert status == 0, err
        assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]
    finally:
        held.close()


def test_an_interrupted_report_leaves_nothing(trees: Trees) -> None:
    # The list stands still, and the report waits under another name.
    (trees.place / "report").write_text("old")
    pipe, stdout = os.pipe()
    fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, 4096)
    process = differ("--report", trees.place / "report", trees.lower, trees.upper, stdout=stdout)
    os.close(stdout)
    try:
        wait_for_bytes(pipe, process)
        assert len(os.listdir(trees.place)) == 4
        process.send_signal(signal.SIGTERM)
        while os.read(pipe, 1 << 16):  # what Python has kept for stdout
            pass
        assert ended(process)[0] == 128 + signal.SIGTERM
    finally:
        os.close(pipe)
        if process.poll() is None:
            process.kill()
            process.wait()
    assert sorted(os.listdir(trees.place)) == ["lower", "report", "upper"]
    assert (trees.place / "report").read_text() == "old"


@pytest.mark.parametrize("held", [False], ids=["absent"], indirect=True)
def test_a_killed_run_leaves_an_absent_out_absent(held: Held, trees: Trees) -> None:
    held.process.kill()
    assert ended(held.process)[0] == -signal.SIGKILL
    left = set(os.listdir(trees.place)) - {"lower", "upper"}
    assert len(left) == 1
    assert left.pop().startswith(".differ-")
    # What was left is in nobody's way.
    status, _, err = ended(differ("--verify", trees.lower, trees.upper, trees.out))
    assert status == 0, err


@pytest.mark.parametrize("held", [True], ids=["existing"], indirect=True)
def test_a_killed_run_leaves_an_existing_out_marked(held: Held, trees: Trees) -> None:
    held.process.kill()
    assert ended(held.process)[0] == -signal.SIGKILL
    assert os.listdir(trees.out) == [".differ-unfinished"]
    assert os.listdir(trees.out / ".differ-unfinished")
    before = read_tree(trees.out)
    assert ended(differ(trees.lower, trees.upper, trees.out)) == (
        2,
        "",
        f"differ: {trees.out}: holds what a killed run has left; empty it first\n",
    )
    for style in ("oci", "overlay", "none"):
        result = ended(
            differ("--whiteout", style, trees.lower, trees.out, trees.place / "applied", apply=True)
        )
        assert result == (
            2,
            "",
            f"differ-apply: {trees.out}/.differ-unfinished: holds changes that were not written to the end;"
            " make them again\n",
        )
    assert read_tree(trees.out) == before
    assert not (trees.place / "applied").exists()


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("apply", [False, True])
def test_a_killed_run_is_no_input(trees: Trees, run_differ: RunDiffer, existing: bool, apply: bool) -> None:
    """Its mark would make a whole result look like an unfinished one."""
    if existing:
        trees.out.mkdir()
    (trees.upper / ".differ-unfinished").touch()
    (trees.upper / "sub").mkdir()
    (trees.upper / "sub/.differ-unfinished").touch()
    sides = (trees.upper, trees.lower) if apply else (trees.lower, trees.upper)
    result = run_differ(*sides, trees.out, apply=apply)
    assert result == (
        2,
        "",
        f"{'differ-apply' if apply else 'differ'}: .differ-unfinished: is the name that marks an"
        " unfinished result, and cannot be in a whole one; it must be removed or left out\n",
    )
    assert not trees.out.exists() or not list(trees.out.iterdir())
    if not apply:
        status, _, err = run_differ("--verify", "--ignore", ".differ-unfinished", *sides, trees.out)
        assert status == 0, err
        assert (trees.out / "sub/.differ-unfinished").exists()


# ---------------------------------------------------------------- a disk that is full


@pytest.fixture(params=["size=64k", "nr_inodes=100"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", request.param, "differ-test", where], check=True)
    yield where
    subprocess.run(["umount", where], check=True)


@needs_root
@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("apply", [False, True])
def test_a_full_disk(trees: Trees, small_disk: Path, existing: bool, apply: bool) -> None:
    out = small_disk / "out"
    if existing:
        out.mkdir(mode=0o750)
        os.utime(out, ns=(1, 2))
    status, text, err = ended(differ(trees.lower, trees.upper, out, apply=apply))
    assert (status, text) == (2, "")
    command = "differ-apply" if apply else "differ"
    assert err.startswith(f"{command}: {out}/d"), err
    assert err.endswith(": cannot be written: No space left on device\n"), err
    assert err.count("\n") == 1
    assert os.listdir(small_disk) == (["out"] if existing else [])
    if existing:
        assert os.listdir(out) == []
        assert (stat.S_IMODE(out.stat().st_mode), out.stat().st_mtime_ns) == (0o750, 2)


@needs_root
def test_a_full_disk_under_the_report(trees: Trees, small_disk: Path) -> None:
    (small_disk / "report").write_text("old")
    filler = 0
    try:
        while True:
            (small_disk / f"filler{filler}").write_bytes(bytes(4096))
            filler += 1
    except OSError:
        pass
    status, _, err = ended(
        differ("-q", "--report", small_disk / "report", trees.lower, trees.upper, trees.out)
    )
    assert status == 2
    assert err == f"differ: {small_disk}/report: cannot be written: No space left on device\n"
    assert [name for name in os.listdir(small_disk) if not name.startswith("filler")] == ["report"]
    assert (small_disk / "report").read_text() == "old"


@needs_root
def test_a_disk_that_cannot_be_written(trees: Trees) -> None:
    disk = trees.place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "differ-test", disk], check=True)
    try:
        for out in (disk, disk / "out"):
            status, _, err = ended(differ(trees.lower, trees.upper, out))
            assert status == 2
            assert err == f"differ: {out}: cannot be written: Read-only file system\n"
    finally:
        subprocess.run(["umount", disk], check=True)
