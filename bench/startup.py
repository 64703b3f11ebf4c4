"""CPU time of the program's start against that of ``python3 -c pass``.

usage: python3 bench/startup.py PROGRAM

Runs the two, and a diff of two empty directories, in turn; prints the median of each in milliseconds
of CPU time (user and system) and its ratio to ``python3 -c pass``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

RUNS = 30


def cpu_ms(command: list[str]) -> float:
    """The CPU time of one run, in ms."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} has ended with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def main(program: str) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as place:
        sides = [os.path.join(place, name) for name in ("lower", "upper")]
        for side in sides:
            os.mkdir(side)
        commands = {
            "python3 -c pass": ["/usr/bin/python3", "-c", "pass"],
            "--version": [program, "--version"],
            "two empty directories": [program, *sides],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                times[name].append(cpu_ms(command))
    base = statistics.median(times["python3 -c pass"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:24}{median:8.1f} ms{median / base:8.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
