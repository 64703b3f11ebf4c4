"""The engine's methods: what each asks, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from differ.frontend.bridge import Bridge
from differ.frontend.calls import CallError
from differ.frontend.messages import (
    FILE,
    INPUTS,
    PONG,
    READ_FILE,
    RESOLVE,
    RESOLVED,
    RETURN,
    SOLVE,
    SOLVED,
    WARN,
)

from .frontend_graphs import INFO, Made, run, source
from .frontend_server import RefusalError, talking

if TYPE_CHECKING:
    from differ.frontend.protobuf import Message, Value

CACHE = [
    {"type": "registry", "attrs": {"ref": "host/cache"}},
    {"type": "local", "attrs": {"src": "x", "e": ""}},
]


class Asked:
    """An engine's method that is asked once.

    ``ask``, ``answer``: its messages.
    ``value``: what it says.
    """

    def __init__(self, ask: Message | None, answer: Message | None, value: Value | None = None) -> None:
        self._ask, self._answer, self._value = ask, answer, value or {}
        self.request: Value = {}

    def __call__(self, request: bytes) -> bytes:
        assert self._ask or not request
        self.request = self._ask.decode(request) if self._ask else {}
        return self._answer.encode(self._value) if self._answer else b""


@contextmanager
def bridged(method: str, answer: Callable[[bytes], bytes]) -> Iterator[Bridge]:
    with talking({method: answer}) as connection:
        yield Bridge(connection, list(CACHE))


def graph() -> Value:
    made = Made()
    base = made.add(source("docker-image://a"), "a", 1)
    return made.of(made.add(run("x", base), "RUN x", 2))


SOLVE_ALWAYS = {"allow_result_return": True, "allow_result_array_ref": True, "cache_imports": CACHE}


def test_ping() -> None:
    pong = {
        "frontend_caps": [{"id": "gateway.warnings", "enabled": True}],
        "llb_caps": [{"id": "diffop", "reason": "only with"}],
        "workers": [{"platforms": [{"architecture": "amd64", "os": "linux"}]}],
    }
    with bridged("Ping", Asked(None, PONG, pong)) as bridge:
        assert bridge.ping()() == pong


def test_inputs() -> None:
    held = {"dockerfile": graph(), "empty": {}}
    with bridged("Inputs", Asked(None, INPUTS, {"definitions": held})) as bridge:
        assert bridge.inputs()() == held
    with bridged("Inputs", Asked(None, INPUTS)) as bridge:
        assert bridge.inputs()() == {}


def test_solve() -> None:
    asked = Asked(SOLVE, SOLVED, {"result": {"ref": {"id": "r1"}}})
    with bridged("Solve", asked) as bridge:
        assert bridge.solve(graph())() == "r1"
    assert asked.request == {"definition": graph(), **SOLVE_ALWAYS}


@pytest.mark.parametrize("value", [{}, {"result": {}}, {"result": {"ref": {}}}])
def test_solve_of_nothing(value: Value) -> None:
    with bridged("Solve", Asked(SOLVE, SOLVED, value)) as bridge:
        assert bridge.solve({})() == ""


def test_build() -> None:
    result = {
        "refs": {"refs": {"linux/amd64": {"id": "r1", "definition": graph()}, "linux/386": {"id": "r2"}}},
        "metadata": {"containerimage.config": b"{}", "empty": b""},
        "attestations": {"linux/amd64": {"attestation": [{1: b"\x08\x01", "ref": {"id": "r3"}}]}},
    }
    asked = Asked(SOLVE, SOLVED, {"result": result})
    with bridged("Solve", asked) as bridge:
        options = {"filename": "Dockerfile", "build-arg:EMPTY": ""}
        assert bridge.build("dockerfile.v0", options, {"dockerfile": graph()})() == result
    assert asked.request == {
        "frontend": "dockerfile.v0",
        "options": options,
        "inputs": {"dockerfile": graph()},
        **SOLVE_ALWAYS,
    }


def test_read_file() -> None:
    asked = Asked(READ_FILE, FILE, {"data": b"\x00text"})
    with bridged("ReadFile", asked) as bridge:
        assert bridge.read_file("r1", "a/b")() == b"\x00text"
        assert asked.request == {"ref": "r1", "path": "a/b"}
        assert bridge.read_file("r1", "a/b", 512)() == b"\x00text"
        assert asked.request == {"ref": "r1", "path": "a/b", "range": {"length": 512}}
    with bridged("ReadFile", Asked(READ_FILE, FILE)) as bridge:
        assert bridge.read_file("r1", "empty")() == b""


def test_resolve() -> None:
    asked = Asked(RESOLVE, RESOLVED, {"digest": "sha256:x", "config": b"{}"})
    with bridged("ResolveImageConfig", asked) as bridge:
        assert bridge.resolve("docker.io/library/a:latest", "local")() == {
            "digest": "sha256:x",
            "config": b"{}",
        }
    assert (asked.request["ref"], asked.request["resolve_mode"]) == ("docker.io/library/a:latest", "local")
    assert asked.request["log_name"]


def test_warn() -> None:
    warning: Value = {
        "digest": "sha256:x",
        "level": 1,
        "short": b"short",
        "detail": [b"one", b"two"],
        "url": "https://host/",
        "info": INFO,
        "ranges": [{"start": {"line": 1}, "end": {"line": 2}}],
    }
    asked = Asked(WARN, None)
    with bridged("Warn", asked) as bridge:
        bridge.warn(warning)()
    assert asked.request == warning


def test_give() -> None:
    asked = Asked(RETURN, None)
    with bridged("Return", asked) as bridge:
        bridge.give({"ref": {"id": "r1"}, "metadata": {"k": b"v"}})
    assert asked.request == {"result": {"ref": {"id": "r1"}, "metadata": {"k": b"v"}}}


def test_fail() -> None:
    details = [{"type_url": "a/b", "value": b"\x00"}]
    asked = Asked(RETURN, None)
    with bridged("Return", asked) as bridge:
        bridge.fail(2, "it “failed”", details)
    assert asked.request == {"error": {"code": 2, "message": "it “failed”", "details": details}}


def test_several_requests_are_under_way() -> None:
    answers: dict[str, Callable[[bytes], bytes]] = {
        "Ping": Asked(None, PONG),
        "ReadFile": lambda request: FILE.encode({"data": request}),
    }
    with talking(answers) as connection:
        bridge = Bridge(connection, [])
        waiting = [bridge.read_file("r", f"{number}") for number in range(5)]
        assert bridge.ping()() == {}
        for number in (4, 0, 2, 1, 3):
            assert READ_FILE.decode(waiting[number]()) == {"ref": "r", "path": f"{number}"}


def test_an_error_comes_when_it_is_waited_for() -> None:
    def refuse(request: bytes) -> bytes:
        raise RefusalError(2, "failed to read", [{"type_url": "t", "value": b"v"}])

    with bridged("ReadFile", refuse) as bridge:
        wait = bridge.read_file("r", "x")
        with pytest.raises(CallError, match=r"^failed to read$") as caught:
            wait()
    assert caught.value.details == [{"type_url": "t", "value": b"v"}]


@pytest.mark.parametrize("reply", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\x0a\x05"])
def test_a_reply_that_is_no_message(reply: bytes) -> None:
    """What the engine does wrong is an error of the call like any other."""
    with bridged("Ping", lambda request: reply) as bridge:
        wait = bridge.ping()
        with pytest.raises(CallError):
            wait()
