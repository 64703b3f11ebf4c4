"""Other file systems than the one that the tests are on."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

IMAGES = {"btrfs": 128, "ext4": 8, "ntfs": 64, "xfs": 320}
"""MiB of the smallest file system of a kind, or little more; the image is a sparse file."""


@contextlib.contextmanager
def disk(place: Path, kind: str, *options: str, size: int = 0) -> Iterator[Path]:
    """A new file system, mounted below ``place``.

    ``options``: for mkfs, or for mount if the file system needs no image.
    ``size``: MiB of the image, if not the least.
    """
    where = place / f"{kind}-disk"
    where.mkdir()
    if kind in IMAGES:
        image = place / f"{kind}-image"
        with open(image, "xb") as file:
            file.truncate((size or IMAGES[kind]) << 20)
        # mkfs.btrfs tells news, and mkfs.ext4 warns of the year 2038.
        null = subprocess.DEVNULL
        subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True, stdout=null, stderr=null)
        # By FUSE, and without attributes, of which it keeps some and lists none.
        by_fuse = ["ntfs-3g", "-o", "streams_interface=none"]
        mount = by_fuse if kind == "ntfs" else ["mount", "-o", "loop"]
        subprocess.run([*mount, image, where], check=True)
    else:
        subprocess.run(["mount", "-t", kind, *options, "differ-test", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


@contextlib.contextmanager
def bind(source: Path, where: Path) -> Iterator[None]:
    """Show the directory ``source`` at ``where`` as well."""
    subprocess.run(["mount", "--bind", source, where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", where], check=True)
