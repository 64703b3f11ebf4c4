"""Fingerprints of graphs, and definitions that are made from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from differ.frontend.graph import Graph, definition_of, files
from differ.frontend.messages import DEFINITION, OP

from .frontend_graphs import Made, graph, ops, run, sha, source, unchanged

if TYPE_CHECKING:
    from differ.frontend.graph import Edge
    from differ.frontend.protobuf import Value


def built(
    *,
    session: str = "s1",
    unique: str = "u1",
    follow: str = "f",
    local: str = "context",
    image: str = "docker-image://a@sha256:1",
    word: str = "x",
    platform: str = "amd64",
    output: int = 0,
    index: int = 0,
    swapped: bool = False,
    name: str = "RUN x",
) -> tuple[Graph, Edge | None]:
    """A build of a RUN on an image and a directory of the client's."""
    made = Made()
    base = made.add(source(image))
    files = made.add(
        source(f"local://{local}", local_session=session, local_unique=unique, local_followpaths=follow)
    )
    inputs = (files, base) if swapped else (base, files)
    op = {**run(word, *inputs, output=output), "platform": {"architecture": platform, "os": "linux"}}
    head = made.add(run("last", made.add(op, name)))
    loaded = graph()
    return loaded, loaded.load(made.of(head, index))


def fingerprint(**changes: Any) -> str:
    loaded, edge = built(**changes)
    return loaded.fingerprint(edge, lambda image: f"content of {image}")


@pytest.mark.parametrize("changes", [{"session": "s2"}, {"unique": "u2"}, {"name": "another name"}])
def test_what_is_different_in_each_build_is_not_in_a_fingerprint(changes: Value) -> None:
    assert fingerprint(**changes) == fingerprint()
    # The vertices themselves are others, but for their names, which are not in them.
    assert (built(**changes)[1] == built()[1]) == ("name" in changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"follow": "g"},
        {"local": "other"},
        {"image": "docker-image://a@sha256:2"},
        {"image": "docker-image://a"},
        {"image": "docker-image://b@sha256:1"},
        {"word": "y"},
        {"platform": "arm64"},
        {"output": 1},
        {"index": 1},
        {"swapped": True},
    ],
)
def test_everything_else_is_in_a_fingerprint(changes: Value) -> None:
    assert fingerprint(**changes) != fingerprint()


def test_a_vertex_that_is_mounted_elsewhere_has_another_fingerprint() -> None:
    """The inputs are the same ones in the same order."""
    found = set()
    for numbers in ((0, 1), (1, 0), (0, 0)):
        made = Made()
        one, two = made.add(source("docker-image://a@x")), made.add(source("docker-image://b@x"))
        op = run("x", one, two)
        op["exec"]["mounts"] = [{"input": number, "dest": f"/{at}"} for at, number in enumerate(numbers)]
        loaded = graph()
        found.add(loaded.fingerprint(loaded.load(made.of(made.add(op))), unchanged))
    assert len(found) == 3


def test_an_image_without_a_digest_is_known_by_its_content() -> None:
    asked: list[str] = []

    def found(content: str, image: str) -> str:
        def pin(image: str) -> str:
            asked.append(image)
            return content

        loaded, edge = built(image=image)
        return loaded.fingerprint(edge, pin)

    tagged, pinned = "docker-image://docker.io/library/a:latest", "docker-image://a@sha256:1"
    assert found("one", tagged) == found("one", tagged) != found("two", tagged)
    assert asked == ["docker.io/library/a:latest"] * 3
    assert found("one", pinned) == found("two", pinned)
    assert len(asked) == 3


def test_an_empty_file_system_has_a_fingerprint() -> None:
    assert graph().fingerprint(None, unchanged) == graph().fingerprint(None, unchanged) != ""


def test_a_directory_of_the_client_s_is_never_taken_for_that_of_another_build() -> None:
    """Its name says nothing of its content."""
    found = set()
    for session in ("one", "two"):
        made = Made()
        head = made.add(source("local://side", local_session=session))
        loaded = graph()
        found.add(loaded.fingerprint(loaded.load(made.of(head)), unchanged))
    assert len(found) == 2


def test_a_fingerprint_does_not_hang_on_what_was_asked_before() -> None:
    loaded, edge = built()
    assert edge is not None
    for digest in loaded.vertices(edge):
        loaded.fingerprint((digest, 0), lambda image: f"content of {image}")
    assert loaded.fingerprint(edge, lambda image: f"content of {image}") == fingerprint()


# Files.


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
