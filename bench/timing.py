"""Programs are run in turn, timed, and held to one answer."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from .goals import Row

Answer = set[tuple[str, str]]
"""What a program has found: A, M, D or F (written, added or modified is not told) and a path."""


class Change(NamedTuple):
    """One thing that was done to UPPER.

    ``letter``: A, M or D, of a directory that was removed D once.
    ``how``: what was done, for those who do not see everything.
    """

    letter: str
    path: str
    how: str
    directory: bool = False


class Trees(NamedTuple):
    """Two trees, what differs, and a name on the same file system for what is written."""

    lower: Path
    upper: Path
    changes: tuple[Change, ...]
    out: Path


class Program(NamedTuple):
    """One of those that are compared.

    ``command``: its command line.
    ``answer``: reads what it has found from its output, and from what it has written.
    ``expected``: what it should find, by its nature, of what was changed.
    ``statuses``: the exit statuses that are no failure.
    ``hidden``: run it where the layers of a mount cannot be reached.
    """

    name: str
    command: Callable[[Trees], list[str]]
    answer: Callable[[Trees, str], Answer] | None = None
    expected: Callable[[Iterable[Change]], Answer] | None = None
    statuses: tuple[int, ...] = (0,)
    hidden: bool = False


class Timing(NamedTuple):
    """What one run has cost: seconds, and of CPU those of the program and of all it has waited for."""

    wall: float
    cpu: float


Around = Callable[[Program], AbstractContextManager[object]]


def alternate(
    programs: list[Program], trees: Trees, rounds: int, around: Around | None = None
) -> dict[str, list[Timing]]:
    """The timings of each program, by its name.

    The first round is not timed: it warms the cache, and there every answer is looked at.
    ``around``: what a run needs before and after it, which is not timed.
    """
    timings: dict[str, list[Timing]] = {program.name: [] for program in programs}
    said = trees.out.with_name(trees.out.name + ".said")
    for turn in range(rounds + 1):
        for program in programs:
            remove(trees.out)
            with contextlib.nullcontext() if around is None else around(program):
                timing = run(program.command(trees), said, program.statuses)
            if turn:
                timings[program.name].append(timing)
            else:
                check(program, trees, said.read_text(errors="surrogateescape"))
    remove(trees.out)
    said.unlink()
    return timings


def check(program: Program, trees: Trees, said: str) -> None:
    """Exit if a program has found something else than it should."""
    if program.answer is None or program.expected is None:
        return
    found, expected = program.answer(trees, said), program.expected(trees.changes)
    if found != expected:
        amiss = [f"{program.name} did not find {' '.join(one)}" for one in sorted(expected - found)]
        amiss += [f"{program.name} found {' '.join(one)}" for one in sorted(found - expected)]
        raise SystemExit("\n".join([f"no agreement on {trees.lower} and {trees.upper}:", *amiss[:20]]))


def run(command: list[str], said: Path, statuses: tuple[int, ...] = (0,)) -> Timing:
    """Run a program with its stdout in a file; exit if it fails."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    errors = said.with_suffix(".errors")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.fspath(said), flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.fspath(errors), flags, 0o600),
    ]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    start = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, setpgroup=0)
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        os.killpg(pid, signal.SIGKILL)  # it would keep a mount busy
        os.waitpid(pid, 0)
        raise
    wall = time.perf_counter() - start
    trouble = errors.read_text(errors="replace")
    errors.unlink()
    if os.waitstatus_to_exitcode(status) not in statuses:
        raise SystemExit(f"{command} has ended with {os.waitstatus_to_exitcode(status)}: {trouble[-2000:]}")
    return Timing(wall, usage.ru_utime + usage.ru_stime)


def peak(command: list[str]) -> float:
    """The peak memory in MB of the largest of a program's processes."""
    # A process inherits the peak of the one that has started it, so the starter is small.
    code = (
        "import os, sys; null = os.open(os.devnull, os.O_WRONLY)\n"
        "pid = os.fork()\n"
        "if not pid: os.dup2(null, 1); os.dup2(null, 2); os.execvp(sys.argv[1], sys.argv[1:])\n"
        "print(os.wait4(pid, 0)[2].ru_maxrss)"
    )
    read, write = os.pipe()
    starter = [sys.executable, "-I", "-S", "-c", code, *command]
    actions = [(os.POSIX_SPAWN_DUP2, write, 1)]
    pid = os.posix_spawn(starter[0], starter, os.environ, file_actions=actions)
    os.close(write)
    with open(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return int(said) / 1024


def rows(workload: str, way: str, ours: str, timings: dict[str, list[Timing]], peers: list[str]) -> list[Row]:
    """The program ``ours`` against each of ``peers``."""
    return [_row(workload, way, peer, timings[ours], timings[peer]) for peer in peers]


def _row(workload: str, way: str, peer: str, ours: list[Timing], theirs: list[Timing]) -> Row:
    ratios = [one.wall / other.wall for one, other in zip(ours, theirs)]
    return Row(
        workload,
        way,
        peer,
        statistics.median(one.wall for one in ours),
        statistics.median(one.wall for one in theirs),
        "s",
        statistics.median(one.cpu for one in ours) / statistics.median(one.cpu for one in theirs),
        (min(ratios), max(ratios)),
    )


def over(workload: str, way: str, peer: str, ours: list[Timing], theirs: list[Timing]) -> Row:
    """As a row, but in milliseconds and by how many more."""
    more = [(one.wall - other.wall) * 1000 for one, other in zip(ours, theirs)]
    wall = [statistics.median(one.wall for one in side) * 1000 for side in (ours, theirs)]
    cpu = [statistics.median(one.cpu for one in side) * 1000 for side in (ours, theirs)]
    return Row(workload, way, peer, wall[0], wall[1], "ms", cpu[0] - cpu[1], (min(more), max(more)))


def remove(path: Path) -> None:
    """Remove a tree or a file, if it is there; never what is mounted in it."""
    if os.path.lexists(path):
        done = os.spawnlp(os.P_WAIT, "rm", "rm", "-rf", "--one-file-system", os.fspath(path))
        if done:
            raise SystemExit(f"{path} cannot be removed")
