"""What is compared: seeded trees, built when a workload asks for them.

    PLACE/debian        a root file system, from debootstrap
    PLACE/store         everything that the mounts of W5 and W6 are made of, so that it can be hidden
        base            copies of it, in groups of five; LOWER of W1 and W2
        w5, w6          layers on top of base
    PLACE/changed       a copy of base with 100 changes; UPPER of W1 and W2
    PLACE/tiny, big     W3 and W4, each with lower and upper
    PLACE/disk.image    an ext4 file system of its own, W7 and W8
    PLACE/mounts        where overlays are mounted

A part that is complete has a file NAME.json beside it with what was changed, and is used again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import make_debian

from .changes import WHEN, change, files_below, silently
from .timing import Change, Trees, remove

SEED = 5
GROUP = 5
"""Copies of the root file system in one directory of base; W7 and W8 use the first, or less."""


class Size:
    """How much there is of everything."""

    def __init__(self, quick: bool) -> None:
        self.copies = 2 if quick else 15
        self.few = "g0/r00" if quick else "g0"
        self.tiny = 20_000 if quick else 200_000
        self.big = (128 if quick else 1024) << 20
        self.bigs = 3
        self.layers = 9
        self.layer_files = 300
        self.disk = (1 if quick else 6) << 30


class Material:
    """The trees below a directory."""

    def __init__(self, place: Path, size: Size) -> None:
        self.place = place
        self.size = size
        self.store = place / "store"
        self.out = place / "out"
        self.mounts = place / "mounts"
        self.store.mkdir(exist_ok=True)
        self.mounts.mkdir(exist_ok=True)

    def part(self, where: Path, make: Callable[[Path], list[Change]]) -> tuple[Change, ...]:
        """Build something unless it is there; what was changed in it."""
        done = where.with_name(where.name + ".json")
        if not done.exists():
            remove(where)
            changes = make(where)
            done.write_text(json.dumps(changes))
            os.sync()
        return tuple(Change(*one) for one in json.loads(done.read_text()))

    def drop(self, where: Path) -> None:
        """Remove a part, for the space that it takes."""
        remove(where.with_name(where.name + ".json"))
        remove(where)

    # ------------------------------------------------------------ root file systems

    def debian(self) -> Path:
        """One root file system."""

        def make(where: Path) -> list[Change]:
            make_debian(where)
            # What apt has fetched is no part of an image.
            shutil.rmtree(where / "var/cache/apt/archives")
            return []

        self.part(self.place / "debian", make)
        return self.place / "debian"

    def base(self) -> Path:
        """Many of them."""

        def make(where: Path) -> list[Change]:
            where.mkdir()
            for number in range(self.size.copies):
                group = where / f"g{number // GROUP}"
                group.mkdir(exist_ok=True)
                copy(self.debian(), group / f"r{number:02}")
            return []

        self.part(self.store / "base", make)
        return self.store / "base"

    def group(self) -> Path:
        """Some of them."""
        return self.base() / self.size.few

    def changed(self) -> Trees:
        """A plain copy of them with changes."""

        def make(where: Path) -> list[Change]:
            copy(self.base(), where)
            return change(where, SEED)

        changed = self.place / "changed"
        return Trees(self.base(), changed, self.part(changed, make), self.out)

    def bundle(self) -> tuple[str, Path, Trees]:
        """One of them as an image, the image unpacked, and that with changes beside a LOWER without."""

        def make(where: Path) -> list[Change]:
            where.mkdir()
            for words in (
                ["init", "--layout", str(layout)],
                ["new", "--image", image],
                ["insert", "--image", image, str(self.debian()), "/"],
                ["unpack", "--image", image, str(bundle)],
            ):
                subprocess.run(["umoci", *words], check=True)
            copy(bundle / "rootfs", where / "lower")
            return change(bundle / "rootfs", SEED + 4)

        where = self.place / "umoci"
        layout, bundle = where / "image", where / "bundle"
        image = f"{layout}:base"
        changes = self.part(where, make)
        return image, bundle, Trees(where / "lower", bundle / "rootfs", changes, self.out)

    # ------------------------------------------------------------ files

    def tiny(self) -> Trees:
        """Many small files."""

        def make(where: Path) -> list[Change]:
            make_tiny(where / "lower", self.size.tiny)
            copy(where / "lower", where / "upper")
            return change(where / "upper", SEED + 1)

        where = self.place / "tiny"
        return Trees(where / "lower", where / "upper", self.part(where, make), self.out)

    def big(self) -> Trees:
        """A few large ones, of which the last byte of one differs."""

        def make(where: Path) -> list[Change]:
            make_big(where / "lower", self.size.bigs, self.size.big)
            copy(where / "lower", where / "upper")
            return [silently(where / "upper", "f1", self.size.big - 1)]

        where = self.place / "big"
        return Trees(where / "lower", where / "upper", self.part(where, make), self.out)

    # ------------------------------------------------------------ overlays

    def layers(self, name: str, count: int, files: int) -> list[Path]:
        """Layers on top of base, the topmost first, with files of their own and others changed."""

        def make(where: Path) -> list[Change]:
            where.mkdir()
            names = files_below(self.base())
            for number in range(count):
                make_layer(where / f"l{number}", self.base(), names, files, SEED + 10 + number)
            return []

        where = self.store / name
        self.part(where, make)
        return [*(where / f"l{number}" for number in reversed(range(count))), self.base()]

    @contextmanager
    def overlay(self, name: str, layers: list[Path], form: str) -> Iterator[Trees]:
        """LOWER and UPPER as mounts.

        ``form``: ``upperdir``, where changes were made and may be; ``view``, where the layer of changes is
        the topmost of those below; ``bind``, as ``upperdir`` but LOWER is the only layer itself.
        """
        lower, upper = self.mounts / "lower", self.mounts / "upper"
        for where in (lower, upper):
            where.mkdir(exist_ok=True)
        top = self.store / f"{name}-top"
        below = ":".join(map(str, layers))
        writable = f"lowerdir={below},upperdir={top}/upper,workdir={top}/work"

        def make(where: Path) -> list[Change]:
            for part in (where, where / "upper", where / "work"):
                part.mkdir()
            with mounted(upper, "-t", "overlay", "overlay", "-o", writable):
                return change(upper, SEED + 2)

        changes = self.part(top, make)
        view = f"lowerdir={top}/upper:{below}"
        seen = ["-t", "overlay", "overlay", "-o"]
        source = ["--bind", str(layers[0])] if form == "bind" else [*seen, f"lowerdir={below}"]
        with mounted(lower, *source), mounted(upper, *seen, view if form == "view" else writable):
            yield Trees(lower, upper, changes, self.out)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Nobody can reach the layers."""
        with mounted(self.store, "-t", "tmpfs", "-o", "size=4k", "hidden"):
            yield

    # ------------------------------------------------------------ a disk

    @contextmanager
    def disk(self) -> Iterator[tuple[Trees, list[str]]]:
        """Trees on a disk of their own that is not mounted yet, and how it is."""
        image, where = self.place / "disk.image", self.mounts / "disk"
        where.mkdir(exist_ok=True)

        def make(image: Path) -> list[Change]:
            with open(image, "xb") as file:
                file.truncate(self.size.disk)
            quiet = subprocess.DEVNULL
            subprocess.run(["mkfs.ext4", "-q", image], check=True, stdout=quiet, stderr=quiet)
            with looped(image) as device, mounted(where, device):
                copy(self.group(), where / "lower")
                copy(self.group(), where / "upper")
                return change(where / "upper", SEED + 3)

        changes = self.part(image, make)
        with looped(image) as device:
            yield Trees(where / "lower", where / "upper", changes, self.out), ["-o", "noatime", device]


@contextmanager
def mounted(where: Path, *words: str) -> Iterator[None]:
    """``mount WORDS WHERE``."""
    subprocess.run(["mount", *words, where], check=True)
    try:
        yield
    finally:
        # What was killed a moment ago may still hold it.
        tries = 50
        while subprocess.run(["umount", where], check=tries == 0).returncode:
            tries -= 1
            time.sleep(0.1)


@contextmanager
def looped(image: Path) -> Iterator[str]:
    """A loop device that keeps nothing of its image in the page cache."""
    asked = ["losetup", "--find", "--show", "--direct-io=on", str(image)]
    device = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def copy(source: Path, where: Path) -> None:
    """A plain copy: every entry a new one."""
    subprocess.run(["cp", "-a", "--reflink=never", source, where], check=True)


# ---------------------------------------------------------------- files


def make_tiny(where: Path, count: int) -> None:
    """Files of up to 1.9 kB, 100 in a directory."""
    rng = random.Random(SEED)
    block = rng.randbytes(1 << 16)
    where.mkdir(parents=True)
    for number in range(count):
        directory = where / f"d{number // 10000}" / f"e{number // 100:05}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        start, size = rng.randrange(len(block) - 2000), rng.randrange(1, 1900)
        (directory / f"f{number:06}").write_bytes(block[start : start + size])


def make_big(where: Path, count: int, size: int) -> None:
    """Files without holes and without two equal blocks."""
    block = random.Random(SEED).randbytes((1 << 20) - 8)
    where.mkdir(parents=True)
    for number in range(count):
        with open(where / f"f{number}", "wb") as file:
            for at in range(size >> 20):
                file.write((number << 32 | at).to_bytes(8, "little") + block)


def make_layer(where: Path, base: Path, names: list[str], count: int, seed: int) -> None:
    """Files of ``base``, two thirds of them new ones beside them."""
    rng = random.Random(seed)
    where.mkdir()
    for number, name in enumerate(rng.sample(names, count)):
        parents_like(base, where, os.path.dirname(name))
        file = where / (name if number % 3 == 0 else f"{name}.{seed}")
        file.write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
        shutil.copymode(base / name, file)
        os.utime(file, ns=(WHEN, WHEN))


def parents_like(base: Path, where: Path, path: str) -> None:
    """Make directories as they are in ``base``."""
    if (where / path).exists():
        return
    parents_like(base, where, os.path.dirname(path))
    (where / path).mkdir()
    facts = (base / path).stat()
    os.chown(where / path, facts.st_uid, facts.st_gid)
    shutil.copystat(base / path, where / path)
