"""Graphs that BuildKit might have returned."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from differ.frontend.graph import Graph, Inputs, Substitute
from differ.frontend.messages import DEFINITION, OP

if TYPE_CHECKING:
    from differ.frontend.graph import Edge, Location
    from differ.frontend.protobuf import Value

INFO: Value = {"filename": "Dockerfile", "data": b"FROM a\n", "language": "Dockerfile"}


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def source(identifier: str, **attrs: str) -> Value:
    """An op without inputs."""
    return {"source": {"identifier": identifier, "attrs": {k.replace("_", "."): v for k, v in attrs.items()}}}


def run(word: str, *inputs: str, output: int = 0) -> Value:
    """An op with inputs, as dockerfile.v0 writes it: with a platform before its kind."""
    return {
        "inputs": [{"digest": digest, "index": output} for digest in inputs],
        "platform": {"architecture": "amd64", "os": "linux"},
        "exec": {"meta": {"args": [word], "cwd": "/"}, "mounts": [{"dest": "/"}]},
    }


class Made:
    """A definition that is being made."""

    def __init__(self) -> None:
        self.ops: list[bytes] = []
        self.metadata: Value = {}
        self.locations: Value = {}
        self.infos: list[Value] = []

    def add(self, op: Value, name: str = "", line: int = 0) -> str:
        """Add an op; its digest."""
        data = OP.encode(op)
        self.ops.append(data)
        self.metadata[sha(data)] = (
            {"description": {"llb.customname": name}} if name else {"caps": {"x": True}}
        )
        if line:
            ranges = [{"start": {"line": line}, "end": {"line": line}}]
            self.locations[sha(data)] = {"locations": [{"ranges": ranges}]}
            self.infos = [INFO]
        return sha(data)

    def of(self, head: str, index: int = 0) -> Value:
        """The definition, through its bytes."""
        last = OP.encode({"inputs": [{"digest": head, "index": index}]})
        value = {
            "ops": [*self.ops, last],
            "metadata": self.metadata,
            "source": {"locations": self.locations, "infos": self.infos},
        }
        return DEFINITION.decode(DEFINITION.encode(value))


def graph() -> Graph:
    return Graph(lambda info, ranges: (info, ranges))


def unchanged(text: str) -> str:
    return text


def ops(definition: Value) -> list[Value]:
    """The ops of a definition, each after its inputs; the digests are looked at."""
    seen: set[str] = set()
    decoded = []
    for data in definition["ops"]:
        op = OP.decode(data)
        assert OP.encode(op) == data
        assert all(item["digest"] in seen for item in op.get("inputs", []))
        assert sha(data) not in seen
        seen.add(sha(data))
        decoded.append(op)
    assert {*definition["metadata"]} == seen
    assert {*definition.get("source", {}).get("locations", {})} <= seen
    return decoded


def words(definition: Value) -> list[str]:
    """What each op but the last is."""
    return [
        op["exec"]["meta"]["args"][0] if "exec" in op else op["source"]["identifier"]
        for op in ops(definition)[:-1]
    ]


def instead(word: str, *edges: Edge | None, line: int = 0) -> Substitute:
    """A substitute that is a RUN of its inputs."""

    def make(now: list[Edge | None]) -> tuple[Value, Value, list[Location]]:
        inputs = Inputs()
        for edge in now:
            inputs.add(edge)
        op = {"inputs": inputs.value(), "exec": {"meta": {"args": [word], "cwd": "/"}}}
        ranges = [{"start": {"line": line}, "end": {"line": line}}]
        return op, {"description": {"llb.customname": word}}, [(0, ranges)] if line else []

    return Substitute(list(edges), make)


class Sides:
    """Two vertices that a difference may be of: an image, and a RUN on it."""

    def __init__(self, loaded: Graph) -> None:
        made = Made()
        base = made.add(source("docker-image://a"))
        top = made.add(run("b", base), "RUN b")
        self.lower = loaded.load(made.of(base))
        self.upper = loaded.load(made.of(top))


def names(definition: Value) -> list[str]:
    """What people see of each vertex, inputs first."""
    described = [definition["metadata"][sha(data)].get("description", {}) for data in definition["ops"]]
    return [description["llb.customname"] for description in described if description]
