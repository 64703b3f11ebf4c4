"""The engine, as a frontend sees it: BuildKit's LLBBridge (frontend/gateway/pb/gateway.proto)."""

from __future__ import annotations

from .calls import UNKNOWN, CallError
from .messages import (
    FILE,
    INPUTS,
    NOTHING,
    PONG,
    READ_FILE,
    RESOLVE,
    RESOLVED,
    RETURN,
    SOLVE,
    SOLVED,
    WARN,
)
from .protobuf import ProtobufError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .calls import Connection
    from .protobuf import Message, Value

SERVICE = "/moby.buildkit.v1.frontend.LLBBridge/"


class Bridge:
    """Calls to the engine.

    Each method but the last two sends a request and gives a function that waits for the answer and
    raises :class:`.calls.CallError`; several requests may be under way.

    ``connection``: the pipes.
    ``cache_imports``: caches to look in, ``{"type": ..., "attrs": ...}`` each.  Every Solve must name
    them again, or what they hold is not found.
    """

    def __init__(self, connection: Connection, cache_imports: list[Value]) -> None:
        self._connection = connection
        self._cache_imports = cache_imports

    def _call(self, method: str, ask: Message, request: Value, answer: Message) -> Callable[[], Value]:
        number = self._connection.start(SERVICE + method, ask.encode(request))

        def wait() -> Value:
            try:
                return answer.decode(self._connection.finish(number))
            except ProtobufError as error:
                raise CallError(
                    UNKNOWN, f"the engine's answer to {method} cannot be read: {error}"
                ) from error

        return wait

    def ping(self) -> Callable[[], Value]:
        """What the engine can do."""
        return self._call("Ping", NOTHING, {}, PONG)

    def inputs(self) -> Callable[[], dict[str, Value]]:
        """The definitions that this frontend was given, by name."""
        answer = self._call("Inputs", NOTHING, {}, INPUTS)
        return lambda: answer().get("definitions", {})

    def _solve(self, request: Value) -> Callable[[], Value]:
        whole = {
            **request,
            "allow_result_return": True,
            "allow_result_array_ref": True,
            "cache_imports": self._cache_imports,
        }
        answer = self._call("Solve", SOLVE, whole, SOLVED)
        return lambda: answer().get("result", {})

    def solve(self, definition: Value) -> Callable[[], str]:
        """The ref of a graph.  Nothing of it has run yet."""
        answer = self._solve({"definition": definition})
        return lambda: answer().get("ref", {}).get("id", "")

    def build(
        self, frontend: str, options: Mapping[str, str], inputs: Mapping[str, Value]
    ) -> Callable[[], Value]:
        """The result of another frontend: refs with their definitions, and metadata."""
        return self._solve({"frontend": frontend, "options": options, "inputs": inputs})

    def read_file(self, ref: str, path: str, length: int = 0) -> Callable[[], bytes]:
        """The bytes of a file, or the first ``length`` of them; runs what it takes to have it."""
        request: Value = {"ref": ref, "path": path}
        if length:
            request["range"] = {"length": length}
        answer = self._call("ReadFile", READ_FILE, request, FILE)
        return lambda: answer().get("data", b"")

    def resolve(self, image: str, mode: str = "") -> Callable[[], Value]:
        """Digest and config of an image.

        ``mode``: ``default``, ``pull`` or ``local``.
        """
        request = {"ref": image, "resolve_mode": mode, "log_name": f"resolve image config for {image}"}
        return self._call("ResolveImageConfig", RESOLVE, request, RESOLVED)

    def warn(self, warning: Value) -> Callable[[], Value]:
        """Tell the user something that is not an error."""
        return self._call("Warn", WARN, warning, NOTHING)

    def give(self, result: Value) -> None:
        """Return the result; the last call."""
        self._call("Return", RETURN, {"result": result}, NOTHING)()

    def fail(self, code: int, message: str, details: list[Value]) -> None:
        """Return an error; the last call."""
        error = {"code": code, "message": message, "details": details}
        self._call("Return", RETURN, {"error": error}, NOTHING)()
