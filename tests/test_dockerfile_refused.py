"""Dockerfiles that are read otherwise than BuildKit reads them, or of which something else would be made."""

from __future__ import annotations

import pytest

from differ.frontend.plain import STYLES, rewrite
from differ.frontend.stages import Edit, apply_edits
from differ.frontend.syntax import DockerfileError, scan, split
from differ.frontend.words import WordError, expand


def written(text: str, style: str) -> str:
    return rewrite(scan(text), style=style, drop_link=False, image="differ")[0]


# What the rewriter refuses, because it would write something else than what was meant: first and last line.
REFUSED: dict[str, tuple[str, int, int, str]] = {
    "a default that holds both": ("ARG X\nFROM ${X:-a..b} \\\n  AS c\n", 2, 3, "two sides in FROM itself"),
    "an argument of an argument": ("ARG P=a..b\nARG Q=$P\nFROM x\nFROM $Q\n", 4, 4, "not in the argument"),
    "an argument that makes three": ("ARG P=a..b\nFROM ${P}..c\n", 2, 2, "not in the argument"),
    "two stages of one name": (
        "FROM x AS a\nFROM a..y \\\n  AS \\\n  d\nFROM z AS a\n",
        2,
        4,
        "two stages are called a",
    ),
    "no empty stage": ("FROM x AS scratch\nFROM a..b\n", 2, 2, "a stage is called scratch"),
    "no name of an image": ('FROM x\nCOPY --from="a b..c" / /\n', 2, 2, "a b is neither a stage nor"),
    "capitals": ("FROM x\nCOPY --from=x..UP / /\n", 2, 2, "UP is neither a stage nor"),
    "two tags": ("FROM x\nCOPY --from=x..a:b:c / /\n", 2, 2, "a:b:c is neither a stage nor"),
    "a short digest": ("FROM x\nCOPY --from=x..a@sha256:12 / /\n", 2, 2, "a@sha256:12 is neither"),
    "a comma": ("FROM x\nCOPY --from=a,ro..c / /\n", 2, 2, "a,ro is neither a stage nor"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("style", STYLES)
def test_what_cannot_be_written_is_refused(name: str, style: str) -> None:
    text, line, last, words = REFUSED[name]
    with pytest.raises(DockerfileError) as caught:
        written(text, style)
    assert (caught.value.line, caught.value.last) == (line, last)
    assert words in caught.value.message
    assert str(caught.value) == f"line {line}: {caught.value.message}"


def test_quotes_of_from() -> None:
    assert written('FROM "a..b" AS c\n', "copy").startswith('# "a..b"\nFROM differ AS a-diff-b-run\n')
    lines = written('FROM "${A}..b"\n', "copy").splitlines()
    assert lines[1] == "FROM ${A} AS a-diff-b-lower"
    assert "COPY --from=b / /upper/" in lines


def test_a_byte_order_mark_stays_in_front() -> None:
    text = written("\ufeffFROM a..b\n", "copy")
    assert text.startswith("\ufeff# a..b\nFROM ")
    assert text.count("\ufeff") == 1


def test_a_file_without_from_is_left_to_the_builder() -> None:
    text = "COPY --from=a..b / /\n"
    assert written(text, "copy") == text


@pytest.mark.parametrize(
    ("text", "escape"),
    [
        ("# check=skip=all\n# escape=`\nFROM a\n", "`"),
        ("  # escape=`\nFROM a\n", "`"),
        # What the parser does not know ends the directives, and so does a first line for a shell.
        ("# key=value\n# escape=`\nFROM a\n", "\\"),
        ("#!/usr/bin/env x\n# escape=`\nFROM a\n", "\\"),
        ("// escape=`\nFROM a\n", "\\"),
    ],
)
def test_the_escape_character(text: str, escape: str) -> None:
    assert scan(text).escape == escape


@pytest.mark.parametrize(
    "text", ["# syntax=one\nFROM a\n", "#!/x\n# Syntax = one\nFROM a\n", "//syntax=one\n"]
)
def test_the_syntax(text: str) -> None:
    span = scan(text).syntax
    assert span is not None
    assert text[slice(*span)] == "one"


@pytest.mark.parametrize("text", ["../x", "./a..b", "a/../b", "../../x"])
def test_a_path_is_no_stage(text: str) -> None:
    with pytest.raises(ValueError, match="a path is no stage"):
        split(text)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ('FROM x\nCOPY --"from=a..b" / /\n', ["x", "a..b"]),
        ('FROM x\nCOPY --from="a".."b" / /\n', ["x", "a..b"]),
        ("FROM a..b \\\r\r\n AS c\n", ["a..b"]),
        # Heredocs know the backslash, whatever the file's escape character is: this is none.
        ("# escape=`\nFROM x\nRUN dir C:\\ <<EOF\nFROM c..d\n", ["x", "c..d"]),
    ],
)
def test_lines(text: str, texts: list[str]) -> None:
    found = scan(text)
    assert [item.text for item in found.references] == texts
    edits = [Edit(item.start, item.end, f"n{number}") for number, item in enumerate(found.references)]
    again = scan(apply_edits(text, edits, found.escape))
    assert [item.text for item in again.references] == [f"n{number}" for number in range(len(edits))]


@pytest.mark.parametrize(
    ("word", "result"),
    [(r"${A#\*}", "b"), (r"${B##\*}", "ab"), (r"${C/\//-}", "a-b"), (r"${D%\}}", "a"), ("${B/?/x}", "xb")],
)
def test_patterns_with_escapes(word: str, result: str) -> None:
    assert expand(word, {"A": "*b", "B": "ab", "C": "a/b", "D": "a}"}, "\\") == result


@pytest.mark.parametrize(
    ("word", "why"),
    [("${A/x}", "slash"), (r"${A#\x}", "pattern"), ("${A:-" * 3000 + "}" * 3000, "too many braces")],
)
def test_words_that_are_refused(word: str, why: str) -> None:
    with pytest.raises(WordError, match=why):
        expand(word, {"A": "y"} if len(word) < 99 else {}, "\\")


@pytest.mark.parametrize(
    "name",
    [
        *("a", "a:1", "a.b_c-d__e", "a/b/c:T_1.x-y", "host.example:5000/a/b", "localhost/a", "[::1]:5000/a"),
        f"a@sha256:{'0' * 64}",
        f"h:1/a:1@sha256:{'f' * 64}",
    ],
)
def test_names_of_images(name: str) -> None:
    assert f"COPY --from={name} / /upper/" in written(f"FROM x\nCOPY --from=x..{name} / /\n", "copy")
