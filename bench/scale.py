"""How a run grows: time and memory against the size of what is compared, at three sizes.

    python -m bench.scale [--quick] [--only WORD]

The largest sizes are 2,000,000 files, one directory of 1,000,000, 500,000 hard links, 50 GB of files with holes, and
400,000 files written.  CPU time (of all processes, the least of three runs) must grow with the size and no more: each
size may take 1.2 times as long as the one before says, per entry.  Then 2,000 runs over a tree that changes, in one
process, which must end with the memory and the descriptors it had, and with no file too many.  ``--quick`` does a
fiftieth of it.  Prints tables in Markdown; exits with 1 if a row does not hold.  Everything lies in a temporary
directory ($TMPDIR, 4 million inodes) and is removed.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CHANGES = 100
WHEN = 1_600_000_000_123_456_789  # ns
MOST = 1.2
_RUNS = 3
_LINKS = 50_000  # names of one inode; ext4 has 65,000 at most
_GB = 1000**3
_GROWTH = 2048  # kB


def _file(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, content)
    os.utime(fd, ns=(WHEN, WHEN))
    os.close(fd)


def tree(root: Path, count: int) -> None:
    """Files, 100 in a directory and 100 directories in one."""
    for number in range(count):
        directory = f"{root}/d{number // 10_000}/e{number // 100}"
        if number % 100 == 0:
            os.makedirs(directory)
        _file(f"{directory}/f{number}", b"content")


def flat(root: Path, count: int) -> None:
    """One directory."""
    for number in range(count):
        _file(f"{root}/file-{number}", b"")


def links(root: Path, count: int) -> None:
    """Names of a few inodes."""
    for number in range(count):
        directory = f"{root}/d{number // 1000}"
        if number % 1000 == 0:
            os.mkdir(directory)
        first = number // _LINKS * _LINKS
        name = f"{directory}/f{number}"
        if number == first:
            _file(name, b"content")
        else:
            os.link(f"{root}/d{first // 1000}/f{first}", name)


def sparse(root: Path, gigabytes: int) -> None:
    """Files of 1 GB that are holes but for their first and last bytes."""
    for number in range(gigabytes):
        fd = os.open(f"{root}/f{number}", os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(fd, b"first", 0)
        os.pwrite(fd, b"last", _GB - 4)
        os.utime(fd, ns=(WHEN, WHEN))
        os.close(fd)


def change(root: Path, files: int) -> None:
    """Change what 100 files hold, and neither size nor time."""
    names = [os.path.join(above, name) for above, _, found in os.walk(root) for name in found]
    names.sort()
    for name in random.Random(7).sample(names, min(files, len(names))):
        size = os.stat(name).st_size
        with open(name, "r+b") as file:
            file.write(b"CHANGED"[:size])
        os.utime(name, ns=(WHEN, WHEN))


class Case:
    """One thing that grows.

    ``make``: makes a tree of a size.  ``sizes``: those.  ``words``: of the command, behind LOWER and UPPER.
    ``differs``: whether UPPER is a second tree; else LOWER is scratch.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Path, int], None],
        largest: int,
        *words: str,
        differs: bool = True,
    ) -> None:
        self.name = name
        self.make = make
        self.sizes = [largest // 4, largest // 2, largest]
        self.words = words
        self.differs = differs


def cases(scale: int) -> list[Case]:
    """All of them; ``scale``: by how much less than the whole."""
    return [
        Case("files in directories", tree, 2_000_000 // scale),
        Case("files in one directory", flat, 1_000_000 // scale),
        Case("names of a few inodes", links, 500_000 // scale),
        Case("GB of holes", sparse, max(4, 52 // scale)),
        Case("files written to OUT", tree, 400_000 // scale, "OUT", differs=False),
        Case("files written as a layer", tree, 400_000 // scale, "--layer", "OUT", differs=False),
    ]


def measure(command: list[str]) -> tuple[float, float]:
    """CPU time in s and the peak memory in MB of the largest process."""
    from .timing import peak

    before = os.times()
    memory = peak(command)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4]), memory


def grow(case: Case, work: Path) -> list[str]:
    """The rows of a case."""
    rows = []
    last: tuple[int, float] | None = None
    for size in case.sizes:
        lower, upper, out = work / "lower", work / "upper", work / "out"
        upper.mkdir()
        case.make(upper, size)
        if case.differs:
            lower.mkdir()
            case.make(lower, size)
            change(upper, CHANGES)
        first = str(lower) if case.differs else "scratch"
        words = [str(out) if word == "OUT" else word for word in case.words]
        command = [sys.executable, "-m", "differ", "-q", first, str(upper), *words]
        best = None
        for _ in range(_RUNS):
            took = measure(command)
            best = took if best is None or took < best else best
            if out.exists():
                shutil.rmtree(out) if out.is_dir() else out.unlink()
        assert best is not None
        seconds, memory = best
        ratio = 0.0 if last is None else seconds / last[1] / (size / last[0])
        verdict = "" if last is None else "yes" if ratio <= MOST else "NO"
        shown = "" if last is None else f"{ratio:.2f}"
        rows.append(f"| {case.name} | {size:,} | {seconds:.2f} | {shown} | {memory:.0f} | {verdict} |")
        print(rows[-1], flush=True)
        last = size, seconds
        for path in (lower, upper):
            shutil.rmtree(path, ignore_errors=True)
    return rows


def _held() -> tuple[int, int]:
    """The memory (kB) and the descriptors that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(os.listdir("/proc/self/fd"))


def endure(runs: int, work: Path) -> list[str]:
    """Many runs over a tree that changes, in this process."""
    from differ.cli import main, main_apply

    dice = random.Random(11)
    lower, upper, out = work / "lower", work / "upper", work / "out"
    for root in (lower, upper):
        root.mkdir()
        tree(root, 300)
    found = []
    here = sorted(os.listdir(work))
    warm = runs // 10
    for number in range(runs):
        victim = f"{upper}/d0/e{dice.randrange(3)}/f{dice.randrange(400)}"
        if dice.random() < 0.3 and os.path.exists(victim):
            os.unlink(victim)
        else:
            _file(victim, dice.randbytes(dice.randrange(20_000)))
        if number == warm:
            found.append(_held())
        outputs: list[list[str]] = [[], [str(out)], ["--layer", str(work / "layer")], ["--verify", str(out)]]
        words = outputs[number % 4]
        with contextlib.redirect_stdout(io.StringIO()):
            status = main(["-q", str(lower), str(upper), *words])
            if status == 0 and number % 4 == 1:
                status = main_apply(["-q", str(lower), str(out), str(work / "again")])
                shutil.rmtree(work / "again")
        if status != 0:
            sys.exit(f"run {number} has ended with {status}")
        if words[-1:] == [str(out)]:
            shutil.rmtree(out)
        (work / "layer").unlink(missing_ok=True)
    found.append(_held())
    left = sorted(os.listdir(work)) == here
    (memory, fds), (memory_then, fds_then) = found
    # The allocator of the interpreter keeps some arenas; a leak of one kB in each of 2,000 runs is as much.
    holds = memory_then - memory < _GROWTH and fds == fds_then and left
    row = (
        f"| {runs:,} runs | {memory} → {memory_then} kB | {fds} → {fds_then} |"
        f" {'none' if left else 'SOME'} | {'yes' if holds else 'NO'} |"
    )
    return [row]


def main() -> int:
    """Print the tables; 1 if a row does not hold."""
    quick = "--quick" in sys.argv
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""
    rows = []
    print("| what | size | CPU s | per entry, against the row above | peak MB | holds |\n|-|-:|-:|-:|-:|-|")
    for case in cases(50 if quick else 1):
        if only in case.name:
            with tempfile.TemporaryDirectory(prefix="differ-scale-", ignore_cleanup_errors=True) as work:
                rows += grow(case, Path(work))
    if only in "runs":
        with tempfile.TemporaryDirectory(prefix="differ-scale-") as work:
            told = endure(40 if quick else 2000, Path(work))
        print("\n| | memory | descriptors | files left | holds |\n|-|-|-|-|-|", *told, sep="\n")
        rows += told
    return int(any("NO" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
