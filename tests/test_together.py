"""What is written together, by processes of its own: nobody may see that in the result."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from differ import content
from differ.writers import directory

from .conftest import RunDiffer, needs_root
from .generated import Pair, make, pairs
from .profiles import law
from .room import room
from .trees import read_tree


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@needs_root
@pytest.mark.parametrize("style", ["oci", "overlay", "none"])
@law
@given(pair=pairs(zero_device=False))
def test_the_result_is_the_same(style: str, base: Path, pair: Pair) -> None:
    with room(base) as place, pytest.MonkeyPatch.context() as patch:
        make(pair, place.path / "lower", place.path / "upper")
        place.write(style, "--jobs", "1", "--verify")
        for many in (1, 3):
            patch.setattr(directory, "_MANY", many)
            place.write(style, "--jobs", "2", "--verify", out=f"out{many}")
            assert place.rows(f"out{many}") == place.rows("out")
        if style == "oci":
            place.apply(style, "out3")


def files(upper: Path, count: int = 30) -> None:
    for number in range(count):
        above = upper / f"d{number % 3}"
        above.mkdir(exist_ok=True)
        (above / f"f{number}").write_text(f"{number}")


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """An empty LOWER, an UPPER with a few files of which each is given to a process, and a place for OUT."""
    monkeypatch.setattr(directory, "_MANY", 1)
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
    files(tmp_path / "upper")
    return tmp_path / "lower", tmp_path / "upper", tmp_path / "out"


def in_a_process(act: Callable[[], object]) -> Callable[..., None]:
    """A copy that does something else in every process but this one."""
    here, copy = os.getpid(), content.Copier.copy

    def patched(self: content.Copier, *arguments: object) -> None:
        if os.getpid() != here:
            act()
        copy(self, *arguments)  # type: ignore[arg-type]

    return patched


def no_processes() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def fail(number: int) -> Callable[[], None]:
    def act() -> None:
        raise OSError(number, os.strerror(number))

    return act


def test_what_fails_in_a_process_fails_the_run(
    sides: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    monkeypatch.setattr(content.Copier, "copy", in_a_process(fail(errno.EIO)))
    status, _, err = run_differ("--jobs", "2", *sides)
    out = sides[2]
    assert (status, err) == (2, f"differ: {out}/d0/f0: cannot be written: Input/output error\n")
    assert not out.exists()
    assert no_processes()


def test_a_process_that_is_killed_fails_the_run(
    sides: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    monkeypatch.setattr(content.Copier, "copy", in_a_process(lambda: os.kill(os.getpid(), signal.SIGKILL)))
    status, _, err = run_differ("--jobs", "2", *sides)
    out = sides[2]
    reason = "cannot be written: a process that wrote into it has been ended"
    assert (status, err) == (2, f"differ: {out}: {reason}\n")
    assert sorted(os.listdir(out.parent)) == ["lower", "upper"]
    assert no_processes()


@pytest.mark.parametrize("allowed", [0, 3])
def test_without_more_processes_one_writes_all(
    allowed: int, sides: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    fork, left = os.fork, allowed

    def refuse() -> int:
        nonlocal left
        if not left:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left -= 1
        return fork()

    monkeypatch.setattr(os, "fork", refuse)
    status, _, err = run_differ("--jobs", "2", *sides)
    assert status == 0, err
    assert read_tree(sides[2])[1:] == read_tree(sides[1])[1:]
    assert no_processes()


def test_an_interrupted_run_leaves_no_process(
    sides: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    here = os.getpid()

    def interrupt() -> None:
        os.kill(here, signal.SIGTERM)
        signal.pause()

    monkeypatch.setattr(content.Copier, "copy", in_a_process(interrupt))
    status, _, err = run_differ("--jobs", "2", *sides)
    assert (status, err) == (128 + signal.SIGTERM, f"differ: {sides[2]}: interrupted by SIGTERM\n")
    assert sorted(os.listdir(sides[2].parent)) == ["lower", "upper"]
    assert no_processes()


def test_all_that_is_lost_is_told(
    sides: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer
) -> None:
    """Whoever writes, and in the same order."""

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    lines = set()
    for many, jobs in ((1, 1), (1, 2), (4, 3), (100, 2)):
        monkeypatch.setattr(directory, "_MANY", many)
        status, _, err = run_differ("-v", "--jobs", jobs, *sides[:2], sides[2].with_name(f"out{many}{jobs}"))
        assert status == 0, err
        told = [line for line in err.splitlines() if line.startswith("differ: warning: ")]
        assert (
            f"differ: warning: owners of 33 entries not carried ({os.strerror(errno.EPERM)}), first d0"
            in told
        )
        lines.add(tuple(sorted(told)))
    assert len(lines) == 1
