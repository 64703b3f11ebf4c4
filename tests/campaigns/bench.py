"""A place where one kind of run is tried again and again, and cases that two processes try side by side."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .material import ENVIRONMENT, command, make_changes, make_images, make_trees, reset, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.trees import Row

PARTS: dict[str, tuple[str, list[str], bool, bool]] = {
    # the program, its words, whether OUT exists, whether an image is there
    "OUT absent": ("differ", ["{lower}", "{upper}", "{results}/out"], False, False),
    "OUT empty": ("differ", ["{lower}", "{upper}", "{results}/out"], True, False),
    "--verify": ("differ", ["--verify", "{lower}", "{upper}", "{results}/out"], False, False),
    "--layer": ("differ", ["{lower}", "{upper}", "--layer", "{results}/layer.tar"], False, False),
    "--append": ("differ", ["{lower}", "{upper}", "--append", "oci:{results}/image:latest"], False, True),
    "oci: and tar:": ("differ", ["oci:{image}:work", "tar:{place}/upper.tar", "{results}/out"], False, False),
    "differ-apply": ("differ-apply", ["{lower}", "{place}/changes", "{results}/out"], False, False),
    "differ-rebase": (
        "differ-rebase",
        ["oci:{image}:latest", "oci:{image}:work", "oci:{image}:new", "--to", "oci:{results}/image:moved"],
        False,
        True,
    ),
    "processes": (
        "differ",
        ["--progress", "none", "--verify", "--jobs", "3", "{lower}", "{upper}", "{results}/out"],
        False,
        False,
    ),
}


def words_of(part: str, place: Path) -> list[str]:
    """The words of a part's command line, after the program."""
    names = {name: str(place / name) for name in ("lower", "upper", "results", "image")}
    return [word.format(place=place, **names) for word in PARTS[part][1]]


HANGS = -1000


class Bench:
    """A place with the trees of one part, and the runs there.

    ``files``: how many small ones UPPER has besides.  ``before``: what is there before a run.
    """

    def __init__(self, part: str, static: bool, files: int = 0) -> None:
        self.part = part
        self.place = Path(tempfile.mkdtemp(prefix="differ-faults-"))
        self.results = self.place / "results"
        program, words, self._existing, self._image = PARTS[part]
        make_trees(self.place, files)
        if program == "differ-apply":
            make_changes(self.place, static)
        if any("image" in word for word in words):
            make_images(self.place, static)
        self.command = [*command(program, static), *words_of(part, self.place)]
        self.before = self.reset()

    def close(self) -> None:
        """Remove the place."""
        shutil.rmtree(self.place, ignore_errors=True)

    def reset(self) -> list[Row]:
        """Make everything as it was before a run; the same as rows."""
        return state(reset(self.place, self._existing, self._image))


def ended(words: list[str]) -> tuple[int, str]:
    """A run, to its end: its exit status and stderr; the status HANGS if there is none."""
    try:
        done = subprocess.run(
            words, cwd="/", capture_output=True, timeout=120, env=ENVIRONMENT, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return HANGS, "it hangs"
    return done.returncode, done.stderr


def not_one_line(err: str) -> str:
    """What is wrong with what a failure says; empty if it is one line."""
    is_line = err.count("\n") == 1 and err.startswith("differ")
    return "" if is_line else f"not one line: {err[-300:]!r}"


def side_by_side(
    cases: list[Any], bench: Callable[[str], Any], judge: Callable[[Any, Any], Any]
) -> Iterator[Any]:
    """What is found of each case, in two processes, in any order.

    ``cases``: the first of each is its part.  ``bench``: makes the bench of a part, one in each process.
    ``judge``: is given a bench and a case.
    """
    results: multiprocessing.Queue[Any] = multiprocessing.Queue()
    workers = [_Worker(cases[n::2], bench, judge, results) for n in range(2)]
    for worker in workers:
        worker.start()
    left = len(workers)
    while left:
        found = results.get(timeout=1800)
        if found is None:
            left -= 1
        else:
            yield found
    for worker in workers:
        worker.join()


class _Worker(multiprocessing.Process):
    """Takes its cases, and cleans up after them."""

    def __init__(
        self,
        cases: list[Any],
        bench: Callable[[str], Any],
        judge: Callable[[Any, Any], Any],
        results: multiprocessing.Queue[Any],
    ) -> None:
        super().__init__()
        self._cases, self._bench, self._judge, self._results = cases, bench, judge, results

    def run(self) -> None:
        benches: dict[str, Any] = {}
        try:
            for case in self._cases:
                if case[0] not in benches:
                    benches[case[0]] = self._bench(case[0])
                self._results.put(self._judge(benches[case[0]], case))
        finally:
            for bench in benches.values():
                bench.close()
            self._results.put(None)
