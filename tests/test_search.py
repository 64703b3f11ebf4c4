"""The search for candidates: how it is shared out must not be seen in the result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from differ import finder, workers

from .command import REPOSITORY
from .conftest import RunDiffer, needs_root
from .generated import Pair, make, pairs
from .profiles import law
from .room import room

if TYPE_CHECKING:
    from differ.candidates import Item

compiled = finder.compiled

# A pattern that takes nothing, with which every name is looked at by the plan itself.
PLAIN = ("--ignore", "no/such/name")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for the smallest tree."""
    monkeypatch.setattr(workers, "_ALONE", 0)


@needs_root
@pytest.mark.parametrize("profile", ["exact", "native", "metadata"])
@law
@given(pair=pairs())
def test_every_way_to_look_finds_the_same(profile: str, base: Path, pair: Pair) -> None:
    with room(base) as place, pytest.MonkeyPatch.context() as patch:
        make(pair, place.path / "lower", place.path / "upper")
        options = ("--compare", profile, "--report", "-")
        right = place.differ(*options, *PLAIN)
        for way in (compiled, lambda: None):
            patch.setattr(finder, "compiled", way)
            patch.setattr(workers, "_ALONE", 2000)
            assert place.differ(*options, "--jobs", "1") == right
            patch.setattr(workers, "_ALONE", 0)
            assert place.differ(*options, "--jobs", "3") == right


@pytest.mark.skipif(
    not os.path.exists(sysconfig.get_path("include") + "/Python.h"), reason="needs Python's headers"
)
def test_the_compiled_part_is_there() -> None:
    assert compiled() is not None


def trees(place: Path) -> tuple[Path, Path]:
    for side in ("lower", "upper"):
        for directory in range(30):
            above = place / side / f"d{directory}" / "sub"
            above.mkdir(parents=True)
            for number in range(10):
                file = above / str(number)
                file.write_bytes(b"x" * 100 * number)
                os.utime(file, ns=(0, 0))
    return place / "lower", place / "upper"


def test_parts_of_a_big_file(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    monkeypatch.setattr(finder, "_BIG", 100_000)
    lower, upper = trees(tmp_path)
    for side in (lower, upper):
        (side / "same").write_bytes(b"s" * 1_000_000)
        (side / "other").write_bytes(b"o" * 999_999 + (b"o" if side == lower else b"p"))
        for name in ("same", "other"):
            os.utime(side / name, ns=(0, 0))
    plain = run_differ(*PLAIN, lower, upper)
    assert "M" in plain[1]
    assert "2.13 MB compared" in plain[2]
    for jobs in (1, 4):
        assert run_differ("--jobs", jobs, lower, upper) == plain


def test_a_path_that_no_packet_holds(tmp_path: Path, run_differ: RunDiffer, at_once: None) -> None:
    lower, upper = trees(tmp_path)
    for side in (lower, upper):
        fd = os.open(side, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("n" * 250, dir_fd=fd)
            below = os.open("n" * 250, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        new = os.open("new" if side == upper else "old", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        os.close(new)
        os.close(fd)
    found = run_differ("--jobs", 3, lower, upper)
    assert found == run_differ(*PLAIN, lower, upper)
    assert "1 added, 0 modified, 1 removed" in found[2]


def test_what_a_lost_worker_looked_at_is_looked_at_again(
    tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    lower, upper = trees(tmp_path)
    (upper / "d7/sub/3").write_bytes(b"y" * 300)
    os.utime(upper / "d7/sub/3", ns=(0, 0))
    right = run_differ(*PLAIN, lower, upper)
    parent, look = os.getpid(), finder.Finder.look

    def lost(self: finder.Finder, item: Item) -> list[Item]:
        if os.getpid() != parent and item[0][:1] == [b"d7"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return look(self, item)

    monkeypatch.setattr(finder.Finder, "look", lost)
    status, listed, _ = run_differ("--jobs", 2, lower, upper)
    assert (status, listed) == right[:2]


def runs(pid: str) -> bool:
    """Whether a process runs; one that has ended may still wait for its parent to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nobody_is_left_behind(tmp_path: Path) -> None:
    """Neither when the run is interrupted nor when it is killed."""
    lower, upper = trees(tmp_path)
    code = """
import os, sys, time
from differ import finder, workers
workers._ALONE = 0
parent, look = os.getpid(), finder.Finder.look
def slow(self, item):
    if os.getpid() != parent and item[0]:
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(100)
    return look(self, item)
finder.Finder.look = slow
from differ.cli import main
sys.exit(main(["--jobs", "2", *sys.argv[1:]]))
"""
    for how, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(lower), str(upper)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        assert process.stdout is not None
        pids = {process.stdout.readline().strip() for _ in range(2)}
        process.send_signal(how)
        process.wait(timeout=60)
        assert process.returncode == status
        # Who works on something then learns of it when it is done.
        if how == signal.SIGKILL:
            for pid in pids:
                os.kill(int(pid), signal.SIGALRM)
        process.communicate()
        deadline = time.monotonic() + 20
        while any(map(runs, pids)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(runs, pids))


@pytest.mark.parametrize("missing", ["select", "pipe", "fork"])
def test_alone_where_there_can_be_no_workers(tmp_path: Path, missing: str) -> None:
    lower, upper = trees(tmp_path)
    (upper / "d3/new").mkdir()
    code = f"""
import os, sys
from differ import linux, workers
workers._ALONE = 0
def no(*_): raise OSError(11, "not here")
if {missing!r} == "select": sys.modules["select"] = None
if {missing!r} == "pipe": linux.packet_pipe = no
if {missing!r} == "fork": os.fork = no
from differ.cli import main
sys.exit(main(["--jobs", "4", *sys.argv[1:]]))
"""
    words = [sys.executable, "-c", code, str(lower), str(upper)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.splitlines() == ["A d3/new/"]
