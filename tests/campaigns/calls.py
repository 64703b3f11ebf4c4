"""Every system call of a run fails once: strace injects an error into the k-th call of a kind, for every k.

Counting begins where differ does: with the first call of its own, which opens the current directory.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path

from .bench import HANGS, PARTS, Bench, ended, not_one_line, side_by_side
from .material import proof, state
from .strace import Reference, calls
from .tolerance import ERRNOS, TOLERATED, UNFAILING, Fault, is_tolerated, operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.trees import Row

_LOSSES = {"fchown": ("uid", "gid", "mode"), "fchownat": ("uid", "gid", "mode")} | dict.fromkeys(
    ("fsetxattr", "lsetxattr"), ("xattrs", "mode")
)
"""What may be lost, and be warned of, where the call is refused."""
_TOLD_LOSS = re.compile(r"warning: .* of (\d+) entr(?:y|ies) not carried \(")
_LINE = re.compile(r"[\w-]+: ((?:oci:|tar:)?[^:]*(?::\w+[^:]*)?): ")
_MEMORY = ("mmap", "mremap")
MANY = 2500  # files, for which work is shared among processes
OF_PROCESSES = 600  # cases that are drawn of the many
Case = tuple[str, str, str, int]
"""A part, a call, an errno, and which call of a process it is."""


class Traced(Bench):
    """Runs of one part in each of which one call fails."""

    def __init__(self, part: str, static: bool) -> None:
        super().__init__(part, static, MANY if part == "processes" else 0)
        self._verifies = "--verify" in self.command
        if PARTS[part][0] == "differ" and "--jobs" not in self.command:
            self.command += ["--jobs", "1"]
        status, err, log = self._run("-y")
        assert status == 0, err
        self.whole = state(self.results)
        assert (wrong := proof(self.place, self.results)) == "", wrong
        self.reference = Reference(log)
        unknown = self.reference.names - ERRNOS.keys() - UNFAILING
        assert not unknown, f"calls that nobody has thought of: {unknown}"

    def _run(self, *options: str) -> tuple[int, str, str]:
        """A run under strace; its exit status, stderr, and what strace has logged."""
        log = self.place / "log"
        status, err = ended(["strace", "-f", "-qq", "-o", str(log), *options, *self.command])
        return status, err, log.read_text(errors="replace")

    def cases(self, draw: random.Random) -> list[Case]:
        """All cases in a drawn order; one of each call, errno and place in the program comes first."""
        reference = self.reference
        found: list[Case] = [
            (self.part, name, errno, at)
            for name in sorted(reference.names & ERRNOS.keys())
            for at in range(reference.first[name] + 1, reference.last[name] + 1)
            for errno in ERRNOS[name]
        ]
        draw.shuffle(found)
        seen = set()
        ahead: list[Case] = []
        later: list[Case] = []
        for case in found:
            _, name, errno, at = case
            site = name, errno, reference.site(name, at)
            (later if site in seen else ahead).append(case)
            seen.add(site)
        return ahead + later

    def judge(self, case: Case) -> tuple[str, str]:
        """Run one case: the outcome, and what is wrong with it."""
        _, name, errno, at = case
        self.reset()
        inject = f"inject={name}:error={errno}:when={at}"
        status, err, log = self._run("-y", "--seccomp-bpf", "-e", f"trace={name}", "-e", inject)
        faults = [
            Fault(call, errno, at, self.reference, self.place) for call in calls(log) if call.is_injected
        ]
        if status == HANGS:
            return "hangs", err
        if not faults:
            return "not reached", ""
        now = state(self.results)
        where = f" [{faults[0].call.text[:200]}]"
        if status == 0 or (status == 1 and self._verifies and name in _LOSSES):
            outcome, why = self._succeeded(status, err, faults, now)
        else:
            outcome, why = "exit 2", self._failed(status, err, faults, now)
        return outcome, why + where if why else ""

    def _succeeded(self, status: int, err: str, faults: list[Fault], now: list[Row]) -> tuple[str, str]:
        name, errno = faults[0].call.name, faults[0].errno
        lost = _lost(now, self.whole, _LOSSES.get(name, ()))
        if lost is None:
            return "success", "a wrong result" + _difference(now, self.whole)
        told = sum(int(count) for count in _TOLD_LOSS.findall(err))
        if lost > told:
            return "success", f"{lost} losses, and {told} told: {err}"
        if status == 1 and not (told and "not proved: " in err):
            return "success", f"a proof that fails without its reason: {err}"
        if errno == "EINTR":
            return "succeeds", ""
        if not all(map(is_tolerated, faults)):
            return "success", "not in the table of what is tolerated"
        return "tolerated", ""

    def _failed(self, status: int, err: str, faults: list[Fault], now: list[Row]) -> str:
        name, errno = faults[0].call.name, faults[0].errno
        wrong = []
        if "cannot be removed" in err:  # the cleaning itself was made to fail, and says so
            now = [row for row in now if not row["path"].startswith((".differ-", "image/.differ-"))]
        is_published = now == self.whole and (self._verifies or "cannot be removed" in err)
        if status != 2:
            wrong.append(f"exit status {status}: {err[-300:]}")
        if now != self.before and not is_published:
            wrong.append("something is left" + _difference(now, self.before))
        # Where two processes have met an error the cleaning may be one of them, and says so before.
        *more, last = err.splitlines(keepends=True) or [""]
        may_be_more = len(faults) > 1 and all("cannot be removed" in line for line in more)
        if not_one_line(last if may_be_more else err):
            wrong.append(not_one_line(err))
        elif name in _MEMORY:
            wrong += [] if "out of memory" in err or _names_a_path(err, self.place) else [err]
        else:
            if not _names_a_path(err, self.place):
                wrong.append(f"no path: {err!r}")
            why = [operation(fault, err) for fault in faults]
            wrong += [] if "" in why else [f"{why[0]}: {err!r}"]
        if name == "close" and all(map(is_tolerated, faults)):
            wrong.append(f"a close of what was only read: {err!r}")
        if errno == "EINTR" and name != "close":
            wrong.append(f"an interrupted call is not repeated: {err!r}")
        return "; ".join(wrong)


def _lost(now: list[Row], whole: list[Row], fields: tuple[str, ...]) -> int | None:
    """How many inodes lack one of these facts; None if anything else is not as it should be."""
    if [row["path"] for row in now] != [row["path"] for row in whole]:
        return None
    inodes = set()
    for row, wanted in zip(now, whole):
        if row != wanted:
            if any(row.get(key) != wanted.get(key) for key in {*row, *wanted} - {*fields}):
                return None
            inodes.add(row.get("linkgroup", row["path"]))
    return len(inodes)


def _names_a_path(err: str, place: Path) -> bool:
    """Whether a line begins with a path that somebody could look at."""
    named = _LINE.match(err)
    if named is None:
        return "stdout" in err
    return named[1].removeprefix("oci:").removeprefix("tar:").startswith((str(place), "/var/tmp"))


def _difference(now: list[Row], wanted: list[Row]) -> str:
    rows = [row for row in now if row not in wanted] or [row for row in wanted if row not in now]
    return f": {[row['path'] for row in rows][:5]}"


def campaign(
    parts: list[str], static: bool, seconds: float, most: int | None = None, seed: int = 1
) -> list[tuple[Case, str, str]]:
    """Run the cases of ``parts``: each with its outcome, and what is wrong with it.

    ``most``: how many of each part, drawn by ``seed``; None for all, and of ``processes`` so many as are enough.
    """
    draw = random.Random(seed)
    ranked: list[tuple[float, Case]] = []
    for part in parts:
        with contextlib.closing(Traced(part, static)) as bench:
            drawn = bench.cases(draw)
            limit = most if most is not None else OF_PROCESSES if part == "processes" else len(drawn)
            # What there is no time for is not one part, and comes from a place that was tried.
            ranked += [(at / len(drawn[:limit]), case) for at, case in enumerate(drawn[:limit])]
    end = time.monotonic() + seconds

    def judge(bench: Traced, case: Case) -> tuple[Case, str, str]:
        return case, *(("out of time", "") if time.monotonic() > end else bench.judge(case))

    cases = [case for _, case in sorted(ranked)]
    return sorted(side_by_side(cases, lambda part: Traced(part, static), judge))


_KINDS = ("exit 2", "succeeds", "tolerated", "wrong")


def table(found: list[tuple[Case, str, str]]) -> str:
    """The outcomes by call, as Markdown."""
    rows: dict[str, Counter[str]] = {}
    errnos: dict[str, dict[str, None]] = {}
    for (_, name, errno, _), outcome, wrong in found:
        rows.setdefault(name, Counter())["wrong" if wrong else outcome] += 1
        errnos.setdefault(name, {})[errno] = None
    lines = [
        "| call | errnos | injections | exit 2, nothing left | repeated | tolerated | wrong |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, counts in sorted(rows.items()):
        figures = [counts[kind] for kind in _KINDS]
        cells = [f"`{name}`", " ".join(sorted(errnos[name])), str(sum(figures)), *map(str, figures)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def totals(found: list[tuple[Case, str, str]]) -> str:
    """The outcomes by part, as Markdown."""
    rows: dict[str, Counter[str]] = {}
    for (part, *_), outcome, wrong in found:
        rows.setdefault(part, Counter())["wrong" if wrong else outcome] += 1
    kinds = (*_KINDS, "not reached", "out of time")
    lines = [f"| run | {' | '.join(kinds)} |", f"|---|{'--:|' * len(kinds)}"]
    for part, counts in rows.items():
        lines.append(f"| {part} | {' | '.join(str(counts[kind]) for kind in kinds)} |")
    return "\n".join(lines)


def reasons() -> str:
    """What is tolerated and why, as Markdown."""
    lines = ["| call | errno | why the run goes on |", "|---|---|---|"]
    for names, errnos, _, why in TOLERATED:
        shown = "any" if errnos == ".*" else errnos.replace("|", " ")
        lines.append(f"| {' '.join(f'`{name}`' for name in names.split('|'))} | {shown} | {why} |")
    return "\n".join(lines)


def available() -> bool:
    """Whether this machine can inject errors."""
    return os.geteuid() == 0 and shutil.which("strace") is not None
