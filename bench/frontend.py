"""Wall time of builds in which everything is cached: with a..b, and with the engine's own frontend.

usage: python3 -m bench.frontend [ENGINE...]

Builds the program, makes an image of it, starts each engine of tests/image/engines.py (Docker 26.1 with a graph
driver and with the containerd store by default), and builds in turn:

    own        two stages and a COPY, no "# syntax="
    none       the same with "# syntax=differ": what it costs to start a frontend
    one        with COPY --from=base..work
    thirty     330 RUNs and 30 differences, a few times

Prints medians in milliseconds and their ratios to the first.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.command import REPOSITORY
from tests.image.bases import make_base, pack
from tests.image.engines import Docker, started

BUILDS = 15
FEW = 3
WORK = "FROM base AS work\nRUN echo x >/x\n"
COPY = "FROM scratch\nCOPY --from={} /x /x\n"
SYNTAX = "# syntax=differ\n"
LABELS = (
    "moby.buildkit.frontend.caps=moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,"
    "moby.buildkit.frontend.contexts",
    "moby.buildkit.frontend.network.none=true",
)


def many(runs: int, differences: int) -> str:
    """A Dockerfile with RUNs between the sides of each difference."""
    lines = []
    for number in range(differences):
        lines += [f"FROM base AS a{number}", f"FROM a{number} AS b{number}"]
        lines += [f"RUN echo {number} >/f{step}" for step in range(runs // differences)]
    lines.append("FROM scratch")
    lines += [f"COPY --from=a{number}..b{number} / /{number}/" for number in range(differences)]
    return "\n".join(lines) + "\n"


FILES = {
    "own": (WORK + COPY.format("work"), BUILDS),
    "none": (SYNTAX + WORK + COPY.format("work"), BUILDS),
    "one": (SYNTAX + WORK + COPY.format("base..work"), BUILDS),
    "thirty": (SYNTAX + many(330, 30), FEW),
}


def make_images(place: Path) -> tuple[Path, Path]:
    """Tars of the base and of the program's image, which has nothing else that matters here."""
    base, root = place / "base", place / "root"
    base.mkdir()
    make_base(base)
    pack(base, place / "base.tar")
    for name in ("usr/bin", "lower", "upper", "out"):
        (root / name).mkdir(parents=True)
    program = root / "usr/bin/differ"
    subprocess.run(["container/build.sh", program], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    pack(root, place / "differ.tar")
    return place / "base.tar", place / "differ.tar"


def measure(docker: Docker, base: Path, image: Path) -> None:
    """Build in turn, and print."""
    docker.import_tree("base", base)
    changes = ['ENTRYPOINT ["/usr/bin/differ"]', *(f"LABEL {label}" for label in LABELS)]
    docker.docker("import", *(word for change in changes for word in ("--change", change)), image, "differ")
    times: dict[str, list[float]] = {name: [] for name in FILES}
    for turn in range(BUILDS + 1):
        for name, (dockerfile, builds) in FILES.items():
            if turn > builds:
                continue
            start = time.perf_counter()
            docker.build(dockerfile)
            if turn:  # the first one fills the cache
                times[name].append((time.perf_counter() - start) * 1000)
    own = statistics.median(times["own"])
    for name, held in times.items():
        median = statistics.median(held)
        print(f"{docker.name:22}{name:8}{median:8.0f} ms{median / own:7.2f}", flush=True)


def main(*names: str) -> None:
    """Measure every engine."""
    with tempfile.TemporaryDirectory() as place:
        base, image = make_images(Path(place))
        for name in names or ("docker26-graph", "docker26-containerd"):
            with contextlib.contextmanager(started)(name) as engine:
                assert isinstance(engine, Docker)
                measure(engine, base, image)


if __name__ == "__main__":
    main(*sys.argv[1:])
