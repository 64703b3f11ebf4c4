"""What is in a directory, for a test that may not read everything in there."""

from __future__ import annotations

import os
from pathlib import Path


def names(root: Path) -> list[str]:
    """The paths below ``root``, in byte order of their names, the order of a changeset."""
    found = [
        os.path.relpath(os.path.join(above, name), os.fsencode(root))
        for above, dirs, files in os.walk(os.fsencode(root))
        for name in [*dirs, *files]
    ]
    found.sort(key=lambda path: path.split(b"/"))
    return list(map(os.fsdecode, found))
