"""The command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
MANY = 1500  # changes: enough that many are written before a report of them has been read


PROGRAMS = os.environ.get("DIFFER_PROGRAMS") and os.path.abspath(os.environ["DIFFER_PROGRAMS"])
"""A directory with the programs ``differ``, ``differ-apply`` and ``differ-rebase`` that are to be tested in the
place of the package (CONTRIBUTING.md)."""


def program(
    apply: bool = False, code: Path | None = None, programs: str | None = PROGRAMS, rebase: bool = False
) -> list[str]:
    """How to start the command: the first words of its command line.

    ``code``: where the package is, if it cannot be imported from the current directory.
    """
    other = "apply" if apply else "rebase" if rebase else None
    if programs is not None:
        return [os.path.join(programs, f"differ-{other}" if other else "differ")]
    main = f"main_{other}" if other else "main"
    where = "" if code is None else f"sys.path[0] = {str(code)!r}; "
    return [
        os.path.realpath(sys.executable) if code is not None else sys.executable,
        *("-c", f"import sys; {where}from differ.cli import {main}; sys.exit({main}())"),
    ]


def rewriter(programs: str | None = PROGRAMS) -> list[str]:
    """How to start ``differ-dockerfile``, in the repository."""
    if programs is not None:
        return [os.path.join(programs, "differ-dockerfile")]
    code = "import sys; from differ.frontend.rewriter import main; sys.exit(main())"
    return [sys.executable, "-c", code]


def differ(
    *words: object, apply: bool = False, rebase: bool = False, **options: Any
) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [*program(apply, rebase=rebase), *map(str, words)],
        **{"cwd": REPOSITORY, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status, negative for a signal that killed it, and what it said; never a traceback."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    assert "Traceback" not in (err or "")
    assert "Exception ignored" not in (err or "")
    return process.returncode, out, err


class Trees:
    """An empty LOWER, and an UPPER with many files."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lower, self.upper, self.out = place / "lower", place / "upper", place / "out"
        self.lower.mkdir()
        self.upper.mkdir()
        for number in range(MANY):
            directory = self.upper / f"d{number // 100}"
            directory.mkdir(exist_ok=True)
            (directory / f"f{number:03}-{'long' * 20}").write_text("data")

    def make_out(self) -> None:
        self.out.mkdir(mode=0o750)
        os.utime(self.out, ns=(1, 2))
