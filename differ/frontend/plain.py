"""``a..b`` written in Dockerfile that every builder reads: a run of differ in a stage before the one that uses it."""

from __future__ import annotations

import re

from .stages import Edit, apply_edits, check_image, differences, global_variables, own_name, with_stages
from .syntax import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .stages import Difference, Side
    from .syntax import Dockerfile

COMMAND = '["/usr/bin/differ", "--whiteout", "none", "/lower", "/upper", "/out"]'


def _copied(lower: str, upper: str) -> list[str]:
    """The content of a COPY is part of every cache's key, what is behind a mount is not."""
    rows = [f"COPY --from={side} / /{place}/" for side, place in ((lower, "lower"), (upper, "upper")) if side]
    return [*rows, f"RUN {COMMAND}"]


def _mounted(lower: str, upper: str) -> list[str]:
    mounts = "".join(
        f"--mount=type=bind,from={side},target=/{place} "
        for side, place in ((lower, "lower"), (upper, "upper"))
        if side
    )
    # BuildKit's key knows the content of the sides and not their times: docs/runner.md.
    return ["ARG DIFFER_STAMP", f"RUN {mounts}{COMMAND}"]


_UPSTREAM = re.compile(r"(?:^|/)docker/dockerfile")
STYLES: dict[str, Callable[[str, str], list[str]]] = {"copy": _copied, "mount": _mounted}


def rewrite(dockerfile: Dockerfile, *, style: str, drop_link: bool, image: str) -> tuple[str, list[str]]:
    """The text without ``a..b``, and warnings; raises :class:`.syntax.DockerfileError`.

    ``style``: one of STYLES.
    ``drop_link``: whether to leave ``--link`` out.
    ``image``: the runner image.
    """
    _refuse_hidden(dockerfile)
    return _Rewriting(dockerfile, STYLES[style], drop_link=drop_link, image=image).result()


def _refuse_hidden(dockerfile: Dockerfile) -> None:
    """An argument may hold both sides; what it holds is known to the builder only."""
    hidden = {item.name for item in dockerfile.arguments if ".." in (item.default or "")}
    hidden.update(name for name, value in global_variables(dockerfile, {}, {}).items() if ".." in value)
    for reference in dockerfile.references:
        if reference.instruction == "FROM":
            for name in hidden:
                if re.search(rf"\$\{{?{re.escape(name)}\b", reference.text):
                    message = (
                        f"FROM {reference.text}: write the two sides in FROM itself, not in the argument"
                    )
                    raise DockerfileError(reference.line, reference.last, message)


class _Rewriting:
    """One file.

    ``write``: gives the lines that run differ for the names of two sides, which are empty for scratch.
    """

    def __init__(
        self, dockerfile: Dockerfile, write: Callable[[str, str], list[str]], *, drop_link: bool, image: str
    ) -> None:
        self._dockerfile = dockerfile
        self._write = write
        self._drop_link = drop_link
        self._image = image
        self._taken = {stage.name for stage in dockerfile.stages}
        # A stage that gets a name for being a side.
        self._names = {stage.index: stage.name for stage in dockerfile.stages}
        # The builder expands.
        self._found = differences(dockerfile, None)

    def result(self) -> tuple[str, list[str]]:
        """The text and the warnings."""
        dockerfile = self._dockerfile
        warnings = []
        edits = []
        if self._drop_link:
            for link in dockerfile.links:
                edits.append(Edit(link.start, link.end, ""))
                warnings.append(f"line {link.line}: --link is left out, the files are the same")
        if not self._found:
            return apply_edits(dockerfile.text, edits, dockerfile.escape), warnings
        if "scratch" in self._taken:
            place = self._found[0].reference
            message = (
                f"{place.text}: a stage is called scratch, which is then empty no more: give it another name"
            )
            raise DockerfileError(place.line, place.last, message)
        helpers: list[tuple[int, list[str]]] = []
        for difference in self._found:
            name, rows = self._helper(difference, edits)
            if rows:
                first = min(reference.stage for reference in difference.references)
                helpers.append((first, [*rows, ""]))
            edits += [Edit(reference.start, reference.end, name) for reference in difference.references]
        text, _, _ = with_stages(dockerfile, edits, helpers)
        return _without_syntax(text, dockerfile), warnings

    def _helper(self, difference: Difference, edits: list[Edit]) -> tuple[str, list[str]]:
        """The name of the stage that is the difference, and the lines that make it."""
        if difference.lower.scratch and difference.upper.scratch:
            return "scratch", []
        sides = (difference.lower, difference.upper)
        name = self._name("-diff-".join(_plain(side.name) for side in sides))
        rows = [f"# {difference.text}"]
        called = []
        for side, which in zip(sides, ("lower", "upper")):
            called.append(self._called(side, difference, f"{name}-{which}", rows, edits))
        run = self._name(f"{name}-run")
        rows += [f"FROM {self._image} AS {run}", *self._write(*called)]
        rows += [f"FROM scratch AS {name}", f"COPY --from={run} /out/ /"]
        return name, rows

    def _called(
        self, side: Side, difference: Difference, alias: str, rows: list[str], edits: list[Edit]
    ) -> str:
        """What a COPY or a mount calls a side; it may take a stage of its own, or a name for one."""
        if side.scratch:
            return ""
        stages = self._dockerfile.stages
        reference = difference.reference
        if side.stage is not None:
            own_name(self._dockerfile, side.stage, reference)
            if not self._names[side.stage]:
                name = self._names[side.stage] = self._name(f"stage-{side.stage}")
                at = stages[side.stage].name_at
                edits.append(Edit(at, at, f" AS {name}"))
            return self._names[side.stage]
        if "$" not in side.name:
            check_image(side.name, reference)
        # A later stage of that name is not meant by FROM, but would be found by COPY.
        later = any(stage.name == side.name.lower() for stage in stages)
        if reference.instruction != "FROM" or not (difference.platform or "$" in side.name or later):
            return side.name
        platform = f"--platform={difference.platform} " if difference.platform else ""
        name = self._name(alias)
        rows.append(f"FROM {platform}{side.name} AS {name}")
        return name

    def _name(self, wish: str) -> str:
        """A name for a stage that no other has."""
        name, count = wish, 2
        while name in self._taken:
            name, count = f"{wish}-{count}", count + 1
        self._taken.add(name)
        return name


def _plain(name: str) -> str:
    """A name as part of a stage's name."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain if plain[:1].isalpha() else f"stage-{plain}"


def _without_syntax(text: str, dockerfile: Dockerfile) -> str:
    """Without the line that asks for this frontend; one that asks for an upstream one stays."""
    if dockerfile.syntax is None or _UPSTREAM.search(dockerfile.text[slice(*dockerfile.syntax)]):
        return text
    start = text.rfind("\n", 0, dockerfile.syntax[0]) + 1
    end = text.find("\n", start)
    return text[:start] + text[end + 1 :] if end >= 0 else text[:start]
