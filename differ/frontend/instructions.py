"""The instructions of a Dockerfile as its parser sees them (frontend/dockerfile/parser of BuildKit): on one line,
without comments, continuations and the bodies of heredocs; and where each character came from.
"""

from __future__ import annotations

import re

from .words import closed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)$")
_WORD = r"""(?:[^\s"'{0}]|{0}.|"(?:[^"{0}]|{0}.)*"|'[^']*'|["'{0}])+"""
_SPACES = "\t\v\f\r "
_WITH_HEREDOCS = ("RUN", "COPY", "ADD")


class Line:
    """An instruction on one line.

    ``places``: where each of its characters is in the text.
    ``lines``: the first and the last of the file's, from 1.
    ``goes_on``: whether the file ends before it does.
    """

    __slots__ = ("goes_on", "lines", "places", "text")

    def __init__(
        self, text: str, places: list[int], lines: tuple[int, int], *, goes_on: bool = False
    ) -> None:
        self.text = text
        self.places = places
        self.lines = lines
        self.goes_on = goes_on

    def after(self, count: int) -> Line:
        """Less what comes first."""
        return Line(self.text[count:], self.places[count:], self.lines)


def word_pattern(escape: str) -> re.Pattern[str]:
    """Finds words, in which blanks may be quoted.

    ``escape``: the file's escape character.
    """
    return re.compile(_WORD.format(re.escape(escape)), re.DOTALL)


def physical(text: str) -> list[tuple[int, str]]:
    """Lines with the offset of each, without their ends."""
    lines = []
    start = 1 if text.startswith("\ufeff") else 0
    for line in text[start:].split("\n"):
        lines.append((start, line.rstrip("\r")))
        start += len(line) + 1
    return lines


def instructions(source: str, escape: str) -> Iterator[Line]:
    """The instructions of a file.

    ``escape``: its escape character.
    """
    quoted = re.escape(escape)
    goes_on = re.compile(rf"(?:^|[^{quoted}])({quoted}[ \t]*)$")
    # Heredocs know one escape character, whatever the file's is.
    word = word_pattern("\\")
    lines = physical(source)
    at = 0
    while at < len(lines):
        first = at
        text, places = "", list[int]()
        more = True
        while more and at < len(lines):
            start, line = lines[at]
            begins = at == first
            at += 1
            if begins:
                stripped = line.lstrip()
                start, line = start + len(line) - len(stripped), stripped
            # A comment or an empty line does not end an instruction that goes on.
            if line.lstrip().startswith("#") or not (begins or line.strip()):
                more = not begins
                continue
            match = goes_on.search(line)
            more = match is not None
            line = line[: match.start(1)] if match else line
            text += line
            places += range(start, start + len(line))
        if not text.strip():
            continue
        yield Line(text, places, (first + 1, at), goes_on=more)
        for name, tabs in _heredocs(text, word):
            while at < len(lines):
                line = lines[at][1]
                at += 1
                if (line.lstrip("\t") if tabs else line) == name:
                    break


def _heredocs(text: str, word: re.Pattern[str]) -> list[tuple[str, bool]]:
    """The names of the heredocs that begin in an instruction, and whether tabs before the end are dropped."""
    first, *rest = text.split(None, 1)
    if first.upper() == "ONBUILD" and rest:
        return _heredocs(rest[0], word)
    if first.upper() not in _WITH_HEREDOCS or "<<" not in text or not rest:
        return []
    if not closed(rest[0]):
        return []  # what cannot be split into words has none
    found = []
    for match in word.finditer(rest[0]):
        heredoc = _HEREDOC.match(match[0])
        if heredoc:
            name = re.sub(r"""["'\\]""", "", heredoc[2])
            found.append((name, heredoc[1] == "-"))
    return found


class Flag:
    """A flag of an instruction.

    ``name``, ``value``: without quotes and escapes.
    ``start``, ``end``: the whole flag, in the instruction.
    """

    __slots__ = ("_chars", "_line", "_quotes", "end", "name", "start", "value")

    def __init__(self, line: Line, start: int, end: int, chars: list[int], quotes: list[str]) -> None:
        word = "".join([line.text[char] for char in chars])
        self.name, equals, self.value = word.partition("=")
        before = len(self.name) + len(equals)
        self._line, self._chars, self._quotes = line, chars[before:], quotes[before:]
        self.start, self.end = start, end

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where a part of the value is in the text; None if a quote begins or ends in it, which another text
        in its place would leave open."""
        if self._quotes[start] != self._quotes[end - 1]:
            return None
        places = self._line.places
        return places[self._chars[start]], places[self._chars[end - 1]] + 1


def flags_of(line: Line) -> tuple[list[Flag], Line]:
    """The flags at the beginning of what follows an instruction's name, and the rest."""
    flags: list[Flag] = []
    text = line.text
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return flags, line.after(at)
        start, chars, quotes, quote = at, list[int](), list[str](), ""
        while at < len(text) and (quote or not text[at].isspace()):
            char = text[at]
            if char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            else:
                if char == "\\" and at + 1 < len(text):
                    at += 1
                chars.append(at)
                quotes.append(quote)
            at += 1
        if [text[char] for char in chars] == ["-", "-"]:
            return flags, line.after(at)
        flags.append(Flag(line, start, at, chars, quotes))


def named(line: Line) -> tuple[str, Line]:
    """An instruction's name in capitals, and what follows it."""
    text = line.text.lstrip()
    lead = len(line.text) - len(text)
    name = re.match(rf"[^{_SPACES}]*", text)
    end = name.end() if name else 0
    return text[:end].upper(), line.after(lead + end)
