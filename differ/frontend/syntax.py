"""Where a Dockerfile names stages.

The rules are those of BuildKit (frontend/dockerfile/instructions).  What is wrong with a file otherwise is the
engine's to say: nothing but ``..`` in the wrong place is an error here.
"""

from __future__ import annotations

import re

from .instructions import flags_of, instructions, named, physical, word_pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .instructions import Line

_DIRECTIVE = re.compile(r"\s*(#|//)\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")


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
    ``name_at``: the offset where a name can be put.
    ``position``: the offset of its first line.
    """

    __slots__ = ("index", "name", "name_at", "position")

    def __init__(self, index: int, name: str, name_at: int, position: int) -> None:
        self.index = index
        self.name = name
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
    ``end``: where the last whole instruction ends: the file's end, unless there is one that goes on beyond it.
    """

    __slots__ = ("arguments", "end", "escape", "links", "references", "stages", "syntax", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.escape = "\\"
        self.end = len(text)
        self.stages: list[Stage] = []
        self.references: list[Reference] = []
        self.arguments: list[Argument] = []
        self.links: list[Link] = []
        self.syntax: tuple[int, int] | None = None


def split(text: str) -> tuple[str, str] | None:
    """The two sides of ``a..b``; None if there is no ``..``.

    Raises ValueError with what to write if there is more or less than two sides.
    """
    if ".." not in text:
        return None
    sides = re.split(r"\.\.", text)
    if text != ".." and {".", ".."} & {*text.split("/")}:
        raise ValueError(f"{text}: a path is no stage; write two names with two dots between them")
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
    for line in instructions(text, found.escape):
        scanner.take(line)
        if line.goes_on:
            found.end = text.rfind("\n", 0, line.places[0]) + 1
    return found


def _directives(found: Dockerfile) -> None:
    """Who looks for the syntax passes over a first line ``#!`` and knows ``//``; the parser, which looks for
    the escape character, does neither, and passes over blanks."""
    shebang = False
    for number, (start, line) in enumerate(physical(found.text)):
        if number == 0 and line.startswith("#!"):
            shebang = True
            continue
        match = _DIRECTIVE.match(line)
        if match is None or match[2].lower() not in _DIRECTIVES:
            break
        name = match[2].lower()
        if name == "escape" and match[3] in ("\\", "`") and match[1] == "#" and not shebang:
            found.escape = match[3]
        elif name == "syntax" and not line[:1].isspace() and found.syntax is None:
            found.syntax = (start + match.start(3), start + match.end(3))


class _Scanner:
    """Takes instructions in their order."""

    def __init__(self, found: Dockerfile) -> None:
        self._found = found

    def take(self, line: Line) -> None:
        """Take one."""
        instruction, rest = named(line)
        if instruction == "FROM":
            self._from(rest, line)
        elif instruction == "ARG" and not self._found.stages:
            self._arguments(rest)
        elif instruction in ("COPY", "ADD", "RUN"):
            for reference in self._flagged(instruction, rest):
                self._check(reference)
                self._found.references.append(reference)
        elif instruction == "ONBUILD":
            inner, rest = named(rest)
            for reference in self._flagged(inner, rest, links=False):
                if ".." in reference.text:
                    raise DockerfileError(
                        *line.lines,
                        f"ONBUILD {inner} with {reference.text}: the trigger runs in another build, which does not"
                        f" know these names; write FROM {reference.text} AS changes and use that stage",
                    )

    def _from(self, rest: Line, line: Line) -> None:
        flags, rest = flags_of(rest)
        platform = next((flag.value for flag in flags if flag.name == "--platform"), "")
        words = [match.span() for match in re.finditer(r"\S+", rest.text)]
        index = len(self._found.stages)
        name, name_at = "", 0
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
        self._found.stages.append(Stage(index, name, name_at, position))

    def _arguments(self, rest: Line) -> None:
        for match in word_pattern(self._found.escape).finditer(rest.text):
            name, equals, default = match[0].partition("=")
            self._found.arguments.append(Argument(name, default if equals else None))

    def _flagged(self, instruction: str, rest: Line, *, links: bool = True) -> list[Reference]:
        """The references in the flags of an instruction."""
        stage = max(len(self._found.stages) - 1, 0)
        found = []
        for flag in flags_of(rest)[0]:
            if instruction == "RUN" and flag.name == "--mount":
                named_in = _from_fields(flag.value)
            elif instruction == "COPY" and flag.name == "--from":
                named_in = [(0, len(flag.value))]
            else:
                named_in = []
            for start, end in named_in:
                if end == start:
                    continue
                text = flag.value[start:end]
                span = flag.span(start, end)
                if span is not None:
                    found.append(Reference(instruction, stage, rest.lines, span, text))
                elif ".." in text:
                    raise DockerfileError(*rest.lines, f"{text}: write it without a quote inside")
            if instruction in ("COPY", "ADD") and flag.name == "--link" and links:
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
