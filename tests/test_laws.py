"""What must hold for any two trees (semantics.md section 4 and the contract in differ/plan.py).

``DIFFER_LAWS=deep`` tries 5,000 pairs for each law and style, and other ones every time; the seed is
printed and ``DIFFER_LAWS_SEED`` repeats it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from differ.apply import MergedTree
from differ.compare import PROFILES
from differ.content import Comparer
from differ.model import Change, ChangeKind, DifferError, Field, Tally
from differ.plan import Plan
from differ.scan import DiskTree
from differ.verify import Proof
from differ.whiteout import STYLES, Style

from .conftest import needs_root
from .expected import (
    Rows,
    above,
    components,
    difference,
    in_order,
    left_over,
    names_of_inodes,
    result,
)
from .generated import Pair, Step, make, pairs, perform
from .patterns import delete_taken, patterns_for
from .profiles import law, law_of_all_styles, tell_seed
from .room import Room, room
from .trees import T_UPPER, Z

pytestmark = needs_root

TWO_LINKS = [
    Step("file", (b"a", b"x"), {"mtime": Z}),
    Step("link", (b"a", b"b"), {}),
    Step("file", (b"c", b"x"), {"mtime": Z}),
]

each_style = pytest.mark.parametrize("style", STYLES)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Where examples have their rooms: one directory of a file system that has everything."""
    tell_seed(pytestconfig)
    return tmp_path_factory.mktemp("laws")


@contextlib.contextmanager
def built(pair: Pair, base: Path, style: str) -> Iterator[Room]:
    """The two trees, such as the style can express."""
    with room(base) as place:
        make(
            pair.without_zero_device() if style == "overlay" else pair,
            place.path / "lower",
            place.path / "upper",
        )
        yield place


# ---------------------------------------------------------------- the way there and back
@each_style
@law
@given(pair=pairs())
def test_lower_with_the_difference_applied_is_upper(style: str, base: Path, pair: Pair) -> None:
    with built(pair, base, style) as place:
        place.write(style, "--verify")
        place.apply(style)
        lower, upper, out = place.rows("lower"), place.rows("upper"), place.rows("out")
        assert left_over(in_order(place.rows("applied")), out, style) == result(lower, upper, out, style)
        for path in upper:
            if has_holes(place.path / "upper" / path):
                if (place.path / "applied" / path).exists():
                    assert has_holes(place.path / "applied" / path), path


def has_holes(path: Path) -> bool:
    facts = path.lstat()
    return stat.S_ISREG(facts.st_mode) and facts.st_blocks * 512 < facts.st_size


@law_of_all_styles
@given(pair=pairs(zero_device=False))
@example(Pair(TWO_LINKS, [Step("again", (b"b",), {})], shared=False))
@example(Pair(TWO_LINKS, [Step("join", (b"c", b"b"), {})], shared=False))
def test_a_proof_fails_exactly_when_something_differs(base: Path, pair: Pair) -> None:
    """UPPER gets one more edit after the difference was written."""
    with built(pair._replace(edits=pair.edits[:-1]), base, "overlay") as place:
        place.write("overlay")
        perform(pair.edits[-1:], place.path / "upper", T_UPPER)
        place.apply("overlay")
        out = place.rows("out")
        applied, upper = (
            left_over(in_order(place.rows(name)), out, "overlay") for name in ("applied", "upper")
        )
        trees = [DiskTree(os.fsencode(place.path / name)) for name in ("lower", "out", "upper")]
        with contextlib.chdir(base):
            merged = MergedTree(trees[0], trees[1], STYLES["overlay"])
            failures = list(Proof(merged, merged, trees[2], STYLES["overlay"], Tally()).failures())
        for tree in trees:
            tree.close()
        assert bool(failures) == (applied != upper), failures


@law
@given(pair=pairs())
def test_a_tree_does_not_differ_from_itself_nor_from_a_copy(base: Path, pair: Pair) -> None:
    with room(base) as place, room(base) as other:
        make(pair, place.path / "lower", place.path / "upper")
        make(pair, other.path / "lower", other.path / "upper")
        copy = os.path.relpath(other.path / "upper", place.path)
        for trees in [("upper", "upper"), ("upper", copy)]:
            for profile in PROFILES:
                options = ["--compare", profile, "--exit-code", "--report", "-"]
                assert place.differ(*options, trees=trees)[:2] == (0, "")
        for style in STYLES:
            if style != "overlay" or pair == pair.without_zero_device():
                assert (
                    place.differ("--whiteout", style, "--exit-code", trees=("upper", copy), out=style)[0] == 0
                )
                assert place.rows(style) == {}


@each_style
@law
@given(pair=pairs())
def test_the_same_trees_give_the_same_bytes(style: str, base: Path, pair: Pair) -> None:
    reports = []
    with built(pair, base, style) as place, built(pair, base, style) as other:
        (other.path / "out").mkdir()
        for run in (place, other):
            run.write(style, "--report", str(run.path / "report"), "--digest")
            reports.append((run.path / "report").read_bytes())
        assert reports[0] == reports[1]
        assert place.rows("out") == other.rows("out")


# ---------------------------------------------------------------- what is in a difference
@pytest.mark.parametrize("profile", PROFILES)
@each_style
@law
@given(pair=pairs())
def test_nothing_is_missing_and_nothing_is_too_much(profile: str, style: str, base: Path, pair: Pair) -> None:
    """What differs and the markers of what is gone, with the directories above them as in UPPER."""
    with built(pair, base, style) as place:
        place.write(style, "--compare", profile)
        lower, upper = place.rows("lower"), place.rows("upper")
        assert in_order(place.rows("out")) == difference(lower, upper, style, profile)


@each_style
@law
@given(pair=pairs())
def test_exact_contains_what_the_other_profiles_find(style: str, base: Path, pair: Pair) -> None:
    with built(pair, base, style) as place:
        for profile in PROFILES:
            place.write(style, "--compare", profile, out=profile)
        exact = place.rows("exact").keys()
        assert place.rows("native").keys() <= exact
        assert place.rows("metadata").keys() <= exact


@each_style
@law
@given(data=st.data())
def test_ignored_is_the_same_as_deleted(style: str, base: Path, data: st.DataObject) -> None:
    pair = data.draw(pairs(), "pair")
    patterns = data.draw(patterns_for(pair), "patterns")
    options = [word for pattern in patterns for word in ("--ignore", pattern)]
    reports = []
    with built(pair, base, style) as place:
        place.write(style, "--verify", "--report", str(place.path / "report"), *options, out="ignored")
        reports.append((place.path / "report").read_bytes())
        delete_taken(place.path / "lower", place.path / "upper", patterns)
        place.write(style, "--report", str(place.path / "report"), out="deleted")
        reports.append((place.path / "report").read_bytes())
        assert in_order(place.rows("ignored")) == in_order(place.rows("deleted"))
        assert reports[0] == reports[1]


def is_marker(style: Style, name: bytes, entry: Any) -> bool:
    try:
        return style.hides(name, entry) is not None
    except DifferError:
        return True  # one that names nothing


@example(b".wh.")
@given(name=st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name)))
@law_of_all_styles
def test_a_marker_is_read_as_what_it_removes_and_nothing_else_is(name: bytes) -> None:
    if name in (b".", b".."):
        return
    for style in STYLES.values():
        for kind, device in [(stat.S_IFREG, 0), (stat.S_IFDIR, 0), (stat.S_IFCHR, 0), (stat.S_IFCHR, 259)]:
            entry: Any = SimpleNamespace(st_mode=kind, st_rdev=device)
            assert is_marker(style, name, entry) == (style.forbids(name, entry) is not None)
        marker = style.marker(name)
        if marker is not None and style.forbids(name, None) is None:
            facts: Any = SimpleNamespace(st_mode=marker.type, st_rdev=0)
            assert style.hides(marker.name, facts) == name


# ---------------------------------------------------------------- the stream of changes
@pytest.mark.parametrize("profile", PROFILES)
@each_style
@law
@given(pair=pairs())
def test_the_stream_keeps_its_contract(profile: str, style: str, base: Path, pair: Pair) -> None:
    with built(pair, base, style) as place:
        changes = stream(place, style, profile)
        check_places(changes, place.rows("upper"))
        check_order(changes)


def stream(place: Room, style: str, profile: str) -> list[Change]:
    lower, upper = (DiskTree(os.fsencode(place.path / name)) for name in ("lower", "upper"))
    tally = Tally()
    plan = Plan(lower, upper, Comparer(tally).same, PROFILES[profile], STYLES[style], tally)
    try:
        with contextlib.chdir(place.path):
            return list(plan.changes())
    finally:
        lower.close()
        upper.close()


def check_places(changes: list[Change], upper: Rows) -> None:
    """Every path once, directories before what is in them, files before their links."""
    inodes = names_of_inodes(upper)
    seen: dict[str, Change] = {}
    for change in changes:
        path = os.fsdecode(change.path)
        assert path not in seen
        for directory in above(path):
            # A removed name is in no directory of UPPER, so nothing can stand below one.
            entry = seen[directory].upper
            assert entry is not None
            assert stat.S_ISDIR(entry.stat.st_mode)
        if change.kind == ChangeKind.REMOVED:
            assert (change.upper, change.link) == (None, None)
        else:
            assert change.upper is not None
            alike = [] if upper[path]["type"] == "dir" else [other for other in seen if other in inodes[path]]
            assert (change.link is None) == (not alike), "the first name is the file, the others are links"
            if change.link is not None:
                source = os.fsdecode(change.link)
                assert source in alike
                assert seen[source].link is None
        seen[path] = change


def check_order(changes: list[Change]) -> None:
    """Depth first by bytes; what is written only for its links comes behind its file, or last."""
    by_itself: list[list[bytes]] = []
    last: list[list[bytes]] = []
    of = {change.path: change for change in changes}
    for change in changes:
        if change.kind == ChangeKind.UNMODIFIED:
            continue
        path = components(os.fsdecode(change.path))
        if change.fields != (Field.LINKS,):
            assert not last
            by_itself.append(path)
        elif of[change.link or change.path].fields == (Field.LINKS,):
            last.append(path)
    assert by_itself == sorted(by_itself)
    assert last == sorted(last)
