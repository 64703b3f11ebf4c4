"""What the compiled part says of two names, beside what they are; what it says nothing of is Python's to decide."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from differ import finder

from .command import PROGRAMS, REPOSITORY, program
from .conftest import needs_program, needs_root

suspects: Any = finder.compiled()
pytestmark = pytest.mark.skipif(suspects is None, reason="needs the part that is compiled: Python's headers")

NEVER, TRUNCATED, ALWAYS = range(3)
PAGE = 4096


class Sides(NamedTuple):
    """Two open directories."""

    lower: Path
    upper: Path
    fds: tuple[int, int]

    def ask(
        self,
        *names: bytes,
        opened: bool = False,
        groups: bool = True,
        read: int = NEVER,
        targets: bool = True,
    ) -> tuple[list[bytes], list[bytes], int, int]:
        answer: tuple[list[bytes], list[bytes], int, int]
        answer = suspects(*self.fds, [*names], opened, groups, read, targets)
        return answer

    def both(self, make: Callable[[Path], object], time: int = 1_000_000_001) -> None:
        for side in (self.lower, self.upper):
            make(side / "x")
            os.utime(side / "x", ns=(time, time), follow_symlinks=False)


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
    fds = (os.open(tmp_path / "lower", os.O_RDONLY), os.open(tmp_path / "upper", os.O_RDONLY))
    yield Sides(tmp_path / "lower", tmp_path / "upper", fds)
    for fd in fds:
        os.close(fd)


def data(length: int, last: bytes = b"") -> Callable[[Path], object]:
    return lambda path: path.write_bytes(b"x" * (length - len(last)) + last)


def becomes(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


def test_what_is_alike(sides: Sides) -> None:
    sides.both(Path.mkdir)
    assert sides.ask(b"x") == ([b"x"], [], 0, 0)
    os.rmdir(sides.lower / "x")
    os.rmdir(sides.upper / "x")
    sides.both(data(9))
    assert sides.ask(b"x") == ([], [], 0, 0)
    assert sides.ask(b"x", opened=True) == ([], [], 0, 9)
    # Files that count with their bytes are only compared open.
    assert sides.ask(b"x", read=ALWAYS) == ([], [b"x"], 0, 0)


@pytest.mark.parametrize("size", [0, 1, PAGE, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_bytes(size: int, sides: Sides) -> None:
    sides.both(data(size))
    assert sides.ask(b"x", opened=True) == ([], [], 0, size)
    if size:
        data(size, b"y")(sides.upper / "x")
        os.utime(sides.upper / "x", ns=(1_000_000_001,) * 2)
        assert sides.ask(b"x", opened=True) == ([], [b"x"], 0, 0)


def test_one_inode(sides: Sides) -> None:
    data(9)(sides.lower / "x")
    os.link(sides.lower / "x", sides.upper / "x")
    assert sides.ask(b"x", groups=False) == ([], [], 9, 0)
    assert sides.ask(b"x", groups=False, opened=True) == ([], [], 9, 0)
    for opened in (False, True):
        assert sides.ask(b"x", opened=opened) == ([], [b"x"], 0, 0)


@pytest.mark.parametrize("target", ["a", "y" * 4095])
def test_symbolic_links(target: str, sides: Sides) -> None:
    sides.both(lambda path: path.symlink_to(target))
    assert sides.ask(b"x") == ([], [], 0, 0)
    assert sides.ask(b"x", opened=True) == ([], [b"x"], 0, 0)
    (sides.upper / "x").unlink()
    (sides.upper / "x").symlink_to(target[:-1] + "z")
    os.utime(sides.upper / "x", ns=(1_000_000_001,) * 2, follow_symlinks=False)
    assert sides.ask(b"x") == ([], [b"x"], 0, 0)
    assert sides.ask(b"x", targets=False) == ([], [], 0, 0)
    assert sides.ask(b"x", targets=False, read=TRUNCATED) == ([], [], 0, 0)
    for side in (sides.lower, sides.upper):
        os.utime(side / "x", ns=(0, 0), follow_symlinks=False)
    assert sides.ask(b"x", targets=False, read=TRUNCATED) == ([], [b"x"], 0, 0)


def test_whole_seconds(sides: Sides) -> None:
    sides.both(data(9), time=1_000_000_000)
    assert sides.ask(b"x", read=TRUNCATED) == ([], [b"x"], 0, 0)
    assert sides.ask(b"x", read=NEVER) == ([], [], 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o600),
        lambda path: path.write_bytes(b"x" * 10),
        lambda path: os.utime(path, ns=(0, 1_000_000_002)),
        lambda path: os.utime(path, ns=(0, 2_000_000_001)),
        becomes(Path.mkdir),
        becomes(lambda path: path.symlink_to("x")),
        becomes(os.mkfifo),
        Path.unlink,
        pytest.param(lambda path: os.chown(path, 1, -1), marks=needs_root),
        pytest.param(lambda path: os.chown(path, -1, 1), marks=needs_root),
        pytest.param(lambda path: os.setxattr(path, "trusted.x", b""), marks=needs_root),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_every_fact_counts(side: int, change: Callable[[Path], object], sides: Sides) -> None:
    sides.both(data(9))
    change((sides.lower, sides.upper)[side] / "x")
    for opened in (False, True):
        assert sides.ask(b"x", opened=opened) == ([], [b"x"], 0, 0)


def test_others_are_never_alike(sides: Sides) -> None:
    def listen(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            os.chdir(path.parent)
            one.bind(path.name)

    for make in (os.mkfifo, listen):
        sides.both(make)
        for opened in (False, True):
            assert sides.ask(b"x", opened=opened) == ([], [b"x"], 0, 0)
        for side in (sides.lower, sides.upper):
            (side / "x").unlink()


def test_what_there_are_better_ways_for(sides: Sides) -> None:
    def hole(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(1 << 20)

    sides.both(hole)
    assert sides.ask(b"x", opened=True) == ([], [b"x"], 0, 0)
    sides.both(data((1 << 26) + 1))
    assert sides.ask(b"x", opened=True) == ([], [b"x"], 0, 0)


def test_the_process_stands_in_the_right_directory(sides: Sides) -> None:
    """Attributes are asked for where the process stands, in turn in one directory and the other."""
    for side in (sides.lower, sides.upper):
        for name in "abcd":
            (side / name).mkdir()
            os.utime(side / name, ns=(0, 0))
    os.setxattr(sides.lower / "b", "user.x", b"1")
    os.setxattr(sides.upper / "d", "user.x", b"1")
    assert sides.ask(b"a", b"b", b"c", b"d") == ([b"a", b"c"], [b"b", b"d"], 0, 0)
    assert sides.ask(b"d", b"c", b"b", b"a") == ([b"c", b"a"], [b"d", b"b"], 0, 0)


def test_wrong_arguments() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        suspects(-1, -1, [], False, False, 0, False)
    with pytest.raises(TypeError):
        suspects(0, 0, ("x",), False, False, 0, False)
    fd = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(TypeError):
            suspects(fd, fd, ["x"], False, False, 0, False)
    finally:
        os.close(fd)


@pytest.mark.cli
@needs_program("strace")
def test_who_has_it_uses_it(tmp_path: Path) -> None:
    # It asks for a name in a directory by its descriptor, Python for one where the process stands.
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "alike").touch()
        os.utime(tmp_path / side / "alike", (1, 1))
    command = [*program(), "--compare", "metadata", str(tmp_path / "lower"), str(tmp_path / "upper")]
    log = tmp_path / "log"
    words = ["strace", "-f", "-o", str(log), "-e", "trace=newfstatat,fstatat64", *command]
    subprocess.run(words, check=True, capture_output=True, cwd=REPOSITORY)
    asked = re.search(r'fstatat(64)?\(\d+, "alike"', log.read_text())
    is_archive = PROGRAMS is not None and Path(program()[0]).read_bytes().startswith(b"#!")
    assert (asked is None) == is_archive, "the .pyz has it not"
