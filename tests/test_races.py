"""Trees that change while they are read: each change happens at the system call it is meant for."""
# mypy: disable-error-code="func-returns-value"
# What happens is an expression of calls made for what they do.

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from differ import finder, linux

from .conftest import RunDiffer, needs_root
from .trees import read_tree

DATA = b"1" * 300_000  # more than one read, so that a change can come between two
PLAIN = ("--ignore", "no/such/name")
"""With a pattern, which takes nothing, every name is looked at by the plan and by nobody before."""
CHANGED = "changed while it was read; run again when nothing writes to the tree"
VANISHED = "vanished or was replaced while the tree was read; run again when nothing writes to it"


class Race:
    """Two trees with one file that will change, and a moment at which it does."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer) -> None:
        self.place, self.run_differ, self._monkeypatch = place, run_differ, monkeypatch
        self.lower, self.upper, self.out = place / "lower", place / "upper", place / "out"
        for side in (self.lower, self.upper):
            (side / "d").mkdir(parents=True)
        self.victim = self.upper / "d/victim"
        self.put(self.victim)
        self.outside = place / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.happened = False

    @staticmethod
    def put(path: Path, data: bytes = DATA) -> None:
        path.write_bytes(data)
        os.utime(path, ns=(1, 1))

    def before(
        self,
        call: str,
        change: Callable[[], object],
        when: Callable[..., bool],
        skip: int = 0,
        module: Any = os,
    ) -> None:
        """Let ``change`` happen just before the first call of ``os.call`` for which ``when`` is true."""
        real = getattr(module, call)
        left = [skip]

        def wrapper(*args: Any, **options: Any) -> Any:
            if not self.happened and when(*args, **options):
                if left[0] == 0:
                    self.happened = True
                    change()
                left[0] -= 1
            return real(*args, **options)

        self._monkeypatch.setattr(module, call, wrapper)
        # Between the calls of what is compiled nothing can be made to happen.
        self._monkeypatch.setattr(finder, "compiled", lambda: None)

    def fails(self, path: Path, reason: str, *options: str) -> None:
        """The run ends with this one line, and nothing is left of it."""
        status, text, err = self.run_differ(*options, self.lower, self.upper, self.out)
        self._monkeypatch.undo()
        assert self.happened, "the moment never came"
        assert (status, text, err) == (2, "", f"differ: {path}: {reason}\n")
        assert sorted(os.listdir(self.place)) == ["lower", "outside", "upper"]

    def settles(self) -> None:
        """The run fails, or has the difference to what the tree has become."""
        status, text, err = self.run_differ(self.lower, self.upper, self.out)
        self._monkeypatch.undo()
        assert self.happened, "the moment never came"
        if status:
            assert (status, text, err.count("\n")) == (2, "", 1), err
            assert err.endswith((f": {CHANGED}\n", f": {VANISHED}\n"))
            assert not self.out.exists()
            return
        again = self.place / "again"
        assert self.run_differ(self.lower, self.upper, again)[0] == 0
        assert read_tree(self.out)[1:] == read_tree(again)[1:]

    def succeeds(self, *options: str) -> None:
        status, _, err = self.run_differ(*options, self.lower, self.upper, self.out)
        self._monkeypatch.undo()
        assert self.happened, "the moment never came"
        assert status == 0, err


@pytest.fixture
def race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_differ: RunDiffer) -> Race:
    return Race(tmp_path, monkeypatch, run_differ)


def always(*_: object, **__: object) -> bool:
    return True


def named(name: bytes) -> Callable[..., bool]:
    """The call is about a name in an open directory."""
    return lambda path, *_, dir_fd=None, **__: path == name and dir_fd is not None


# What may become of a file that is open.
OPEN_FILE: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.write_bytes(DATA + b"more"),
    "shrinks": lambda path: os.truncate(path, 1000),
    "is emptied": lambda path: os.truncate(path, 0),
    "is written to": lambda path: os.utime(path, ns=(1, 2)) if rewrite(path) else None,
    "is touched": lambda path: os.utime(path, ns=(1, 2)),
    "grows, and has its time put back": lambda path: (
        path.write_bytes(DATA + b"more"),
        os.utime(path, ns=(1, 1)),
    ),
}


def rewrite(path: Path) -> bool:
    with open(path, "r+b") as file:
        file.seek(len(DATA) - 1)
        file.write(b"2")
    return True


@pytest.mark.parametrize("change", OPEN_FILE)
def test_a_file_changes_while_it_is_copied(race: Race, change: str) -> None:
    race.before("copy_file_range", lambda: OPEN_FILE[change](race.victim), always)
    race.fails(race.victim, CHANGED)


@pytest.mark.parametrize("change", OPEN_FILE)
def test_a_file_changes_while_it_is_copied_by_reading(
    race: Race, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(os, "sendfile", refuse)
    race.before("pread", lambda: OPEN_FILE[change](race.victim), always, skip=1)
    race.fails(race.victim, CHANGED)


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("change", OPEN_FILE)
def test_a_file_changes_while_it_is_compared(race: Race, change: str, side: str) -> None:
    race.put(race.lower / "d/victim")
    victim = race.place / side / "d/victim"
    # Two reads for each block: this one comes when the second is read.
    race.before("preadv", lambda: OPEN_FILE[change](victim), always, skip=2)
    race.fails(victim, CHANGED, *PLAIN)


@pytest.mark.parametrize("side", ["lower", "upper"])
@pytest.mark.parametrize("change", OPEN_FILE)
def test_a_file_changes_while_the_search_compares_it(race: Race, change: str, side: str) -> None:
    race.put(race.lower / "d/victim")
    victim = race.place / side / "d/victim"
    race.before("preadv", lambda: OPEN_FILE[change](victim), always, skip=2)
    race.settles()


def test_a_file_vanishes_while_it_is_copied(race: Race) -> None:
    # It is open and whole, so what it was can still be had.
    race.before("copy_file_range", race.victim.unlink, always)
    race.succeeds()
    assert (race.out / "d/victim").read_bytes() == DATA


# What may have become of a name since it was looked at.


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


NAME: dict[str, tuple[Callable[[Race], object], str]] = {
    "vanishes": (lambda race: race.victim.unlink(), VANISHED),
    "becomes a symlink to the same": (
        lambda race: (
            race.victim.rename(race.outside / "same"),
            race.victim.symlink_to("../../outside/same"),
        ),
        VANISHED,
    ),
    "becomes a symlink to a secret": (
        lambda race: replace(race.victim, lambda path: path.symlink_to(race.outside / "secret")),
        VANISHED,
    ),
    "becomes a fifo": (lambda race: replace(race.victim, os.mkfifo), CHANGED),
    "becomes a directory": (lambda race: replace(race.victim, os.mkdir), CHANGED),
    "becomes another file": (
        lambda race: (race.put(race.outside / "new"), (race.outside / "new").rename(race.victim)),
        CHANGED,
    ),
    "is written to": (lambda race: race.victim.write_bytes(DATA), CHANGED),
}
OUTSIDE_AFTER = {"becomes a symlink to the same": ["same", "secret"]}


@pytest.mark.parametrize("change", NAME)
def test_a_name_changes_before_it_is_opened(race: Race, change: str) -> None:
    act, reason = NAME[change]
    race.before("open", lambda: act(race), named(b"victim"))
    race.fails(race.victim, reason)
    assert sorted(os.listdir(race.outside)) == OUTSIDE_AFTER.get(change, ["secret"])


@pytest.mark.parametrize("change", NAME)
def test_a_name_changes_before_it_is_opened_for_comparison(race: Race, change: str) -> None:
    act, reason = NAME[change]
    race.put(race.lower / "d/victim")
    # Lower's file is opened first.
    race.before("open", lambda: act(race), named(b"victim"), skip=1)
    race.fails(race.victim, reason, *PLAIN)


@pytest.mark.parametrize("change", NAME)
def test_a_name_changes_before_the_search_opens_it(race: Race, change: str) -> None:
    act, _ = NAME[change]
    race.put(race.lower / "d/victim")
    race.before("open", lambda: act(race), named(b"victim"), skip=1)
    race.settles()


@needs_root
def test_a_file_becomes_a_device(race: Race) -> None:
    def act() -> None:
        race.victim.unlink()
        os.mknod(race.victim, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: it never ends

    race.before("open", act, named(b"victim"))
    race.fails(race.victim, CHANGED)


def test_a_name_vanishes_after_it_was_listed(race: Race) -> None:
    race.before("stat", race.victim.unlink, named(b"victim"))
    race.fails(race.victim, VANISHED, *PLAIN)


def test_a_name_vanishes_before_its_attributes_are_read(race: Race) -> None:
    race.before("_list_xattrs", race.victim.unlink, lambda name, **_: name == b"victim", module=linux)
    race.fails(race.victim, VANISHED)


def test_an_attribute_vanishes_after_it_was_listed(race: Race) -> None:
    for name in ("user.a", "user.b"):
        os.setxattr(race.victim, name, b"1")
    race.before(
        "_get_xattr",
        lambda: os.removexattr(race.victim, "user.a"),
        lambda path, name, **_: (path, name) == (b"victim", "user.a"),
        module=linux,
    )
    race.succeeds()
    assert os.listxattr(race.out / "d/victim") == ["user.b"]


def test_a_symlink_becomes_something_else(race: Race) -> None:
    race.victim.unlink()
    race.victim.symlink_to("x")
    race.before("readlink", lambda: replace(race.victim, Path.touch), named(b"victim"))
    race.fails(race.victim, CHANGED)


def test_a_file_changes_before_its_digest(race: Race) -> None:
    race.before("open", lambda: race.victim.write_bytes(DATA), named(b"victim"))
    race.fails(race.victim, CHANGED, "--digest", f"--report={race.place}/report")


# ---------------------------------------------------------------- directories

DIRECTORY: dict[str, Callable[[Race], object]] = {
    "vanishes": lambda race: shutil.rmtree(race.upper / "d"),
    "becomes a symlink to a secret": lambda race: swap(race, race.outside),
    "becomes a symlink to itself": lambda race: swap(race, race.place / "moved"),
    "becomes another directory": lambda race: (
        (race.upper / "d").rename(race.place / "moved"),
        (race.upper / "d").mkdir(),
    ),
    "becomes a file": lambda race: (shutil.rmtree(race.upper / "d"), (race.upper / "d").touch()),
}


def swap(race: Race, target: Path) -> None:
    (race.upper / "d").rename(race.place / "moved")
    (race.upper / "d").symlink_to(target)


@pytest.mark.parametrize("change", DIRECTORY)
@pytest.mark.parametrize("skip", [0, 1], ids=["for the walk", "for the copy"])
def test_a_directory_changes_before_it_is_entered(
    race: Race, change: str, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda fd: opened.append(os.fstat(fd).st_ino) or real(fd))
    is_upper = os.stat(race.upper).st_ino
    secret = os.stat(race.outside).st_ino

    def enters(path: bytes, flags: int, *_: object, dir_fd: int | None = None, **__: object) -> bool:
        return path == b"d" and dir_fd is not None and os.fstat(dir_fd).st_ino == is_upper

    race.before("open", lambda: DIRECTORY[change](race), enters, skip=skip)
    status, text, err = race.run_differ(*PLAIN, race.lower, race.upper, race.out)
    monkeypatch.undo()
    assert race.happened
    assert (status, text, err.count("\n")) == (2, "", 1)
    # The copy looks for the file alone, and in a new directory of this name there is none.
    assert err.startswith(f"differ: {race.upper}/d")
    assert err.endswith(f": {VANISHED}\n")
    assert not race.out.exists()
    assert secret not in opened


@pytest.mark.parametrize("change", DIRECTORY)
def test_a_directory_changes_before_the_search_enters_it(
    race: Race, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(os.stat(path).st_ino) or real(path))
    secret = os.stat(race.outside).st_ino
    race.put(race.lower / "d/victim")
    is_upper = os.stat(race.upper).st_ino

    def enters(path: bytes, flags: int, *_: object, dir_fd: int | None = None, **__: object) -> bool:
        return path == b"d" and dir_fd is not None and os.fstat(dir_fd).st_ino == is_upper

    race.before("open", lambda: DIRECTORY[change](race), enters)
    race.settles()
    assert secret not in opened


def test_a_directory_is_moved_while_the_walk_is_deep_in_it(race: Race) -> None:
    """Descriptors are kept for the lowest directories only; the others are found through ``..``."""
    chain = ["c"] * 150
    race.upper.joinpath(*chain).mkdir(parents=True)
    race.upper.joinpath(*chain, "bottom").symlink_to("x")
    third = race.upper.joinpath(*chain[:3])
    # The walk goes on here when it is back, and must not find this one for it.
    (third.parent / "next").symlink_to("x")
    (race.outside / "next").symlink_to("secret")
    race.before("stat", lambda: third.rename(race.outside / "moved"), named(b"bottom"))
    status, text, err = race.run_differ(race.lower, race.upper, race.out)
    assert race.happened
    assert (status, text) == (2, "")
    assert err == f"differ: {third}: {VANISHED}\n"
    assert not race.out.exists()


# ---------------------------------------------------------------- OUT


@pytest.mark.parametrize("existing", [False, True])
def test_a_directory_in_out_becomes_a_symlink(
    race: Race, existing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if existing:
        race.out.mkdir()
    real = os.mkdir

    def mkdir(name: bytes, *args: Any, dir_fd: int | None = None) -> None:
        real(name, *args, dir_fd=dir_fd)
        if name == b"d":
            race.happened = True
            os.rmdir(name, dir_fd=dir_fd)
            os.symlink(race.outside, name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    before = read_tree(race.outside)
    status, _, err = race.run_differ(race.lower, race.upper, race.out)
    monkeypatch.undo()
    assert race.happened
    assert status == 2
    assert err.startswith(f"differ: {race.out}/d")
    assert err.count("\n") == 1
    assert read_tree(race.outside) == before
    assert sorted(os.listdir(race.place)) == ["lower", *(["out"] if existing else []), "outside", "upper"]
    assert not existing or os.listdir(race.out) == []


def test_somebody_else_makes_out(race: Race) -> None:
    def act() -> None:
        race.out.mkdir()
        (race.out / "theirs").touch()

    race.before("rename", act, always)
    status, _, err = race.run_differ(race.lower, race.upper, race.out)
    assert (status, err) == (
        2,
        f"differ: {race.out}: cannot be written: somebody else has made it meanwhile\n",
    )
    assert os.listdir(race.out) == ["theirs"]
    assert sorted(os.listdir(race.place)) == ["lower", "out", "outside", "upper"]


def test_apply_meets_a_changing_file(race: Race) -> None:
    race.before("copy_file_range", lambda: os.truncate(race.victim, 10), always)
    status, _, err = race.run_differ(race.upper, race.lower, race.out, apply=True)
    assert race.happened
    assert (status, err) == (2, f"differ-apply: {race.victim}: {CHANGED}\n")
    assert not race.out.exists()
