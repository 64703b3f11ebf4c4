"""Wall time of builds in which everything is cached: a..b with the frontend, and none with the engine's own.

usage: python3 -m bench.frontend IMAGE_ARCHIVE BASE_TAR [ENGINE...]

Starts each engine of tests/image/engines.py (Docker 26.1 with a graph driver and with the containerd store by
default), loads the image and imports BASE_TAR as ``base``, and builds in turn:

    built-in   two stages and a COPY, no "# syntax="
    plain      the same with "# syntax=differ": what it costs to start a frontend
    diff       with COPY --from=base..work
    many       330 RUNs and 30 diffs (fewer builds of it)

Prints medians in milliseconds and their ratios to the first.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from pathlib import Path

from tests.image.engines import Engine, started

RUNS = 15
FEW = 3
WORK = "FROM base AS work\nRUN echo x >/x\n"
COPY = "FROM scratch\nCOPY --from={} /x /x\n"
SYNTAX = "# syntax=differ\n"


def many(runs: int, diffs: int) -> str:
    """A Dockerfile with chains of RUNs between the sides of its diffs."""
    lines = ["FROM base AS s0"]
    each = runs // diffs
    for number in range(diffs):
        lines += [f"RUN echo {number} {step} >/f{step}" for step in range(each)]
        lines.append(f"FROM s{number} AS s{number + 1}")
    lines.append("FROM scratch")
    lines += [f"COPY --from=s{number}..s{number + 1} / /{number}/" for number in range(diffs)]
    # The last stage is a copy of the one before and has no RUN of its own.
    return "\n".join(lines) + "\n"


FILES = {
    "built-in": (WORK + COPY.format("work"), RUNS),
    "plain": (SYNTAX + WORK + COPY.format("work"), RUNS),
    "diff": (SYNTAX + WORK + COPY.format("base..work"), RUNS),
    "many": (SYNTAX + many(330, 30), FEW),
}


def measure(engine: Engine) -> None:
    """Build in turn, and print."""
    times: dict[str, list[float]] = {name: [] for name in FILES}
    for turn in range(RUNS + 1):
        for name, (dockerfile, runs) in FILES.items():
            if turn > runs:
                continue
            start = time.perf_counter()
            engine.build(dockerfile)
            if turn:  # the first one fills the cache
                times[name].append((time.perf_counter() - start) * 1000)
    base = statistics.median(times["built-in"])
    for name, held in times.items():
        median = statistics.median(held)
        print(f"{engine.name:22}{name:10}{median:8.0f} ms{median / base:7.2f}", flush=True)


def main(archive: str, base: str, *names: str) -> None:
    """Measure every engine."""
    for name in names or ("docker26-graph", "docker26-containerd"):
        with contextlib.contextmanager(started)(name) as engine:
            engine.load("differ", Path(archive))
            engine.import_tree("base", Path(base))
            measure(engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
