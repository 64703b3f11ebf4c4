"""The two ways to have the engine's own frontend leave room for differences and tell what their sides are.

:class:`Contexts`: each name is a named context; a second question has the sides for its answer.  BuildKit 0.10
and newer, and any upstream frontend image.  Lines stay where they are.

:class:`Stages`: each name is a stage before the one that uses it, whose one RUN has the sides mounted.  For
the frontend of Docker 20.10, which knows no contexts; lines move, and are counted back.
"""

from __future__ import annotations

from . import lint
from .context import CONTEXTS
from .graph import GraphError, head_of
from .placeholders import ASKING, marked, sides
from .platforms import normal
from .syntax import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .graph import Edge, Graph
    from .placeholders import Placeholders, Rewritten
    from .protobuf import Value
    from .stages import Difference

    Sides = dict[str, Edge]
    """What is mounted at LOWER and UPPER; an empty side is not there."""
    Solve = Callable[[Rewritten, Mapping[str, str], Mapping[str, Value]], Callable[[], Value]]
    """Asks the engine's frontend about a Dockerfile, with options and more inputs; what waits for the result."""

# What must not be asked for together with the sides.
_NOT_FOR_SIDES = ("multi-platform", "platform", "requestid", "target")


class Way:
    """What both have.

    ``solve``: asks the engine's frontend.
    ``options``: the user's.
    ``placeholders``: the names.
    ``found``: the differences for each platform.
    ``needed``: the stages that the target needs, for each platform.
    ``with_lint``: whether to ask for warnings on the side.
    """

    warnings: Callable[[], Value] | None = None
    """What waits for the warnings, if they were asked for."""

    def __init__(
        self,
        solve: Solve,
        options: Mapping[str, str],
        placeholders: Placeholders,
        found: Mapping[str, list[Difference]],
        needed: Mapping[str, set[int]],
        *,
        with_lint: bool = False,
    ) -> None:
        self._solve = solve
        self._needed = needed
        self._lint = with_lint
        self._options = options
        self._placeholders = placeholders
        self._found = found

    def result(self) -> Value:
        """The result, with names in its graphs."""
        raise NotImplementedError

    def places(self, graph: Graph, head: Edge | None, platform: str) -> dict[str, tuple[Difference, Sides]]:
        """What is to be put in the place of which vertex, for all that a result of a platform needs."""
        raise NotImplementedError

    def _named(self, platform: str) -> dict[str, Difference]:
        """The differences of a platform by all their names."""
        if platform not in self._found:
            raise GraphError(f"the engine built for {platform}, which was not asked for")
        return {
            name: difference
            for difference in self._found[platform]
            for name in self._placeholders.names_of(difference)
        }


class Contexts(Way):
    """With named contexts."""

    def result(self) -> Value:
        rewritten, options, self._inputs = self._placeholders.as_contexts()
        heads = {name: head_of(definition) for name, definition in self._inputs.items()}
        self._vertices = {head[0]: name for name, head in heads.items() if head}
        caps = {cap.partition("+")[0] for cap in self._options.get("frontend.caps", "").split(",") if cap}
        self._asking = {**self._options, **options, "frontend.caps": ",".join(sorted({*caps, CONTEXTS}))}
        quiet = {lint.CHECKS: lint.QUIET} if self._lint else {}
        answer = self._solve(rewritten, {**self._asking, **quiet}, self._inputs)
        if self._lint:
            self.warnings = self._solve(rewritten, {**self._asking, "requestid": lint.REQUEST}, self._inputs)
        # The Dockerfile tells which differences the target needs, those that are in the sides of others
        # too: their sides are asked for at the same time.
        self._asked = {
            platform: self._ask(
                platform, [item for item in found if _stands_in(item, self._needed[platform])]
            )
            for platform, found in self._found.items()
        }
        return answer()

    def places(self, graph: Graph, head: Edge | None, platform: str) -> dict[str, tuple[Difference, Sides]]:
        vertices = self._vertices
        named = self._named(platform)

        def missing(edges: Iterable[Edge | None]) -> set[str]:
            used = {
                vertices[digest] for edge in edges for digest in graph.vertices(edge) if digest in vertices
            }
            for name in used - {*named}:
                place = self._placeholders.reference(name)
                message = f"this is a difference on some platforms and not on {platform}"
                raise DockerfileError(place.line, place.last, message)
            return used - {*known}

        known: dict[str, Sides] = {}
        asked = missing([head])
        if asked:
            known.update(self._asked[platform](graph))
            asked = missing([head, *(edge for held in known.values() for edge in held.values())])
        while asked:
            answer = self._ask(platform, [named[name] for name in sorted(asked)])(graph)
            known.update(answer)
            asked = missing(edge for held in answer.values() for edge in held.values())
        return {digest: (named[name], known[name]) for digest, name in vertices.items() if name in known}

    def _ask(self, platform: str, differences: Iterable[Difference]) -> Callable[[Graph], dict[str, Sides]]:
        """Ask for the sides; what waits for them, by all names of the differences."""
        groups: dict[str, list[tuple[Difference, list[str]]]] = {}
        named = []
        for difference in differences:
            named += self._placeholders.names_of(difference)
            places: dict[str, list[str]] = {}
            for place, side in sides(difference):
                if not side.scratch:
                    # FROM --platform is for images and contexts; a stage has that of its own FROM.
                    other = normal(difference.platform) if side.stage is None else ""
                    places.setdefault(other, []).append(place)
            for other, held in places.items():
                groups.setdefault(other, []).append((difference, held))
        answers = [(group, self._sides(other or platform, group)) for other, group in groups.items()]

        def wait(graph: Graph) -> dict[str, Sides]:
            known: dict[str, Sides] = {name: {} for name in named}
            for group, answer in answers:
                head = graph.load(answer().get("ref", {}).get("definition", {}))
                mounted = marked(graph, head)
                for difference, _ in group:
                    first, *_ = names = self._placeholders.names_of(difference)
                    for name in names:
                        known[name].update(mounted[first][1])
            return known

        return wait

    def _sides(self, platform: str, group: list[tuple[Difference, list[str]]]) -> Callable[[], Value]:
        options = {
            key: value
            for key, value in self._asking.items()
            if key not in _NOT_FOR_SIDES and not key.startswith("attest:")
        }
        options["target"] = ASKING
        # What there is to say of the file is said by the other question.
        options[lint.CHECKS] = lint.QUIET
        if platform not in self._found or self._options.get("platform"):
            options["platform"] = platform
        return self._solve(self._placeholders.asking(group), options, self._inputs)


def _stands_in(difference: Difference, stages: set[int]) -> bool:
    return any(reference.stage in stages for reference in difference.references)


class Stages(Way):
    """With stages."""

    def result(self) -> Value:
        if len(self._found) > 1:
            raise GraphError("this engine takes a..b for one platform at a time")
        (found,) = self._found.values()
        rewritten, now = self._placeholders.as_stages(found)
        self._placeholders.original.moved(now)
        return self._solve(rewritten, self._options, {})()

    def places(self, graph: Graph, head: Edge | None, platform: str) -> dict[str, tuple[Difference, Sides]]:
        named = self._named(platform)
        return {digest: (named[name], mounted) for name, (digest, mounted) in marked(graph, head).items()}
