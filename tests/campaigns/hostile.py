"""Hostile trees: links that race against a run, shapes that want to harm, mounts, user namespaces.

usage: python -m tests.campaigns.hostile [--quick] [--minutes N] [--rounds N] [PART...]

PART: ``races``, ``shapes``, ``mounted``, ``rootless``; all by default.  Ends with status 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import time

from . import mounted, races, rootless, shapes
from .material import STATIC

_PARTS = ("races", "shapes", "mounted", "rootless")
_SHOWN = 40  # lines of what was wrong


def main() -> int:
    """Run the campaign and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("parts", nargs="*", metavar="PART")
    options = parser.parse_args()
    parts = options.parts or _PARTS
    static = (STATIC / "differ").exists()
    seconds = 60 * options.minutes
    began = time.monotonic()
    wrong: list[str] = []
    sizes = shapes.SHORT if options.quick else shapes.FULL
    if "shapes" in parts:
        places = ("tmpfs",) if options.quick else shapes.PLACES
        tried = shapes.campaign(static, sizes, places, end=began + 0.4 * seconds)
        print(f"### Shapes\n\n{shapes.table(tried)}\n")
        wrong += [why for row in tried for why in row[4]]
    if "mounted" in parts:
        tried = shapes.campaign(static, sizes, ("here",), mounted.KINDS)
        print(f"### Mounts and files that lie\n\n{shapes.table(tried)}\n")
        wrong += [why for row in tried for why in row[4]]
    if "rootless" in parts:
        owners, why = rootless.campaign()
        print(f"### User namespaces\n\n{rootless.table(owners)}\n")
        wrong += why
    if "races" in parts:
        rounds = 100 if options.quick else options.rounds
        raced, why, counted = races.campaign(rounds, static, began + seconds - time.monotonic())
        print(f"### Links that race\n\n{races.table(raced)}\n")
        print(f"{counted['exchanges']} exchanges of two names, {counted['calls']} system calls judged.\n")
        wrong += why
    print(f"{time.monotonic() - began:.0f} s, {len(wrong)} wrong.")
    for line in wrong[:_SHOWN]:
        print(f"- {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
