"""A campaign in parts, each a process with a seed of its own, as many at once as there are processors."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, settings

from tests.command import REPOSITORY
from tests.disks import disk

_ROOMY = {"ext4": ("-I", "256", "-N", "4096")}  # times to the nanosecond, which smaller inodes have not


class Shard(NamedTuple):
    """``kind``: what it is counted under.  ``place``: a directory that it may use."""

    kind: str
    seed: int
    examples: int
    place: Path


Found = dict[str, Counter[str]]
"""By the kind of shard, how often something was."""


@contextlib.contextmanager
def disks(kinds: Sequence[str]) -> Iterator[dict[str, Path]]:
    """New file systems of these kinds, whose images are in memory."""
    shared = Path("/dev/shm")
    with contextlib.ExitStack() as tasks:
        place = tasks.enter_context(
            tempfile.TemporaryDirectory(prefix="differ-campaign-", dir=shared if shared.is_dir() else None)
        )
        made = {}
        for kind in kinds:
            made[kind] = tasks.enter_context(disk(Path(place), kind, *_ROOMY.get(kind, ())))
        yield made


def examples(count: int) -> settings:
    """How hypothesis tries so many; what fails is made small."""
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def run_shard(words: Sequence[str], work: Callable[[Shard, Counter[str]], None]) -> int:
    """The process of a shard: do its work and print what :func:`run_shards` reads."""
    shard = Shard(words[0], int(words[1]), int(words[2]), Path(words[3]))
    counts: Counter[str] = Counter()
    wrong = ""
    try:
        work(shard, counts)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        wrong = f"{shard.kind}, seed {shard.seed}: {notes}\n{traceback.format_exc()[-6000:]}"
    sys.stdout.write("\n" + json.dumps({"counts": counts, "wrong": wrong}))
    return 0


def run_shards(module: str, shards: Sequence[Shard], seconds: float) -> tuple[Found, list[str], int]:
    """Run the shards; what they counted, what is wrong, and how many there was no time for."""
    end = time.monotonic() + seconds
    found: Found = {shard.kind: Counter() for shard in shards}
    wrong: list[str] = []
    waiting = list(reversed(shards))
    running: list[tuple[Shard, subprocess.Popen[str]]] = []
    try:
        while running or (waiting and time.monotonic() < end):
            while waiting and len(running) < (os.cpu_count() or 1) and time.monotonic() < end:
                shard = waiting.pop()
                words: list[Any] = [sys.executable, "-m", module, "--shard", *shard]
                pipe = subprocess.PIPE
                running.append(
                    (shard, subprocess.Popen([*map(str, words)], cwd=REPOSITORY, stdout=pipe, text=True))
                )
            shard, process = running.pop(0)
            said, _ = process.communicate()
            try:
                told = json.loads(said.splitlines()[-1])
            except (ValueError, IndexError):
                told = {"counts": {}, "wrong": f"{shard}: exit status {process.returncode}: {said[-2000:]}"}
            found[shard.kind].update(told["counts"])
            wrong += [told["wrong"]] if told["wrong"] else []
    finally:
        for _, process in running:
            process.terminate()
            process.wait()
    return found, wrong, len(waiting)
