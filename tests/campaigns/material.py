"""What the campaigns run on: small trees of every kind, the programs, and what a run leaves."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.command import PROGRAMS, REPOSITORY
from tests.expected import by_path, difference, left_over
from tests.oci_layout import write_image
from tests.trees import ACL_644, CAP_NET_RAW, T_LOWER, T_UPPER, A, B, Builder, Row, read_tree, without

STATIC = REPOSITORY / "dist/bin"
BIG = b"0123456789abcdef" * 40_000  # bytes that take several reads
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}  # so that two images are equal

# Imported before the run begins, so that no fault meets the import of a module.
_EVERYTHING = """
import importlib, pkgutil, sys
import fcntl, fnmatch, grp, gzip, json, pwd, re, select, tarfile, zlib, _hashlib
sys.path.insert(0, {code!r})
import differ
for module in pkgutil.walk_packages(differ.__path__, "differ."):
    if not module.name.startswith(("differ.frontend", "differ.__main__")):
        importlib.import_module(module.name)
from differ.cli import main, main_apply, main_rebase
sys.exit({main}())
"""
_MAINS = {"differ": "main", "differ-apply": "main_apply", "differ-rebase": "main_rebase"}


def command(program: str = "differ", static: bool = False) -> list[str]:
    """The first words of a command line: the static program's, or this Python's with all modules imported."""
    if static or PROGRAMS is not None:
        return [os.path.join(PROGRAMS or STATIC, program)]
    code = _EVERYTHING.format(code=str(REPOSITORY), main=_MAINS[program])
    return [sys.executable, "-I", "-c", code]


def make_trees(place: Path, files: int = 0) -> None:
    """``lower`` and ``upper``, with every kind of entry and of change; as root.

    ``files``: how many small ones ``upper`` has besides.
    """
    for name, when in (("lower", T_LOWER), ("upper", T_UPPER)):
        (place / name).mkdir()
        t = Builder(place / name)
        t.dirs("d", "d/e", "same")
        t.file("same/kept", "kept", mtime=A)
        t.file("changed", name, mtime=A)
        t.file("big", BIG[:-1] + name[:1].encode(), mtime=A)
        t.file("mode", "m", mode=0o600 if name == "lower" else 0o4755, mtime=A)
        t.fifo("fifo", uid=0 if name == "lower" else 7)
        if name == "lower":
            t.file("gone", "g")
            t.dir("gone-directory")
            t.file("gone-directory/f")
            t.symlink("link", "old")
            t.file("becomes-directory")
        else:
            t.symlink("link", "new")
            t.dir("becomes-directory")
            t.file("becomes-directory/f", "f", uid=5, gid=6)
            t.file("d/new", "n" * 5000, mtime=B, xattrs={"user.a": b"1", "security.capability": CAP_NET_RAW})
            t.link("d/new", "d/e/name")
            t.file("acl", "a", xattrs={"system.posix_acl_access": ACL_644})
            t.chr("null", (1, 3))
            t.file("holes")
            os.truncate(t.p("holes"), 100_000)
            for number in range(files):
                if number % 100 == 0:
                    t.dir(f"many{number // 100}")
                t.file(f"many{number // 100}/f{number}", f"{number}")
        t.settle(when)


def make_changes(place: Path, static: bool = False) -> None:
    """``changes``: what ``upper`` has and ``lower`` has not."""
    trees = [str(place / name) for name in ("lower", "upper", "changes")]
    subprocess.run([*command(static=static), "-q", *trees], check=True, cwd="/")


def make_images(place: Path, static: bool = False) -> None:
    """``image``, an OCI layout: ``latest`` is ``lower``, ``work`` is ``upper`` on top of that with a compressed layer,
    ``new`` is another base; and ``upper.tar``."""
    write_image(place / "image", [_tar(place, "lower")])
    _tar(place, "upper")
    newer = place / "newer"
    newer.mkdir()
    (newer / "newer").write_text("of the new base")
    lower, upper, image = (str(place / name) for name in ("lower", "upper", "image"))
    program = [*command(static=static), "-q"]
    work = ["--append", f"oci:{image}:latest", "--to", f"oci:{image}:work", "--compression", "gzip"]
    subprocess.run([*program, lower, upper, *work], check=True, cwd="/")
    new = ["--append", f"oci:{image}:latest", "--to", f"oci:{image}:new"]
    subprocess.run([*program, "scratch", str(newer), *new], check=True, cwd="/")
    shutil.rmtree(newer)


def _tar(place: Path, name: str) -> Path:
    file = place / f"{name}.tar"
    subprocess.run(["tar", "-C", str(place / name), "-cf", str(file), "."], check=True)
    return file


def proof(place: Path, results: Path) -> str:
    """What is wrong with the result of a run that nothing has disturbed, by a judge that is not the product; empty if
    nothing is, or if only the product makes such results."""
    lower, upper = (by_path(read_tree(place / name)) for name in ("lower", "upper"))
    if (place / "changes").exists():
        changes = by_path(read_tree(place / "changes"))
        found, wanted = (
            by_path(left_over(rows, changes, "oci")) for rows in (read_tree(results / "out"), upper.values())
        )
    elif (results / "layer.tar").exists():
        unpacked = place / "unpacked"
        unpacked.mkdir()
        subprocess.run(["tar", "-C", str(unpacked), "-xpf", str(results / "layer.tar")], check=True)
        left_out = ("mtime", "xattrs")  # which GNU tar does not give back from it
        found = by_path(without(read_tree(unpacked), *left_out))
        wanted = by_path(without(difference(lower, upper, "oci"), *left_out))
        shutil.rmtree(unpacked)
    elif (results / "out").exists() and not (place / "image").exists():
        found, wanted = by_path(read_tree(results / "out")), by_path(difference(lower, upper, "oci"))
    else:
        return ""
    return (
        ""
        if found == wanted
        else f"{sorted(path for path in {*found, *wanted} if found.get(path) != wanted.get(path))[:5]}"
    )


def state(results: Path) -> list[Row]:
    """All that a run has left in ``results``; the names of OUT and of the files with their facts, less times
    that nobody has set."""
    rows = read_tree(results)
    for row in rows:
        if row["path"] in (".", "out") or not row["path"].startswith("out/"):
            row["mtime"] = []
    return rows


def reset(place: Path, existing: bool, image: bool) -> Path:
    """An empty directory ``results``, but for what the run expects there."""
    results = place / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    if existing:
        (results / "out").mkdir(mode=0o750)
        os.utime(results / "out", ns=(1, 2))
    if image:
        shutil.copytree(place / "image", results / "image")
    return results


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
