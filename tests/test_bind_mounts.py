"""A directory mounted at a second place: results written there must not land in an input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import RunDiffer, needs_root
from .disks import bind
from .trees import Builder, read_tree, without

pytestmark = [pytest.mark.cli, needs_root]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "lower").mkdir()
    t = Builder(tmp_path)
    t.dirs("upper", "upper/sub", "upper/sub/m", "upper/sub/m/n", "upper/sub/empty", "upper/other", "bound")
    t.file("upper/sub/f", "1")
    t.file("upper/f", "1")
    t.settle((1, 1))
    return tmp_path


def refused(place: Path, run_differ: RunDiffer, *words: object, apply: bool = False) -> str:
    """The run fails with one line and leaves both trees as they were."""
    before = [without(read_tree(place / side), "mtime") for side in ("lower", "upper")]
    status, text, err = run_differ(*words, apply=apply)
    assert (status, text, err.count("\n")) == (2, "", 1), err
    assert [without(read_tree(place / side), "mtime") for side in ("lower", "upper")] == before
    return err


# ---------------------------------------------------------------- a directory below itself


@pytest.fixture
def nested(place: Path) -> Iterator[Path]:
    """``sub`` mounted at ``sub/m``, so that ``sub/m`` is ``sub`` and its ``..`` too."""
    with bind(place / "upper/sub", place / "upper/sub/m"):
        yield place


@pytest.mark.parametrize("out", ["m/out", "m/empty", "m/m/n/out", "m/empty/out"])
@pytest.mark.parametrize("options", [["--ignore=sub"], ["--ignore=sub/m"], []])
@pytest.mark.parametrize("apply", [False, True])
def test_an_out_in_a_directory_mounted_below_itself(
    nested: Path, run_differ: RunDiffer, out: str, options: list[str], apply: bool
) -> None:
    if apply and options:
        options = []
    words = (*options, nested / "lower", nested / "upper", nested / "upper/sub" / out)
    err = refused(nested, run_differ, *words, apply=apply)
    assert f"lies in {nested}/upper; " in err


@pytest.mark.parametrize("out", [[], ["out"]])
def test_a_report_in_a_directory_mounted_below_itself(
    nested: Path, run_differ: RunDiffer, out: list[str]
) -> None:
    words = ("--ignore=sub", "--report", nested / "upper/sub/m/r", nested / "lower", nested / "upper")
    err = refused(nested, run_differ, *words, *(nested / name for name in out))
    assert f"lies in {nested}/upper; " in err
    assert not (nested / "out").exists()


def test_a_directory_mounted_below_itself_twice(nested: Path, run_differ: RunDiffer) -> None:
    with bind(nested / "upper/sub", nested / "upper/sub/m/m"):
        err = refused(
            nested,
            run_differ,
            *("--ignore=sub", nested / "lower", nested / "upper", nested / "upper/sub/m/m/out"),
        )
    assert f"lies in {nested}/upper; " in err


def test_beside_a_directory_mounted_below_itself(nested: Path, run_differ: RunDiffer) -> None:
    # The same mounts around OUT, with no input above it.
    (nested / "tree").mkdir()
    (nested / "tree/f").touch()
    status, _, err = run_differ("--verify", nested / "lower", nested / "tree", nested / "upper/sub/m/out")
    assert status == 0, err
    assert os.listdir(nested / "upper/sub/out") == ["f"]


# ---------------------------------------------------------------- a part of an input elsewhere


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("sub", ["sub", "sub/m/n"])
@pytest.mark.parametrize("out", [[], ["out"]])
@pytest.mark.parametrize("before", [None, "old"])
def test_a_report_that_lands_in_an_input(
    place: Path, run_differ: RunDiffer, side: str, sub: str, out: list[str], before: str | None
) -> None:
    if side == "lower":
        Builder(place).dirs(*(f"lower/{path}" for path in ("sub", "sub/m", "sub/m/n")))
    if before is not None:
        (place / side / sub / "r").write_text(before)
    with bind(place / side / sub, place / "bound"):
        words = ("-q", "--report", place / "bound/r", place / "lower", place / "upper")
        err = refused(place, run_differ, *words, *(place / name for name in out))
        assert f"{place}/{side}/{sub}" in err or f"{place}/bound/r" in err, err
    assert not (place / "out").exists()
    if before is not None:
        assert (place / side / sub / "r").read_text() == before
