"""The frontend as a process between two pipes: what it asks an engine and what it returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from differ.frontend.graph import files
from differ.frontend.messages import FILE, INPUTS, NOTHING, PONG, READ_FILE, RETURN, SOLVE, SOLVED

from .command import REPOSITORY
from .frontend_server import Answer, Engine, RefusalError, watched

MAIN = "import sys; from differ.frontend.main import main; sys.exit(main())"
PLATFORM = {"architecture": "amd64", "os": "linux"}


class Host:
    """An engine with one Dockerfile, whose own frontend gives one graph for all.

    ``capabilities``: of its ops.
    """

    def __init__(self, dockerfile: bytes, capabilities: Mapping[str, bool]) -> None:
        self.dockerfile = dockerfile
        self.solved: list[dict[Any, Any]] = []
        self.returned: dict[Any, Any] = {}
        caps = [{"id": name, "enabled": enabled} for name, enabled in capabilities.items()]
        self.answers: dict[str, Answer] = {
            "Ping": lambda _: PONG.encode({"llb_caps": caps, "workers": [{"platforms": [PLATFORM]}]}),
            "Inputs": lambda _: INPUTS.encode({}),
            "Solve": self._solve,
            "ReadFile": self._read_file,
            "Return": self._return,
        }

    def _solve(self, request: bytes) -> bytes:
        asked = SOLVE.decode(request)
        self.solved.append(asked)
        graph = files([("/x", b"x")], "x") if asked.get("frontend") else {}
        ref = {"id": f"ref-{len(self.solved)}", "definition": graph}
        return SOLVED.encode({"result": {"ref": ref, "metadata": {"containerimage.config": b"{}"}}})

    def _read_file(self, request: bytes) -> bytes:
        if READ_FILE.decode(request)["path"] != "Dockerfile":
            raise RefusalError(2, "no such file")
        return FILE.encode({"data": self.dockerfile})

    def _return(self, request: bytes) -> bytes:
        self.returned = RETURN.decode(request)
        return NOTHING.encode({})

    def run(self, **options: str) -> tuple[int, bytes]:
        """Let the frontend serve a build; its exit status and what it wrote to stderr."""
        frontend_source, sink = os.pipe()
        source, frontend_sink = os.pipe()
        environment = {f"BUILDKIT_FRONTEND_OPT_{key}": f"{key}={value}" for key, value in options.items()}
        environment["BUILDKIT_SESSION_ID"] = "session"
        with subprocess.Popen(
            [sys.executable, "-c", MAIN],
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=frontend_source,
            stdout=frontend_sink,
            stderr=subprocess.PIPE,
        ) as process:
            os.close(frontend_source)
            os.close(frontend_sink)
            engine = Engine(source, sink, self.answers, {}, {}, {})
            try:
                with watched():
                    said = process.communicate()[1]
            finally:
                process.kill()
                engine.close()
        return process.returncode, said


def test_a_file_without_differences_is_passed_on() -> None:
    host = Host(b"FROM a\n", {})
    assert host.run(source="differ", filename="Dockerfile", target="t") == (0, b"")
    load, passed = host.solved
    assert load["definition"]["ops"]
    assert passed["frontend"] == "dockerfile.v0"
    # With cmdline the engine's frontend does not look for "# syntax=".
    assert passed["options"] == {"cmdline": "differ", "filename": "Dockerfile", "target": "t"}
    assert "inputs" not in passed
    assert host.returned["result"]["ref"]["id"] == "ref-2"


def test_every_question_names_the_caches() -> None:
    host = Host(b"FROM a\n", {})
    caches = [{"Type": "registry", "Attrs": {"ref": "r.io/c"}}, {"Type": "gha"}]
    host.run(**{"cache-imports": json.dumps(caches)})
    for asked in host.solved:
        assert asked["cache_imports"] == [{"type": "registry", "attrs": {"ref": "r.io/c"}}, {"type": "gha"}]


def test_an_error_of_the_user_shows_the_users_lines() -> None:
    host = Host(b"FROM a\n\nFROM x..y..z\n", {})
    assert host.run(source="differ") == (0, b"")
    error = host.returned["error"]
    assert error["code"] == 2
    assert error["message"].startswith("dockerfile parse error on line 3: x..y..z: ")
    (detail,) = error["details"]
    value = json.loads(detail["value"])
    assert b64decode(value["info"]["data"]) == host.dockerfile
    assert value["ranges"] == [{"start": {"line": 3}, "end": {"line": 3}}]


def test_an_error_of_the_engine_is_passed_on() -> None:
    host = Host(b"FROM a\n", {})

    def refuse(request: bytes) -> bytes:
        raise RefusalError(5, "no session")

    host.answers["Solve"] = refuse
    assert host.run() == (0, b"")
    assert host.returned["error"]["message"] == "no session"
    assert host.returned["error"]["code"] == 2


def test_an_answer_that_cannot_be_read() -> None:
    host = Host(b"FROM a\n", {})
    host.answers["Ping"] = lambda _: b"\xff"
    assert host.run() == (0, b"")
    assert "the engine's answer to Ping cannot be read" in host.returned["error"]["message"]


def test_a_fault_of_its_own_is_told() -> None:
    host = Host(b"FROM a\n", {})
    status, said = host.run(**{"cache-imports": "{"})
    assert (status, said) != (0, b"")
    host.answers["Ping"] = lambda _: PONG.encode({"workers": [{"platforms": [PLATFORM]}], "llb_caps": []})
    host.answers["ReadFile"] = lambda _: FILE.encode({"data": b"FROM a..b\n"})
    # An engine whose frontend gives no graph that can be one.
    host.answers["Solve"] = lambda _: SOLVED.encode(
        {"result": {"ref": {"definition": {"ops": [b"\xff", b"\xff"]}}}}
    )
    status, said = host.run()
    assert host.returned["error"]["message"]
    assert status == 1 or b"Traceback" not in said


def test_not_started_by_an_engine() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "BUILDKIT_SESSION_ID"}
    done = subprocess.run(
        [sys.executable, "-c", MAIN], cwd=REPOSITORY, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert b"# syntax=IMAGE" in done.stderr
