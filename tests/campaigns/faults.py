"""Nothing lost: errors at every system call, signals at any instant, full disks, trees that change.

usage: python -m tests.campaigns.faults [--quick] [--minutes N] [PART...]

PART: ``calls``, ``kills``, ``fill``, ``moving``; all by default.  Ends with status 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import time

from . import bench, calls, fill, kills, moving
from .material import STATIC

_PARTS = ("calls", "kills", "fill", "moving")
_SHOWN = 40  # lines of what was wrong


def main() -> int:
    """Run the campaign and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    parts = options.parts or _PARTS
    seconds = 60 * (1 if options.quick else options.minutes)
    static = (STATIC / "differ").exists()
    began = time.monotonic()
    wrong: list[str] = []
    if "calls" in parts:
        most = 20 if options.quick else None
        found = calls.campaign(list(bench.PARTS), static, 0.6 * seconds, most)
        print("### Every system call fails once\n")
        print(f"{len(found)} cases.\n\n{calls.totals(found)}\n\n{calls.table(found)}\n\n{calls.reasons()}\n")
        wrong += [f"{case}: {why}" for case, _, why in found if why]
    if "kills" in parts:
        ended, why = kills.campaign(2 if options.quick else 200, static, 0.3 * seconds)
        print(f"### Signals at random instants\n\n{kills.table(ended)}\n")
        wrong += why
    if "fill" in parts:
        filled, why = fill.campaign(options.quick)
        print(f"### Full, small and unwilling file systems\n\n{fill.table(filled)}\n")
        wrong += why
    if "moving" in parts:
        moved, why = moving.campaign(10 if options.quick else 200, static, 0.1 * seconds)
        print(f"### Trees that change while they are read\n\n{moving.table(moved)}\n")
        wrong += why
    print(f"{time.monotonic() - began:.0f} s, {len(wrong)} wrong.")
    for line in wrong[:_SHOWN]:
        print(f"- {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
