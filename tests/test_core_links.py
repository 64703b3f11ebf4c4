"""Hard links, sockets and names that a style gives a meaning of its own, on trees in memory."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import pytest

from differ.compare import PROFILES
from differ.model import DifferError
from differ.whiteout import STYLES

from .memory import Children, MemoryTree, Node, directory, file, lines, plan, special, symlink, told

# ---------------------------------------------------------------- groups of names that share an inode


def group(*names: bytes, data: bytes = b"1", **facts: Any) -> dict[bytes, Node]:
    """One file under each of ``names``."""
    return dict.fromkeys(names, file(data, **facts))


def alone(*names: bytes) -> dict[bytes, Node]:
    """Equal files, each on its own."""
    return {name: file(b"1") for name in names}


Sides = Callable[[], "tuple[Children, Children]"]

GROUPS: dict[str, tuple[Sides, list[str], list[str], list[str]]] = {
    # what happens: the two trees; the stream in exact, in native with oci, in native with none
    "nothing": (lambda: (group(b"a", b"b"), group(b"a", b"b")), [], [], []),
    "joined": (
        lambda: (alone(b"a", b"b"), group(b"a", b"b")),
        ["M a links", "M b links -> a"],
        [],
        [],
    ),
    "broken": (lambda: (group(b"a", b"b"), alone(b"a", b"b")), ["M a links", "M b links"], [], []),
    "one left out": (
        lambda: (group(b"a", b"b", b"c"), {**group(b"a", b"c"), **alone(b"b")}),
        ["M a links", "M b links", "M c links -> a"],
        [],
        [],
    ),
    "extended at the end": (
        lambda: (group(b"a", b"b"), group(b"a", b"b", b"c")),
        ["A c", "M a links -> c", "M b links -> c"],
        ["A c", "= a -> c", "= b -> c"],
        ["A c"],
    ),
    "extended at the front": (
        lambda: (group(b"b", b"c"), group(b"a", b"b", b"c")),
        ["A a", "M b links -> a", "M c links -> a"],
        ["A a", "= b -> a", "= c -> a"],
        ["A a"],
    ),
    "extended by two": (
        lambda: (alone(b"b"), group(b"a", b"b", b"c")),
        ["A a", "M b links -> a", "A c -> a"],
        ["A a", "= b -> a", "A c -> a"],
        ["A a", "A c -> a"],
    ),
    "swapped between two groups": (
        lambda: ({**group(b"a", b"b"), **group(b"c", b"d")}, {**group(b"a", b"d"), **group(b"b", b"c")}),
        ["M a links", "M b links", "M c links -> b", "M d links -> a"],
        [],
        [],
    ),
    "a name removed": (
        lambda: (group(b"a", b"b", b"c"), group(b"a", b"c")),
        ["D b", "M a links", "M c links -> a"],
        ["D b"],
        ["D b"],
    ),
    "all names but one removed": (
        lambda: (group(b"a", b"b"), alone(b"a")),
        ["D b", "M a links"],
        ["D b"],
        ["D b"],
    ),
    "a name replaced by a directory": (
        lambda: (group(b"a", b"b", b"c"), {**group(b"a", b"c"), b"b": directory()}),
        ["M b type", "M a links", "M c links -> a"],
        ["M b type"],
        ["M b type"],
    ),
    "rewritten": (
        lambda: (group(b"a", b"b"), group(b"a", b"b", data=b"22")),
        ["M a size", "M b size -> a"],
        ["M a size", "M b size -> a"],
        ["M a size", "M b size -> a"],
    ),
    "one name rewritten and joined": (
        lambda: ({**alone(b"a"), b"b": file(b"22")}, group(b"a", b"b")),
        ["M b size", "M a links -> b"],
        ["M b size", "= a -> b"],
        ["M b size"],
    ),
    "symbolic links": (
        lambda: ({}, dict.fromkeys((b"a", b"b"), symlink(b"t"))),
        ["A a", "A b -> a"],
        ["A a", "A b -> a"],
        ["A a", "A b -> a"],
    ),
    "fifos joined": (
        lambda: (
            {name: special(stat.S_IFIFO) for name in (b"a", b"b")},
            dict.fromkeys((b"a", b"b"), special(stat.S_IFIFO)),
        ),
        ["M a links", "M b links -> a"],
        [],
        [],
    ),
}


@pytest.mark.parametrize("case", GROUPS)
def test_what_becomes_of_a_group(case: str) -> None:
    make, exact, native_layer, native_mount = GROUPS[case]
    for style in STYLES:
        assert lines(*make(), style=style) == exact
        assert lines(*make(), profile="metadata", style=style) == exact
        native = native_mount if style == "none" else native_layer
        assert lines(*make(), profile="native", style=style) == native


def test_a_group_across_directories_brings_its_parents_once() -> None:
    def tree(*names: Node) -> Children:
        one, two, three = names
        return {b"d": directory({b"e": directory({b"x": one, b"y": two})}), b"z": directory({b"w": three})}

    joined = file(b"1")
    stream = lines(tree(file(b"1"), file(b"1"), file(b"1")), tree(joined, joined, joined))
    assert stream == [
        "= d",
        "= d/e",
        "M d/e/x links",
        "M d/e/y links -> d/e/x",
        "= z",
        "M z/w links -> d/e/x",
    ]


def test_a_parent_that_is_in_the_stream_already_is_not_repeated_at_its_end() -> None:
    lower = {b"d": directory({b"a": file(b"1"), b"b": file(b"1"), b"new": file(b"1")})}
    upper = {b"d": directory({**group(b"a", b"b"), b"new": file(b"22")})}
    assert lines(lower, upper) == ["= d", "M d/new size", "M d/a links", "M d/b links -> d/a"]


def test_names_of_a_group_below_a_removed_directory_count() -> None:
    one = file(b"1")
    lower = {b"gone": directory({b"deep": directory({b"a": one})}), b"kept": one}
    assert lines(lower, alone(b"kept") | {b"x": directory()}) == ["D gone", "A x", "M kept links"]


def test_the_names_on_both_sides_are_told() -> None:
    lower = {**group(b"a", b"b"), b"c": file(b"1")}
    changes = {change.path: change for change in plan(lower, {**group(b"b", b"c"), **alone(b"a")}).changes()}
    assert {path: change.names for path, change in changes.items()} == {
        b"a": ([b"a", b"b"], [b"a"]),
        b"b": ([b"a", b"b"], [b"b", b"c"]),
        b"c": ([b"c"], [b"b", b"c"]),
    }


def test_links_to_one_shared_inode_are_counted_on_each_side() -> None:
    # As `cp -al` leaves two trees: the inode is the same, its names are not.
    shared = file(b"1")
    lower, upper = MemoryTree({b"a": shared, b"b": shared}), MemoryTree({b"a": shared})
    assert [told(change) for change in plan(lower, upper).changes()] == ["D b", "M a links"]
    assert lower.asked == []


def test_a_link_outside_the_tree_is_no_link_in_it() -> None:
    def tree() -> Children:
        inside = file(b"1")
        inside.st_nlink = 5
        return {b"a": inside}

    assert lines(tree(), alone(b"a")) == []
    assert lines(alone(b"a"), tree()) == []


# ---------------------------------------------------------------- sockets


def sock(**facts: Any) -> Node:
    return special(stat.S_IFSOCK, **facts)


SOCKETS: dict[str, tuple[Sides, list[str], list[str]]] = {
    # what happens: the two trees; the stream in a style with sockets, and in oci
    "added, with new parents": (
        lambda: ({}, {b"d": directory({b"s": sock()})}),
        ["A d", "A d/s"],
        ["A d"],
    ),
    "added, in an unchanged directory": (
        lambda: ({b"d": directory()}, {b"d": directory({b"s": sock()})}),
        ["= d", "A d/s"],
        [],
    ),
    "changed": (lambda: ({b"s": sock()}, {b"s": sock(mode=0o600)}), ["M s mode"], []),
    "in place of a file": (lambda: ({b"s": file()}, {b"s": sock()}), ["M s type"], ["D s"]),
    "in place of a directory": (
        lambda: ({b"s": directory({b"x": file()})}, {b"s": sock()}),
        ["M s type"],
        ["D s"],
    ),
    "replaced by a file": (lambda: ({b"s": sock()}, {b"s": file()}), ["M s type"], ["M s type"]),
}


@pytest.mark.parametrize("case", SOCKETS)
def test_sockets_in_every_style(case: str) -> None:
    make, kept, left_out = SOCKETS[case]
    for style in STYLES:
        assert lines(*make(), style=style) == (left_out if style == "oci" else kept)


def test_a_socket_removes_nothing_in_native() -> None:
    for make in (SOCKETS["in place of a file"][0], SOCKETS["in place of a directory"][0]):
        assert lines(*make(), profile="native") == []


# ---------------------------------------------------------------- names with a meaning of their own


def refused(lower: Children, upper: Children, style: str = "oci") -> DifferError:
    with pytest.raises(DifferError) as caught:
        list(plan(lower, upper, style=style).changes())
    return caught.value


def test_wh_names_are_refused_with_every_path() -> None:
    upper = {b"d": directory({b".wh.x": file(), b".wh.y": directory({b"in": file()})}), b".wh.": file()}
    error = refused({}, upper)
    assert error.path == b".wh."
    assert error.reason.startswith("names that begin with .wh. cannot exist in an image (--allow-wh-names ")
    assert error.reason.endswith("; also d/.wh.x, d/.wh.y")
    assert "\n" not in str(error)


def test_only_so_many_paths_are_named() -> None:
    error = refused({}, {b".wh.%02d" % number: file() for number in range(25)})
    assert error.reason.endswith(".wh.08, .wh.09 and 15 more")


def test_one_refused_name_is_the_only_one_named() -> None:
    assert "also" not in refused({}, {b".wh.a": file()}).reason


def test_nothing_follows_a_refused_name() -> None:
    stream = plan({}, {b".a": file(), b".wh.b": file(), b"c": file()}).changes()
    assert next(stream).path == b".a"
    with pytest.raises(DifferError):
        next(stream)


def test_a_wh_directory_above_a_change_is_refused() -> None:
    lower, upper = ({b".wh.d": directory({b"f": file(data)})} for data in (b"1", b"2"))
    assert refused(lower, upper).path == b".wh.d"


def test_a_removed_wh_name_is_refused() -> None:
    # Its whiteout would be .wh..wh.a, which layer readers take for book-keeping of AUFS.
    assert refused({b".wh.a": file()}, {}).path == b".wh.a"


def test_unchanged_wh_names_are_nobodys_business() -> None:
    lower, upper = ({b".wh.a": file(b"1"), b"x": file(data)} for data in (b"1", b"2"))
    assert lines(lower, upper) == ["M x content"]


def test_wh_names_pass_where_they_mean_nothing_or_on_demand() -> None:
    upper = {b".wh.a": file(), b".wh..wh..opq": file()}
    wanted = ["A .wh..wh..opq", "A .wh.a"]
    assert lines({}, upper, style="none") == lines({}, upper, style="overlay") == wanted
    assert lines({}, upper, profile="native") == wanted
    assert [told(change) for change in plan({}, upper, allow_forbidden=True).changes()] == wanted


def test_names_that_only_look_like_whiteouts_pass() -> None:
    upper = {b".wh": file(), b"a.wh.b": file(), b".WH.a": file()}
    assert lines({}, upper) == ["A .WH.a", "A .wh", "A a.wh.b"]


def test_the_whiteout_device_is_refused_by_overlay_alone() -> None:
    upper = {b"a": special(stat.S_IFCHR, 0)}
    assert refused({}, upper, "overlay").path == b"a"
    assert lines({}, upper, style="oci") == lines({}, upper, style="none") == ["A a"]
    for other in (special(stat.S_IFCHR, 1), special(stat.S_IFBLK, 0)):
        assert lines({}, {b"a": other}, style="overlay") == ["A a"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_refused_tree_in_every_profile(profile: str) -> None:
    if profile == "native":
        assert lines({}, {b".wh.a": file()}, profile) == ["A .wh.a"]
    else:
        with pytest.raises(DifferError):
            lines({}, {b".wh.a": file()}, profile)
