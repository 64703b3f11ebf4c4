"""BuildKit's graph (LLB): vertices named by the digest of their bytes, and what replaces some of them.

A definition is a list of ops, each after its inputs; the last one only names the result.  Metadata and
source lines hang on the digests and not in the bytes.
"""

from __future__ import annotations

from .digest import sha256
from .messages import EMPTY, OP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .protobuf import Value

    Edge = tuple[str, int]
    """A vertex's digest and the number of its output.  Where None may stand it is an empty file system."""
    Location = tuple[int, list[Value]]
    """A file, by its place in ``Graph.infos``, and ranges in it."""
    Make = Callable[[list[Edge | None]], tuple[Value, Value, list[Location]]]

_TERMINAL = {"caps": {"constraints": True, "platform": True}}


class GraphError(Exception):
    """A graph that cannot be understood."""


class Substitute:
    """What takes a placeholder's place.

    ``edges``: the inputs, as they are in the graph before anything is replaced in it.
    ``make``: given what the inputs have become, the op, its metadata and its place in the sources.
    """

    __slots__ = ("edges", "make")

    def __init__(self, edges: list[Edge | None], make: Make) -> None:
        self.edges = edges
        self.make = make


class Graph:
    """The vertices of any number of definitions.

    ``restore``: gives the user's own text and lines for a file and its ranges.
    """

    def __init__(self, restore: Callable[[Value, list[Value]], tuple[Value, list[Value]]]) -> None:
        self._restore = restore
        self._ops: dict[str, bytes] = {}
        self._decoded: dict[str, Value] = {}
        self._metadata: dict[str, Value] = {}
        self._locations: dict[str, list[Location]] = {}
        self.infos: list[Value] = []
        self._places: dict[tuple[str, bytes], int] = {}
        self._uncached: set[str] = set()

    def load(self, definition: Value) -> Edge | None:
        """Take a definition's vertices; its result."""
        ops: list[bytes] = definition.get("ops", [])
        if not ops:
            return None
        metadata: dict[str, Value] = definition.get("metadata", {})
        for data in ops[:-1]:
            digest = sha256(data)
            self._ops[digest] = data
            self._metadata.setdefault(digest, metadata.get(digest, {}))
        source: Value = definition.get("source", {})
        infos: list[Value] = source.get("infos", [])
        locations: dict[str, Value] = source.get("locations", {})
        for digest, held in locations.items():
            if digest not in self._locations:
                self._locations[digest] = [
                    self.place(infos[location.get("source_index", 0)], location.get("ranges", []))
                    for location in held.get("locations", [])
                ]
        return head_of(definition)

    def place(self, info: Value, ranges: list[Value]) -> Location:
        """The location of ranges in a file."""
        info, ranges = self._restore(info, ranges)
        key = (info.get("filename", ""), info.get("data", b""))
        if key not in self._places:
            self._places[key] = len(self.infos)
            self.infos.append(info)
        return self._places[key], ranges

    def vertices(self, head: Edge | None) -> list[str]:
        """The digests of all that a result needs, inputs first."""
        return self._order(head, {})

    def op(self, digest: str) -> Value:
        """A vertex, which is not to be changed."""
        if digest not in self._decoded:
            try:
                self._decoded[digest] = OP.decode(self._ops[digest])
            except KeyError:
                raise GraphError(f"the vertex {digest} is not in its definition") from None
        return self._decoded[digest]

    def _order(self, head: Edge | None, substitutes: dict[str, Substitute]) -> list[str]:
        """Digests, each after those of its inputs."""
        order: list[str] = []
        seen: set[str] = set()
        stack = [(head[0], False)] if head else []
        while stack:
            digest, done = stack.pop()
            if done:
                order.append(digest)
            elif digest not in seen:
                seen.add(digest)
                stack.append((digest, True))
                if digest in substitutes:
                    below = [edge[0] for edge in substitutes[digest].edges if edge]
                else:
                    below = [_edge(item)[0] for item in self.op(digest).get("inputs", [])]
                stack.extend((name, False) for name in reversed(below) if name not in seen)
        return order

    def replace(self, head: Edge | None, substitutes: dict[str, Substitute]) -> Edge | None:
        """The result with substitutes for some vertices, by their digests.

        The key under which the engine keeps a difference is made of those of its sides, which are the old ones
        even when the user wants a side to be made anew: then the difference must be too.
        """
        now: dict[str, str] = {}

        def become(edge: Edge | None) -> Edge | None:
            return edge and (now[edge[0]], edge[1])

        for digest in self._order(head, substitutes):
            if digest in substitutes:
                substitute = substitutes[digest]
                edges = [become(edge) for edge in substitute.edges]
                op, metadata, locations = substitute.make(edges)
                if any(edge and edge[0] in self._uncached for edge in edges):
                    metadata = {**metadata, "ignore_cache": True}
                now[digest] = self.add(op, metadata, locations)
            else:
                now[digest] = self._moved(digest, now)
            self._note_uncached(now[digest])
        return become(head)

    def _moved(self, digest: str, now: dict[str, str]) -> str:
        """A vertex whose inputs may have become others; ``now``: what each has become."""
        op = self.op(digest)
        inputs = op.get("inputs", [])
        if all(now[item["digest"]] == item["digest"] for item in inputs):
            return digest
        if OP.encode(op) != self._ops[digest]:
            raise GraphError(f"the vertex {digest} is of a kind that cannot be written again")
        op = {**op, "inputs": [{**item, "digest": now[item["digest"]]} for item in inputs]}
        return self.add(op, self._metadata[digest], self._locations.get(digest, []))

    def _note_uncached(self, digest: str) -> None:
        """Note whether a vertex is made anew, for itself or for what is below it."""
        below = (item["digest"] for item in self.op(digest).get("inputs", []))
        if self._metadata[digest].get("ignore_cache") or not self._uncached.isdisjoint(below):
            self._uncached.add(digest)

    def add(self, op: Value, metadata: Value, locations: list[Location]) -> str:
        """Add a vertex; its digest."""
        data = OP.encode(op)
        digest = sha256(data)
        if digest not in self._ops:
            self._ops[digest] = data
            self._decoded[digest] = op
            self._metadata[digest] = metadata
            self._locations[digest] = locations
        return digest

    def definition(self, head: Edge | None, rename: Callable[[str], str]) -> Value:
        """The definition of a result.

        ``rename``: gives the text that people are shown for the one of a vertex.
        """
        if head is None:
            return {}
        order = self._order(head, {})
        metadata = {digest: _renamed(self._metadata[digest], rename) for digest in order}
        last = OP.encode({"inputs": [_input(head)]})
        metadata[sha256(last)] = _TERMINAL
        locations = {
            digest: {
                "locations": [
                    {"source_index": place, "ranges": ranges} for place, ranges in self._locations[digest]
                ]
            }
            for digest in order
            if self._locations.get(digest)
        }
        return {
            "ops": [*(self._ops[digest] for digest in order), last],
            "metadata": metadata,
            "source": {"locations": locations, "infos": self.infos},
        }


def head_of(definition: Value) -> Edge | None:
    """The result of a definition, which its last op names; raises :class:`GraphError`."""
    ops: list[bytes] = definition.get("ops", [])
    if not ops:
        return None
    last = OP.decode(ops[-1])
    inputs = last.get("inputs", [])
    if len(inputs) != 1 or len(last) != 1:
        raise GraphError("the last op of a definition does not name its result")
    return _edge(inputs[0])


def _edge(item: Value) -> Edge:
    return item["digest"], item.get("index", 0)


def _input(edge: Edge) -> Value:
    return {"digest": edge[0], "index": edge[1]}


def _renamed(metadata: Value, rename: Callable[[str], str]) -> Value:
    description: dict[str, str] = metadata.get("description", {})
    group: Value = metadata.get("progress_group", {})
    if description:
        metadata = {**metadata, "description": {key: rename(text) for key, text in description.items()}}
    if "name" in group:
        metadata = {**metadata, "progress_group": {**group, "name": rename(group["name"])}}
    return metadata


class Inputs:
    """The inputs of an op that is being made: each edge once."""

    def __init__(self) -> None:
        self._edges: list[Edge] = []

    def add(self, edge: Edge | None) -> int:
        """The number of an input."""
        if edge is None:
            return EMPTY
        if edge not in self._edges:
            self._edges.append(edge)
        return self._edges.index(edge)

    def value(self) -> list[Value]:
        """For the op."""
        return [_input(edge) for edge in self._edges]


def files(entries: Iterable[tuple[str, bytes]], name: str) -> Value:
    """A definition of a file system that holds some files.

    ``entries``: path, with ``/`` first, and bytes; directories are made.
    ``name``: what people are shown.
    """
    made: list[Value] = []
    for path, data in entries:
        directory = path.rpartition("/")[0]
        if directory:
            made.append({"mkdir": {"path": directory, "mode": 0o755, "make_parents": True}})
        made.append({"mkfile": {"path": path, "mode": 0o644, "data": data}})
    last = len(made) - 1
    # Each action goes on with what the one before has made.
    actions = [
        {"input": number - 1, "secondary_input": EMPTY, "output": 0 if number == last else EMPTY, **action}
        for number, action in enumerate(made)
    ]
    return definition_of({"file": {"actions": actions}}, name, {"file.base": True})


def definition_of(op: Value, name: str, caps: dict[str, bool], below: Value | None = None) -> Value:
    """A definition of one op.

    ``below``: the definition of its inputs, if it has any.
    """
    below = below or {"ops": [], "metadata": {}}
    data = OP.encode(op)
    last = OP.encode({"inputs": [_input((sha256(data), 0))]})
    return {
        "ops": [*below["ops"][:-1], data, last],
        "metadata": {
            **below["metadata"],
            sha256(data): {"description": {"llb.customname": name}, "caps": caps},
            sha256(last): _TERMINAL,
        },
    }
