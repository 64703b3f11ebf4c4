"""What the engine says of a rewritten Dockerfile, with the user's own names, text and lines."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import pytest

from differ.frontend.build import BuildError
from differ.frontend.original import SOURCE_DETAIL, Original, has_place, printable

if TYPE_CHECKING:
    from differ.frontend.protobuf import Value

USER = b"FROM a AS b\nFROM a..b AS c\nCOPY --from=b..c / /\n"
SAME = b"FROM a AS b\nFROM differ-placeholder-0 AS c\nCOPY --from=differ-placeholder-1 / /\n"
LONGER = b"FROM a AS b\nFROM scratch AS differ-placeholder-0\nRUN x\n" + SAME.partition(b"\n")[2]
LINES = [1, 2, 2, 2, 3]


def text_of(data: bytes) -> str:
    return b64encode(data).decode()


def at(first: int, last: int) -> Value:
    return {"start": {"line": first, "character": 4}, "end": {"line": last}}


@pytest.fixture
def original() -> Original:
    made = Original("sub/Dockerfile", USER)
    made.name("differ-placeholder-0", "a..b")
    made.name("differ-placeholder-1", "b..c")
    made.name("differ-placeholder-10", "ten..eleven")
    made.name("differ-placeholder-stage0", "stage-0")
    made.version(SAME, [1, 2, 3])
    made.version(LONGER, LINES)
    return made


# Texts.


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ("", ""),
        ("COPY x y", "COPY x y"),
        ("[c 1/2] FROM differ-placeholder-0", "[c 1/2] FROM a..b"),
        ("[c 2/2] COPY --from=differ-placeholder-1 / /", "[c 2/2] COPY --from=b..c / /"),
        ("load metadata for docker.io/library/differ-placeholder-0:latest", "load metadata for a..b"),
        ("docker.io/library/differ-placeholder-1: not found", "b..c: not found"),
        ("differ-placeholder-1:latest, differ-placeholder-0", "b..c, a..b"),
        ("differ-placeholder-10 and differ-placeholder-1", "ten..eleven and b..c"),
        ("(differ-placeholder-0)(differ-placeholder-0)", "(a..b)(a..b)"),
        ("[differ-placeholder-stage0 2/2] RUN x", "[stage-0 2/2] RUN x"),
        # names that nobody has made up here
        ("differ-placeholder-7", "differ-placeholder-7"),
        ("docker.io/library/debian:latest", "docker.io/library/debian:latest"),
        ("[stage-3 1/2] RUN x", "[stage-3 1/2] RUN x"),
    ],
)
def test_names_in_texts(original: Original, text: str, restored: str) -> None:
    assert original.text(text) == restored


def test_numbers_of_stages_that_have_moved(original: Original) -> None:
    original.moved({0: 0, 1: 2, 2: 5})
    assert original.text("[stage-5 3/4] RUN x") == "[stage-2 3/4] RUN x"
    assert original.text("[stage-2 1/1] FROM differ-placeholder-0") == "[stage-1 1/1] FROM a..b"
    assert original.text("[stage-0] x, [stage-55] y, stage-5") == "[stage-0] x, [stage-55] y, stage-5"


# Files and lines.


def test_a_version_is_restored(original: Original) -> None:
    info: Value = {
        "filename": "Dockerfile",
        "data": LONGER,
        "definition": b"its graph",
        "language": "Dockerfile",
    }
    restored, ranges = original.restore(info, [at(1, 1), at(3, 5)])
    # The graph behind the file would be that of the version.
    assert restored == {"filename": "Dockerfile", "data": USER, "language": "Dockerfile"}
    assert ranges == [at(1, 1), at(2, 3)]
    assert info["data"] == LONGER


@pytest.mark.parametrize(
    ("line", "users"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (0, 0), (6, 6), (99, 99)]
)
def test_each_line_of_a_version(original: Original, line: int, users: int) -> None:
    _, ranges = original.restore({"data": LONGER}, [at(line, line)])
    assert ranges == [at(users, users)]


@pytest.mark.parametrize("held", [{}, {"start": {}}, {"start": {"line": 5}}, {"end": {"character": 1}}])
def test_ranges_without_all_of_their_numbers(original: Original, held: Value) -> None:
    _, ranges = original.restore({"data": LONGER}, [held])
    assert ranges == [{**held, "start": {"line": 3}}] if held.get("start") else [held]


def test_another_file_is_left_alone(original: Original) -> None:
    info: Value = {"filename": "other.hcl", "data": b"x", "definition": b"y"}
    assert original.restore(info, [at(2, 2)]) == (info, [at(2, 2)])
    assert original.restore({}, []) == ({}, [])


def test_the_place_of_lines(original: Original) -> None:
    info, ranges = original.place(2, 3)
    assert info == {"filename": "sub/Dockerfile", "data": USER, "language": "Dockerfile"}
    assert ranges == [{"start": {"line": 2}, "end": {"line": 3}}]


# Details of errors.


def detail(data: bytes, ranges: list[Value], **more: object) -> Value:
    info = {"filename": "Dockerfile", "data": text_of(data), "language": "Dockerfile"}
    value = {"info": info, "ranges": ranges, **more}
    return {"type_url": SOURCE_DETAIL, "value": json.dumps(value).encode()}


def test_an_error_points_at_the_user_s_file(original: Original) -> None:
    other = {"type_url": "github.com/moby/buildkit/errdefs.Vertex+json", "value": b'{"digest":"x"}'}
    (same, moved) = original.details([other, detail(LONGER, [at(4, 5)], extra=1)])
    assert same == other
    assert moved["type_url"] == SOURCE_DETAIL
    assert json.loads(moved["value"]) == {
        "info": {"filename": "Dockerfile", "data": text_of(USER), "language": "Dockerfile"},
        "ranges": [at(2, 3)],
        "extra": 1,
    }


@pytest.mark.parametrize("value", [{}, {"info": None, "ranges": None}, {"info": {"filename": "x"}}])
def test_a_detail_without_a_file(original: Original, value: Value) -> None:
    (restored,) = original.details([{"type_url": SOURCE_DETAIL, "value": json.dumps(value).encode()}])
    held = json.loads(restored["value"])
    assert held["ranges"] == []
    assert not held["info"].get("data")


def test_a_detail_of_another_file(original: Original) -> None:
    (restored,) = original.details([detail(b"other\n", [at(1, 2)])])
    assert json.loads(restored["value"]) == json.loads(detail(b"other\n", [at(1, 2)])["value"])


@pytest.mark.parametrize("value", [b"", b"not JSON", b"[]", b'{"info": {"data": 1}}'])
def test_a_detail_that_cannot_be_read_is_passed_on(original: Original, value: bytes) -> None:
    """The engine's error must not be lost because of it."""
    held: Value = {"type_url": SOURCE_DETAIL, "value": value}
    assert original.details([held]) == [held]
    assert original.details([{"type_url": SOURCE_DETAIL}]) == [{"type_url": SOURCE_DETAIL}]


def test_an_error_of_our_own(original: Original) -> None:
    held = original.error_at(2, 3)
    assert held["type_url"] == SOURCE_DETAIL
    value = json.loads(held["value"])
    assert b64decode(value["info"]["data"]) == USER
    assert value["info"]["filename"] == "sub/Dockerfile"
    assert value["ranges"] == [{"start": {"line": 2}, "end": {"line": 3}}]


# Metadata.


def test_metadata_without_names_stays_as_it_is(original: Original) -> None:
    """Byte for byte: the digest of a config is its name."""
    metadata = {
        "containerimage.config": b'{ "history" : [ {"created_by": "RUN x"} ] }\n',
        "result.json": b"\xff\xfe",
        "empty": b"",
    }
    assert original.metadata(metadata) == metadata


def test_the_history_of_a_config(original: Original) -> None:
    history: list[Value] = [
        {
            "created_by": "RUN differ-placeholder differ-placeholder-0 # buildkit",
            "comment": "buildkit.dockerfile.v0",
        },
        {"created_by": "COPY --from=differ-placeholder-1 / / # buildkit", "empty_layer": True, "n": 1.5},
        {"created_by": "CMD é", "created": None},
    ]
    config = {"architecture": "amd64", "history": history, "rootfs": {"diff_ids": ["sha256:x"]}}
    (held,) = original.metadata({"containerimage.config": json.dumps(config).encode()}).values()
    history[0]["created_by"] = "a..b # differ"
    history[1]["created_by"] = "COPY --from=b..c / / # buildkit"
    assert json.loads(held) == config
    assert [*json.loads(held)] == [*config]


@pytest.mark.parametrize("version", [SAME, LONGER])
def test_the_answer_of_a_subrequest(original: Original, version: bytes) -> None:
    """A list of targets or an outline comes with its files."""
    answer = {"sources": [text_of(version)], "targets": [{"name": "c", "base": "differ-placeholder-0"}]}
    told = "TARGET  BASE\nc       differ-placeholder-0\n"
    out = original.metadata(
        {"result.json": json.dumps(answer).encode(), "result.txt": told.encode(), "version": b"1.0.0"}
    )
    assert json.loads(out["result.json"]) == {
        "sources": [text_of(USER)],
        "targets": [{"name": "c", "base": "a..b"}],
    }
    assert out["result.txt"] == b"TARGET  BASE\nc       a..b\n"
    assert out["version"] == b"1.0.0"


def test_a_text_that_is_not_utf_8_keeps_its_bytes(original: Original) -> None:
    out = original.metadata({"result.txt": b"\xffdiffer-placeholder-0\xfe"})
    assert out == {"result.txt": b"\xffa..b\xfe"}


@pytest.mark.parametrize("first_is_longer", [False, True])
def test_a_version_that_begins_like_another(first_is_longer: bool) -> None:
    """The one that asks for sides is another with a stage at its end."""
    short = b"FROM differ-placeholder-0"
    short += b" " * (-len(short) % 3)  # so that the text of the one is the beginning of that of the other
    versions = [short, short + b"\nFROM scratch AS differ-placeholder-sides0\n"]
    original = Original("Dockerfile", USER)
    for version in reversed(versions) if first_is_longer else versions:
        original.version(version, [1, 2])
    for version in versions:
        (held,) = original.metadata(
            {"result.json": json.dumps({"sources": [text_of(version)]}).encode()}
        ).values()
        assert json.loads(held) == {"sources": [text_of(USER)]}


# What can be said at all.


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        ("dockerfile parse error line 5: unknown", "dockerfile parse error line 3: unknown"),
        ("x: dockerfile parse error on line 2: a", "x: dockerfile parse error on line 2: a"),
        ("dockerfile parse error line 4: a line 4", "dockerfile parse error line 2: a line 4"),
        ("dockerfile parse error line 99: a", "dockerfile parse error line 99: a"),
        ("line 5 of the log", "line 5 of the log"),
    ],
)
def test_the_line_of_an_error_is_counted_back(original: Original, message: str, counted: str) -> None:
    assert original.counted_back(message, LINES) == counted


def test_a_detail_has_a_place_if_it_shows_lines(original: Original) -> None:
    assert has_place(original.error_at(2, 3))
    without = {"type_url": SOURCE_DETAIL, "value": json.dumps({"info": {"filename": "f"}}).encode()}
    for detail in (without, {}, {**without, "value": b"{"}, {**without, "value": b"[]"}, {"type_url": "x"}):
        assert not has_place(detail)


def test_bytes_that_are_no_text_cannot_make_a_message_unreadable(original: Original) -> None:
    text = b"FROM caf\xe9..b".decode("utf-8", "surrogateescape")
    original.name("differ-placeholder-9", text)
    assert original.text("differ-placeholder-9") == "FROM caf�..b" == printable(text)
    assert BuildError(text, []).message == "FROM caf�..b"
    assert printable("é..b") == "é..b"
