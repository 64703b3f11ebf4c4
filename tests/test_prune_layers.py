"""A layer that can be reached: each of its directories is entered once, and never by way of a symbolic link."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from differ import linux
from differ.cli import main

from .conftest import needs_program, needs_root
from .overlays import Disks, Scene, scene
from .room import _run
from .trees import T_LOWER

pytestmark = [needs_root, needs_program("mkfs.ext4")]

CHANGES = ["M a/b/c/f", "D a/b/gone", "A a/new/", "A a/new/f", "M d/"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Scene]:
    """LOWER is one mounted layer, UPPER the same with another on top that may be written to."""
    with contextlib.ExitStack() as tasks, scene(Disks(tmp_path, tasks), "ext4") as s:
        base, below, top = s.layer("base"), s.layer("below"), s.layer("top")
        base.dirs("a", "a/b", "a/b/c", "d", "d/e", "x", "x/y")
        for path in ("a/b/c/f", "a/b/c/g", "a/b/gone", "d/e/f", "f"):
            base.file(path, "first")
        base.settle(T_LOWER)
        lower, upper = s.overlay("lower", [below, base]), s.overlay("upper", [below, base], top)
        s.show(lower, upper)
        (s.upper / "a/b/c/f").write_text("second")
        (s.upper / "a/b/gone").unlink()
        (s.upper / "a/new").mkdir()
        (s.upper / "a/new/f").write_text("new")
        (s.upper / "d").chmod(0o700)
        yield s


def listed(s: Scene) -> tuple[list[str], str]:
    status, out, err = _run(main, ["--compare", "metadata", str(s.lower), str(s.upper)])
    assert status == 0, err
    return [line.split("  ")[0] for line in out.splitlines()], err


def test_a_directory_is_entered_once(stack: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    places: Counter[bytes] = Counter()
    directories: Counter[bytes] = Counter()

    def counted(met: Counter[bytes], real: Callable[[bytes, int], int]) -> Callable[[bytes, int], int]:
        def call(name: bytes, dir_fd: int) -> int:
            met[name] += 1
            return real(name, dir_fd)

        return call

    monkeypatch.setattr(linux, "open_place", counted(places, linux.open_place))
    monkeypatch.setattr(linux, "open_directory", counted(directories, linux.open_directory))
    changes, err = listed(stack)
    assert changes == CHANGES
    assert "overlay layers" in err
    # In both trees; what only UPPER has is not found in LOWER, and is listed.
    assert places == {b".": 2, b"a": 2, b"b": 2, b"c": 2, b"d": 2, b"new": 1}
    assert directories == {b"a": 1, b"new": 1}


@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c"])
def test_a_directory_that_becomes_a_symlink_leads_nowhere(
    stack: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outside = tmp_path / "outside"
    for path in ("f", "c/f", "b/c/f"):
        (outside / path).parent.mkdir(parents=True, exist_ok=True)
        (outside / path).write_text("s" * 77_777)
    victim, open_place = stack.upper / name, linux.open_place

    def swapping(path: bytes, dir_fd: int) -> int:
        if path == os.fsencode(victim.name) and not victim.is_symlink():
            shutil.rmtree(victim)
            victim.symlink_to(outside)
        return open_place(path, dir_fd)

    monkeypatch.setattr(linux, "open_place", swapping)
    status, out, err = _run(main, ["--compare=metadata", "--report=-", str(stack.lower), str(stack.upper)])
    assert victim.is_symlink()
    assert status == 0, err
    assert f'{{"v":1,"kind":"modified","path":"{name}","type":"symlink"' in out
    assert "77777" not in out
