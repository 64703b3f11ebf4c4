"""Runs in a user namespace: with one id mapped, and with a range that also maps the id of all who are not mapped."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import tarfile
import time
from collections import Counter
from pathlib import Path

from tests.command import program
from tests.trees import A, Builder, read_tree
from tests.user import GROUP, USER, Place, user_place

# INSIDE OUTSIDE COUNT, as in /proc/PID/uid_map; 65534 inside is 165533 outside.
MAPS = {"one id": ("0 {id} 1\n",), "a range": ("0 {id} 1\n", "1 100000 65535\n")}
_NOBODY = 165_533
_OWNERS = {
    # name: outside owner and group
    "mine": (USER, GROUP),
    "sub": (100_004, 100_099),
    "sub-group": (USER, 100_000),
    "nobody": (_NOBODY, 100_000),
    "root": (0, 0),
    "stranger": (7, 7),
    "stranger-group": (USER, 7),
    "far": (500_000, 4_294_967_294),
}


def _is_mapped(which: str, uid: int, gid: int) -> bool:
    more = range(100_000, 165_535) if which == "a range" else range(0)
    return (uid == USER or uid in more) and (gid == GROUP or gid in more)


def _trees(place: Place) -> dict[str, tuple[int, int]]:
    """Make LOWER and UPPER with every owner; the owners by path."""
    t = Builder(place.upper)
    owners = {}
    for name, (uid, gid) in _OWNERS.items():
        t.file(f"{name}-file", name)
        t.symlink(f"{name}-link", "x")
        t.fifo(f"{name}-fifo")
        t.dir(f"{name}-dir")
        t.file(f"{name}-setid", name)
        for kind, mode in (
            ("file", 0o644),
            ("link", None),
            ("fifo", 0o644),
            ("dir", 0o755),
            ("setid", 0o6755),
        ):
            path = f"{name}-{kind}"
            t.meta(path, uid=uid, gid=gid)
            t.meta(path, mode=mode, mtime=A)
            owners[path] = uid, gid
    return owners


def _inside(place: Place, which: str, words: list[str]) -> tuple[int, str, str]:
    """Run a command in a new user namespace of the user's."""
    outside = ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups"]
    wait = ["unshare", "--user", "sh", "-c", 'read line; exec "$@"', "sh"]
    process = subprocess.Popen(
        [*outside, *wait, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=place.path,
        env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )
    ours = os.readlink("/proc/self/ns/user")
    while os.readlink(f"/proc/{process.pid}/ns/user") == ours and process.poll() is None:
        time.sleep(0.001)
    for kind, own in (("uid", USER), ("gid", GROUP)):
        Path(f"/proc/{process.pid}/{kind}_map").write_text("".join(MAPS[which]).format(id=own))
    out, err = process.communicate("go\n", timeout=900)
    return process.returncode, out, err


def campaign(maps: tuple[str, ...] = tuple(MAPS)) -> tuple[dict[str, Counter[str]], list[str]]:
    """Run each command in each namespace; owners carried and reported by namespace, and what is wrong."""
    found: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    for which in maps:
        with contextlib.contextmanager(user_place)() as place:
            counts, why = _judged(place, which)
        found[which] = counts
        wrong += [f"{which}: {one}" for one in why]
    return found, wrong


def _told(err: str) -> set[str]:
    return set(re.findall(r"warning: (\S+): owners not carried", err))


def _judged(place: Place, which: str) -> tuple[Counter[str], list[str]]:
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    owners = _trees(place)
    mapped = {path for path, owner in owners.items() if _is_mapped(which, *owner)}
    # Whoever is read as nobody may be anybody, and is reported too.
    sure = {path for path in mapped if owners[path][0] != _NOBODY}
    out, applied, layer = place.path / "out", place.path / "applied", place.path / "layer"
    differ = program(False, place.code, place.programs)
    trees = [str(place.lower), str(place.upper)]

    status, _, err = _inside(place, which, [*differ, "-v", "--jobs", "2", *trees, str(out)])
    wrong += [] if status == 0 else [f"exit status {status}: {err[-300:]}"]
    wrong += _compared("differ", out, owners, sure, _told(err))
    counts["reported"] += len(_told(err))
    counts["carried"] += len(owners) - len(_told(err))

    status, _, err = _inside(
        place,
        which,
        [*program(True, place.code, place.programs), "-v", str(place.lower), str(out), str(applied)],
    )
    # What could not be carried is now of somebody who is mapped.
    again = {row["path"]: (row["uid"], row["gid"]) for row in read_tree(out)[1:]}
    good = {path for path, owner in again.items() if _is_mapped(which, *owner) and _NOBODY not in owner}
    wrong += [] if status == 0 and good >= sure else [f"differ-apply: exit status {status}: {err[-300:]}"]
    wrong += _compared("differ-apply", applied, again, good, _told(err))

    status, _, err = _inside(place, which, [*differ, "-v", *trees, "--layer", str(layer)])
    told = _told(err)
    counts["reported"] += len(told)
    wrong += (
        []
        if status == 0 and told == owners.keys() - sure
        else [f"--layer: {sorted(told ^ (owners.keys() - sure))}"]
    )
    inside = {outside: number for number, outside in enumerate([USER, *range(100_000, 165_535)])}
    groups = {outside: number for number, outside in enumerate([GROUP, *range(100_000, 165_535)])}
    with tarfile.open(layer) as tar:
        for one in tar:
            path = one.name.rstrip("/")
            if path in sure and (one.uid, one.gid) != (inside[owners[path][0]], groups[owners[path][1]]):
                wrong.append(f"--layer: {path} is of {one.uid}:{one.gid}")
            elif path not in sure and one.mode & 0o6000 and not one.isdir():
                wrong.append(f"--layer: {path} has mode {one.mode:o}")
            counts["carried"] += path in sure

    proof = place.path / "proof"
    status, _, err = _inside(place, which, [*differ, "--verify", *trees, str(proof)])
    wrong += (
        [] if status == 1 and "not proved: " in err else [f"--verify: exit status {status}: {err[-300:]}"]
    )
    strict = place.path / "strict"
    status, _, err = _inside(place, which, [*differ, "--strict", *trees, str(strict)])
    is_refused = status == 2 and "cannot carry owners" in err and not strict.exists()
    wrong += [] if is_refused else [f"--strict: exit status {status}: {err[-300:]}"]

    # With none but those who are mapped all is carried, and proved.
    for path in owners.keys() - sure:
        Builder(place.upper).rm(path)
    own = place.path / "own"
    status, _, err = _inside(place, which, [*differ, "--strict", "--verify", *trees, str(own)])
    wrong += (
        [] if status == 0 and "; proved" in err else [f"mapped owners: exit status {status}: {err[-300:]}"]
    )
    wrong += _compared("mapped owners", own, {path: owners[path] for path in sure}, sure, set())
    counts["carried"] += len(sure)
    return counts, wrong


def _compared(
    what: str, tree: Path, owners: dict[str, tuple[int, int]], sure: set[str], told: set[str]
) -> list[str]:
    """What is wrong with the owners in a result, looked at from outside."""
    wrong = []
    for path, owner in owners.items():
        facts = (tree / path).lstat() if os.path.lexists(tree / path) else None
        if facts is None:
            wrong.append(f"{what}: {path} is missing")
        elif path in sure and ((facts.st_uid, facts.st_gid) != owner or path in told):
            wrong.append(f"{what}: {path} is of {facts.st_uid}:{facts.st_gid}, told: {path in told}")
        elif path not in sure and path in told and facts.st_mode & 0o6000 and not stat.S_ISDIR(facts.st_mode):
            wrong.append(f"{what}: {path} has mode {facts.st_mode:o}")
        elif path not in sure and path not in told and path != ".":
            wrong.append(f"{what}: {path} is not reported")
    return wrong


def table(found: dict[str, Counter[str]]) -> str:
    """The outcomes as Markdown."""
    lines = ["| user namespace with | owners carried, as seen from outside | reported |", "|---|--:|--:|"]
    lines += [f"| {which} | {counts['carried']} | {counts['reported']} |" for which, counts in found.items()]
    return "\n".join(lines)
