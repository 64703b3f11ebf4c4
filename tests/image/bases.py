"""Trees that images are imported from: a small one with a shell and Python, and a Debian."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from ..command import REPOSITORY
from ..debian import make_debian
from ..trees import Builder, Row, read_tree
from .inside import perform, sample, settle_base

PYTHON = "/usr/bin/python3"
HARNESS = "harness"
LISTING = """\
import os, re, sys
from tests.image.inside import main
import encodings.ascii, encodings.latin_1
# Those that need libraries of their own; the modules that import them do without.
alone = re.compile(r"^(?!_hashlib|_bz2|_lzma)")
for name, module in sorted(sys.modules.items()):
    path = getattr(module, "__file__", None)
    if path is not None and alone.match(name) and name != "__main__":
        print(os.path.abspath(path))
print(os.path.realpath(sys.executable))
"""
INSIDE = f"""\
#!/bin/sh
export PYTHONPATH=/{HARNESS}
exec {PYTHON} -S -B -X utf8 -c 'from tests.image.inside import main; main()' "$@"
"""
APPLETS = ("cat", "cp", "ls", "mkdir", "sh")


def make_base(root: Path) -> None:
    """The tree of the base image: busybox, this machine's Python with what inside.py needs, and files
    for the steps to change."""
    t = Builder(root)
    t.dirs("bin", "dev", "proc", "run", "sys", "usr", "usr/bin")
    t.dir("tmp", mode=0o1777)
    shutil.copyfile("/bin/busybox", root / "bin/busybox")
    t.meta("bin/busybox", mode=0o755)
    for name in APPLETS:
        t.link("bin/busybox", f"bin/{name}")
    t.file("bin/inside", INSIDE, mode=0o755)
    sample(t)
    *modules, python = _said(PYTHON, "-S", "-B", "-c", LISTING)
    for module in modules:
        inside = module.startswith(f"{REPOSITORY}/")
        place = Path(HARNESS, Path(module).relative_to(REPOSITORY)) if inside else Path(module[1:])
        _copy(Path(module), root / place)
    (root / Path(modules[0][1:]).parent / "lib-dynload").mkdir(exist_ok=True)
    _copy(Path(python), root / PYTHON[1:])
    for line in _said("ldd", python):
        library = [word for word in line.split() if word.startswith("/")]
        if library:
            _copy(Path(library[0]), root / library[0][1:])
    _said(PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(root))
    settle_base(str(root))


def make_builder(root: Path) -> None:
    """A Debian to build the image in."""
    make_debian(root)
    # A mirror may be a snapshot that is older than its own date of expiry.
    (root / "etc/apt/apt.conf.d/99valid").write_text('Acquire::Check-Valid-Until "false";\n')
    for unused in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / unused)
        (root / unused).mkdir()


def changed_by(base: Path, step: str, place: Path) -> list[Row]:
    """The entries, but for directories, that a step changes in a base, from the same step made here."""
    root = place / step
    _said("cp", "-a", str(base), str(root))
    perform(str(root), step)
    old = {row["path"]: row for row in read_tree(base)}
    return [row for row in read_tree(root) if row != old.get(row["path"]) and row["type"] != "dir"]


def pack(root: Path, tar: Path) -> None:
    """A tar of a tree, with what an image can hold of it."""
    facts = ("--numeric-owner", "--xattrs", "--xattrs-include=security.capability")
    _said("tar", "--create", "--format=posix", *facts, "-C", str(root), "-f", str(tar), ".")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _said(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, timeout=400, check=False)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout.splitlines()
