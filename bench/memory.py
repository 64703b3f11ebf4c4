"""Peak memory of a run against the number of files: it must not grow with it.

    python bench/memory.py [COUNT ...]

For each count (10,000, 100,000 and 400,000 unless given) makes a tree of that many files, 100 in a
directory, and a copy with 100 changes; runs ``python -m differ LOWER UPPER``; checks that it finds the
100; prints a table.  Everything lies in a temporary directory ($TMPDIR) and is removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PER_DIRECTORY = 100
CHANGES = 100
WHEN = 1_600_000_000_123_456_789  # ns


def path_of(root: Path, number: int) -> Path:
    """Where the file with this number lies."""
    directory = number // PER_DIRECTORY
    return root / f"d{directory // 100}" / f"e{directory}" / f"f{number}"


def make(root: Path, count: int) -> None:
    """Make a tree of ``count`` files."""
    for number in range(count):
        file = path_of(root, number)
        if number % PER_DIRECTORY == 0:
            file.parent.mkdir(parents=True)
        file.write_text(f"content of {number}\n")
        os.utime(file, ns=(WHEN, WHEN))


def change(root: Path, count: int) -> None:
    """Change the content of files, but neither size nor time."""
    # No list of all files: a child's peak starts at what this process holds when it forks.
    for number in range(0, count, count // CHANGES):
        file = path_of(root, number)
        file.write_text(f"CONTENT of {number}\n")
        os.utime(file, ns=(WHEN, WHEN))


def run(lower: Path, upper: Path) -> tuple[int, int, float]:
    """The number of changes found, the peak memory in kB, and the time in s."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "differ", "--progress", "none", lower, upper],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    stdout = process.stdout
    assert stdout is not None
    lines = stdout.read().count(b"\n")
    stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"differ failed with {process.returncode}")
    return lines, usage.ru_maxrss, time.monotonic() - start


def main() -> None:
    """Print the table."""
    counts = [int(word) for word in sys.argv[1:]] or [10_000, 100_000, 400_000]
    print(f"{'files':>8} {'changes':>8} {'peak kB':>8} {'seconds':>8}")
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="differ-memory-") as work:
            lower, upper = Path(work, "lower"), Path(work, "upper")
            make(lower, count)
            make(upper, count)
            change(upper, count)
            found, peak, seconds = run(lower, upper)
            if found != CHANGES:
                sys.exit(f"found {found} changes, made {CHANGES}")
            print(f"{count:>8} {found:>8} {peak:>8} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
