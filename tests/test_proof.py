"""The proof notices what is wrong with a result, each kind of fact by itself."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from differ.apply import MergedTree
from differ.model import Tally
from differ.scan import DiskTree
from differ.verify import Proof
from differ.whiteout import STYLES

from .command import differ, ended
from .conftest import needs_root
from .editor import Editor
from .room import Room
from .trees import ACL_644, A, B, Z

PAGE = 4096

Tampering = Callable[[Editor], object]


def a_pair(place: Room) -> None:
    """Something of every kind that is changed, and something of it that is not."""
    for side, when in (("lower", A), ("upper", B)):
        t = Editor(place.path / side)
        t.dirs("d", "d/e", "kept", "kept/sub")
        t.file("kept/f", "kept", mtime=A)
        t.file("kept/sub/f", "kept", mtime=A)
        for path in ("d/a", "d/e/f", "d/p", "d/q"):
            t.file(path, side, mtime=when, xattrs={"user.a": b"1"})
        t.symlink("d/l", side, mtime=when)
        t.fifo("d/fifo", mode=0o600 if side == "lower" else 0o640, mtime=when)
        t.link("d/a", "d/b")
        t.sparse("d/sparse", 16 * PAGE, at=8 * PAGE, data=side.encode(), mtime=when)
        t.meta("d/e", xattrs={"user.dir": b"1"}, mtime=when)
        t.meta("d", mtime=when)
        # The times of directories without a change are in no result.
        t.meta("kept/sub", mtime=when)
        t.meta("kept", mtime=when)
    Editor(place.path / "lower").file("d/gone")
    Editor(place.path / "lower").meta("d", mtime=A)


@pytest.fixture
def place(tmp_path: Path) -> Room:
    room = Room(tmp_path)
    a_pair(room)
    room.write("oci")
    assert failures(room) == []
    return room


def failures(place: Room, style: str = "oci") -> list[tuple[str, str]]:
    """What the proof says about the result as it is now."""
    trees = [DiskTree(os.fsencode(place.path / name)) for name in ("lower", "out", "upper")]
    merged = MergedTree(trees[0], trees[1], STYLES[style])
    try:
        with contextlib.chdir(place.path):  # it moves the process about
            found = list(Proof(merged, merged, trees[2], STYLES[style], Tally()).failures())
    finally:
        for tree in trees:
            tree.close()
    return [(os.fsdecode(path), reason) for path, reason in found]


@contextlib.contextmanager
def same_time(path: Path) -> Iterator[None]:
    """The time of a file or directory is afterwards as it was."""
    facts = path.lstat()
    yield
    os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns), follow_symlinks=False)


def write_into(t: Editor, path: str, at: int, data: bytes) -> None:
    where = Path(os.fsdecode(t.p(path)))
    with same_time(where), open(where, "r+b") as file:
        file.seek(at)
        file.write(data)


def joined(t: Editor) -> None:
    t.join("d/p", "d/q")


TAMPERINGS: dict[str, tuple[Tampering, str, str]] = {
    "wrong attribute": (
        lambda t: t.meta("d/a", xattrs={"user.a": b"2"}),
        "d/a",
        "extended attributes differ",
    ),
    "empty attribute": (lambda t: t.meta("d/p", xattrs={"user.a": b""}), "d/p", "extended attributes differ"),
    "added attribute": (
        lambda t: t.meta("d/p", xattrs={"user.b": b"1"}),
        "d/p",
        "extended attributes differ",
    ),
    "missing attribute": (lambda t: t.strip("d/q"), "d/q", "extended attributes differ"),
    "missing attribute of a directory": (lambda t: t.strip("d/e"), "d/e", "extended attributes differ"),
    "default acl": (
        lambda t: t.meta("d/e", xattrs={"system.posix_acl_default": ACL_644}),
        "d/e",
        "extended attributes differ",
    ),
    "time of a file": (lambda t: t.meta("d/p", mtime=(B[0], B[1] + 1)), "d/p", "mtime is "),
    "time of a directory": (lambda t: t.meta("d/e", mtime=(B[0], B[1] + 1)), "d/e", "mtime is "),
    "time of a directory at the top": (lambda t: t.meta("d", mtime=A), "d", "mtime is "),
    "whole seconds": (lambda t: t.meta("d/e", mtime=(B[0], 0)), "d/e", "mtime is "),
    "time of a symbolic link": (lambda t: t.meta("d/l", mtime=Z), "d/l", "mtime is "),
    "links that are none": (lambda t: t.again("d/b"), "d/b", "its hard links are not "),
    "links that should be none": (joined, "d/q", "its hard links are not "),
    "mode": (lambda t: t.meta("d/p", mode=0o600), "d/p", "mode is 0600 and should be 0644"),
    "mode of a directory": (lambda t: t.meta("d/e", mode=0o1755), "d/e", "mode is 1755 and should be 0755"),
    "mode of a fifo": (lambda t: t.meta("d/fifo", mode=0o600), "d/fifo", "mode is 0600 and should be 0640"),
    "last byte": (lambda t: t.flip("d/q"), "d/q", "content differs"),
    "data in a hole": (lambda t: write_into(t, "d/sparse", 3 * PAGE, b"1"), "d/sparse", "content differs"),
    "data behind the data": (
        lambda t: write_into(t, "d/sparse", 16 * PAGE - 1, b"1"),
        "d/sparse",
        "content differs",
    ),
    "a hole in the data": (lambda t: write_into(t, "d/sparse", 8 * PAGE, bytes(5)), "d/sparse", "content "),
}


@needs_root
@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_is_wrong_is_noticed(place: Room, name: str) -> None:
    tamper, path, reason = TAMPERINGS[name]
    out = place.path / "out"
    with (
        same_time(out / os.path.dirname(path))
        if name != "time of a directory at the top"
        else (contextlib.nullcontext())
    ):
        tamper(Editor(out))
    found = failures(place)
    # A name that is tampered with through its link is wrong under both.
    both = {"d/a", "d/b"} if path == "d/a" else {path}
    assert {wrong for wrong, _ in found} == both, found
    assert all(why.startswith(reason) for _, why in found), found


@needs_root
@pytest.mark.parametrize("name", ["d/a", "d/e/f", "d/l", "d/.wh.gone"])
def test_what_is_missing_is_noticed(place: Room, name: str) -> None:
    path = place.path / "out" / name
    with same_time(path.parent):
        path.unlink()
    found = [path for path, _ in failures(place)]
    # LOWER's shows through, which for a link is no longer one.
    assert {"d/a": "d/a", "d/.wh.gone": "d/gone"}.get(name, name) in found


@needs_root
def test_what_is_too_much_is_noticed(place: Room) -> None:
    Editor(place.path / "out").file("kept", "not a directory any more", mtime=A)
    assert failures(place)[0] == ("kept", "is a file and should be a dir")
    os.unlink(place.path / "out/kept")
    Editor(place.path / "out").file(".wh.kept")
    assert failures(place) == [("kept", "is missing")]
    os.unlink(place.path / "out/.wh.kept")
    Editor(place.path / "out").file("new")
    assert failures(place) == [("new", "should not be there")]


@needs_root
def test_times_of_directories_count_where_they_are_written(place: Room) -> None:
    Editor(place.path / "upper").meta("kept", mtime=(1, 1))
    assert failures(place) == []
    Editor(place.path / "out").dir("kept", mtime=(1, 1))
    assert failures(place) == []
    Editor(place.path / "out").meta("kept", mtime=(1, 2))
    assert failures(place) == [
        ("kept", "mtime is 1000000002 ns and should be 1000000001 ns"),
    ]


@needs_root
def test_a_hole_equals_zeros(place: Room) -> None:
    # As a copy that knows no holes has it, and the other way round.
    for side in ("out", "upper"):
        path = place.path / side / "d/sparse"
        blocks = path.stat().st_blocks
        write_into(Editor(place.path / side), "d/sparse", 2 * PAGE, bytes(3 * PAGE))
        assert path.stat().st_blocks > blocks
        assert failures(place) == []


# ---------------------------------------------------------------- without reading what is not there

TERABYTE = 1 << 40


@pytest.mark.cli
@pytest.mark.parametrize("size", [TERABYTE, TERABYTE + 1234])
@pytest.mark.parametrize("data", [b"1", b""])
def test_a_terabyte_of_nothing_is_proved(tmp_path: Path, size: int, data: bytes) -> None:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    with open(tmp_path / "upper/x", "wb") as file:
        file.truncate(size)
        if data:
            file.seek(size - len(data))
            file.write(data)
    status, _, err = ended(differ("--verify", tmp_path / "lower", tmp_path / "upper", tmp_path / "out"))
    assert status == 0, err
    assert err.endswith("; proved\n")
    facts = (tmp_path / "out/x").stat()
    assert facts.st_size == size
    assert facts.st_blocks <= (tmp_path / "upper/x").stat().st_blocks
    with open(tmp_path / "out/x", "rb") as file:
        file.seek(size - 1)
        assert file.read() == (data or b"\0")
    shutil.rmtree(tmp_path / "upper")
