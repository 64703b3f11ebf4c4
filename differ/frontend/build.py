"""One build: names are put in the places of ``a..b``, the engine's own frontend does all that is Dockerfile,
and in the graph that it returns each name becomes the difference.

Nothing runs before the whole graph is returned: the engine is only asked for graphs.
"""

from __future__ import annotations

from . import lint
from .calls import CallError
from .context import CONTEXTS, local_names, read_dockerfile, take_input
from .graph import Graph, GraphError, Substitute, files
from .original import Original, has_place, printable
from .placeholders import LOWER, UPPER, Placeholders, sides
from .platforms import arguments, normal, own_platform, wanted
from .runner import OptionError, choose
from .stages import differences, global_variables, long_name, reachable
from .syntax import DockerfileError, scan
from .ways import Contexts, Stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .bridge import Bridge
    from .graph import Edge, Location
    from .placeholders import Rewritten
    from .protobuf import Value
    from .stages import Difference
    from .ways import Sides, Way

DESCRIBE = "frontend.subrequests.describe"
_CONTEXT, _ARGUMENT = "context:", "build-arg:"


class BuildError(Exception):
    """An error that is the user's.

    ``details``: for the status: what clients show with it.
    """

    def __init__(self, message: str, details: list[Value]) -> None:
        super().__init__(message)
        self.message = printable(message)
        self.details = details


class Build:
    """A build.

    ``bridge``: the engine.
    ``options``: the frontend's options, as BuildKit names them.
    ``session``: of the client.
    ``read``: gives the bytes of a file of this machine; raises FileNotFoundError.
    """

    def __init__(
        self, bridge: Bridge, options: dict[str, str], session: str, read: Callable[[str], bytes]
    ) -> None:
        self._bridge = bridge
        self._options = options
        self._session = session
        self._read = read
        self._differences: list[Difference] = []

    def result(self) -> Value:
        """Build; the result to return.

        Raises :class:`BuildError`, and :class:`.calls.CallError` for what went wrong before the Dockerfile
        was there.
        """
        if self._options.get("requestid") == DESCRIBE:
            return self._inner(self._options, {})()
        waiting, inputs = self._bridge.ping(), self._bridge.inputs()
        pong = waiting()
        self._caps = {cap.get("id", ""): cap.get("enabled", False) for cap in pong.get("llb_caps", [])}
        self._gateway = {cap.get("id", "") for cap in pong.get("frontend_caps", [])}
        self._own_platform = own_platform(pong)
        self._inputs = inputs()
        self._file = read_dockerfile(self._bridge, self._options, self._inputs, self._caps, self._session)
        self._original = Original(self._file.filename, self._file.data)
        try:
            return self._result()
        except DockerfileError as error:
            message = f"dockerfile parse error on line {error.line}: {error.message}"
            raise BuildError(message, [self._original.error_at(error.line, error.last)]) from error
        except (GraphError, OptionError) as error:
            raise BuildError(str(error), []) from error
        except CallError as error:
            details = self._original.details(error.details)
            if not any(map(has_place, details)):
                details += self._place_of(error.message)
            raise BuildError(self._original.text(error.message), details) from error

    def _place_of(self, message: str) -> list[Value]:
        """Where the image stands that a message is about, if it is a side: for the engine it is in no line."""
        for difference in self._differences:
            for _, side in sides(difference):
                if side.stage is None and not side.scratch and long_name(side.name) in message:
                    place = difference.reference
                    return [self._original.error_at(place.line, place.last)]
        return []

    def _result(self) -> Value:
        self._dockerfile = scan(self._file.data.decode("utf-8", "surrogateescape"))
        contexts = {
            key.removeprefix(_CONTEXT).partition("::")[0].lower()
            for key in self._options
            if key.startswith(_CONTEXT)
        }
        # FROM may name other images on other platforms.
        variables = {
            platform: self._variables(platform) for platform in wanted(self._options, self._own_platform)
        }
        found = {
            platform: differences(self._dockerfile, known, contexts) for platform, known in variables.items()
        }
        if not any(found.values()):
            return self._inner(self._options, self._inputs)()
        self._differences = [difference for held in found.values() for difference in held]
        placeholders = Placeholders(self._dockerfile, self._differences, self._original)
        target = self._options.get("target", "")
        needed = {
            platform: reachable(self._dockerfile, target, held, variables[platform], contexts)
            for platform, held in found.items()
        }
        with_lint = (
            "gateway.warnings" in self._gateway
            and "requestid" not in self._options
            and not lint.is_fatal(self._options, self._file.data)
        )
        way: Way = Contexts(self._rewritten, self._options, placeholders, found, needed, with_lint=with_lint)
        try:
            result = way.result()
        except CallError as error:
            # Whatever is between may have changed the code, but not what is said.
            if CONTEXTS not in error.message:
                raise
            way = Stages(self._rewritten, self._options, placeholders, found, needed)
            result = way.result()
            for link in self._dockerfile.links:
                self._note(
                    f"line {link.line}: this engine does not know --link, the files are copied without it"
                )
        if way.warnings is not None:
            lint.tell(self._bridge, way.warnings, self._original, self._file.vertex)
        return self._replaced(result, way, next(iter(found)))

    def _variables(self, platform: str) -> dict[str, str]:
        """What FROM may use on a platform."""
        given = {
            key.removeprefix(_ARGUMENT): value
            for key, value in self._options.items()
            if key.startswith(_ARGUMENT)
        }
        known = arguments(self._own_platform, platform, self._options.get("target", ""))
        return global_variables(self._dockerfile, given, known)

    def _inner(self, options: Mapping[str, str], inputs: Mapping[str, Value]) -> Callable[[], Value]:
        """Ask the engine's Dockerfile frontend, or one that is an image; what waits for the result."""
        passed = {key: value for key, value in options.items() if key != "source"}
        # With this it does not look at "# syntax=", where it would find us again.
        passed.setdefault("cmdline", options.get("source", "differ"))
        chained = passed.pop("build-arg:DIFFER_SYNTAX", "")
        if chained:
            passed["source"] = chained
        return self._bridge.build("gateway.v0" if chained else "dockerfile.v0", passed, inputs)

    def _rewritten(
        self, rewritten: Rewritten, options: Mapping[str, str], inputs: Mapping[str, Value]
    ) -> Callable[[], Value]:
        """The same for a file that was made of the user's."""
        self._original.version(rewritten.data, rewritten.lines)
        _, context = local_names(self._options)
        name, passed = take_input(options)
        given = {**self._inputs, **inputs, name: self._file.input(rewritten.data, rewritten.step)}
        passed["filename"] = self._file.filename
        if self._file.context is not None:
            # From that address the engine would take the Dockerfile too.
            given[context] = self._file.context
            passed.pop(context, None)
        answer = self._inner(passed, given)

        def wait() -> Value:
            try:
                return answer()
            except CallError as error:
                message = self._original.counted_back(error.message, rewritten.lines)
                raise CallError(error.code, message, error.details) from error

        return wait

    def _note(self, text: str) -> None:
        """Tell the user something, as the name of a step: engines without --link have no other way."""
        definition = files([("/note", text.encode())], f"WARNING: {text}")
        self._bridge.read_file(self._bridge.solve(definition)(), "note")()

    def _replaced(self, result: Value, way: Way, only: str) -> Value:
        """A result with differences in place of names.

        ``only``: the platform of a result that is not by platform.
        """
        graph = Graph(self._original.restore)
        op = choose(self._bridge, self._caps, self._options, graph, self._read)

        def substitute(difference: Difference, mounted: Sides) -> Substitute:
            line = difference.reference
            ignore_cache = self._is_uncached(difference)
            locations = [graph.place(*self._original.place(line.line, line.last))]

            def make(edges: list[Edge | None]) -> tuple[Value, Value, list[Location]]:
                made, caps = op.op(edges)
                name = {"llb.customname": f"{op.verb} {printable(difference.text)}"}
                metadata = {"ignore_cache": ignore_cache, "description": name, "caps": caps}
                return made, metadata, locations

            return Substitute(op.edges(mounted.get(LOWER), mounted.get(UPPER)), make)

        def replaced(ref: Value, platform: str) -> Value:
            head = graph.load(ref.get("definition", {}))
            places = way.places(graph, head, normal(platform))
            if places:
                substitutes = {digest: substitute(*place) for digest, place in places.items()}
                head = graph.replace(head, substitutes)
                return {"id": self._bridge.solve(graph.definition(head, self._original.text))()}
            return {"id": ref.get("id", "")}

        whole: Value = {"metadata": self._original.metadata(result.get("metadata", {}))}
        if "ref" in result:
            whole["ref"] = replaced(result["ref"], only)
        if "refs" in result:
            refs = result["refs"].get("refs", {})
            whole["refs"] = {"refs": {name: replaced(ref, name) for name, ref in refs.items()}}
        if "attestations" in result:
            whole["attestations"] = {
                name: {
                    "attestation": [
                        {**item, "ref": replaced(item["ref"], name)} if item.get("ref") else item
                        for item in held.get("attestation", [])
                    ]
                }
                for name, held in result["attestations"].items()
            }
        return whole

    def _is_uncached(self, difference: Difference) -> bool:
        """Whether the user wants a difference to be made anew."""
        stages = self._options.get("no-cache")
        if not stages:
            return stages is not None
        names = {self._dockerfile.stages[reference.stage].name for reference in difference.references}
        return not names.isdisjoint(name.strip().lower() for name in stages.split(","))
