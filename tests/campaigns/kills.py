"""Signals at random instants of a run, and what is there afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence

from .bench import Bench, not_one_line, side_by_side
from .material import ENVIRONMENT, state

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
PARTS = ("OUT absent", "OUT empty", "--layer", "differ-apply")
FILES = 1020  # above a thousand processes write
_LATER = 1.15  # of the time of a whole run: the last instant
_END = 20  # s that processes have to be gone

Found = dict[tuple[str, str], Counter[str]]
"""How often a part and a signal had an outcome."""
Case = tuple[str, signal.Signals, float]
"""A part, a signal, and when it comes, as a part of the time of a whole run."""


class Killed(Bench):
    """One kind of run, to be ended at some instant."""

    def __init__(self, part: str, static: bool, files: int) -> None:
        super().__init__(part, static, files)
        status, err = self._run()
        self.reset()
        began = time.monotonic()  # with all of it in the page cache, as the next ones
        status, err = self._run()
        self.duration = time.monotonic() - began
        assert status == 0, err
        self.whole = state(self.results)

    def _run(self, number: int = 0, delay: float = 0) -> tuple[int, str]:
        process = subprocess.Popen(
            self.command,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        if number:
            time.sleep(delay)
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
        self.left = not _is_gone(process.pid)
        return process.returncode, err

    def end(self, number: int, delay: float) -> tuple[str, str]:
        """End a run by a signal after ``delay`` (s): the outcome, and what is wrong with it."""
        self.reset()
        status, err = self._run(number, delay)
        if self.left:
            return "ended", "a process is left"
        now = state(self.results)
        if now == self.whole:
            outcome = "whole"
        elif now == self.before:
            outcome = "as before"
        else:
            outcome = "marked"
        if status == 0:
            return outcome, "" if outcome == "whole" else f"a success that is {outcome}"
        if number != signal.SIGKILL:
            wrong = []
            if status not in (128 + number, -number):
                wrong.append(f"exit status {status}: {err[-300:]}")
            if outcome != "as before":
                wrong.append(f"what is left is {outcome}")
            if status > 0 and not_one_line(err):
                wrong.append(not_one_line(err))
            return outcome, "; ".join(wrong)
        if outcome == "marked" and not self._is_marked():
            return outcome, f"neither whole nor marked: {[row['path'] for row in now][:8]}"
        return outcome, self._again(outcome)

    def _is_marked(self) -> bool:
        """Whether nobody can take what is there for a result."""
        names = set(os.listdir(self.results))
        if self.part == "OUT empty":
            return ".differ-unfinished" in os.listdir(self.results / "out") and names == {"out"}
        return all(name.startswith(".differ-") for name in names)

    def _again(self, outcome: str) -> str:
        """What is wrong with a second run into the same place."""
        status, err = self._run()
        is_taken = (self.part == "OUT empty" and outcome != "as before") or (
            outcome == "whole" and self.part != "--layer"
        )
        if is_taken:
            said = "is not empty" if outcome == "whole" else "holds what a killed run has left"
            return "" if status == 2 and said in err and err.count("\n") == 1 else f"the second run: {err}"
        now = [row for row in state(self.results) if not row["path"].startswith(".differ-")]
        return "" if status == 0 and now == self.whole else f"the second run: {status} {err}"


def _is_gone(group: int) -> bool:
    """Whether no process of a group is left, or will be soon: who was forked ends when nobody reads its answers."""
    end = time.monotonic() + _END
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return False


def campaign(
    times: int,
    static: bool,
    seconds: float,
    parts: Sequence[str] = PARTS,
    files: int = FILES,
    seed: int = 1,
) -> tuple[Found, list[str]]:
    """End each kind of run by each signal ``times`` times; the outcomes, and what is wrong.

    ``files``: how many are written, above 1000 by processes.
    """
    draw = random.Random(seed)
    numbers = SIGNALS if static else SIGNALS[1:]  # Python itself turns SIGINT into a traceback at its start
    cases: list[Case] = [
        (part, number, draw.uniform(0, _LATER)) for _ in range(times) for part in parts for number in numbers
    ]
    end = time.monotonic() + seconds

    def judge(bench: Killed, case: Case) -> tuple[Case, str, str]:
        if time.monotonic() > end:
            return case, "out of time", ""
        return case, *bench.end(case[1], case[2] * bench.duration)

    found: Found = {}
    wrong = []
    for (part, number, delay), outcome, why in side_by_side(
        # Each process has instants of every part and signal.
        sorted(cases, key=lambda case: draw.random()),
        lambda part: Killed(part, static, files),
        judge,
    ):
        counts = found.setdefault((part, number.name), Counter())
        counts["wrong" if why else outcome] += 1
        if why:
            wrong.append(f"{part}, {number.name} after {delay:.4f} of the time: {why}")
    return dict(sorted(found.items())), wrong


def table(found: Found) -> str:
    """The outcomes as Markdown."""
    kinds = ("whole", "as before", "marked", "wrong")
    lines = [
        "| run | signal | instants | whole | as before | marked unfinished | wrong |",
        "|---|---|" + "--:|" * 5,
    ]
    for (part, name), counts in found.items():
        figures = [sum(counts.values()), *(counts[kind] for kind in kinds)]
        lines.append(f"| {part} | {name} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)
