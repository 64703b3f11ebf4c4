"""What a test may ask for, and what becomes of one that cannot run here."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator

import pytest

from .command import PROGRAMS, differ, ended

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners, devices, trusted.* attributes")


def needs_program(name: str) -> pytest.MarkDecorator:
    """A test that lets another program judge."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"needs the program {name}")


@pytest.fixture(autouse=True)
def _fixed_surroundings() -> Iterator[None]:
    """The umask and the current directory are the process's, and a run may move the latter."""
    umask = os.umask(0o022)
    here = os.getcwd()
    yield
    os.umask(umask)
    os.chdir(here)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true every skip is a failure: a judge that is not there has not judged."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("\nCI=true: a skipped test is a failed one\n")


RunDiffer = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run_differ(capfd: pytest.CaptureFixture[str]) -> RunDiffer:
    """Run a command: ``run_differ("--verify", lower, upper, out)``; ``apply=True`` or ``rebase=True`` for another.

    Gives the exit status and what went to stdout and stderr.  In this process, or as the program that
    is to be tested in the place of the package.
    """
    if PROGRAMS is not None:
        return lambda *words, **command: ended(differ(*words, **command, cwd=os.getcwd()))
    from differ.cli import main, main_apply, main_rebase

    def run(*arguments: object, apply: bool = False, rebase: bool = False) -> tuple[int, str, str]:
        words = [os.fsdecode(word) if isinstance(word, bytes) else str(word) for word in arguments]
        capfd.readouterr()
        status = (main_apply if apply else main_rebase if rebase else main)(words)
        out, err = capfd.readouterr()
        return status, out, err

    return run
