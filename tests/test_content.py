"""Contents one after the other: what one pair of files leaves behind must not speak for the next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differ.content import Comparer
from differ.model import Tally

from .conftest import RunDiffer

pytestmark = pytest.mark.cli

BLOCK = 256 * 1024  # what is read at a time


# Sizes, and where two files differ, None for two that do not.
SERIES = [
    [(1000, 999), (10, None)],
    [(1000, 0), (10, None), (999, None)],
    [(BLOCK, BLOCK - 1), (BLOCK - 1, None)],
    [(BLOCK, BLOCK - 1), (BLOCK - 1, BLOCK - 2), (1, None)],
    [(2 * BLOCK + 7, 2 * BLOCK + 6), (6, None), (BLOCK + 1, None)],
    [(3 * BLOCK, BLOCK + 5), (5, None), (BLOCK + 4, None), (BLOCK + 6, None)],
    [(10, None), (5, 4), (3, None), (5, None), (4, 0), (3, None)],
]


@pytest.mark.parametrize("series", SERIES)
def test_a_difference_is_that_of_its_own_pair(
    series: list[tuple[int, int | None]], tmp_path: Path, run_differ: RunDiffer
) -> None:
    for side, byte in (("lower", b"1"), ("upper", b"2")):
        (tmp_path / side).mkdir()
        for number, (size, offset) in enumerate(series):
            data = bytearray(b"%d" % number * size)
            if offset is not None:
                data[offset : offset + 1] = b"lu"[int(byte) - 1 : int(byte)]
            path = tmp_path / side / str(number)
            path.write_bytes(data)
            os.utime(path, (1, 1))
    wanted = [f"M {number}  content\n" for number, (_, offset) in enumerate(series) if offset is not None]
    for trees in (("lower", "upper"), ("upper", "lower")):
        status, text, err = run_differ(*(tmp_path / side for side in trees))
        assert (status, text) == (0, "".join(wanted)), err
    status, _, err = run_differ("--verify", tmp_path / "lower", tmp_path / "upper", tmp_path / "out")
    assert status == 0, err
    assert len(os.listdir(tmp_path / "out")) == len(wanted)


@pytest.mark.inside
@pytest.mark.parametrize("fails", [False, True], ids=["ends too early", "cannot be read"])
def test_a_reading_that_is_given_up_speaks_for_no_other_pair(tmp_path: Path, fails: bool) -> None:
    """As in the search, which goes on with the next file."""
    for name, data in (("long", b"x" * 1000), ("short", b"y" * 10)):
        (tmp_path / name).write_bytes(data)
    comparer = Comparer(Tally())
    with open(tmp_path / "long", "rb") as long, open(tmp_path / "short", "rb") as short:
        left, right = long.fileno(), short.fileno()
        if fails:
            with pytest.raises(OSError, match="Bad file descriptor"):
                comparer.equal(left, -1, 0, 1000, False)
        else:
            assert comparer.equal(left, right, 0, 1000, False) is None
        assert comparer.equal(right, right, 0, 10, False) is True
