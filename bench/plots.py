"""What a difference costs against the size of the tree and the number of changes, as two plots in docs/.

usage: python -m bench.plots

As root, in a mount namespace of its own (bench/speed.py).  Times are told as parts of the longest one, as nothing
else about them holds on another machine.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from . import peers
from .material import mounted
from .speed import HERE, alone
from .timing import Program, Trees, alternate, remove

DOCS = HERE.parent / "docs"
SIZES = (10_000, 25_000, 50_000, 100_000, 200_000)
CHANGES = (1, 10, 100, 1000, 10_000)
SIZE, FEW = 100_000, 100  # where the other number is what varies
ROUNDS = 7
IN_A_DIRECTORY = 50  # files
WAYS = {
    "all compared": "#b3432b",
    "overlay, mounts only": "#2b6cb3",
    "overlay, layers reachable": "#3c8c3c",
}


class Point(NamedTuple):
    """One measurement: the number that varies, and the seconds of each way."""

    number: int
    seconds: dict[str, float]


def make_tree(where: Path, entries: int) -> list[Path]:
    """So many files and directories; the files."""
    files = []
    for number in range(entries // (IN_A_DIRECTORY + 1)):
        directory = where / f"d{number // 100:03}" / f"e{number:05}"
        directory.mkdir(parents=True)
        for one in range(IN_A_DIRECTORY):
            (directory / f"f{one}").write_bytes(b"%d" % one)
            files.append(directory / f"f{one}")
    return files


def point(place: Path, entries: int, changes: int, number: int) -> Point:
    """Measure one size with so many files changed, evenly spread."""
    store, lower, upper = (place / name for name in ("store", "lower", "upper"))
    for where in (store, store / "none", store / "top", store / "work", lower, upper):
        where.mkdir(parents=True)
    files = make_tree(store / "base", entries)
    # Two layers, because an overlay mount of one cannot be without an upperdir.
    layers, overlay = f"lowerdir={store}/base:{store}/none", ["-t", "overlay", "overlay", "-o"]
    with (
        mounted(lower, *overlay, layers),
        mounted(upper, *overlay, f"{layers},upperdir={store}/top,workdir={store}/work"),
    ):
        for file in files[:: max(1, len(files) // changes)][:changes]:
            with open(upper / file.relative_to(store / "base"), "ab") as opened:
                opened.write(b"more")
        ways: list[list[str]] = [["--overlay", "off"], [], []]
        programs = [
            peers.differ(place, "W5", *words, name=name, hidden=name.endswith("mounts only"))
            for name, words in zip(WAYS, ways)
        ]

        def around(program: Program) -> AbstractContextManager[None]:
            return (
                mounted(store, "-t", "tmpfs", "-o", "size=4k", "hidden") if program.hidden else nullcontext()
            )

        untold = [program._replace(expected=None) for program in programs]
        timings = alternate(untold, Trees(lower, upper, (), place / "out"), ROUNDS, around)
    for where in (store, lower, upper):
        remove(where)
    seconds = {name: statistics.median(timing.wall for timing in found) for name, found in timings.items()}
    print(f"{entries} entries, {changes} changes: {seconds}", flush=True)
    return Point(number, seconds)


# ---------------------------------------------------------------- a plot

_LABEL = 48  # wide
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 480, 300, 52, 44, 34, 32


def plot(title: str, below: str, points: list[Point], scale: Callable[[float], float]) -> str:
    """A plot in SVG: a line for each way, from 0 to what the most costly point takes.

    ``scale``: from a number to where it stands between others.
    """
    most = max(max(one.seconds.values()) for one in points)
    first, last = scale(points[0].number), scale(points[-1].number)

    def x(number: float) -> float:
        return LEFT + (scale(number) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(part: float) -> float:
        return TOP + (1 - part) * (HEIGHT - TOP - BOTTOM)

    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
            ' font-size="11" fill="#444">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<text x="{LEFT}" y="18" font-size="13">{title}</text>',
            *(
                f'<path d="M{LEFT} {y(part):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                f'<text x="{LEFT - 6}" y="{y(part) + 4:.1f}" text-anchor="end">{part:g}</text>'
                for part in (0, 0.25, 0.5, 0.75, 1)
            ),
            *(
                f'<text x="{x(one.number):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{one.number:,}</text>'
                for one in _apart(points, lambda one: x(one.number))
            ),
            f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{below}</text>',
            *_lines(points, lambda one, way: (x(one.number), y(one.seconds[way] / most))),
            "</svg>\n",
        ]
    )


def _apart(points: list[Point], where: Callable[[Point], float]) -> list[Point]:
    """Those of the points whose labels have room beside each other, the last one always."""
    found = [points[-1]]
    for one in reversed(points):
        if where(found[-1]) - where(one) > _LABEL:
            found.append(one)
    return found


def _lines(points: list[Point], where: Callable[[Point, str], tuple[float, float]]) -> Iterable[str]:
    for row, (way, colour) in enumerate(WAYS.items()):
        places = [where(one, way) for one in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        yield f'<text x="{LEFT + 12}" y="{TOP + 14 + 15 * row}" fill="{colour}">{way}</text>'


def main() -> None:
    """Measure, draw."""
    alone("bench.plots")
    with tempfile.TemporaryDirectory(prefix="differ-plots-") as name:
        place = Path(name)
        sizes = [point(place, size, FEW, size) for size in SIZES]
        changes = [point(place, SIZE, count, count) for count in CHANGES]
    (DOCS / "cost-by-size.svg").write_text(
        plot(f"{FEW} changes: time by entries in the tree", "entries", sizes, float)
    )
    (DOCS / "cost-by-changes.svg").write_text(
        plot(f"{SIZE:,} entries: time by changes", "changes", changes, math.log)
    )


if __name__ == "__main__":
    main()
