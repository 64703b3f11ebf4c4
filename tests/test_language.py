"""Where a Dockerfile names stages: what the frontend and the rewriter see, and where ``..`` may not stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.frontend.stages import (
    Edit,
    apply_edits,
    differences,
    edited,
    global_variables,
    long_name,
    reachable,
)
from differ.frontend.syntax import DockerfileError, scan, split
from differ.frontend.words import WordError, expand

# Dockerfile, and each reference as INSTRUCTION@LINE text
REFERENCES: dict[str, tuple[str, list[str]]] = {
    "from": ("FROM a..b AS c\n", ["FROM@1 a..b"]),
    "no end of line": ("FROM a..b", ["FROM@1 a..b"]),
    "lower case": ("from a..b as c\ncopy --from=c..d / /\n", ["FROM@1 a..b", "COPY@2 c..d"]),
    "blanks": ("  FROM\t a..b \t AS  c  \n", ["FROM@1 a..b"]),
    "platform": ("FROM --platform=$BUILDPLATFORM a..b\n", ["FROM@1 a..b"]),
    "tags and digests": (
        "FROM r.io:5000/a/b:1.2@sha256:00..debian:12.1-slim\n",
        ["FROM@1 r.io:5000/a/b:1.2@sha256:00..debian:12.1-slim"],
    ),
    "names with dots": ("FROM a AS v1.2\nFROM v1.2..v1.3\n", ["FROM@1 a", "FROM@2 v1.2..v1.3"]),
    "a tag that goes on elsewhere": ("FROM debian:12..base\n", ["FROM@1 debian:12..base"]),
    "copy": ("FROM a\nCOPY --chown=1:1 --from=a..b --link / /\n", ["FROM@1 a", "COPY@2 a..b"]),
    "quoted": ("FROM a\nCOPY --from=\"a..b\" / /\nCOPY '--from=x..y' / /\n", ["FROM@1 a", "COPY@2 a..b"]),
    "after the flags": ("FROM a\nCOPY x --from=a..b /\nCOPY -- --from=a..b /\n", ["FROM@1 a"]),
    "add has none": ("FROM a\nADD --from=a..b / /\nADD ../x /\n", ["FROM@1 a"]),
    "mounts": (
        "FROM a\nRUN --mount=type=bind,from=a..b,target=/x --mount=target=/y,FROM=c..d,source=.. ls ..\n",
        ["FROM@1 a", "RUN@2 a..b", "RUN@2 c..d"],
    ),
    "csv": ('FROM a\nRUN --mount=type=bind,"from=a..b",target=/x ls\n', ["FROM@1 a", "RUN@2 a..b"]),
    "quoted csv": ('FROM a\nRUN --mount="from=a..b,target=/x" ls\n', ["FROM@1 a", "RUN@2 a..b"]),
    "no from": ("FROM a\nRUN --mount=type=bind,source=../from=x..y,target=/z ls\n", ["FROM@1 a"]),
    "continued": (
        "FROM a\nCOPY \\\n  # --from=x..y\n\n  --from=a..b \\\n  / /\n",
        ["FROM@1 a", "COPY@2 a..b"],
    ),
    "continued in the value": ("FROM a\nCOPY --from=a.\\\n.b / /\n", ["FROM@1 a", "COPY@2 a..b"]),
    "blanks after the continuation": ("FROM \\ \t\na..b\n", ["FROM@1 a..b"]),
    "escape": ("# escape=`\nFROM a\nCOPY `\n --from=a..b C:\\ /\n", ["FROM@2 a", "COPY@3 a..b"]),
    "no directive any more": ("# x\n# escape=`\nFROM a`\n..b\n", ["FROM@3 a`"]),
    "carriage returns": ("FROM a..b AS c\r\nCOPY \\\r\n --from=c..d / /\r\n", ["FROM@1 a..b", "COPY@2 c..d"]),
    "byte order mark": ("\ufeffFROM a..b\n", ["FROM@1 a..b"]),
    "comments": ("# FROM a..b\nFROM a\n  # COPY --from=a..b / /\n", ["FROM@2 a"]),
    "heredoc": (
        "FROM a\nRUN <<EOF\nCOPY --from=x..y / /\nFROM x..y\nEOF\nCOPY --from=a..b / /\n",
        ["FROM@1 a", "COPY@6 a..b"],
    ),
    "two heredocs": (
        "FROM a\nCOPY <<-'ONE' <<TWO /\n\tFROM x..y\n\tONE\nFROM x..y\nTWO\nFROM a..b\n",
        ["FROM@1 a", "FROM@7 a..b"],
    ),
    "a heredoc that does not end": ("FROM a\nRUN <<EOF\nFROM x..y\n", ["FROM@1 a"]),
    "not a heredoc": ('FROM a\nRUN ["x", "<<EOF"]\nENV a=<<EOF\nFROM a..b\n', ["FROM@1 a", "FROM@4 a..b"]),
    "trigger": ("FROM a\nONBUILD COPY --from=b / /\nONBUILD RUN <<E\nFROM x..y\nE\n", ["FROM@1 a"]),
    "no from at all": ("COPY --from=a..b / /\n", ["COPY@1 a..b"]),
    "empty": ("", []),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_references(name: str) -> None:
    text, expected = REFERENCES[name]
    found = scan(text).references
    assert [f"{item.instruction}@{item.line} {item.text}" for item in found] == expected


@pytest.mark.parametrize("name", REFERENCES)
def test_a_name_in_its_place_is_found_there_again(name: str) -> None:
    text, _ = REFERENCES[name]
    before = scan(text)
    edits = [Edit(item.start, item.end, f"name-{number}") for number, item in enumerate(before.references)]
    changed = apply_edits(text, edits, before.escape)
    assert changed.count("\n") == text.count("\n")
    after = scan(changed)
    told = [(item.instruction, item.line, item.last, item.stage) for item in before.references]
    assert [(item.instruction, item.line, item.last, item.stage) for item in after.references] == told
    assert [item.text for item in after.references] == [f"name-{number}" for number in range(len(edits))]


# Dockerfile, first and last line of the instruction, words of the message
ERRORS: dict[str, tuple[str, int, int, str]] = {
    "three": ("FROM a\n\nFROM x..y..z AS b\n", 3, 3, "FROM x..y AS changes"),
    "no lower": ("FROM ..b\n", 1, 1, "scratch..b"),
    "no upper": ("FROM a\nCOPY --from=a.. \\\n  / \\\n  /\n", 2, 4, "a..scratch"),
    "nothing": ("FROM a\nRUN --mount=from=..,target=/x ls\n", 2, 2, "two dots"),
    "three dots": ("FROM a...b\n", 1, 1, "two dots"),
    "path": ("FROM a\nRUN --mount=type=bind,from=../x,target=/x ls\n", 2, 2, "name"),
    "trigger": ("FROM a\nONBUILD COPY --from=a..b / /\n", 2, 2, "FROM a..b AS changes"),
    "trigger's mount": ("FROM a\nonbuild run --mount=from=a..b,target=/x ls\n", 2, 2, "another build"),
    "name": ("FROM a AS a..b\n", 1, 1, "not in a name"),
    "argument in copy": ("ARG A\nFROM a\nCOPY --from=${A}..b / /\n", 3, 3, "FROM ${A}..b AS changes"),
    "argument in mount": ("FROM a\nRUN --mount=from=$A..b,target=/x ls\n", 2, 2, "FROM $A..b AS changes"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    text, line, last, words = ERRORS[name]
    with pytest.raises(DockerfileError) as caught:
        scan(text)
    assert (caught.value.line, caught.value.last) == (line, last)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


WORDS_OF_A_FILE = (
    "FROM COPY RUN ONBUILD ARG AS --from= --mount= from= , << EOF \\ ` \" ' $ ${A} { # escape= a b:1 . / ="
)
PIECES = st.sampled_from([*WORDS_OF_A_FILE.split(), "\n", " ", "\t", "\r\n", "\udcff"])


@given(st.lists(PIECES | st.text(max_size=3)).map("".join).filter(lambda text: ".." not in text))
def test_a_file_without_two_dots_is_never_an_error(text: str) -> None:
    found = scan(text)
    for reference in found.references:
        assert 0 <= reference.start <= reference.end <= len(text)
    assert differences(found, None) == []


@given(st.lists(PIECES | st.just("..")).map("".join))
def test_what_is_found_lies_in_the_file(text: str) -> None:
    last = text.count("\n") + 1
    try:
        found = scan(text)
    except DockerfileError as error:
        lines = (error.line, error.last)
    else:
        lines = (1, last)
        for reference in found.references:
            assert 0 <= reference.start < reference.end <= len(text)
            assert 1 <= reference.line <= reference.last <= last
    assert 1 <= lines[0] <= lines[1] <= last


def test_split() -> None:
    assert split("a") is None
    assert split("a..b") == ("a", "b")
    assert split("scratch..scratch") == ("scratch", "scratch")


VARIABLES = {"A": "one", "EMPTY": "", "PATH": "x/y/z.tar.gz"}
WORDS = {
    "a$A": "aone",
    "${A}b": "oneb",
    "$Ab": "",
    "${A:-x}${NO:-x}${EMPTY:-x}${EMPTY-x}": "onexx",
    "${A:+x}${NO:+x}${EMPTY:+x}|${EMPTY+x}": "x|x",
    "${NO:-${A}..b}": "one..b",
    "'$A'\"$A\"": "$Aone",
    r"\$A": "$A",
    "${PATH#*/}": "y/z.tar.gz",
    "${PATH##*/}": "z.tar.gz",
    "${PATH%.*}": "x/y/z.tar",
    "${PATH%%.*}": "x/y/z",
    "${PATH/y/w}": "x/w/z.tar.gz",
    "${PATH//./-}": "x/y/z-tar-gz",
    "$": "$",
}


@pytest.mark.parametrize("word", WORDS)
def test_words(word: str) -> None:
    assert expand(word, VARIABLES, "\\") == WORDS[word]


@pytest.mark.parametrize(
    ("word", "why"), [("${A", "brace"), ("'a", "quote"), ("${NO:?gone}", "gone"), ("${}", "name")]
)
def test_words_that_are_none(word: str, why: str) -> None:
    with pytest.raises(WordError, match=why):
        expand(word, {}, "\\")


def test_global_variables() -> None:
    text = 'ARG A=1 B="${A} x"\nARG C\nARG TARGETARCH\nARG D=${C:-none}\nFROM x\nARG E=1\n'
    found = global_variables(scan(text), {"A": "2", "E": "3", "F": "4"}, {"TARGETARCH": "arm64", "X": "y"})
    assert found == {"A": "2", "B": "2 x", "D": "none", "TARGETARCH": "arm64", "X": "y"}


def sides(
    text: str, variables: dict[str, str] | None = None, contexts: frozenset[str] = frozenset()
) -> list[str]:
    """Each difference as ``lower..upper``, a stage by its number in brackets."""
    told = []
    for difference in differences(scan(text), {} if variables is None else variables, contexts):
        names = [
            f"[{side.stage}]" if side.stage is not None else f"<{side.name}>" if side.scratch else side.name
            for side in (difference.lower, difference.upper)
        ]
        told.append(f"{'..'.join(names)} x{len(difference.references)}")
    return told


STAGES = "FROM x AS one\nFROM x\nFROM x AS Two\n"


def test_what_the_sides_are() -> None:
    assert sides(f"{STAGES}FROM one..two AS three\n") == ["[0]..[2] x1"]
    assert sides(f"{STAGES}FROM x\nCOPY --from=ONE..1 / /\nCOPY --from=0..1 / /\n") == ["[0]..[1] x2"]
    assert sides(f"{STAGES}FROM scratch..one\n") == ["<scratch>..[0] x1"]
    # As for the engines, a stage of that name is found before.
    assert sides("FROM x AS scratch\nFROM scratch..y\n") == ["[0]..y x1"]
    assert sides(f"{STAGES}FROM one..two\n", contexts=frozenset({"two"})) == ["[0]..two x1"]


def test_from_knows_the_stages_before_it() -> None:
    assert sides("FROM debian..work AS debian\nFROM x AS work\n") == ["debian..work x1"]
    # The last one of a name before it.
    assert sides("FROM x AS a\nFROM y AS a\nFROM a..z\nFROM y AS a\n") == ["[1]..z x1"]


def test_arguments_may_hold_both_sides() -> None:
    assert sides("ARG P\nFROM ${P}\n", {"P": "a..b"}) == ["a..b x1"]
    assert sides("ARG P\nFROM ${P}\n", {"P": "a"}) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM x AS a\nCOPY --from=a..b / /\n", "stands in"),
        ("FROM x AS a\nFROM x\nCOPY --from=a..7 / /\n", "no stage 7"),
        ("FROM x AS a\nCOPY --from=b..a:1 / /\nFROM x AS b\n", "the stage b comes after"),
        ("FROM x AS a\nFROM x\nRUN --mount=from=a..2,target=/m ls\nFROM x\n", "the stage 2 comes after"),
        ("FROM x AS a\nFROM x AS b\nCOPY --from=a..c / /\nFROM a..b AS c\n", "the stage c comes after"),
        ("ARG A\nFROM ${A}..b\n", "scratch"),
        ("ARG A\nFROM ${A:?needed}..b\n", "needed"),
    ],
)
def test_sides_that_cannot_be(text: str, words: str) -> None:
    with pytest.raises(DockerfileError, match=words):
        sides(text)


def test_what_a_target_needs() -> None:
    text = """\
FROM x AS a
FROM a AS b
FROM x AS c
FROM a..c AS d
FROM x AS e
COPY --from=d / /
RUN --mount=from=b,target=/x ls
FROM x AS f
COPY --from=0..e / /
FROM ${BASE} AS g
"""
    found = scan(text)
    variables = {"BASE": "b"}
    held = differences(found, variables)

    def needs(target: str, *contexts: str) -> set[int]:
        return reachable(found, target, held, variables, {*contexts})

    assert needs("a") == {0}
    assert needs("b") == {0, 1}
    assert needs("D") == {0, 2, 3}
    assert needs("e") == {0, 1, 2, 3, 4}
    assert needs("f") == {0, 1, 2, 3, 4, 5}
    assert needs("") == {0, 1, 6}
    # A context takes a stage's place, and what that was made of is not needed.
    assert needs("e", "d") == {0, 1, 4}
    assert needs("f", "e") == {0, 5}
    assert needs("d", "d") == set()


def test_lines_that_are_put_in_count_as_those_that_they_stand_before() -> None:
    text, lines = edited("a\nb\nc\n", [Edit(2, 3, "B")], [(2, ["x", "y"]), (4, ["z"])])
    assert text == "a\nx\ny\nB\nz\nc\n"
    assert lines == [1, 2, 2, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("name", "long"),
    [
        ("a", "docker.io/library/a:latest"),
        ("a:1", "docker.io/library/a:1"),
        ("a/b", "docker.io/a/b:latest"),
        ("localhost/a", "localhost/a:latest"),
        ("r.io/a@sha256:0", "r.io/a@sha256:0"),
        ("h:5/a", "h:5/a:latest"),
    ],
)
def test_long_names(name: str, long: str) -> None:
    assert long_name(name) == long
