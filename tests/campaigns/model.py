"""Random edits of a tree, and after each what differ makes of it beside what a model of the tree says.

usage: python -m tests.campaigns.model [--scripts N] [--minutes N] [--seed N] [KIND...]

KIND: ``ext4``, ``xfs``, ``btrfs``, ``tmpfs``, ``overlayfs`` (whose layers are on a tmpfs, ext4 or XFS in turn); all by
default, N scripts on each.  Ends with status 1 if anything was wrong, or if there was no time for all.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from .edits import STEPS, try_scripts
from .shards import Found, Shard, disks, run_shard, run_shards

KINDS = ("ext4", "xfs", "btrfs", "tmpfs", "overlayfs")
LAYERS = ("tmpfs", "ext4", "xfs")
_PER_SHARD = 100


def _work(shard: Shard, counts: Counter[str]) -> None:
    try_scripts(shard.kind, shard.place, shard.examples, shard.seed, counts)


def table(found: Found) -> str:
    """What was done, as Markdown."""
    columns = ("scripts", "edits", "checks", "A", "M", "D", "entries of OUT", "proofs")
    heads = ("scripts", "edits", "checks", "added", "modified", "removed", "entries of OUT", "proofs")
    lines = [f"| UPPER on | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for kind, counts in [*found.items(), ("all", sum(found.values(), Counter()))]:
        figures = [f"{counts[name]:,}" for name in columns]
        lines.append(f"| {kind} | {' | '.join(figures)} |")
    return "\n".join(lines)


def ways(counts: Counter[str]) -> str:
    """How the trees on overlayfs were compared, as Markdown."""
    rows = [
        f"| {name.removeprefix('way: ')} | {count:,} |"
        for name, count in sorted(counts.items())
        if "way" in name
    ]
    return "\n".join(["| compared by | checks |", "|---|--:|", *rows])


def main() -> int:
    """Run the campaign and print its tables."""
    if sys.argv[1:2] == ["--shard"]:
        return run_shard(sys.argv[2:], _work)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=KINDS)
    options = parser.parse_args()
    began = time.monotonic()
    needed = [
        kind
        for kind in KINDS[:4]
        if kind in options.kinds or (kind in LAYERS and "overlayfs" in options.kinds)
    ]
    with disks(needed) as made:
        shards = []
        for index in range(-(-options.scripts // _PER_SHARD)):
            count = min(_PER_SHARD, options.scripts - index * _PER_SHARD)
            for offset, kind in enumerate(options.kinds):
                place = made[LAYERS[index % len(LAYERS)] if kind == "overlayfs" else kind]
                shards.append(Shard(kind, options.seed + len(KINDS) * index + offset, count, place))
        found, wrong, left = run_shards("tests.campaigns.model", shards, 60 * options.minutes)
    print(f"### Model\n\nSeed {options.seed}, at most {STEPS} steps a script.\n\n{table(found)}\n")
    if "overlayfs" in found:
        print(f"{ways(found['overlayfs'])}\n")
    ran, right = (sum(counts[name] for counts in found.values()) for name in ("runs that exit 0", "right"))
    print(f"{ran:,} runs exit 0, of which {ran - right} have a result that the model rejects.")
    print(f"{time.monotonic() - began:.0f} s, {len(wrong)} wrong, no time for {left} parts of {len(shards)}.")
    for why in wrong:
        print(f"\n{why}")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
