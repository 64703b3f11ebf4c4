"""BuildKit's graph: what is loaded, what takes a vertex's place, and what comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from differ.frontend.graph import Graph, GraphError, Inputs, Substitute
from differ.frontend.messages import DEFINITION, OP

from .frontend_graphs import INFO, Made, Sides, graph, instead, names, ops, run, sha, source, unchanged, words

if TYPE_CHECKING:
    from differ.frontend.graph import Edge, Location
    from differ.frontend.protobuf import Value


# Loading.


def test_nothing_is_loaded_from_an_empty_definition() -> None:
    assert graph().load({}) is None
    assert graph().definition(None, unchanged) == {}
    assert graph().vertices(None) == []
    assert graph().replace(None, {}) is None


def test_what_is_loaded_comes_out_again() -> None:
    made = Made()
    base = made.add(source("docker-image://a"), "load a", 1)
    head = made.add(run("x", base), "run x", 2)
    definition = made.of(head, 3)
    loaded = graph()
    edge = loaded.load(definition)
    assert edge == (head, 3)
    assert loaded.vertices(edge) == [base, head]
    out = loaded.definition(edge, unchanged)
    ops(out)
    assert out["ops"] == definition["ops"]
    assert out["source"] == {
        "locations": {
            digest: {"locations": [{"source_index": 0, **held["locations"][0]}]}
            for digest, held in made.locations.items()
        },
        "infos": [INFO],
    }
    terminal = sha(definition["ops"][-1])
    assert out["metadata"] == {**made.metadata, terminal: {"caps": {"constraints": True, "platform": True}}}
    # It can be written and loaded by somebody else.
    assert graph().load(DEFINITION.decode(DEFINITION.encode(out))) == edge


def test_only_what_a_result_needs_comes_out() -> None:
    made = Made()
    base = made.add(source("docker-image://a"))
    made.add(source("docker-image://unused"))
    head = made.add(run("x", base))
    loaded = graph()
    assert words(loaded.definition(loaded.load(made.of(head)), unchanged)) == ["docker-image://a", "x"]


def test_two_definitions_share_vertices_and_files() -> None:
    one, two = Made(), Made()
    base = one.add(source("docker-image://a"), "a", 1)
    first = one.add(run("x", base), "x", 2)
    two.add(source("docker-image://a"), "a", 1)
    second = two.add(run("y", base), "y", 3)
    loaded = graph()
    heads = [loaded.load(one.of(first)), loaded.load(two.of(second))]
    assert heads == [(first, 0), (second, 0)]
    assert len(loaded.infos) == 1
    assert words(loaded.definition(heads[1], unchanged)) == ["docker-image://a", "y"]


def test_sources_of_two_files_are_told_apart() -> None:
    one, two = Made(), Made()
    first = one.add(source("docker-image://a"), "a", 1)
    second = two.add(source("docker-image://b"), "b", 1)
    loaded = graph()
    loaded.load(one.of(first))
    two.infos = [{**INFO, "data": b"FROM b\n"}]
    head = loaded.load(two.of(second))
    out = loaded.definition(head, unchanged)
    (location,) = out["source"]["locations"][second]["locations"]
    assert out["source"]["infos"][location["source_index"]]["data"] == b"FROM b\n"


@pytest.mark.parametrize(
    "last",
    [
        {"inputs": []},
        {"inputs": [{"digest": "a"}, {"digest": "b"}]},
        {"source": {"identifier": "a"}},
        {"inputs": [{"digest": "a"}], "exec": {}},
    ],
)
def test_a_last_op_that_names_no_result(last: Value) -> None:
    with pytest.raises(GraphError, match="does not name its result"):
        graph().load({"ops": [OP.encode(last)]})


def test_a_vertex_that_is_missing() -> None:
    made = Made()
    head = made.add(run("x", "sha256:gone"))
    loaded = graph()
    with pytest.raises(GraphError, match=r"^the vertex sha256:gone is not in its definition$"):
        loaded.vertices(loaded.load(made.of(head)))


# Replacing.


def test_a_placeholder_in_a_chain() -> None:
    made = Made()
    name = made.add(source("placeholder"), "name", 1)
    below = made.add(run("x", name), "[2/3] RUN x", 2)
    head = made.add(run("y", below), "[3/3] RUN y", 3)
    loaded = graph()
    edge = loaded.load(made.of(head))
    sides = Sides(loaded)
    now = loaded.replace(edge, {name: instead("a..b", sides.lower, sides.upper, line=7)})
    out = loaded.definition(now, unchanged)
    assert words(out) == ["docker-image://a", "b", "a..b", "x", "y"]
    assert names(out) == ["RUN b", "a..b", "[2/3] RUN x", "[3/3] RUN y"]
    # Sources hang on the new digests.
    lines = {
        digest: held["locations"][0]["ranges"][0]["start"]["line"]
        for digest, held in out["source"]["locations"].items()
    }
    assert [lines.get(sha(data)) for data in out["ops"]] == [None, None, 7, 2, 3, None]
    # The old graph is still there.
    assert loaded.definition(edge, unchanged)["ops"] == made.of(head)["ops"]


def test_the_result_itself_is_a_placeholder() -> None:
    made = Made()
    name = made.add(source("placeholder"))
    loaded = graph()
    edge = loaded.load(made.of(name))
    now = loaded.replace(edge, {name: instead("a..b", Sides(loaded).upper, None)})
    assert words(loaded.definition(now, unchanged)) == ["docker-image://a", "b", "a..b"]


def test_outputs_keep_their_numbers() -> None:
    made = Made()
    name = made.add(source("placeholder"))
    below = made.add(run("x", name))
    head = made.add(run("y", below, output=2))
    loaded = graph()
    now = loaded.replace(loaded.load(made.of(head, 5)), {name: instead("a..b")})
    assert now is not None
    assert now[1] == 5
    out = ops(loaded.definition(now, unchanged))
    assert [[item.get("index", 0) for item in op.get("inputs", [])] for op in out] == [[], [0], [2], [5]]


def test_a_graph_without_placeholders_stays_as_it_is() -> None:
    made = Made()
    base = made.add(source("docker-image://a"))
    head = made.add(run("x", base))
    loaded = graph()
    edge = loaded.load(made.of(head))
    assert loaded.replace(edge, {"sha256:another": instead("a..b")}) == edge
    assert loaded.replace(edge, {}) == edge


def test_an_op_that_cannot_be_written_again_may_stay_where_nothing_changes() -> None:
    """Fields of one number that are apart: no BuildKit writes so."""
    made = Made()
    base = made.add(source("docker-image://a"))
    name = made.add(source("placeholder"))
    other = made.add(source("docker-image://b"))
    for below in (base, name):
        first, second = (OP.encode({"inputs": [{"digest": digest}]}) for digest in (below, other))
        odd = first + OP.encode({"exec": {"meta": {"args": ["odd"], "cwd": "/"}}}) + second
        made.ops.append(odd)
        made.metadata[sha(odd)] = {}
        loaded = graph()
        edge = loaded.load(made.of(sha(odd)))
        if below == base:
            assert loaded.replace(edge, {name: instead("a..b")}) == edge
        else:
            with pytest.raises(GraphError, match="cannot be written again"):
                loaded.replace(edge, {name: instead("a..b")})


@pytest.mark.parametrize("shared", [False, True])
def test_a_diamond(shared: bool) -> None:
    """Both arms stand on the placeholder, or one."""
    made = Made()
    name = made.add(source("placeholder"))
    other = made.add(source("docker-image://c"))
    left = made.add(run("left", name))
    right = made.add(run("right", name if shared else other))
    head = made.add(run("head", left, right, name, left))
    loaded = graph()
    edge = loaded.load(made.of(head))
    sides = Sides(loaded)
    made_before: list[str] = []
    substitute = instead("a..b", sides.lower, sides.upper)

    def make(now: list[Edge | None]) -> tuple[Value, Value, list[Location]]:
        made_before.append("once")
        return substitute.make(now)

    now = loaded.replace(edge, {name: Substitute(substitute.edges, make)})
    out = loaded.definition(now, unchanged)
    assert made_before == ["once"]
    assert words(out).count("a..b") == 1
    by_word = dict(zip(words(out), ops(out)))
    digest = {word: sha(data) for word, data in zip(words(out), out["ops"])}
    assert [item["digest"] for item in by_word["head"]["inputs"]] == [
        digest["left"],
        digest["right"],
        digest["a..b"],
        digest["left"],
    ]
    assert by_word["right"]["inputs"][0]["digest"] == (digest["a..b"] if shared else other)


def test_two_placeholders_that_become_the_same_are_one_vertex() -> None:
    made = Made()
    first, second = made.add(source("placeholder", n="1")), made.add(source("placeholder", n="2"))
    head = made.add(run("head", first, second))
    loaded = graph()
    edge = loaded.load(made.of(head))
    sides = Sides(loaded)
    same = instead("a..b", sides.lower, sides.upper)
    out = loaded.definition(loaded.replace(edge, {first: same, second: same}), unchanged)
    assert words(out) == ["docker-image://a", "b", "a..b", "head"]
    inputs = ops(out)[3]["inputs"]
    assert inputs[0] == inputs[1]


def test_placeholders_in_the_sides_of_others() -> None:
    made = Made()
    inner, middle, outer = (made.add(source("placeholder", n=str(number))) for number in range(3))
    on_inner = made.add(run("on inner", inner))
    on_middle = made.add(run("on middle", middle))
    head = made.add(run("head", outer, inner))
    loaded = graph()
    edge = loaded.load(made.of(head))
    sides = Sides(loaded)
    now = loaded.replace(
        edge,
        {
            outer: instead("outer", (on_middle, 0), (middle, 0)),
            middle: instead("middle", (inner, 0), (on_inner, 0)),
            inner: instead("inner", sides.lower, sides.upper),
        },
    )
    out = loaded.definition(now, unchanged)
    assert sorted(words(out)) == sorted(
        ["docker-image://a", "b", "inner", "on inner", "middle", "on middle", "outer", "head"]
    )
    assert not any("placeholder" in word for word in words(out))


def test_a_difference_is_made_anew_when_something_below_it_is() -> None:
    """Its key in the engine's cache is made of those of its sides, and these stay what they were."""
    for anew in (True, False):
        made = Made()
        base = made.add(source("docker-image://a"))
        made.metadata[base]["ignore_cache"] = anew
        old = made.add(source("docker-image://b"))
        upper = made.add(run("make", made.add(run("first", base))))
        one, two, apart = (made.add(source(name)) for name in ("one", "two", "apart"))
        # The second has the first below it.
        copied = made.add(run("copy", one))
        head = made.add(run("head", copied, two, apart))
        loaded = graph()
        edge = loaded.load(made.of(head))
        now = loaded.replace(
            edge,
            {
                one: instead("a..b", (base, 0), (upper, 0)),
                two: instead("b..c", (old, 0), (copied, 0)),
                apart: instead("d..e", None, (old, 0)),
            },
        )
        out = loaded.definition(now, unchanged)
        found = {
            OP.decode(data)["exec"]["meta"]["args"][0]: out["metadata"][sha(data)].get("ignore_cache", False)
            for data in out["ops"]
            if "exec" in OP.decode(data)
        }
        assert {name: found[name] for name in ("a..b", "b..c", "d..e", "head")} == {
            "a..b": anew,
            "b..c": anew,
            "d..e": False,
            "head": False,
        }


def test_an_empty_side_is_given_as_none() -> None:
    made = Made()
    name = made.add(source("placeholder"))
    loaded = graph()
    edge = loaded.load(made.of(name))
    given: list[list[Edge | None]] = []

    def make(now: list[Edge | None]) -> tuple[Value, Value, list[Location]]:
        given.append(now)
        return source("empty"), {}, []

    loaded.replace(edge, {name: Substitute([None, None], make)})
    assert given == [[None, None]]


def test_inputs_are_there_once() -> None:
    inputs = Inputs()
    edges: list[Edge | None] = [("a", 0), None, ("b", 0), ("a", 0), ("a", 1)]
    assert [inputs.add(edge) for edge in edges] == [0, -1, 1, 0, 2]
    assert inputs.value() == [
        {"digest": "a", "index": 0},
        {"digest": "b", "index": 0},
        {"digest": "a", "index": 1},
    ]


DEEP = 3000


def test_a_deep_graph() -> None:
    made = Made()
    name = digest = made.add(source("placeholder"))
    for number in range(DEEP):
        digest = made.add(run(f"{number}", digest), f"RUN {number}", number + 1)
    loaded = graph()
    edge = loaded.load(made.of(digest))
    sides = Sides(loaded)
    now = loaded.replace(edge, {name: instead("a..b", sides.lower, sides.upper)})
    out = loaded.definition(now, unchanged)
    assert words(out) == ["docker-image://a", "b", "a..b", *(f"{number}" for number in range(DEEP))]


def test_a_ladder_of_many_paths_takes_no_longer_than_its_vertices() -> None:
    """Two ways from each step to the next: 2 to the power of 100 paths."""
    made = Made()
    name = left = right = made.add(source("placeholder"))
    for number in range(100):
        left, right = made.add(run(f"l{number}", left, right)), made.add(run(f"r{number}", left, right))
    loaded = graph()
    edge = loaded.load(made.of(made.add(run("head", left, right))))
    now = loaded.replace(edge, {name: instead("a..b")})
    assert len(words(loaded.definition(now, unchanged))) == 202


# What people see.


def test_names_of_vertices_are_changed_and_nothing_else() -> None:
    made = Made()
    base = made.add(source("docker-image://NAME"))
    head = made.add(run("NAME", base), "RUN NAME")
    made.metadata[head] = {
        "ignore_cache": True,
        "description": {"llb.customname": "RUN NAME", "com.example": "NAME too"},
        "caps": {"NAME": True},
        9: b"\x4a\x01x",
    }
    loaded = graph()
    out = loaded.definition(loaded.load(made.of(head)), lambda text: text.replace("NAME", "a..b"))
    assert out["ops"][:2] == made.ops
    assert out["metadata"][head] == {
        "ignore_cache": True,
        "description": {"llb.customname": "RUN a..b", "com.example": "a..b too"},
        "caps": {"NAME": True},
        9: b"\x4a\x01x",
    }
    # The graph has kept the name as it was.
    again = loaded.definition(loaded.load(made.of(head)), unchanged)
    assert again["metadata"][head]["description"]["llb.customname"] == "RUN NAME"


def test_files_and_lines_are_restored_as_they_are_loaded() -> None:
    def restore(info: Value, ranges: list[Value]) -> tuple[Value, list[Value]]:
        moved = [{end: {"line": held[end]["line"] - 1} for end in ("start", "end")} for held in ranges]
        return {**info, "data": b"the user's"}, moved

    made = Made()
    head = made.add(source("docker-image://a"), "a", 5)
    loaded = Graph(restore)
    out = loaded.definition(loaded.load(made.of(head)), unchanged)
    assert out["source"]["infos"] == [{**INFO, "data": b"the user's"}]
    (location,) = out["source"]["locations"][head]["locations"]
    assert location["ranges"] == [{"start": {"line": 4}, "end": {"line": 4}}]


def test_a_group_s_name_is_changed_too() -> None:
    """A COPY --link is shown by it."""
    made = Made()
    digest = made.add(source("docker-image://a"))
    made.metadata[digest] = {"progress_group": {"id": "i", "name": "COPY --link x", "weak": True}}
    loaded = graph()
    out = loaded.definition(loaded.load(made.of(digest)), str.upper)
    assert out["metadata"][digest] == {"progress_group": {"id": "i", "name": "COPY --LINK X", "weak": True}}
