"""What an ordinary user may not read or write ends the run, and names the path."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest

from .conftest import needs_root
from .trees import ACL_755, Builder, read_tree, without
from .user import GROUP, USER, Place, mine, my_tree, user_place

pytestmark = pytest.mark.cli

DENIED = "Permission denied"


@pytest.fixture
def place() -> Iterator[Place]:
    yield from user_place()


def test_a_file_that_may_not_be_read(place: Place) -> None:
    mine(Builder(place.upper), "a")
    mine(Builder(place.upper), "b", 0)
    place.fails(place.upper / "b", f"cannot be read: {DENIED}")


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_file_that_may_not_be_compared(place: Place, side: str) -> None:
    for tree in (place.lower, place.upper):
        t = Builder(tree)
        t.dir("d")
        mine(t, "d/f", 0)
        t.meta("d", uid=USER, gid=GROUP)
    # All facts are equal, so the bytes are wanted.
    place.fails(place.lower / "d/f", f"cannot be read: {DENIED}")
    os.chmod(place.lower / "d/f", 0o400)
    os.chmod(place.upper / "d/f", 0o400)
    os.chmod(place.path / side / "d/f", 0)
    # The modes differ, so nothing is compared; but UPPER's file has to be written.
    status, _, err = place.run(place.lower, place.upper, place.out)
    assert status == (2 if side == "upper" else 0), err


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("mode", [0, 0o100, 0o400])
def test_a_directory_that_may_not_be_read(place: Place, side: str, mode: int) -> None:
    for tree in (place.lower, place.upper):
        t = Builder(tree)
        t.dir("d", uid=USER, gid=GROUP)
        mine(t, "d/f")
    directory = place.path / side / "d"
    directory.chmod(mode)
    # With mode 0400 the names can be had and nothing else.
    place.fails(directory / "f" if mode == 0o400 else directory, f"cannot be read: {DENIED}")


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_root_that_may_not_be_read(place: Place, side: str) -> None:
    (place.path / side).chmod(0)
    place.fails(place.path / side, f"cannot be opened: {DENIED}")


def test_what_is_ignored_need_not_be_readable(place: Place) -> None:
    t = Builder(place.upper)
    t.dir("secret")
    mine(t, "secret/f", 0)
    t.meta("secret", uid=USER, gid=GROUP, mode=0)
    mine(t, "x")
    assert place.diff("--ignore", "secret") == []
    assert os.listdir(place.out) == ["x"]


@pytest.mark.parametrize("existing", [False, True])
def test_an_out_that_may_not_be_written(place: Place, existing: bool) -> None:
    mine(Builder(place.upper), "x")
    closed = place.path / "closed"
    closed.mkdir()
    place.own(closed)
    closed.chmod(0o555)
    place.out = closed if existing else closed / "out"
    place.fails(place.out, f"cannot be written: {DENIED}")
    assert os.listdir(closed) == []


@needs_root
def test_an_out_of_somebody_else(place: Place) -> None:
    # As /tmp is: everybody may write, and only its owner may set its times.
    mine(Builder(place.upper), "x")
    place.out.mkdir()
    place.out.chmod(0o1777)
    assert place.diff("--strict", "--verify") == []
    assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    facts = place.out.stat()
    assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o1777)


@needs_root
def test_an_out_of_somebody_else_with_a_default_acl(place: Place) -> None:
    mine(Builder(place.upper), "x")
    place.out.mkdir()
    place.out.chmod(0o777)
    os.setxattr(place.out, "system.posix_acl_default", ACL_755)
    before = without(read_tree(place.out), "mtime")
    status, _, err = place.run(place.lower, place.upper, place.out)
    # It cannot be kept from what is written in it: either the run says so, or the result is right.
    after = without(read_tree(place.out), "mtime")
    assert after[0] == before[0]
    if status == 0:
        assert read_tree(place.out)[1:] == read_tree(place.upper)[1:]
    else:
        assert (status, err.count("\n"), after[1:]) == (2, 1, []), err


@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_run_cleans_up_what_is_closed(place: Place, existing: bool) -> None:
    my_tree(Builder(place.upper))
    (place.upper / "socket").unlink()
    t = Builder(place.upper)
    t.dirs("a", "a/b")
    mine(t, "a/b/c")
    t.meta("a/b", uid=USER, gid=GROUP, mode=0o500)
    t.meta("a", uid=USER, gid=GROUP, mode=0o500)
    mine(t, "z", 0)
    if existing:
        place.out.mkdir()
        place.own(place.out)
    place.fails(place.upper / "z", f"cannot be read: {DENIED}")
    assert not existing or os.listdir(place.out) == []


# ---------------------------------------------------------------- where the user stands


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
def test_a_current_directory_that_cannot_be_entered_again(place: Place, mode: int) -> None:
    # As a service or `su` leaves one behind.
    here = place.path / "here"
    here.mkdir()
    here.chmod(mode)
    mine(Builder(place.upper), "x")
    status, _, err = place.run("--verify", place.lower, place.upper, place.out, cwd=here)
    assert status == 0, err
    assert os.listdir(place.out) == ["x"]
