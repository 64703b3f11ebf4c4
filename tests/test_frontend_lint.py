"""Warnings of the engine's frontend, with the user's text and lines."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from differ.frontend import lint
from differ.frontend.calls import CallError
from differ.frontend.original import Original

FILE = b"FROM x as a\nFROM a..b\n"
REWRITTEN = b"FROM x as a\nFROM differ-placeholder-0\n"


class Engine:
    """Takes warnings."""

    def __init__(self) -> None:
        self.warnings: list[dict[str, Any]] = []

    def warn(self, warning: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        def wait() -> dict[str, Any]:
            self.warnings.append(warning)
            return {}

        return wait


def original() -> Original:
    held = Original("Dockerfile", FILE)
    held.name("differ-placeholder-0", "a..b")
    held.version(REWRITTEN, [1, 2, 3])
    return held


def told(answer: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    engine = Engine()
    lint.tell(engine, answer, original(), "sha256:0")  # type: ignore[arg-type]
    return engine.warnings


def test_warnings() -> None:
    found = {
        "warnings": [
            {
                "ruleName": "FromAsCasing",
                "description": "should match",
                "url": "https://docs",
                "detail": "'as' of differ-placeholder-0",
                "location": {"ranges": [{"start": {"line": 2, "character": 1}, "end": {"line": 2}}]},
            },
            {"ruleName": "NoPlace", "detail": "text"},
        ],
        "sources": [b64encode(REWRITTEN).decode()],
    }
    one, other = told(lambda: {"metadata": {"result.json": json.dumps(found).encode()}})
    assert one["short"] == b"FromAsCasing: 'as' of a..b (line 2)"
    assert one["detail"] == [b"should match"]
    assert one["info"]["data"] == FILE
    assert one["ranges"] == [{"start": {"line": 2, "character": 1}, "end": {"line": 2}}]
    assert (one["digest"], one["url"], one["level"]) == ("sha256:0", "https://docs", 1)
    assert (other["short"], other["ranges"]) == (b"NoPlace: text", [])


def test_none() -> None:
    def refuse() -> dict[str, Any]:
        raise CallError(12, "unsupported request frontend.lint")

    assert told(refuse) == []
    assert told(dict) == []
    assert told(lambda: {"metadata": {"result.json": b'{"warnings": null}'}}) == []


@pytest.mark.parametrize(
    ("checks", "file", "fatal"),
    [
        ("", b"FROM a\n", False),
        ("skip=all", b"FROM a\n", False),
        ("skip=X;error=true", b"FROM a\n", True),
        ("", b"# check=error=true\nFROM a\n", True),
        ("", b"#  Check = skip=X;error = True\nFROM a\n", True),
        ("", b"# check=skip=X\nFROM a\n", False),
    ],
)
def test_whether_a_warning_is_fatal(checks: str, file: bytes, fatal: bool) -> None:
    assert lint.is_fatal({lint.CHECKS: checks} if checks else {}, file) == fatal


def test_there_is_an_end_of_warnings() -> None:
    """Each takes the whole file with it."""
    found = {"warnings": [{"ruleName": f"R{number}", "detail": "x"} for number in range(5000)]}
    shown = told(lambda: {"metadata": {"result.json": json.dumps(found).encode()}})
    assert [warning["short"] for warning in shown] == [b"R%d: x" % number for number in range(200)]
