"""Where a Dockerfile names stages.

What is read is what the parser of BuildKit reads (frontend/dockerfile/parser, frontend/dockerfile/instructions):
directives, continuations and heredocs, instructions and their flags.  What is wrong with a file otherwise is
the engine's to say: nothing but ``..`` in the wrong place is an error here.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTIVE = re.compile(r"(?:#|//)\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)$")
_WORD = r"""(?:[^\s"'{0}]|{0}.|"(?:[^"{0}]|{0}.)*"|'[^']*'|["'{0}])+"""
_SPACES = "\t\v\f\r "
_WITH_HEREDOCS = ("RUN", "COPY", "ADD")


class DockerfileError(Exception):
    """A Dockerfile that cannot be built.

    ``line``, ``last``: of the instruction, counted from 1.
    ``message``: what is wrong and what to write.
    """

    def __init__(self, line: int, last: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.last = last
        self.message = message


class Reference:
    """A place that names a stage.

    ``instruction``: FROM, COPY or RUN.
    ``stage``: the number of the stage that it stands in; FROM's is the one that it begins.
    ``line``, ``last``: of the instruction, counted from 1.
    ``start``, ``end``: offsets in the text of what is to be replaced.
    ``text``: without quotes, escapes and continuations; FROM's is not expanded yet.
    ``platform``: FROM's, as it is written.
    """

    __slots__ = ("end", "instruction", "last", "line", "platform", "stage", "start", "text")

    def __init__(
        self,
        instruction: str,
        stage: int,
        lines: tuple[int, int],
        span: tuple[int, int],
        text: str,
        platform: str = "",
    ) -> None:
        self.instruction = instruction
        self.stage = stage
        self.line, self.last = lines
        self.start, self.end = span
        self.text = text
        self.platform = platform


class Stage:
    """A stage.

    ``index``: its number.
    ``name``: in lower case; empty if it has none.
    ``line``, ``last``: of its FROM.
    ``base``: what it is built from; None if the FROM has another form than the one that there is.
    ``name_at``: the offset where a name can be put.
    ``position``: the offset of its first line.
    """

    __slots__ = ("base", "index", "last", "line", "name", "name_at", "position")

    def __init__(
        self,
        index: int,
        name: str,
        lines: tuple[int, int],
        base: Reference | None,
        name_at: int,
        position: int,
    ) -> None:
        self.index = index
        self.name = name
        self.line, self.last = lines
        self.base = base
        self.name_at = name_at
        self.position = position


class Link:
    """A ``--link`` of COPY or ADD; ``start`` and ``end`` span it with the blank after it."""

    __slots__ = ("end", "line", "start")

    def __init__(self, line: int, start: int, end: int) -> None:
        self.line = line
        self.start = start
        self.end = end


class Argument:
    """An ARG before the first FROM; ``default`` is as written, None if there is none."""

    __slots__ = ("default", "name")

    def __init__(self, name: str, default: str | None) -> None:
        self.name = name
        self.default = default


class Dockerfile:
    """What :func:`scan` finds.

    ``syntax``: the span of the value of ``# syntax=``; None if there is none.
    """

    __slots__ = ("arguments", "escape", "links", "references", "stages", "syntax", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.escape = "\\"
        self.stages: list[Stage] = []
        self.references: list[Reference] = []
        self.arguments: list[Argument] = []
        self.links: list[Link] = []
        self.syntax: tuple[int, int] | None = None


class _Line:
    """An instruction on one line, and where each of its characters is in the text."""

    __slots__ = ("lines", "places", "text")

    def __init__(self, text: str, places: list[int], lines: tuple[int, int]) -> None:
        self.text = text
        self.places = places
        self.lines = lines

    def after(self, count: int) -> _Line:
        """Less what comes first."""
        return _Line(self.text[count:], self.places[count:], self.lines)


def split(text: str) -> tuple[str, str] | None:
    """The two sides of ``a..b``; None if there is no ``..``.

    Raises ValueError with what to write if there is more or less than two sides.
    """
    if ".." not in text:
        return None
    sides = re.split(r"\.\.", text)
    if "..." in text:
        raise ValueError(f"{text}: write two dots and a name on either side, as in a..b")
    if len(sides) > 2:
        first, second, third = sides[:3]
        raise ValueError(
            f"{text}: a difference has two sides; for more give the first a name,"
            f" FROM {first}..{second} AS changes, and write changes..{third}"
        )
    for side, which, whole in zip(sides, ("before", "after"), (f"scratch{text}", f"{text}scratch")):
        if not side:
            raise ValueError(
                f"{text}: there is no name {which} the two dots; the empty one is scratch: {whole}"
            )
        if "/" in side and side.startswith(("/", ".")):
            raise ValueError(f"{text}: a path is no stage; write two names with two dots between them")
    return sides[0], sides[1]


def scan(text: str) -> Dockerfile:
    """Find the places; raises :class:`DockerfileError`."""
    found = Dockerfile(text)
    _directives(found)
    scanner = _Scanner(found)
    for line in _instructions(found):
        scanner.take(line)
    return found


def _physical(text: str) -> list[tuple[int, str]]:
    """Lines with the offset of each, without their ends."""
    lines = []
    start = 1 if text.startswith("\ufeff") else 0
    for line in text[start:].split("\n"):
        lines.append((start, line.removesuffix("\r")))
        start += len(line) + 1
    return lines


def _directives(found: Dockerfile) -> None:
    for number, (start, line) in enumerate(_physical(found.text)):
        if number == 0 and line.startswith("#!"):
            continue
        match = _DIRECTIVE.match(line)
        if match is None:
            break
        name = match[1].lower()
        if name == "escape" and match[2] in ("\\", "`"):
            found.escape = match[2]
        elif name == "syntax":
            found.syntax = (start + match.start(2), start + match.end(2))


def _instructions(found: Dockerfile) -> Iterator[_Line]:
    """Instructions, without comments, continuations and the bodies of heredocs."""
    escape = re.escape(found.escape)
    goes_on = re.compile(rf"(?:^|[^{escape}])({escape}[ \t]*)$")
    word = re.compile(_WORD.format(escape), re.DOTALL)
    lines = _physical(found.text)
    at = 0
    while at < len(lines):
        first = at
        text, places = "", list[int]()
        more = True
        while more and at < len(lines):
            start, line = lines[at]
            at += 1
            if at - 1 == first:
                stripped = line.lstrip()
                start, line = start + len(line) - len(stripped), stripped
            if line.lstrip().startswith("#") or (at - 1 > first and not line.strip()):
                more = at - 1 > first
                continue
            match = goes_on.search(line)
            more = match is not None
            if match:
                line = line[: match.start(1)]
            text += line
            places += range(start, start + len(line))
        if not text.strip():
            continue
        held = _Line(text, places, (first + 1, at))
        yield held
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
    found = []
    for match in word.finditer(rest[0]):
        heredoc = _HEREDOC.match(match[0])
        if heredoc:
            name = re.sub(r"""["'\\]""", "", heredoc[2])
            found.append((name, heredoc[1] == "-"))
    return found


class _Flag:
    """A flag: its value, where each character of it is, and the span of the whole in the line."""

    __slots__ = ("end", "name", "places", "raw", "start", "value")

    def __init__(self, line: _Line, start: int, end: int, chars: list[int]) -> None:
        word = "".join([line.text[char] for char in chars])
        self.name, equals, self.value = word.partition("=")
        held = chars[len(self.name) + len(equals) :]
        self.places = [line.places[char] for char in held]
        # With the quotes around it.
        self.raw = (line.places[held[0]], line.places[end - 1] + 1) if held else (0, 0)
        if held and line.text[held[0] - 1] in "\"'" and line.text[held[0] - 2] == "=":
            self.raw = (line.places[held[0] - 1], self.raw[1])
        self.start, self.end = start, end


def _flags(line: _Line) -> tuple[list[_Flag], _Line]:
    """The flags at the beginning of what follows an instruction's name, and the rest."""
    flags: list[_Flag] = []
    text = line.text
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return flags, line.after(at)
        start, chars, quote = at, list[int](), ""
        while at < len(text) and (quote or not text[at].isspace()):
            char = text[at]
            if char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            elif char == "\\" and at + 1 < len(text):
                at += 1
                chars.append(at)
            else:
                chars.append(at)
            at += 1
        if [text[char] for char in chars] == ["-", "-"]:
            return flags, line.after(at)
        flags.append(_Flag(line, start, at, chars))


class _Scanner:
    """Takes instructions in their order."""

    def __init__(self, found: Dockerfile) -> None:
        self._found = found

    def take(self, line: _Line) -> None:
        """Take one."""
        instruction, rest = _named(line)
        if instruction == "FROM":
            self._from(rest, line)
        elif instruction == "ARG" and not self._found.stages:
            self._arguments(rest)
        elif instruction in ("COPY", "ADD", "RUN"):
            for reference in self._flagged(instruction, rest):
                self._check(reference)
                self._found.references.append(reference)
        elif instruction == "ONBUILD":
            inner, rest = _named(rest)
            for reference in self._flagged(inner, rest, links=False):
                if ".." in reference.text:
                    raise DockerfileError(
                        *line.lines,
                        f"ONBUILD {inner} with {reference.text}: the trigger runs in another build, which does not"
                        f" know these names; write FROM {reference.text} AS changes and use that stage",
                    )

    def _from(self, rest: _Line, line: _Line) -> None:
        flags, rest = _flags(rest)
        platform = next((flag.value for flag in flags if flag.name == "--platform"), "")
        words = [match.span() for match in re.finditer(r"\S+", rest.text)]
        index = len(self._found.stages)
        base, name, name_at = None, "", 0
        position = self._found.text.rfind("\n", 0, line.places[0]) + 1
        if len(words) == 1 or (len(words) == 3 and rest.text[slice(*words[1])].upper() == "AS"):
            start, end = words[0]
            span = (rest.places[start], rest.places[end - 1] + 1)
            text = rest.text[start:end]
            base = Reference("FROM", index, line.lines, span, text, platform)
            name_at = span[1]
            if len(words) == 3:
                name = rest.text[slice(*words[2])].lower()
            if ".." in name:
                raise DockerfileError(
                    *line.lines, f"AS {name}: .. stands between two stages and not in a name"
                )
            if "$" not in text:
                self._check(base)
            self._found.references.append(base)
        self._found.stages.append(Stage(index, name, line.lines, base, name_at, position))

    def _arguments(self, rest: _Line) -> None:
        for match in re.finditer(_WORD.format(re.escape(self._found.escape)), rest.text, re.DOTALL):
            name, equals, default = match[0].partition("=")
            self._found.arguments.append(Argument(name, default if equals else None))

    def _flagged(self, instruction: str, rest: _Line, *, links: bool = True) -> list[Reference]:
        """The references in the flags of an instruction."""
        stage = max(len(self._found.stages) - 1, 0)
        found = []
        for flag in _flags(rest)[0]:
            if instruction == "RUN" and flag.name == "--mount":
                for start, end in _from_fields(flag.value):
                    if end > start:
                        span = (flag.places[start], flag.places[end - 1] + 1)
                        found.append(Reference("RUN", stage, rest.lines, span, flag.value[start:end]))
            elif instruction == "COPY" and flag.name == "--from" and flag.value:
                found.append(Reference("COPY", stage, rest.lines, flag.raw, flag.value))
            elif instruction in ("COPY", "ADD") and flag.name == "--link" and links:
                after = (
                    rest.places[flag.end] + 1
                    if flag.end < len(rest.places)
                    else rest.places[flag.end - 1] + 1
                )
                line = self._found.text.count("\n", 0, rest.places[flag.start]) + 1
                self._found.links.append(Link(line, rest.places[flag.start], after))
        return found

    def _check(self, reference: Reference) -> None:
        if ".." not in reference.text:
            return
        lines = (reference.line, reference.last)
        if "$" in reference.text:
            raise DockerfileError(
                *lines,
                f"{reference.text}: arguments are expanded in FROM only;"
                f" write FROM {reference.text} AS changes before this stage and use that stage",
            )
        try:
            split(reference.text.strip("\"'") if reference.instruction == "FROM" else reference.text)
        except ValueError as error:
            raise DockerfileError(*lines, str(error)) from None


def _named(line: _Line) -> tuple[str, _Line]:
    """An instruction's name in capitals, and what follows it."""
    text = line.text.lstrip()
    lead = len(line.text) - len(text)
    name = re.match(rf"[^{_SPACES}]*", text)
    end = name.end() if name else 0
    return text[:end].upper(), line.after(lead + end)


def _from_fields(value: str) -> list[tuple[int, int]]:
    """The spans of what ``from=`` names in the value of a mount, which is a line of CSV."""
    found = []
    at = 0
    while at <= len(value):
        quoted = value.startswith('"', at)
        start = at + quoted
        end = value.find('"', start) if quoted else value.find(",", start)
        end = len(value) if end < 0 else end
        key, equals, _ = value[start:end].partition("=")
        if equals and key.lower() == "from":
            found.append((start + len(key) + 1, end))
        comma = value.find(",", end)
        if comma < 0:
            break
        at = comma + 1
    return found
