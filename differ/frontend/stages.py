"""What the names in a Dockerfile mean, and files that are made of it."""

from __future__ import annotations

import re

from .syntax import DockerfileError, split
from .words import WordError, expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from .syntax import Dockerfile, Reference


# The grammar of distribution/reference, but for what it says of the lengths of parts.
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::[0-9]+)?/)?{_PATH}(?:/{_PATH})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@[A-Za-z][A-Za-z0-9._+-]*:[0-9a-fA-F]{32,})?"
)


class Side:
    """One side of a difference.

    ``name``: as the user wrote it, expanded.
    ``stage``: the number of the stage that it is; None for an image or a named context.
    ``scratch``: whether it is the empty file system.
    """

    __slots__ = ("name", "scratch", "stage")

    def __init__(self, name: str, stage: int | None) -> None:
        self.name = name
        self.stage = stage
        self.scratch = stage is None and name == "scratch"


class Difference:
    """Two sides, and where they are named.

    ``text``: the user's.
    ``platform``: of FROM; empty if there is none.
    ``references``: all places that mean it.
    """

    __slots__ = ("lower", "platform", "references", "text", "upper")

    def __init__(self, text: str, lower: Side, upper: Side, platform: str, reference: Reference) -> None:
        self.text = text
        self.lower = lower
        self.upper = upper
        self.platform = platform
        self.references = [reference]

    @property
    def reference(self) -> Reference:
        """The first place."""
        return self.references[0]


def global_variables(
    dockerfile: Dockerfile, build_args: Mapping[str, str], predefined: Mapping[str, str]
) -> dict[str, str]:
    """What FROM may use.

    ``build_args``: the user's, for those that are declared and those that are ``predefined``.
    """
    known = {name: build_args.get(name, value) for name, value in predefined.items()}
    for argument in dockerfile.arguments:
        if argument.name in build_args:
            known[argument.name] = build_args[argument.name]
        elif argument.default is not None:
            try:
                known[argument.name] = expand(argument.default, known, dockerfile.escape)
            except WordError:
                continue  # the engine says so
    return known


def differences(
    dockerfile: Dockerfile, variables: Mapping[str, str] | None, contexts: AbstractSet[str] = frozenset()
) -> list[Difference]:
    """The differences that are named, each once; raises :class:`.syntax.DockerfileError`.

    ``variables``: what FROM may use; None to leave it as it is written.
    ``contexts``: the names of named contexts, in lower case.
    """
    found: dict[tuple[object, ...], Difference] = {}
    for reference in dockerfile.references:
        if not dockerfile.stages:
            break  # the engine says so
        lines = (reference.line, reference.last)
        text, platform = reference.text, reference.platform
        if reference.instruction == "FROM" and variables is not None:
            try:
                text = expand(text, variables, dockerfile.escape)
                platform = expand(reference.platform, variables, dockerfile.escape)
            except WordError as error:
                if ".." not in reference.text:
                    continue  # the engine says so
                raise DockerfileError(*lines, str(error)) from None
        try:
            if reference.instruction == "FROM" and variables is None and ".." in text:
                text = _unquoted(text, dockerfile.escape)
            sides = split(text)
        except ValueError as error:
            raise DockerfileError(*lines, str(error)) from None
        if sides is None:
            continue
        lower, upper = (_side(dockerfile, reference, name, contexts) for name in sides)
        key = (_meaning(lower), _meaning(upper), platform)
        if key in found:
            found[key].references.append(reference)
        else:
            found[key] = Difference(reference.text, lower, upper, platform, reference)
    return list(found.values())


def _unquoted(text: str, escape: str) -> str:
    """FROM's two sides as the builder will expand them; raises ValueError if they cannot be told apart."""
    if "$" not in text:
        try:
            return expand(text, {}, escape)
        except WordError as error:
            raise ValueError(str(error)) from None
    plain = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    braces = [part.count("{") - part.count("}") for part in plain.split("..")]
    if any(braces) or any(char in plain for char in "'\"") or escape in plain:
        raise ValueError(
            f"{text}: write the two sides in FROM itself, with two dots between them and no quotes"
        )
    return plain


def _meaning(side: Side) -> object:
    return side.name if side.stage is None else side.stage


def _side(dockerfile: Dockerfile, reference: Reference, name: str, contexts: AbstractSet[str]) -> Side:
    """What a name means where it stands."""
    # FROM knows the stages before it; a COPY or a RUN finds the later ones too, which it cannot have.
    known = dockerfile.stages[: reference.stage] if reference.instruction == "FROM" else dockerfile.stages
    lines = (reference.line, reference.last)
    if name.lower() in contexts:
        return Side(name, None)
    if name.isdecimal():
        index = int(name)
        if index >= len(known):
            raise DockerfileError(*lines, f"{reference.text}: there is no stage {name} before this line")
    else:
        named = [stage.index for stage in known if stage.name == name.lower()]
        if not named:
            return Side(name, None)
        index = named[-1]
    if index == reference.stage:
        raise DockerfileError(*lines, f"{reference.text}: {name} is the stage that this line stands in")
    if index > reference.stage:
        raise DockerfileError(
            *lines, f"{reference.text}: the stage {name} comes after this line; put it before"
        )
    return Side(name, index)


def own_name(dockerfile: Dockerfile, index: int, reference: Reference) -> str:
    """The name of a stage that is a side, empty if it has none; raises :class:`.syntax.DockerfileError` if it is
    another stage's too, which would be found in its place."""
    name = dockerfile.stages[index].name
    if name and any(stage.name == name for stage in dockerfile.stages[index + 1 :]):
        message = f"two stages are called {name}: give each a name of its own"
        raise DockerfileError(reference.line, reference.last, message)
    return name


def check_image(name: str, reference: Reference) -> None:
    """Raise :class:`.syntax.DockerfileError` for a side that cannot be an image: what else it holds would be read
    as a part of the instruction that it is put in."""
    if _IMAGE.fullmatch(name) is None:
        message = f"{name} is neither a stage nor the name of an image"
        raise DockerfileError(reference.line, reference.last, message)


def long_name(name: str) -> str:
    """An image reference with registry and tag, as the engine wants it in a graph."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


def reachable(
    dockerfile: Dockerfile,
    target: str,
    found: Iterable[Difference],
    variables: Mapping[str, str],
    contexts: AbstractSet[str] = frozenset(),
) -> set[int]:
    """The stages that a target needs.

    ``target``: a name; empty for the last stage.
    ``found``: the differences.
    ``variables``: what FROM may use.
    ``contexts``: the names of named contexts, in lower case, which take the places of stages.
    """
    stages = dockerfile.stages
    last = {stage.name: stage.index for stage in stages if stage.name}
    sides: dict[int, list[int]] = {}
    for difference in found:
        held = [side.stage for side in (difference.lower, difference.upper) if side.stage is not None]
        for reference in difference.references:
            sides[reference.start] = held
    needs: dict[int, list[int]] = {stage.index: [] for stage in stages}
    for reference in dockerfile.references:
        if reference.start in sides:
            needs[reference.stage] += sides[reference.start]
        elif reference.instruction == "FROM":
            try:
                base = expand(reference.text, variables, dockerfile.escape).lower()
            except WordError:
                continue  # the engine says so
            before = [stage.index for stage in stages[: reference.stage] if stage.name == base]
            needs[reference.stage] += before[-1:]
        elif reference.text.isdecimal() and int(reference.text) < len(stages):
            needs[reference.stage].append(int(reference.text))
        elif reference.text.lower() in last:
            needs[reference.stage].append(last[reference.text.lower()])
    todo = [last.get(target.lower(), len(stages) - 1)] if stages else []
    seen: set[int] = set()
    while todo:
        index = todo.pop()
        if index not in seen and stages[index].name not in contexts:
            seen.add(index)
            todo += needs[index]
    return seen


class Edit:
    """Text to put in the place of other text; ``start`` and ``end`` are offsets."""

    __slots__ = ("end", "start", "text")

    def __init__(self, start: int, end: int, text: str) -> None:
        self.start = start
        self.end = end
        self.text = text


def apply_edits(text: str, edits: Iterable[Edit], escape: str = "\\") -> str:
    """A text with edits, which do not overlap.  Lines stay lines: a continuation in what goes stays.

    ``escape``: the file's escape character.
    """
    parts = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        kept = f"{escape}\n" * text.count("\n", edit.start, edit.end)
        parts += [text[at : edit.start], edit.text, kept]
        at = edit.end
    return "".join([*parts, text[at:]])


def edited(
    text: str, edits: Iterable[Edit], insertions: Iterable[tuple[int, list[str]]], escape: str = "\\"
) -> tuple[str, list[int]]:
    """A text with edits and whole lines put in, and the old number of each line, from 1.

    ``insertions``: offsets of the beginnings of lines, and what comes before them; it counts as theirs.
    """
    before: dict[int, list[str]] = {}
    for position, rows in insertions:
        before.setdefault(text.count("\n", 0, position), []).extend(rows)
    lines: list[str] = []
    numbers: list[int] = []
    changed = apply_edits(text, edits, escape)
    # A byte order mark is one in the first place only.
    mark = "\ufeff" if changed.startswith("\ufeff") else ""
    for index, line in enumerate(changed.removeprefix(mark).split("\n")):
        rows = before.get(index, [])
        lines += [*rows, line]
        numbers += [index + 1] * (len(rows) + 1)
    return mark + "\n".join(lines), numbers


def with_stages(
    dockerfile: Dockerfile, edits: list[Edit], helpers: Iterable[tuple[int, list[str]]]
) -> tuple[str, list[int], dict[int, int]]:
    """A file with more stages: its text, the old number of each line, and where the old stages are then.

    ``edits``: what else is to be changed.
    ``helpers``: the lines that make stages, and the number of the stage that they come before.
    """
    stages = dockerfile.stages
    insertions = []
    now = {stage.index: stage.index for stage in stages}
    for before, rows in helpers:
        insertions.append((stages[before].position, rows))
        count = sum(row.startswith("FROM ") for row in rows)
        for index in range(before, len(stages)):
            now[index] += count
    # Stages that are named by their number have moved.  RUN does not know numbers.
    moved = [
        Edit(reference.start, reference.end, str(now[int(reference.text)]))
        for reference in dockerfile.references
        if reference.instruction == "COPY" and reference.text.isdecimal() and int(reference.text) in now
    ]
    return *edited(dockerfile.text, [*edits, *moved], insertions, dockerfile.escape), now
