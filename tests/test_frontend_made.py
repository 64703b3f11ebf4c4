"""Definitions that are made from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from differ.frontend.graph import definition_of, files
from differ.frontend.messages import DEFINITION, OP

from .frontend_graphs import graph, ops, sha, source

if TYPE_CHECKING:
    from differ.frontend.protobuf import Value


def made_files(*entries: tuple[str, bytes]) -> list[Value]:
    """The actions that make some files."""
    definition = files(entries, "[internal] files")
    assert DEFINITION.decode(DEFINITION.encode(definition)) == definition
    first, last = ops(definition)
    head = sha(definition["ops"][0])
    assert last == {"inputs": [{"digest": head}]}
    assert definition["metadata"][head]["description"] == {"llb.customname": "[internal] files"}
    assert definition["metadata"][head]["caps"] == {"file.base": True}
    assert graph().load(definition) == (head, 0)
    actions: list[Value] = first["file"]["actions"]
    return actions


def test_one_file() -> None:
    (action,) = made_files(("/Dockerfile", b"FROM a\n"))
    # Zeros are not written: the output is that of the op.
    assert action == {
        "input": -1,
        "secondary_input": -1,
        "mkfile": {"path": "/Dockerfile", "mode": 0o644, "data": b"FROM a\n"},
    }


def test_each_action_goes_on_with_what_the_one_before_has_made() -> None:
    actions = made_files(("/a", b"1"), ("/b", b""), ("/d/e/c", b"3"))
    made = [next(key for key in action if key.startswith("mk")) for action in actions]
    assert made == ["mkfile", "mkfile", "mkdir", "mkfile"]
    # The op has no inputs, so that the number of an action is that of what it has made.
    assert [action.get("input", 0) for action in actions] == [-1, 0, 1, 2]
    assert [action["secondary_input"] for action in actions] == [-1] * 4
    # Only the last one is the op's result.
    assert [action.get("output", 0) for action in actions] == [-1, -1, -1, 0]
    assert actions[1]["mkfile"] == {"path": "/b", "mode": 0o644}
    assert actions[2]["mkdir"] == {"path": "/d/e", "mode": 0o755, "make_parents": True}
    assert actions[3]["mkfile"] == {"path": "/d/e/c", "mode": 0o644, "data": b"3"}


def test_bytes_of_an_action_by_hand() -> None:
    below = b"\xff" * 9 + b"\x01"
    mkfile = b"\x2a\x0a\x0a\x02/f\x10\xa4\x03\x1a\x01x"
    action = b"\x08" + below + b"\x10" + below + mkfile
    data = b"\x22" + bytes((len(action) + 2,)) + b"\x12" + bytes((len(action),)) + action
    assert files([("/f", b"x")], "")["ops"][0] == data


def test_a_definition_of_one_op() -> None:
    op = source("docker-image://a")
    definition = definition_of(op, "load a", {"source.image": True})
    assert ops(definition)[0] == OP.decode(OP.encode(op))
    head = sha(OP.encode(op))
    assert definition["metadata"][head] == {
        "description": {"llb.customname": "load a"},
        "caps": {"source.image": True},
    }
    assert graph().load(definition) == (head, 0)
