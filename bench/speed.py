"""Ours beside its peers and beside what cannot be avoided; bench/README.md says how to read the table.

usage: python -m bench.speed [--quick] [--only W1,W2] [--rounds N] [--keep DIR] [--write]

    --quick      smaller trees and fewer rounds: a look, not a measure
    --only       these workloads, of W1 to W9
    --rounds N   runs of each program that are timed, 7 by default, 3 with --quick
    --keep DIR   build the material there, leave it there, use what is there
    --write      put the table into bench/results too

Measured is dist/bin/differ, or what DIFFER_PROGRAM has: a command line, or the word checkout for the package that
python3 -I -S starts.
As root.  Exits with 0 whatever the figures are, and with 1 if the programs do not agree.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from . import peers
from .goals import MOUNTS, REACHABLE, Row, table
from .material import Material, Size, mounted
from .timing import Program, Trees, alternate, over, peak, remove, rows

HERE = Path(__file__).parent
INSIDE = "DIFFER_BENCH_INSIDE"


class Bench:
    """What the workloads share."""

    def __init__(self, place: Path, quick: bool, rounds: int, keep: bool) -> None:
        self.place = place
        self.rounds = rounds
        self.keep = keep
        self.material = Material(place, Size(quick))

    def against(
        self,
        workload: str,
        way: str,
        trees: Trees,
        programs: list[Program],
        around: Callable[[Program], AbstractContextManager[object]] | None = None,
    ) -> Iterator[Row]:
        """The rows of the first of the programs against the others."""
        timings = alternate(programs, trees, self.rounds, around)
        yield from rows(workload, way, programs[0].name, timings, [one.name for one in programs[1:]])

    # ------------------------------------------------------------ plain trees

    def w1(self) -> Iterator[Row]:
        """Root file systems, metadata."""
        place, trees = self.place, self.material.changed()
        ours = peers.differ(place, "W1")
        programs = [ours, peers.floor(place), peers.containerd(place), peers.rsync()]
        yield from self.against("W1", "metadata", trees, programs)
        memory = peak(ours.command(trees))
        yield Row("W1", "memory", "", memory, 0, "MB", None, (memory, memory))
        writing = [peers.differ_writing(place, "W1"), peers.write_diff(place), peers.compare_dest()]
        yield from self.against("W1", "changes written", trees, writing)

    def w2(self) -> Iterator[Row]:
        """The same, every byte."""
        place, trees = self.place, self.material.changed()
        programs = [
            *(peers.differ(place, "W2"), peers.floor(place, contents=True)),
            *(peers.diff(), peers.rsync(contents=True)),
        ]
        yield from self.against("W2", "contents", trees, programs)
        self.spare(trees.upper)
        image, bundle, trees = self.material.bundle()
        packing = [peers.differ_writing(place, "W2"), peers.umoci(image, bundle)]
        yield from self.against("W2", "one root, changes written", trees, packing)

    def w3(self) -> Iterator[Row]:
        """Small files, every byte."""
        yield from self._files("W3", "tiny files", self.material.tiny())

    def w4(self) -> Iterator[Row]:
        """Large files, every byte."""
        yield from self._files("W4", "big files", self.material.big())

    def _files(self, workload: str, way: str, trees: Trees) -> Iterator[Row]:
        programs = [
            *(peers.differ(self.place, workload), peers.floor(self.place, contents=True)),
            *(peers.diff(), peers.rsync(contents=True)),
        ]
        yield from self.against(workload, way, trees, programs)
        self.spare(trees.lower.parent)

    def spare(self, part: Path) -> None:
        """Give back the space of a part that no other workload uses."""
        if not self.keep:
            self.material.drop(part)

    # ------------------------------------------------------------ overlays

    def w5(self) -> Iterator[Row]:
        """One large layer, and 100 changes."""
        few = self.material.layers("w5", 1, 1)
        for form in ("upperdir", "view"):
            yield from self._overlay("W5", few, form)
        yield from self._overlay("W5", [self.material.base()], "bind")

    def w6(self) -> Iterator[Row]:
        """Ten layers, and 100 changes."""
        layers = self.material.layers("w6", self.material.size.layers, self.material.size.layer_files)
        for form in ("upperdir", "view"):
            yield from self._overlay("W6", layers, form)

    def _overlay(self, workload: str, layers: list[Path], form: str) -> Iterator[Row]:
        place, material = self.place, self.material
        name = f"{workload.lower()}-bind" if form == "bind" else workload.lower()
        ways = {
            way: peers.differ(place, workload, name=way, hidden=way == MOUNTS) for way in (MOUNTS, REACHABLE)
        }
        others = [peers.floor(place), peers.containerd(place)]

        def around(program: Program) -> AbstractContextManager[None]:
            return material.hidden() if program.hidden else nullcontext()

        with material.overlay(name, layers, form) as trees:
            timings = alternate([*ways.values(), *others], trees, self.rounds, around)
        for way in ways:
            yield from rows(workload, f"{form}, {way}", way, timings, [one.name for one in others])

    # ------------------------------------------------------------ writing, a cold cache, start

    def w7(self) -> Iterator[Row]:
        """Everything is new."""
        empty = self.place / "empty"
        empty.mkdir(exist_ok=True)
        programs = [peers.differ_all(self.place), peers.copy()]
        packing = [peers.differ_layer(self.place), peers.tar()]

        def around(program: Program) -> AbstractContextManager[None]:
            os.sync()  # what the one before has written is not this one's
            return nullcontext()

        # A new file system, because to find free blocks in one that is old and full takes any time.
        with self.material.disk() as (disk, words), mounted(disk.lower.parent, *words):
            trees = Trees(empty, disk.lower, (), disk.lower.with_name("out"))
            yield from self.against("W7", "to a directory", trees, programs, around)
            yield from self.against("W7", "to a layer", trees, packing, around)

    def w8(self) -> Iterator[Row]:
        """Every byte, from the disk."""
        programs = [
            *(peers.differ(self.place, "W8"), peers.floor(self.place, contents=True)),
            peers.diff(),
        ]
        with self.material.disk() as (trees, words):

            def around(program: Program) -> AbstractContextManager[None]:
                return mounted(trees.lower.parent, *words)

            yield from self.against("W8", "cold, contents", trees, programs, around)
        self.spare(self.place / "disk.image")

    def w9(self) -> Iterator[Row]:
        """Next to nothing to do."""
        sides = [self.place / name for name in ("empty", "empty-too")]
        for side in sides:
            side.mkdir(exist_ok=True)
        base, *ours = peers.starts(self.place)
        trees = Trees(sides[0], sides[1], (), self.material.out)
        timings = alternate([base, *ours], trees, self.rounds * 5)
        for program in ours:
            yield over("W9", program.name, base.name, timings[program.name], timings[base.name])


WORKLOADS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    # Those on the same trees one after the other.
    "W1": Bench.w1,
    "W2": Bench.w2,
    "W5": Bench.w5,
    "W6": Bench.w6,
    "W7": Bench.w7,
    "W8": Bench.w8,
    "W3": Bench.w3,
    "W4": Bench.w4,
    "W9": Bench.w9,
}


def machine(place: Path) -> list[str]:
    """Where this was measured."""
    told = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(": ")[2] for line in told if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    words = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    commit = subprocess.run(words, check=False, capture_output=True, text=True).stdout.strip()
    kind = ["stat", "-f", "-c", "%T", str(place)]
    disk = subprocess.run(kind, check=True, capture_output=True, text=True).stdout.strip()
    return [
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit or '?'}",
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory} MB, Linux {platform.release()}, {disk}",
        f"program: {os.environ.get('DIFFER_PROGRAM', 'dist/bin/differ, as the image has it')}",
        *peers.versions(),
    ]


@contextmanager
def material_place(keep: str | None) -> Iterator[Path]:
    """A directory for everything; removed at the end unless it is to be kept."""
    place = Path(tempfile.mkdtemp(prefix="differ-bench-")) if keep is None else Path(keep).absolute()
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield place
    finally:
        if keep is None:
            remove(place)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.speed", usage=(__doc__ or "").partition("usage: ")[2])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(WORKLOADS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--keep")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - {*WORKLOADS}:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return options


def alone(module: str) -> None:
    """Start the module again, as root, with mounts of its own: they are gone when it ends, however it ends."""
    if os.geteuid() != 0:
        raise SystemExit(f"{module} mounts file systems and gives files away; as root")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        apart = ["unshare", "--mount", "--propagation", "slave"]
        os.execvp(apart[0], [*apart, sys.executable, "-m", module, *sys.argv[1:]])


def stop(number: int, frame: object) -> None:
    """End as after an error: unmount, detach, remove."""
    raise SystemExit(128 + number)


def main() -> None:
    """Build, run, print."""
    options = arguments()
    alone("bench.speed")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    found: list[Row] = []
    with material_place(options.keep) as place:
        bench = Bench(place, options.quick, options.rounds or (3 if options.quick else 7), bool(options.keep))
        facts = machine(place)
        facts.insert(1, f"{bench.rounds} rounds{', --quick: smaller trees' if options.quick else ''}")
        for name, workload in WORKLOADS.items():
            if name in options.only:
                start = time.monotonic()
                found += workload(bench)
                print(f"{name} {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    found.sort(key=lambda row: row.workload)
    text = "".join(f"- {fact}\n" for fact in facts) + "\n" + table(found)
    print(text, end="")
    if options.write:
        where = HERE / "results" / f"{time.strftime('%Y-%m-%d-%H%M')}.md"
        where.parent.mkdir(exist_ok=True)
        where.write_text(f"# {where.stem}\n\n{text}")


if __name__ == "__main__":
    main()
