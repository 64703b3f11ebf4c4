"""The goals, as data, and what came of them, as a table."""

from __future__ import annotations

from typing import NamedTuple


class Goal(NamedTuple):
    """What a workload is to cost, measured against a peer.

    ``way``: the end of a row's way, empty for all.
    ``goal``, ``least``: the most that the figure may be, to be content and to be accepted.
    """

    workload: str
    way: str
    peer: str
    goal: float
    least: float


MOUNTS = "mounts only"
REACHABLE = "layers reachable"

GOALS = (
    Goal("W1", "", "floor", 0.6, 0.8),
    Goal("W1", "", "containerd", 0.15, 0.2),
    Goal("W1", "", "rsync", 0.2, 0.27),
    Goal("W2", "", "floor", 0.6, 0.65),
    Goal("W2", "", "diff", 0.4, 0.45),
    Goal("W2", "", "rsync", 0.3, 0.33),
    Goal("W3", "", "floor", 0.6, 0.75),
    Goal("W3", "", "diff", 0.5, 0.6),
    Goal("W4", "", "floor", 0.6, 0.9),
    Goal("W4", "", "diff", 0.4, 0.56),
    *(
        goal
        for workload in ("W5", "W6")
        for goal in (
            Goal(workload, MOUNTS, "floor", 0.10, 0.17),
            Goal(workload, MOUNTS, "containerd", 1 / 50, 1 / 30),
            Goal(workload, REACHABLE, "floor", 0.02, 0.025),
        )
    ),
    Goal("W7", "to a directory", "cp", 0.9, 1.05),
    Goal("W8", "", "floor", 0.75, 0.85),
    # More than the interpreter's own start, in ms.
    Goal("W9", "", "python", 3, 6),
    # The peak of one process, in MB.
    Goal("W1", "memory", "", 20, 30),
)


def goal_of(workload: str, way: str, peer: str) -> Goal | None:
    """The goal for a row of the table, if it has one."""
    for goal in GOALS:
        if (goal.workload, goal.peer) == (workload, peer) and way.endswith(goal.way):
            return goal
    return None


class Row(NamedTuple):
    """One comparison: medians of ours and of a peer's.

    ``unit``: of ``ours`` and ``theirs``; ``s`` makes the figure a ratio, anything else a difference.
    ``cpu``: the same figure of CPU times, None where there is none.
    ``spread``: the least and the most of the figure over the rounds, each with its own pair.
    """

    workload: str
    way: str
    peer: str
    ours: float
    theirs: float
    unit: str
    cpu: float | None
    spread: tuple[float, float]

    @property
    def figure(self) -> float:
        """What is held against the goal."""
        return self.ours / self.theirs if self.unit == "s" else self.ours - self.theirs


HEAD = (
    "workload",
    "against",
    "ours",
    "theirs",
    "figure",
    "least",
    "most",
    "CPU",
    "goal",
    "at least",
    "holds",
)


def table(rows: list[Row]) -> str:
    """The rows in Markdown, padded for those who read it as text."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    cells.insert(1, tuple("-" * width for width in widths))
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |\n" for line in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    goal = goal_of(row.workload, row.way, row.peer)
    unit = "" if row.unit == "s" else f" {row.unit}"
    digits = 3 if row.unit == "s" else 1
    theirs = f"{row.theirs:.{digits}f} {row.unit}" if row.peer else ""
    asked = ("", "", "")
    if goal is not None:
        reached = "goal" if row.figure <= goal.goal else "yes" if row.figure <= goal.least else "NO"
        asked = (f"{goal.goal:.3g}", f"{goal.least:.3g}", reached)
    return (
        f"{row.workload} {row.way}".strip(),
        row.peer,
        f"{row.ours:.{digits}f} {row.unit}",
        theirs,
        f"{row.figure:.3g}{unit}",
        *(f"{end:.3g}" for end in row.spread),
        "" if row.cpu is None else f"{row.cpu:.3g}{unit}",
        *asked,
    )
