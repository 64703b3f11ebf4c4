"""Peak memory of a run against the number of files: it must not grow with it.

    python bench/memory.py [COUNT ...]

For each count (10,000, 100,000 and 400,000 unless given) makes a tree of that many files, 100 in a
directory, and a copy with 100 changes; runs ``python -m differ LOWER UPPER``; checks that it finds the
100; prints a table.  Then, unless counts are given, the same for layers of a large file: 10 GiB that are a
hole, and 6 GiB of data.  Everything lies in a temporary directory ($TMPDIR) and is removed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PER_DIRECTORY = 100
CHANGES = 100
MIB, GIB = 1 << 20, 1 << 30
LAYERS = ((10 * GIB, 0, "none"), (10 * GIB, 0, "gzip"), (0, 6 * GIB, "none"))
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


def run(lower: Path, upper: Path, *options: str) -> tuple[int, int, float]:
    """The number of changes listed, the peak memory in kB, and the time in s."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "differ", "--progress", "none", *options, lower, upper],
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


def large(path: Path, hole: int, data: int) -> None:
    """Make a file of a hole and then data that does not compress."""
    with path.open("wb") as file:
        file.truncate(hole)
        file.seek(hole)
        block = hashlib.shake_128(b"differ").digest(MIB)
        for number in range(data // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])


def layers() -> None:
    """Print the table of layers."""
    print(f"{'hole GiB':>8} {'data GiB':>8} {'layer':>8} {'peak kB':>8} {'seconds':>8}")
    for hole, data, compression in LAYERS:
        with tempfile.TemporaryDirectory(prefix="differ-memory-") as work:
            lower, upper = Path(work, "lower"), Path(work, "upper")
            lower.mkdir()
            upper.mkdir()
            large(upper / "f", hole, data)
            _, peak, seconds = run(lower, upper, f"--compression={compression}", "--layer=/dev/null")
            print(f"{hole // GIB:>8} {data // GIB:>8} {compression:>8} {peak:>8} {seconds:>8.1f}", flush=True)


def main() -> None:
    """Print the tables."""
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
    if not sys.argv[1:]:
        layers()


if __name__ == "__main__":
    main()
