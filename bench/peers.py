"""The programs: how each is built and run, and how its answer is read."""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from .timing import Answer, Change, Program, Trees

HERE = Path(__file__).parent
PYTHON = "/usr/bin/python3"
START = [PYTHON, "-I", "-S", "-B", "-c"]
WHITEOUT = ".wh."

METADATA = ("--compare", "metadata")
OPTIONS: dict[str, tuple[str, ...]] = {
    "W1": METADATA,
    "W2": (),
    "W3": (),
    "W4": (),
    "W5": METADATA,
    "W6": METADATA,
    "W7": (),
    "W8": (),
    "W9": (),
}
"""The options of ours for each workload."""


# ---------------------------------------------------------------- what each should find


def everything(changes: Iterable[Change]) -> Answer:
    """Every change."""
    return {(change.letter, change.path) for change in changes}


def told(changes: Iterable[Change]) -> Answer:
    """The changes that size, time, mode or owner tell of."""
    return everything(change for change in changes if change.how != "silent")


def in_content(changes: Iterable[Change]) -> Answer:
    """Names and bytes; of what was added only the topmost."""
    seen = [change for change in changes if change.how in ("added", "removed", "content", "silent")]
    names = {change.path for change in seen if change.letter == "A"}
    return everything(
        change for change in seen if change.letter != "A" or os.path.dirname(change.path) not in names
    )


def written(changes: Iterable[Change]) -> Answer:
    """What is in a layer: all but directories, which may be there for what is below them only."""
    return {
        ("D" if change.letter == "D" else "F", change.path)
        for change in changes
        if change.letter == "D" or not change.directory
    }


def written_told(changes: Iterable[Change]) -> Answer:
    """As before, of the changes that size, time, mode or owner tell of."""
    return written(change for change in changes if change.how != "silent")


def copied(changes: Iterable[Change]) -> Answer:
    """As before, without removals."""
    return {one for one in written_told(changes) if one[0] != "D"}


# ---------------------------------------------------------------- ours


@functools.cache
def ours(place: Path) -> list[str]:
    """How our program is started: a copy of the static one, or what DIFFER_PROGRAM says."""
    named = os.environ.get("DIFFER_PROGRAM")
    if named == "checkout":
        return checkout(place)
    if named is not None:
        return shlex.split(named)
    # A copy, because the one in the checkout may be made anew while this runs.
    shutil.copy(HERE.parent / "dist/bin/differ", place / "differ")
    return [str(place / "differ")]


@functools.cache
def checkout(place: Path) -> list[str]:
    """How a compiled copy of the package is started."""
    copy = place / "program"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(HERE.parent / "differ", copy / "differ", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([PYTHON, "-m", "compileall", "-q", copy], check=True)
    code = f"import sys; sys.path.insert(0, {str(copy)!r}); from differ.__main__ import command; "
    return [*START, code + "sys.exit(command())"]


def differ(place: Path, workload: str, *options: str, name: str = "differ", hidden: bool = False) -> Program:
    """Ours, listing the changes."""
    words = [*ours(place), "--progress", "none", *OPTIONS[workload], *options]
    expected = told if METADATA[1] in words else everything
    return Program(
        name,
        lambda trees: [*words, str(trees.lower), str(trees.upper)],
        read_differ,
        expected,
        hidden=hidden,
    )


def differ_writing(place: Path, workload: str, *options: str) -> Program:
    """Ours, writing the changes."""
    words = [*ours(place), "-q", *OPTIONS[workload], *options]
    return Program(
        "differ",
        lambda trees: [*words, str(trees.lower), str(trees.upper), str(trees.out)],
        read_directory,
        written_told if METADATA[1] in words else written,
    )


def read_differ(trees: Trees, said: str) -> Answer:
    """``M path  why``."""
    return {(line[0], line[2:].split("  ")[0].rstrip("/")) for line in said.splitlines()}


def read_directory(trees: Trees, said: str) -> Answer:
    """What was written, and whiteouts."""
    names = [
        os.path.relpath(os.path.join(above, name), trees.out)
        for above, directories, files in os.walk(trees.out)
        for name in [*files, *(one for one in directories if os.path.islink(os.path.join(above, one)))]
    ]
    return {_layer_name(name) for name in names}


def _layer_name(path: str) -> tuple[str, str]:
    above, name = os.path.split(path)
    if name.startswith(WHITEOUT):
        return "D", os.path.join(above, name.removeprefix(WHITEOUT))
    return "F", path


# ---------------------------------------------------------------- the floor and containerd


def read_lines(trees: Trees, said: str) -> Answer:
    """``M path``, each ended by a NUL."""
    return {(one[0], one[2:].lstrip("/")) for one in said.split("\0") if one}


def floor(place: Path, contents: bool = False) -> Program:
    """The C program that does what cannot be avoided."""
    program = place / "floor"
    if not program.exists():
        subprocess.run(["gcc", "-O2", "-o", program, HERE / "floor.c"], check=True)
    words = [str(program), *(["-c"] if contents else [])]
    return Program(
        "floor",
        lambda trees: [*words, str(trees.lower), str(trees.upper)],
        read_lines,
        everything if contents else told,
    )


def go_program(place: Path, name: str) -> str:
    """One of the mains in bench/peers, built against Debian's sources."""
    program = place / name
    if not program.exists():
        environment = {
            **os.environ,
            "GO111MODULE": "off",
            "GOPATH": "/usr/share/gocode",
            "GOCACHE": str(place / "go-cache"),
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
        }
        source = HERE / "peers" / f"{name}.go"
        subprocess.run(["go", "build", "-o", program, source], check=True, env=environment)
    return str(program)


def containerd(place: Path) -> Program:
    """The walk of containerd and BuildKit; it reads files whose times have no fraction of a second."""
    program = go_program(place, "changes")
    return Program(
        "containerd", lambda trees: [program, str(trees.lower), str(trees.upper)], read_lines, everything
    )


def write_diff(place: Path) -> Program:
    """What containerd does with what it has found."""
    program = go_program(place, "writediff")
    return Program(
        "WriteDiff",
        lambda trees: [program, str(trees.lower), str(trees.upper), str(trees.out)],
        read_tar,
        written,
    )


def read_tar(trees: Trees, said: str) -> Answer:
    """A layer."""
    return _read_layer(trees.out)


def _read_layer(path: Path) -> Answer:
    with tarfile.open(path) as layer:
        return {_layer_name(entry.name.lstrip("/")) for entry in layer if not entry.isdir()}


# ---------------------------------------------------------------- rsync, diff, cp, tar


RSYNC = ["rsync", "-aHAX8"]


def rsync(contents: bool = False) -> Program:
    """What rsync would do to make LOWER equal to UPPER."""
    words = [*RSYNC, "-ni", *(["-c"] if contents else []), "--delete"]
    return Program(
        "rsync",
        lambda trees: [*words, f"{trees.upper}/", f"{trees.lower}/"],
        read_rsync,
        everything if contents else told,
    )


def compare_dest() -> Program:
    """rsync, writing what is not in LOWER."""
    return Program(
        "compare-dest",
        lambda trees: [*RSYNC, f"--compare-dest={trees.lower}", f"{trees.upper}/", f"{trees.out}/"],
        read_directory,
        copied,
    )


def read_rsync(trees: Trees, said: str) -> Answer:
    """``>f.st...... path``; the times of directories, and hard links that are the same, are no changes."""
    removed: set[str] = set()
    answer: Answer = set()
    for line in said.splitlines():
        flags, _, path = line.partition(" ")
        if flags == "*deleting":
            removed.add(path.strip().rstrip("/"))
            continue
        facts = line[2:11].replace(".", "").replace(" ", "")
        path = line[12:].split(" -> ")[0].split(" => ")[0].rstrip("/")
        if facts and not (line[1] == "d" and facts == "t"):
            answer.add(("A" if "+" in facts else "M", path))
    return answer | {("D", path) for path in removed if os.path.dirname(path) not in removed}


def diff() -> Program:
    """The bytes of every file, and nothing else."""
    words = ["diff", "-rq", "--no-dereference"]
    return Program(
        "diff",
        lambda trees: [*words, str(trees.lower), str(trees.upper)],
        read_diff,
        in_content,
        statuses=(0, 1),
    )


def read_diff(trees: Trees, said: str) -> Answer:
    """English sentences; one device in both trees is a difference for diff, but not for others."""
    answer: Answer = set()
    for line in said.splitlines():
        if line.startswith("Only in "):
            above, _, name = line.removeprefix("Only in ").rpartition(": ")
            side, letter = (
                (trees.lower, "D") if Path(above).is_relative_to(trees.lower) else (trees.upper, "A")
            )
            answer.add((letter, os.path.normpath(os.path.join(os.path.relpath(above, side), name))))
        elif line.endswith(" differ"):
            one = line.removesuffix(" differ").partition(f" and {trees.upper}/")[2]
            answer.add(("M", one))
        else:
            kinds = {half.partition(" is a ")[2] for half in line.split(" while file ")}
            if len(kinds) > 1:
                answer.add(("M", line))
    return answer


def copy() -> Program:
    """All of UPPER, copied."""
    return Program("cp", lambda trees: ["cp", "-a", str(trees.upper), str(trees.out)], check_copy, nothing)


def tar() -> Program:
    """All of UPPER, packed."""
    words = ["tar", "--xattrs", "--acls", "--format=pax", "-cf"]
    return Program("tar", lambda trees: [*words, str(trees.out), "-C", str(trees.upper), "."])


def differ_all(place: Path) -> Program:
    """Ours, writing all of UPPER."""
    words = [*ours(place), "-q", *OPTIONS["W7"], "scratch"]
    return Program("differ", lambda trees: [*words, str(trees.upper), str(trees.out)], check_copy, nothing)


def differ_layer(place: Path) -> Program:
    """Ours, writing all of UPPER as a layer."""
    words = [*ours(place), "-q", *OPTIONS["W7"], "--layer-xattrs", "all", "scratch"]
    return Program(
        "differ",
        lambda trees: [*words, str(trees.upper), "--layer", str(trees.out)],
        lambda trees, said: check_names(trees),
        nothing,
    )


def check_names(trees: Trees) -> Answer:
    """The names that only one of UPPER and a tar of it has."""
    packed = {line.rstrip("/") for line in _lines(["tar", "--quoting-style=literal", "-tf", str(trees.out)])}
    there = set(_lines(["find", str(trees.upper), "-mindepth", "1", "-printf", "%P\\n"]))
    return {("F", name) for name in packed ^ there}


def check_copy(trees: Trees, said: str) -> Answer:
    """How what was written differs from UPPER."""
    again = [*RSYNC, "-nic", "--delete", f"{trees.upper}/", f"{trees.out}/"]
    return read_rsync(trees, subprocess.run(again, check=True, capture_output=True, text=True).stdout)


def nothing(changes: Iterable[Change]) -> Answer:
    """A copy is equal."""
    return set()


# ---------------------------------------------------------------- umoci


def umoci(image: str, bundle: Path) -> Program:
    """umoci, which hashes every file of a bundle and packs what is new as a layer of an image."""
    layout, _, tag = image.rpartition(":")
    return Program(
        "umoci",
        lambda trees: ["umoci", "repack", "--image", f"{layout}:{tag}-new", str(bundle)],
        lambda trees, said: _read_layer(top_layer(Path(layout), f"{tag}-new")),
        written,
    )


def top_layer(layout: Path, tag: str) -> Path:
    """The blob of the last layer of an image."""

    def blob(descriptor: dict[str, str]) -> Path:
        return layout / "blobs" / descriptor["digest"].replace(":", "/")

    index = json.loads((layout / "index.json").read_text())
    name = "org.opencontainers.image.ref.name"
    manifest = next(one for one in index["manifests"] if one["annotations"][name] == tag)
    return blob(json.loads(blob(manifest).read_text())["layers"][-1])


# ---------------------------------------------------------------- start


def starts(place: Path) -> list[Program]:
    """An interpreter that does nothing, and ours when it has next to nothing to do.

    As the one static program that is in the image, and from the checkout.
    """

    def started(where: str, words: list[str]) -> list[Program]:
        return [
            Program(f"{where}--version", lambda trees: [*words, "--version"]),
            Program(
                f"{where}two empty directories",
                lambda trees: [*words, str(trees.lower), str(trees.upper)],
            ),
        ]

    base = Program("python", lambda trees: [PYTHON, "-I", "-S", "-c", "pass"])
    return [base, *started("", ours(place)), *started("checkout, ", checkout(place))]


def versions() -> list[str]:
    """What the peers are, for those who read a table later."""
    packages = (
        *("golang-go", "golang-github-containerd-continuity-dev", "golang-github-containerd-containerd-dev"),
        *("rsync", "diffutils", "coreutils", "tar", "umoci", "gcc"),
    )
    asked = ["dpkg-query", "-W", "-f=${Package} ${Version}\n", *packages]
    return [f"Python {sys.version.split()[0]}", *_lines(asked)]


def _lines(command: list[str]) -> list[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
