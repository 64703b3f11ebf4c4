"""Names in the places of ``a..b``, in two ways, and the one vertex that tells what the sides are.

As a *context* a name is a named context that holds one file with the name in it; a second Dockerfile with
one more stage asks for the sides.  As a *stage* a name is a stage before the one that uses it.  Either way
there is one RUN for each difference, with the sides mounted, which never runs: :func:`marked` finds it.
"""

from __future__ import annotations

from .graph import files
from .original import PLACEHOLDER
from .stages import Edit, apply_edits, check_image, long_name, own_name, with_stages
from .syntax import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .graph import Edge, Graph
    from .original import Lines, Original
    from .protobuf import Value
    from .stages import Difference, Side
    from .syntax import Dockerfile, Reference

ASKING = f"{PLACEHOLDER}-sides0"
"""The stage that asks for sides."""
LOWER, UPPER = "/lower", "/upper"
MOST = 500
"""Different differences in a file: the memory of the engine that looks them up grows with the square."""


class Rewritten:
    """A Dockerfile with names in it.

    ``data``: the file's bytes.
    ``lines``: the user's line for each of its lines.
    ``step``: what it is made for.
    """

    __slots__ = ("data", "lines", "step")

    def __init__(self, step: str, text: str, lines: Lines) -> None:
        self.step = step
        self.data = text.encode("utf-8", "surrogateescape")
        self.lines = lines


class Placeholders:
    """The names for a Dockerfile's differences.

    ``dockerfile``: the user's.
    ``found``: its differences, on any platform.
    ``original``: learns which name stands for which text.
    """

    def __init__(self, dockerfile: Dockerfile, found: Iterable[Difference], original: Original) -> None:
        self.dockerfile = dockerfile
        self.original = original
        references: dict[int, Reference] = {}
        meanings: dict[int, list[int]] = {}
        needed: dict[int, Reference] = {}
        for number, difference in enumerate(found):
            for reference in difference.references:
                references[reference.start] = reference
                meanings.setdefault(reference.start, []).append(number)
            for side in (difference.lower, difference.upper):
                if side.stage is not None:
                    needed.setdefault(side.stage, difference.reference)
        self._references = [references[start] for start in sorted(references)]
        # Places that mean the same on every platform have one name.
        numbers: dict[tuple[int, ...], int] = {}
        self._names = {}
        for reference in self._references:
            number = numbers.setdefault(tuple(meanings[reference.start]), len(numbers))
            if number == MOST:
                message = (
                    f"{reference.text}: there are {MOST} differences before this one, and no room for more"
                )
                raise DockerfileError(reference.line, reference.last, message)
            self._names[reference.start] = f"{PLACEHOLDER}-{number}"
        self._stages = {index: self._stage_name(index, reference) for index, reference in needed.items()}
        for reference in reversed(self._references):
            original.name(self._names[reference.start], reference.text)
        original.name(ASKING, "the sides of a..b")
        for index, name in self._stages.items():
            original.name(name, f"stage-{index}")
        self._text = apply_edits(dockerfile.text, self._edits(), dockerfile.escape)

    def names_of(self, difference: Difference) -> list[str]:
        """The names of a difference: one, unless some of its places mean another on another platform."""
        return [*dict.fromkeys(self._names[reference.start] for reference in difference.references)]

    def reference(self, name: str) -> Reference:
        """The first place that a name stands in."""
        return next(item for item in self._references if self._names[item.start] == name)

    def _stage_name(self, index: int, reference: Reference) -> str:
        """The name that a stage has or gets."""
        return own_name(self.dockerfile, index, reference) or f"{PLACEHOLDER}-stage{index}"

    def _edits(self) -> list[Edit]:
        """The names, and a name for every stage that is a side and has none."""
        stages = self.dockerfile.stages
        return [
            *(Edit(item.start, item.end, self._names[item.start]) for item in self._references),
            *(
                Edit(stages[index].name_at, stages[index].name_at, f" AS {name}")
                for index, name in self._stages.items()
                if not stages[index].name
            ),
        ]

    def as_contexts(self) -> tuple[Rewritten, dict[str, str], dict[str, Value]]:
        """The file, and the options and inputs that make contexts of the names."""
        text = self._text
        names = dict.fromkeys(self._names.values())
        options = {f"context:{name}": f"input:{name}" for name in names}
        inputs = {name: files([(f"/{name}", name.encode())], name) for name in names}
        return (
            Rewritten("put a name in the place of each a..b", text, [*range(1, text.count("\n") + 2)]),
            options,
            inputs,
        )

    def asking(self, asked: Iterable[tuple[Difference, list[str]]]) -> Rewritten:
        """The file as contexts, with one more stage.

        ``asked``: differences, and which of LOWER and UPPER is wanted.
        """
        whole, end = self.dockerfile, self.dockerfile.end
        edits = [edit for edit in self._edits() if edit.start < end]
        text = apply_edits(whole.text[:end], edits, whole.escape)
        lines = [*range(1, text.count("\n") + 2)]
        rows = [f"FROM scratch AS {ASKING}"]
        lines.append(lines[-1])
        for difference, which in asked:
            rows.append(self._run(difference, which))
            lines.append(difference.reference.line)
        return Rewritten("ask for the sides of each a..b", "\n".join([text, *rows, ""]), lines)

    def as_stages(self, found: Iterable[Difference]) -> tuple[Rewritten, dict[int, int]]:
        """The file with a stage for each name; and where the user's stages are then."""
        helpers = [
            (
                min(reference.stage for reference in difference.references),
                self._helper(difference, self._names[difference.reference.start]),
            )
            for difference in found
        ]
        # This frontend knows no --link; the files are the same without.
        edits = [*self._edits(), *(Edit(link.start, link.end, "") for link in self.dockerfile.links)]
        text, lines, now = with_stages(self.dockerfile, edits, helpers)
        return Rewritten("put a stage in the place of each a..b", text, lines), now

    def _helper(self, difference: Difference, name: str) -> list[str]:
        """The lines of the stage that a name is."""
        rows = []
        named = {}
        if difference.platform:
            # A mount has the target's platform, and only FROM another.
            for which, side in sides(difference):
                if side.stage is None and not side.scratch:
                    named[which] = f"{name}-{which[1:]}"
                    rows.append(f"FROM --platform={difference.platform} {side.name} AS {named[which]}")
        return [*rows, f"FROM scratch AS {name}", self._run(difference, [LOWER, UPPER], name, named)]

    def _run(
        self, difference: Difference, which: list[str], name: str = "", named: dict[str, str] | None = None
    ) -> str:
        mounts = [
            f"--mount=type=bind,from={(named or {}).get(place) or self._from(difference, side)},target={place}"
            for place, side in sides(difference)
            if place in which and not side.scratch
        ]
        name = name or self._names[difference.reference.start]
        return " ".join(["RUN", *mounts, f'["{PLACEHOLDER}", "{name}"]'])

    def _from(self, difference: Difference, side: Side) -> str:
        """What a mount calls a side."""
        if side.stage is not None:
            return self._stages[side.stage]
        check_image(side.name, difference.reference)
        # A stage that FROM cannot mean, because it comes later, has the short name.
        later = any(stage.name == side.name.lower() for stage in self.dockerfile.stages)
        return long_name(side.name) if later and difference.reference.instruction == "FROM" else side.name


def sides(difference: Difference) -> list[tuple[str, Side]]:
    """The sides, and where they are mounted."""
    return [(LOWER, difference.lower), (UPPER, difference.upper)]


def marked(graph: Graph, head: Edge | None) -> dict[str, tuple[str, dict[str, Edge]]]:
    """For each name in a graph the vertex of its RUN and what is mounted there."""
    found = {}
    for digest in graph.vertices(head):
        op = graph.op(digest)
        args = op.get("exec", {}).get("meta", {}).get("args", [])
        if args[:1] != [PLACEHOLDER] or len(args) != 2:
            continue
        inputs = op.get("inputs", [])
        mounted = {}
        for mount in op["exec"].get("mounts", []):
            number = mount.get("input", 0)
            if mount.get("dest") in (LOWER, UPPER) and number >= 0:
                mounted[mount["dest"]] = (inputs[number]["digest"], inputs[number].get("index", 0))
        found[args[1]] = (digest, mounted)
    return found
