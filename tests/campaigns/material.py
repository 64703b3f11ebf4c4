"""What the campaigns run on: small trees of every kind, the programs, and what a run leaves."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from tests.command import PROGRAMS, REPOSITORY
from tests.oci_layout import write_image
from tests.trees import ACL_644, CAP_NET_RAW, T_LOWER, T_UPPER, A, B, Builder, Row, read_tree

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
from differ.cli import main, main_apply
sys.exit({main}())
"""


def command(apply: bool = False, static: bool = False) -> list[str]:
    """The first words of a command line: the static program's, or this Python's with all modules imported."""
    if static or PROGRAMS is not None:
        return [os.path.join(PROGRAMS or STATIC, "differ-apply" if apply else "differ")]
    code = _EVERYTHING.format(code=str(REPOSITORY), main="main_apply" if apply else "main")
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


def make_image(place: Path) -> None:
    """``image``, an OCI layout whose one layer is ``lower``."""
    import subprocess

    words = ["tar", "-C", str(place / "lower"), "-cf", str(place / "base.tar"), "."]
    subprocess.run(words, check=True)
    write_image(place / "image", [place / "base.tar"])


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
