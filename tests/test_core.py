"""walk and plan on trees in memory: the order of a difference, without a disk."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.compare import PROFILES
from differ.model import Change, ChangeKind, DifferError, Tally
from differ.walk import walk
from differ.whiteout import STYLES

from .memory import Children, MemoryTree, Node, directory, file, lines, plan, special, symlink, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from differ.model import Stat


# ---------------------------------------------------------------- the order of the stream


def test_depth_first_by_bytes_with_the_slash_lowest() -> None:
    upper = {b"a-": file(), b"a": directory({b"z": file(), b"\xff": file(), b"Z": file()}), b"a.": file()}
    changes = [change.path for change in plan({}, upper).changes()]
    assert changes == [b"a", b"a/Z", b"a/z", b"a/\xff", b"a-", b"a."]
    mixed = lines({b"a": file(), b"C": file()}, {b"B": file(), b"c": file()})
    assert mixed == ["A B", "D C", "D a", "A c"]


def test_the_walk_meets_every_name_once_and_stands_where_it_says() -> None:
    lower = MemoryTree({b"both": directory({b"l": file()}), b"gone": directory({b"x": file()})})
    upper = MemoryTree({b"both": directory({b"u": file()}), b"new": directory({b"y": file()})})
    met = []
    for place, name, lower_facts, upper_facts, child in walk(lower, upper, below_removed=True):
        path = place.path(name)
        met.append((path, lower_facts is not None, upper_facts is not None, child is not None))
        if lower_facts is not None:
            assert lower.path(name) == path
        if upper_facts is not None:
            assert upper.path(name) == path
    assert met == [
        (b"both", True, True, True),
        (b"both/l", True, False, False),
        (b"both/u", False, True, False),
        (b"gone", True, False, True),
        (b"gone/x", True, False, False),
        (b"new", False, True, True),
        (b"new/y", False, True, False),
    ]
    assert lower.depth() == upper.depth() == 0


def test_the_walk_leaves_alone_what_only_lower_has() -> None:
    lower = MemoryTree({b"gone": directory({b"x": file()})})
    steps = list(walk(lower, MemoryTree({}), below_removed=False))
    assert [name for _, name, *_ in steps] == [b"gone"]
    assert lower.listed == [b""]


def test_depth_is_not_bounded_by_recursion() -> None:
    def chain(leaf: Node) -> Children:
        for _ in range(3000):
            leaf = directory({b"d": leaf})
        return {b"d": leaf}

    changes = list(plan(chain(file(b"1")), chain(file(b"2"))).changes())
    assert len(changes) == 3001
    assert changes[-1].path == b"/".join([b"d"] * 3001)
    assert {change.kind for change in changes[:-1]} == {ChangeKind.UNMODIFIED}


def test_the_tally_counts_names_and_what_was_proven_equal() -> None:
    shared = file(b"12345")
    tally = Tally()
    assert list(plan({b"s": shared, b"x": file()}, {b"s": shared, b"y": file()}, tally=tally).changes())
    assert (tally.entries, tally.identical) == (3, 5)


# ---------------------------------------------------------------- additions, removals, types, ancestors


@pytest.mark.parametrize("style", STYLES)
def test_equal_trees_have_no_difference(style: str) -> None:
    def tree() -> Children:
        twice = file(b"twice")
        return {
            b"d": directory({b"f": file(b"f"), b"l": symlink(b"f"), b"t": twice}),
            b"n": special(stat.S_IFCHR, 7),
            b"s": special(stat.S_IFSOCK),
            b"t": twice,
        }

    for profile in PROFILES:
        assert lines(tree(), tree(), profile, style) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_only_the_topmost_removed_name_is_told(profile: str) -> None:
    lower = {b"d": directory({b"e": directory({b"f": file()}), b"g": file()}), b"x": file()}
    assert lines(lower, {}, profile) == ["D d", "D x"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_directory_replaced_by_something_else_is_the_new_entry_alone(profile: str) -> None:
    lower = {b"d": directory({b"e": directory({b"f": file()})})}
    for new in (file(b"1"), symlink(b"e"), special(stat.S_IFIFO)):
        assert lines(lower, {b"d": new}, profile) == ["M d type"]


@pytest.mark.parametrize("profile", PROFILES)
def test_something_replaced_by_a_directory_is_the_directory_and_its_children(profile: str) -> None:
    upper = {b"d": directory({b"e": directory({b"f": file()})})}
    for old in (file(b"1"), symlink(b"e"), special(stat.S_IFIFO)):
        assert lines({b"d": old}, upper, profile) == ["M d type", "A d/e", "A d/e/f"]


def test_a_directory_made_again_is_told_name_by_name() -> None:
    lower = {b"d": directory({b"gone": file(), b"kept": file(b"1"), b"new": file(b"1")}, mode=0o700)}
    upper = {b"d": directory({b"added": file(), b"kept": file(b"1"), b"new": file(b"2")})}
    assert lines(lower, upper) == ["M d mode", "A d/added", "D d/gone", "M d/new content"]


def test_ancestors_come_first_and_once_with_the_facts_of_upper() -> None:
    lower = {
        b"a": directory(
            {b"b": directory({b"x": file(), b"z": file()}), b"same": file()},
            mtime_ns=1,
            xattrs={"user.a": b"1"},
        )
    }
    upper_a = directory(
        {b"b": directory({b"y": file(), b"z": file(mode=0o600)}), b"same": file()},
        mtime_ns=2,
        xattrs={"user.a": b"1"},
    )
    changes = list(plan(lower, {b"a": upper_a}).changes())
    assert list(map(told, changes)) == ["= a", "= a/b", "D a/b/x", "A a/b/y", "M a/b/z mode"]
    entry = changes[0].upper
    assert entry is not None
    assert (entry.stat, entry.xattrs) == (upper_a, {"user.a": b"1"})


def test_a_changed_directory_is_its_own_ancestor() -> None:
    lower = {b"a": directory({b"b": directory({b"x": file(b"1")})}, mode=0o700)}
    upper = {b"a": directory({b"b": directory({b"x": file(b"2")})})}
    assert lines(lower, upper) == ["M a mode", "= a/b", "M a/b/x content"]


def test_a_removed_name_keeps_what_is_known_of_it() -> None:
    gone = file(b"12")
    (change,) = plan({b"x": gone}, {}).changes()
    assert change.upper is None
    assert change.lower is not None
    assert change.lower.stat is gone


# ---------------------------------------------------------------- the contract of the stream

contents = st.sampled_from([b"", b"1", b"2"])


@st.composite
def trees(draw: st.DrawFn) -> Children:
    """A little tree with link groups; equal facts wherever a draw says so."""
    pool = [file(data) for data in draw(st.lists(contents, min_size=1, max_size=3))]
    leaves = st.one_of(
        st.integers(0, len(pool) - 1).map(lambda at: pool[at]),
        contents.map(file),
        st.builds(symlink, st.sampled_from([b"a", b"b"])),
        st.builds(lambda: special(stat.S_IFSOCK)),
    )
    names = st.sampled_from([b"a", b"b", b"c", b"a-"])
    shape = st.recursive(
        leaves, lambda below: st.dictionaries(names, below, max_size=3).map(directory), max_leaves=8
    )
    children: Children = draw(st.dictionaries(names, shape, max_size=4))
    return children


@given(
    lower=trees(), upper=trees(), profile=st.sampled_from(list(PROFILES)), style=st.sampled_from(list(STYLES))
)
def test_the_contract_holds_for_any_two_trees(
    lower: Children, upper: Children, profile: str, style: str
) -> None:
    seen: dict[bytes, Change] = {}
    for change in plan(lower, upper, profile, style).changes():
        assert change.path not in seen
        above = change.path.rpartition(b"/")[0]
        if above:
            assert seen[above].kind != ChangeKind.REMOVED
            entry = seen[above].upper
            assert entry is not None
            assert stat.S_ISDIR(entry.stat.st_mode)
        if change.link is not None:
            source = seen[change.link]
            assert source.link is None
            assert source.upper is change.upper is not None
        assert (change.upper is None) == (change.kind == ChangeKind.REMOVED)
        assert bool(change.fields) == (change.kind == ChangeKind.MODIFIED)
        seen[change.path] = change
    # An unmodified directory is there for something below it.
    for path, change in seen.items():
        if change.kind == ChangeKind.UNMODIFIED and change.link is None:
            below = (other for other in seen if other.startswith(path + b"/"))
            assert any(seen[other].kind != ChangeKind.UNMODIFIED or seen[other].link for other in below)


@pytest.mark.parametrize("style", STYLES)
def test_no_style_is_asked_to_write_below_a_removed_name(style: str) -> None:
    lower = {b"d": directory({b"a": file(), b"b": file()}), b"e": directory({b"f": file()})}
    assert lines(lower, {b"d": directory({b"a": file()})}, style=style) == ["= d", "D d/b", "D e"]


def test_an_error_in_a_tree_passes_through() -> None:
    class Unreadable(MemoryTree):
        def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
            raise DifferError("cannot be read: Input/output error", self.path(name))

    with pytest.raises(DifferError, match="x: cannot be read"):
        list(plan({b"x": file()}, Unreadable({b"x": file()})).changes())
