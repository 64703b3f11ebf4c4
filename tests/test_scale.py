"""Many runs in one process end with what they began with (the short form of ``make scale``)."""

from __future__ import annotations

import subprocess
import sys

from .command import REPOSITORY


def test_many_runs_leave_nothing() -> None:
    command = [sys.executable, "-m", "bench.scale", "--quick", "--only", "runs"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    rows = [line for line in result.stdout.splitlines() if "runs" in line]
    assert len(rows) == 1, result.stderr
    assert rows[0].endswith("| none | yes |"), rows[0]
    assert result.returncode == 0
