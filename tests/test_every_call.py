"""A signal or an I/O error at every system call of a run, one run for each.

Whenever it comes: OUT is whole, or it is as it was and the message does not claim otherwise; the report
is the old one or the new one; nothing is left beside them; and there is one line and no traceback.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from differ import finder, linux
from differ.cli import main

from .trees import Row, read_tree

CALLS = (
    *("open", "close", "dup", "listdir", "stat", "fstat", "readlink", "fchdir", "lseek"),
    *("mkdir", "rmdir", "unlink", "rename", "symlink", "link", "mknod", "write", "ftruncate"),
    *("chmod", "fchmod", "chown", "fchown", "utime", "copy_file_range", "preadv", "read"),
)
XATTR_CALLS = ("_list_xattrs", "_get_xattr", "_set_xattr", "_remove_xattr")
NO_PATH = ("dup", "close", "fstat", "lseek", "fchdir")  # they fail when the kernel is at its end only

Act = Callable[[Callable[..., Any], "tuple[Any, ...]", "dict[str, Any]"], Any]


class Calls:
    """Counts the calls, and does something else at one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(finder, "compiled", lambda: None)  # whose calls cannot be disturbed
        self.count = 0
        self.at = 0  # none
        self.act: Act | None = None
        self.name = ""
        for module, names in ((os, CALLS), (linux, XATTR_CALLS)):
            for name in names:
                monkeypatch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.count += 1
            if self.act is None or self.count != self.at:
                return real(*args, **options)
            self.name = name
            return self.act(real, args, options)

        return call


class Run:
    """One small run that makes every kind of call, and what it must leave."""

    def __init__(self, place: Path, output: pytest.CaptureFixture[str], existing: bool) -> None:
        self.place, self.output, self.existing = place, output, existing
        self.lower, self.upper, self.out = place / "lower", place / "upper", place / "out"
        self.results = place / "results"
        for side in (self.lower, self.upper):
            (side / "d").mkdir(parents=True)
            for name in ("a", "b"):
                (side / "d" / name).write_text("linked")
            (side / "changed").write_text(side.name)
        if os.geteuid() == 0:  # nobody else can read the whiteout back
            (self.lower / "gone").touch()
        (self.upper / "symlink").symlink_to("d")
        (self.upper / "d/b").unlink()
        os.link(self.upper / "d/a", self.upper / "d/b")
        os.setxattr(self.upper / "changed", "user.a", b"1")
        for side in (self.lower, self.upper):
            for path in (side / "changed", side / "d/a", side / "d/b"):
                os.utime(path, ns=(1, 1))
        self.reset()
        self.before = self.state()
        status, err = self.go()
        assert (status, err.count("\n")) == (0, 1), err
        self.whole, self.report = self.state()

    def reset(self) -> None:
        os.chdir(self.place)
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.results, ignore_errors=True)
        self.results.mkdir()
        (self.results / "report").write_text("old")
        if self.existing:
            self.out.mkdir(mode=0o750)
            os.utime(self.out, ns=(1, 2))

    def state(self) -> tuple[list[Row] | None, str]:
        rows = read_tree(self.out) if self.out.exists() else None
        if rows is not None:
            # Now, for a new directory; one that is there gets its own back by the last call on it.
            rows[0]["mtime"] = []
        return rows, (self.results / "report").read_text()

    def go(self, calls: Calls | None = None, at: int = 0, act: Act | None = None) -> tuple[int, str]:
        report = self.results / "report"
        words = ["--verify", "--report", *map(str, (report, self.lower, self.upper, self.out))]
        self.output.readouterr()
        if calls is not None:
            calls.count, calls.at, calls.act = 0, at, act
        try:
            status = main(words)
        finally:
            if calls is not None:
                calls.act = None
        out, err = self.output.readouterr()
        assert out == ""
        return status, err

    def wrong(self, status: int, err: str) -> list[str]:
        """What is not as it must be after a run that was disturbed."""
        rows, report = self.state()
        wrong = []
        is_before, is_whole = rows == self.before[0], rows == self.whole
        if not is_before and not is_whole:
            wrong.append(f"OUT is neither whole nor as it was: {rows}")
        if is_before and self.existing and self.out.stat().st_mtime_ns != 2:
            wrong.append("OUT has not its own time")
        if status == 0 and not (is_whole and report == self.report):
            wrong.append("a success without its results")
        if "nothing was left" in err and not is_before:
            wrong.append(f"something was left: {err}")
        if report not in ("old", self.report):
            wrong.append(f"the report is {report!r}")
        left = {*os.listdir(self.place), *os.listdir(self.results)} - {
            "lower",
            "upper",
            "out",
            "results",
            "report",
        }
        if left:
            wrong.append(f"{left} is left behind")
        if status and err.count("\n") != 1:
            wrong.append(f"not one line: {err!r}")
        return wrong


@pytest.fixture(params=[False, True], ids=["absent", "existing"])
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Run:
    return Run(tmp_path, capfd, request.param)


@pytest.fixture
def harmless_signal() -> Iterator[None]:
    """What our own process does about the signal outside of the product's handler: nothing."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def disturb(
    run: Run, monkeypatch: pytest.MonkeyPatch, act: Act, check: Callable[[int, str, str], list[str]]
) -> None:
    """Disturb a run at its first call, another one at its second, and so on."""
    calls = Calls(monkeypatch)
    wrong = []
    for at in range(1, 1000):
        run.reset()
        try:
            status, err = run.go(calls, at, act)
        except BaseException as error:
            wrong.append(f"call {at}, {calls.name}: {error!r} is not caught")
            continue
        if calls.count < at:
            break
        found = [*run.wrong(status, err), *check(status, err, calls.name)]
        wrong += [f"call {at}, {calls.name}: {what}" for what in found]
    assert at > 200
    if wrong:
        pytest.fail(f"{len(wrong)} of {at}\n" + "\n".join(wrong), pytrace=False)


@pytest.mark.usefixtures("harmless_signal")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_signal_at_every_call(run: Run, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(real: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        # After a close is one step of the interpreter before the descriptor is forgotten: not tried.
        if not after or real.__name__ == "close":
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*args, **options)
        result = real(*args, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    def check(status: int, err: str, name: str) -> list[str]:
        return [] if status in (0, 128 + signal.SIGTERM) else [f"exit status {status}: {err}"]

    disturb(run, monkeypatch, act, check)


def test_an_error_at_every_call(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(real: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if real.__name__ == "close" and not fcntl.fcntl(args[0], fcntl.F_GETFL) & os.O_ACCMODE:
            return real(*args)  # fails only for what was written
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def check(status: int, err: str, name: str) -> list[str]:
        wrong = []
        if status not in (0, 2):
            wrong.append(f"exit status {status}")
        if status and not err.endswith(": Input/output error\n"):
            wrong.append(f"no reason: {err}")
        if status and name not in NO_PATH and not err.startswith(f"differ: {run.place}"):
            wrong.append(f"no path: {err}")
        return wrong

    disturb(run, monkeypatch, act, check)
