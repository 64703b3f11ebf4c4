"""The engines are there when they should be, and gone without a trace when they should not."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from ..conftest import needs_root
from .engines import Docker, EngineError, started

pytestmark = [pytest.mark.image, needs_root]


def test_a_daemon_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\necho the reason >&2\nexit 1\n")
    program.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(EngineError, match="the reason"):
        Docker("broken", place, program, {})


def test_nothing_is_left(base_tar: Path) -> None:
    places: list[Path] = []

    def work() -> None:
        with contextlib.contextmanager(started)("docker20") as engine:
            places.append(engine.place)
            engine.import_tree("base", base_tar)
            assert running(engine.place)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    (place,) = places
    assert str(place) not in Path("/proc/self/mountinfo").read_text()
    assert running(place) == []
    assert not place.exists()


def running(place: Path) -> list[str]:
    """The processes with a path below this one in their arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(place) in (entry / "cmdline").read_bytes():
                found.append(entry.name)
    return found
