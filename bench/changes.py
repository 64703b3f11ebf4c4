"""What is done to UPPER: 100 changes of every kind, seeded, and which of them they are."""

from __future__ import annotations

import os
import random
import shutil
import stat
from pathlib import Path

from .timing import Change

WHEN = 1_700_000_000_123_456_789  # ns


def files_below(root: Path) -> list[str]:
    """The regular files with content and one name, in order."""
    names = []
    for above, directories, files in os.walk(root):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(above, name)
            facts = os.lstat(path)
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1 and facts.st_size:
                names.append(os.path.relpath(path, root))
    return names


def change(root: Path, seed: int) -> list[Change]:
    """Make 100 changes in a tree; what they are."""
    rng = random.Random(seed)
    names = files_below(root)
    directory = leaf(root, rng, names)
    names = [name for name in names if os.path.dirname(name) != directory]
    # Those that a program may take for unpacked from a tar, which has whole seconds only.
    whole = [name for name in names if (root / name).stat().st_mtime_ns % 10**9 == 0] or names
    silent = rng.sample(whole, 8)
    picked = iter(rng.sample(sorted({*names} - {*silent}), 86))
    changes = [Change("D", directory, "removed", directory=True)]
    shutil.rmtree(root / directory)
    for _, name in zip(range(30), picked):
        with open(root / name, "ab") as file:
            file.write(b"more")
        os.utime(root / name, ns=(WHEN, WHEN))
        changes.append(Change("M", name, "content"))
    for name in silent:
        changes.append(silently(root, name, rng.randrange((root / name).stat().st_size)))
    for _, name in zip(range(8), picked):
        os.utime(root / name, ns=(WHEN, WHEN))
        changes.append(Change("M", name, "time"))
    for _, name in zip(range(8), picked):
        os.chmod(root / name, (root / name).stat().st_mode ^ stat.S_IXOTH)
        changes.append(Change("M", name, "mode"))
    for _, name in zip(range(8), picked):
        os.chown(root / name, 1234, 1234)
        changes.append(Change("M", name, "owner"))
    for _, name in zip(range(18), picked):
        (root / name).unlink()
        changes.append(Change("D", name, "removed"))
    for _, name in zip(range(14), picked):
        path = f"{name}.added"
        (root / path).write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
        changes.append(Change("A", path, "added"))
    return [*changes, *add_directory(root)]


def add_directory(root: Path) -> list[Change]:
    """Five new names."""
    (root / "added").mkdir()
    for number in range(3):
        (root / "added" / f"f{number}").write_bytes(b"added")
    (root / "added/link").symlink_to("f0")
    names = ["added/f0", "added/f1", "added/f2", "added/link"]
    return [Change("A", "added", "added", directory=True), *(Change("A", name, "added") for name in names)]


def silently(root: Path, name: str, at: int) -> Change:
    """Change a byte, and neither size nor times."""
    facts = (root / name).stat()
    with open(root / name, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(root / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return Change("M", name, "silent")


def leaf(root: Path, rng: random.Random, names: list[str]) -> str:
    """A directory that holds regular files with one name only."""
    above = [os.path.dirname(name) for name in names]
    while True:
        directory = rng.choice(above)
        held = os.listdir(root / directory)
        if len(held) == above.count(directory) and len(held) < 200:
            return directory
