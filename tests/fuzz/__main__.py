"""Fuzz one target, or all of them one after the other, and print what was done.

    python -m tests.fuzz [SECONDS [TARGET...]]

Needs atheris (``make fuzz`` installs it beside the tests' packages).  A finding is written to tests/fuzz/cases/ and
ends the run with 1; it stays there as a case of the tests once it is mended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_SLOWEST = 20  # s that one input may take


def _fuzz(name: str, corpus: str, seconds: str) -> None:
    """Run the fuzzer in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["differ", "tarfile"]):
        from tests.fuzz.targets import TARGETS
    words = [f"-max_total_time={seconds}", f"-timeout={_SLOWEST}", "-rss_limit_mb=2048", "-max_len=16384"]
    words += [f"-artifact_prefix={HERE}/cases/{name}-", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *words, corpus, str(HERE / "cases")], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Run the campaign; the table goes to stdout."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "600"
    if len(sys.argv) > 2 and sys.argv[2] == "--here":
        _fuzz(sys.argv[3], sys.argv[4], seconds)
        return 0
    from tests.fuzz.targets import TARGETS

    failed = 0
    print("| read | seconds | inputs | kept | findings |\n|-|-:|-:|-:|-:|", flush=True)
    for name in sys.argv[2:] or TARGETS:
        corpus = Path(os.environ.get("TMPDIR", "/tmp"), f"differ-fuzz-{name}")
        corpus.mkdir(exist_ok=True)
        (HERE / "cases").mkdir(exist_ok=True)
        before = len(list((HERE / "cases").iterdir()))
        command = [sys.executable, "-m", "tests.fuzz", seconds, "--here", name, str(corpus)]
        run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        stats = dict(line[6:].split(":", 1) for line in run.stderr.splitlines() if line.startswith("stat::"))
        found = len(list((HERE / "cases").iterdir())) - before
        executed = stats.get("number_of_executed_units", "?").strip()
        print(f"| {name} | {seconds} | {executed} | {len(list(corpus.iterdir()))} | {found} |", flush=True)
        if found or run.returncode:
            failed = 1
            print(run.stdout[-4000:], run.stderr[-2000:], file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
