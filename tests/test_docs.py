"""The README says what is true: its commands are run, its output is theirs, no option is missing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from differ import __version__, options
from differ.manual import MANUALS
from differ.writers import report

from .command import program

pytestmark = pytest.mark.cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Every command of the README with the output that it shows."""
    found = []
    for block in BLOCK.findall(README):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = step.partition("\n")
            found.append((command, output))
    return found


def test_the_readme_shows_what_its_commands_print(tmp_path: Path) -> None:
    # Commands of this checkout, whatever is installed.
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in MANUALS:
        words = program(name != "differ", ROOT)
        if name == "differ-rebase":
            words = [word.replace("apply", "rebase") for word in words]
        script = bin_ / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    # It would hide that results and messages come in order.
    environment.pop("PYTHONUNBUFFERED", None)
    environment.pop("COLUMNS", None)
    assert len(steps()) > 15
    for command, shown in steps():
        result = subprocess.run(
            ["sh", "-c", f"umask 022; {command}"],
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.stdout == shown, command


GRAMMARS = {"differ": options._DIFF, "differ-apply": options._APPLY, "differ-rebase": options._REBASE}


@pytest.mark.parametrize("command", MANUALS)
def test_every_option_is_in_the_help(command: str) -> None:
    text, grammar = MANUALS[command], GRAMMARS[command]
    for name in (*grammar.flags, *grammar.values):
        assert f"--{name}" in text


def test_every_option_is_in_the_reference() -> None:
    reference = README + (ROOT / "docs" / "report.md").read_text() + MANUALS["differ"]
    for name in (*options._DIFF.flags, *options._DIFF.values):
        assert f"--{name}" in reference


def test_the_report_page_names_every_field_and_version() -> None:
    page = (ROOT / "docs" / "report.md").read_text()
    from differ.model import ChangeKind, Field

    for field in (value for name, value in vars(Field).items() if name.isupper()):
        assert f"`{field}`" in page
    for kind in (ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED):
        assert f"`{kind}`" in page
    assert f'"v":{report.SCHEMA}' in page


def test_the_changelog_knows_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in changelog or f"## [{__version__}]" in changelog


def test_the_map_names_every_module() -> None:
    import differ
    import differ.frontend

    modules = {str(path.relative_to(ROOT / "differ")) for path in (ROOT / "differ").rglob("*.py")}
    for module in modules - {"__init__.py", "writers/__init__.py", "frontend/__init__.py"}:
        name = module.removeprefix("frontend/")
        assert name in str((differ if name == module else differ.frontend).__doc__)


@pytest.mark.parametrize("path", sorted(ROOT.glob("differ/**/*.py")), ids=str)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
