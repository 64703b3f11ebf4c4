"""Trouble is found before OUT has its name, and the line about it names the path."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import REPOSITORY, ended, program
from .conftest import RunDiffer, needs_root
from .disks import disk
from .listing import names
from .trees import Builder

pytestmark = pytest.mark.cli

FULL = "cannot be written: No space left on device"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two trees in the current directory, with few differences."""
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    t = Builder(tmp_path / "upper")
    t.dirs("d", "d/e", "d/e/f")
    for path in ("a", "d/a", "d/e/a", "d/e/f/a"):
        t.file(path, path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


each_out = pytest.mark.parametrize("existing", [False, True], ids=["absent", "existing"])


def make_out(existing: bool) -> None:
    if existing:
        os.mkdir("out", 0o750)
        os.utime("out", ns=(1, 2))


def check_no_out(existing: bool) -> None:
    """As it was, and nothing beside it."""
    assert os.path.exists("out") == existing
    if existing:
        assert os.listdir("out") == []
        assert os.stat("out").st_mtime_ns == 2
    assert [name for name in os.listdir() if name.startswith(".differ-")] == []


# ---------------------------------------------------------------- a report that cannot be whole


@each_out
@pytest.mark.parametrize("verify", [[], ["--verify"]])
def test_a_report_that_does_not_fit_leaves_no_out(
    place: Path, run_differ: RunDiffer, existing: bool, verify: list[str]
) -> None:
    make_out(existing)
    result = run_differ("--report=/dev/full", *verify, "lower", "upper", "out")
    assert result == (2, "", f"differ: /dev/full: {FULL}\n")
    check_no_out(existing)


@pytest.fixture
def full_disk(place: Path) -> Iterator[Path]:
    """A file system on which a file can be made and not written."""
    with disk(place, "tmpfs", "-o", "size=64k") as where:
        with open(where / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        yield where


@needs_root
@each_out
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_a_report_on_a_full_disk_leaves_no_out(
    place: Path, full_disk: Path, run_differ: RunDiffer, existing: bool, many: bool
) -> None:
    # A short report is written at the very end, a long one on the way.
    for number in range(1000 if many else 0):
        (place / f"upper/{number}").touch()
    make_out(existing)
    report = full_disk / "report"
    result = run_differ("--report", report, "lower", "upper", "out")
    assert result == (2, "", f"differ: {report}: {FULL}\n")
    check_no_out(existing)
    assert os.listdir(full_disk) == ["filler"]


@pytest.mark.parametrize(
    ("report", "out"),
    [
        ("out", "out"),
        ("here/out", "out"),
        ("out", "here/out"),
        ("here/here/out", "./out"),
        ("lower/../out", "out/"),
        ("{}/out", "here/out"),
        ("link", "out"),
    ],
)
def test_a_report_that_is_out_is_refused(place: Path, run_differ: RunDiffer, report: str, out: str) -> None:
    os.symlink(".", "here")
    os.symlink("out", "link")
    before = sorted(os.listdir())
    status, text, err = run_differ("--report", report.format(place), "lower", "upper", out)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith(tuple(f"differ: {path.format(place)}: " for path in (report, out))), err
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("report", ["out/r", "here/out/r", "out/here/r"])
@each_out
def test_a_report_in_out_is_refused(place: Path, run_differ: RunDiffer, report: str, existing: bool) -> None:
    os.symlink(".", "here")
    make_out(existing)
    status, text, err = run_differ("--report", report, "lower", "upper", "out")
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert os.path.exists("out") == existing
    assert not existing or os.listdir("out") == []


# ---------------------------------------------------------------- a current directory that is gone


def run_in_nothing(place: Path, *words: object, apply: bool = False) -> tuple[int, str, str]:
    """Run a command in a directory that has been removed."""
    gone = place / "gone"
    gone.mkdir()
    process = subprocess.Popen(
        ["sh", "-c", 'rmdir "$PWD" && exec "$0" "$@"', *program(apply, code=REPOSITORY), *map(str, words)],
        cwd=gone,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return ended(process)


@pytest.mark.parametrize("report", ["r", "./r"])
@each_out
def test_a_report_nowhere_is_named(place: Path, report: str, existing: bool) -> None:
    make_out(existing)
    for out in ([], [place / "out"]):
        words = ("--report", report, place / "lower", place / "upper", *out)
        status, text, err = run_in_nothing(place, *words)
        assert (status, text, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"differ: {report}: "), err
        check_no_out(existing)


@pytest.mark.parametrize("apply", [False, True])
def test_an_out_nowhere_is_named(place: Path, apply: bool) -> None:
    status, text, err = run_in_nothing(place, place / "lower", place / "upper", "out", apply=apply)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{'differ-apply' if apply else 'differ'}: out: "), err


@pytest.mark.parametrize("words", [("lower", "{}/upper"), ("{}/lower", "upper")])
def test_an_input_nowhere_is_named(place: Path, words: tuple[str, str]) -> None:
    status, text, err = run_in_nothing(place, *(word.format(place) for word in words), place / "out")
    assert (status, text, err.count("\n")) == (2, "", 1)
    (name,) = (word for word in words if not word.startswith("{}"))
    assert err.startswith(f"differ: {name}: "), err


def test_whole_paths_need_no_current_directory(place: Path) -> None:
    for apply in (False, True):
        out = place / f"out-{apply}"
        options = [] if apply else ["--verify", "--report", place / "r"]
        status, _, err = run_in_nothing(place, *options, place / "lower", place / "upper", out, apply=apply)
        assert status == 0, err
        assert names(out) == names(place / "upper")


# ---------------------------------------------------------------- no descriptor left


@pytest.mark.inside
@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("limit", range(5, 24))
@each_out
def test_a_path_is_named_where_descriptors_run_out(
    place: Path, limit: int, apply: bool, existing: bool
) -> None:
    make_out(existing)
    command = "differ-apply" if apply else "differ"
    process = subprocess.Popen(
        ["sh", "-c", f'ulimit -n {limit} && exec "$0" "$@"', *program(apply)]
        + ([] if apply else ["--verify", "--report", str(place / "r"), "--digest"])
        + [str(place / name) for name in ("lower", "upper", "out")],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    status, text, err = ended(process)
    if status == 0:
        assert limit > 10
        assert names(place / "out") == names(place / "upper")
        return
    assert (status, text, err.count("\n")) == (2, "", 1), err
    assert re.match(rf"{command}: {re.escape(str(place))}/\S+: .*Too many open files$", err), err
    check_no_out(existing)
    assert not (place / "r").exists()
