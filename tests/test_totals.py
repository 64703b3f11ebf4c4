"""``--stat`` and ``--summary``: figures that are counted again here, and rows that fit a terminal."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import tracemalloc
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from differ.model import KINDS, ChangeKind, printable, size
from differ.writers.listing import painted
from differ.writers.table import _width, cut, table
from differ.writers.totals import Sum, Totals

from .conftest import RunDiffer, needs_root
from .generated import Pair, make, pairs
from .memory import MemoryTree, file
from .patterns import delete_taken, patterns_for
from .profiles import law
from .room import Room, room
from .terminal import on_a_terminal
from .test_report import added
from .test_report import name as bytes_of
from .trees import Builder

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
PROFILES = ["exact", "native", "metadata"]


class One(NamedTuple):
    """A name that counts."""

    kind: str
    path: bytes
    type: str
    new: int
    old: int


def counted(report: str, lower: bytes) -> list[One]:
    """What the lines of a report amount to, with what LOWER has below what is gone.

    Nothing of the product is asked, and the trees are read by their paths.
    """
    seen: set[tuple[int, int]] = set()

    def old(path: bytes) -> int:
        facts = os.lstat(os.path.join(lower, path))
        if not stat.S_ISREG(facts.st_mode) or (facts.st_dev, facts.st_ino) in seen:
            return 0
        seen.add((facts.st_dev, facts.st_ino))
        return facts.st_size

    found = []
    for line in map(json.loads, report.splitlines()):
        path, kind = bytes_of(line, "path"), line["kind"]
        new = line.get("bytes", 0) if kind != "removed" and "link" not in line else 0
        found.append(One(kind, path, line["type"], new, 0 if kind == "added" else old(path)))
        was_dir = (
            line["type"] == "dir"
            if kind == "removed"
            else line.get("fields", {}).get("type", [""])[0] == "dir"
        )
        if was_dir:
            below = [
                os.path.relpath(os.path.join(above, entry), lower)
                for above, dirs, files in os.walk(os.path.join(lower, path))
                for entry in [*dirs, *files]
            ]
            for each in sorted(below, key=lambda each: each.split(b"/")):
                type_ = TYPES[stat.S_IFMT(os.lstat(os.path.join(lower, each)).st_mode)]
                found.append(One("removed", each, type_, 0, old(each)))
    return found


def summary(found: list[One]) -> str:
    lines = []
    for kind in ("added", "modified", "removed"):
        of_kind = [one for one in found if one.kind == kind]
        new, old = sum(one.new for one in of_kind), sum(one.old for one in of_kind)
        types = [(type_, sum(one.type == type_ for one in of_kind)) for type_ in TYPES.values()]
        told = [f"{count} {type_}" for type_, count in types if count]
        lines.append(", ".join([f"{kind} {len(of_kind)}", f"+{new} -{old} bytes", *told]))
    return "".join(line + "\n" for line in lines)


def by_directory(found: list[One]) -> dict[bytes, list[int]]:
    """For every directory: how many names were added, modified, removed, and bytes, new and old."""
    sums: dict[bytes, list[int]] = {}
    for one in found:
        parts = one.path.split(b"/")
        for depth in range(len(parts) + (one.type == "dir")):
            figures = sums.setdefault(b"/".join(parts[:depth]), [0, 0, 0, 0, 0])
            figures[("added", "modified", "removed").index(one.kind)] += 1
            figures[3] += one.new
            figures[4] += one.old
    return sums


class Row(NamedTuple):
    """A row of a table, read back."""

    path: str
    figures: list[str]
    bar: str


ROW = re.compile(r"( *)(\S.*?) +(\d+)  +(\d+)  +(\d+)  +(\S+ \S+)  +(\S+ \S+)(?:  ([+-]*))?")


def rows(text: str) -> list[Row]:
    found: list[Row] = []
    above: list[str] = []
    for line in text.splitlines()[1:]:
        parts = ROW.fullmatch(line)
        assert parts, line
        depth = len(parts[1]) // 2
        above[depth:] = ["" if parts[2] == "." else parts[2]]
        found.append(Row("".join(above), [parts[group] for group in range(3, 8)], parts[8] or ""))
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("totals")


# ---------------------------------------------------------------- the figures are true


@needs_root
@pytest.mark.parametrize("style", ["none", "oci"])
@pytest.mark.parametrize("profile", PROFILES)
@law
@given(pair=pairs())
def test_the_figures_are_those_of_the_report(profile: str, style: str, base: Path, pair: Pair) -> None:
    with room(base) as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "9999")
        make(pair, place.path / "lower", place.path / "upper")
        words = ["-q", "--compare", profile, "--whiteout", style]
        report = place.differ(*words, "--report", "-")[1]
        found = counted(report, os.fsencode(place.path / "lower"))
        assert place.differ(*words, "--summary") == (0, summary(found), "")
        status, text, err = place.differ(*words, "--stat", "--stat-rows", "999")
        assert (status, err) == (0, "")
        check_table(text, by_directory(found))


def check_table(text: str, wanted: dict[bytes, list[int]]) -> None:
    assert (text == "") == (not wanted)
    figures = {
        printable(path) + "/" if path else "": [*map(str, sums[:3]), *map(size, sums[3:])]
        for path, sums in wanted.items()
    }
    shown = rows(text)
    paths = [row.path for row in shown]
    for row in shown:
        assert row.figures == figures[row.path]
    for path in figures.keys() - set(paths):
        # It shares the row of the one directory in it, which has all that it has.
        (below,) = (other for other in paths if other.startswith(path) and figures[other] == figures[path])
        assert all(other.startswith(below) for other in paths if other.startswith(path))
    exact = {printable(path) + "/" if path else "": sums for path, sums in wanted.items()}
    # Siblings stand by bytes, then by names.
    for parent in paths:
        children = [path for path in paths if path != parent and above(path, paths) == parent]
        keys = [(-sum(exact[path][3:]), -sum(exact[path][:3])) for path in children]
        assert keys == sorted(keys)


def above(path: str, paths: list[str]) -> str:
    """The row that a row stands below."""
    return max((other for other in paths if path.startswith(other) and other != path), key=len, default="-")


@needs_root
@law
@given(data=st.data())
def test_what_is_ignored_is_not_counted(base: Path, data: st.DataObject) -> None:
    pair = data.draw(pairs(), "pair")
    patterns = data.draw(patterns_for(pair), "patterns")
    options = [word for pattern in patterns for word in ("--ignore", pattern)]
    with room(base) as place:
        make(pair, place.path / "lower", place.path / "upper")
        ignored = place.differ("--stat", "--summary", *options)[:2]
        delete_taken(place.path / "lower", place.path / "upper", patterns)
        assert place.differ("--stat", "--summary")[:2] == ignored


@pytest.fixture
def place(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_a_file_of_several_names_counts_once(place: Room) -> None:
    for side, count in (("lower", 10), ("upper", 20)):
        root = place.path / side
        (root / "d").mkdir()
        (root / "d/a").write_text("x" * count)
        os.link(root / "d/a", root / "d/b")
        os.link(root / "d/a", root / "c")
    os.rename(place.path / "lower/d", place.path / "lower/e")
    assert place.differ("-q", "--summary")[1].splitlines() == [
        "added 3, +0 -0 bytes, 2 file, 1 dir",
        "modified 1, +20 -10 bytes, 1 file",
        "removed 3, +0 -0 bytes, 2 file, 1 dir",
    ]


def test_what_a_file_has_replaced_is_gone(place: Room) -> None:
    (place.path / "lower/x/y").mkdir(parents=True)
    (place.path / "lower/x/y/z").write_text("1234")
    (place.path / "upper/x").write_text("12")
    assert place.differ("-q", "--stat", "--summary")[1].splitlines() == [
        "        A  M  D  new  old",
        ".       0  1  2  2 B  4 B  ++++++++++++++++++-----------------------------------",
        "  x/y/  0  0  2  0 B  4 B  -----------------------------------",
        "added 0, +0 -0 bytes",
        "modified 1, +2 -0 bytes, 1 file",
        "removed 2, +0 -4 bytes, 1 file, 1 dir",
    ]


@pytest.mark.cli
def test_what_is_ignored_was_not_in_a_removed_directory(tmp_path: Path, run_differ: RunDiffer) -> None:
    (tmp_path / "lower/gone/in").mkdir(parents=True)
    (tmp_path / "upper").mkdir()
    for name in ("a", "b.o", "in/c.o"):
        (tmp_path / "lower/gone" / name).write_text(name)
    words = ("-q", "--summary", "--ignore", "**/*.o", tmp_path / "lower", tmp_path / "upper")
    assert run_differ(*words)[1].splitlines()[2] == "removed 3, +0 -1 bytes, 1 file, 2 dir"


# ---------------------------------------------------------------- with other options


NOTHING = "added 0, +0 -0 bytes\nmodified 0, +0 -0 bytes\nremoved 0, +0 -0 bytes\n"
NEW = "added 2, +3 -0 bytes, 1 file, 1 dir\nmodified 0, +0 -0 bytes\nremoved 0, +0 -0 bytes\n"
TABLE = f"    A  M  D  new  old\n.   2  0  0  3 B  0 B  {'+' * 56}\n  d/  2  0  0  3 B  0 B  {'+' * 56}\n"


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "lower").mkdir()
    (tmp_path / "upper/d").mkdir(parents=True)
    (tmp_path / "upper/d/f").write_text("new")
    return tmp_path / "lower", tmp_path / "upper"


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.cli
def test_no_difference(trees: tuple[Path, Path], run_differ: RunDiffer) -> None:
    assert run_differ("-q", "--stat", trees[0], trees[0]) == (0, "", "")
    assert run_differ("-q", "--summary", trees[0], trees[0]) == (0, NOTHING, "")
    assert run_differ("-q", "--summary", "scratch", trees[1]) == (0, NEW, "")


@pytest.mark.cli
def test_what_stands_on_stdout(trees: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer) -> None:
    stat_ = run_differ("-q", "--stat", *trees)[1]
    assert [line.split()[:4] for line in stat_.splitlines()[1:]] == [
        [".", "2", "0", "0"],
        ["d/", "2", "0", "0"],
    ]
    listed = "A d/\nA d/f\n"
    status, out, err = run_differ("--exit-code", "--summary", *trees)
    assert (status, out) == (1, NEW)
    assert (
        err
        == "differ: 2 added, 0 modified, 0 removed; 0 B written, 0 B compared, 0 B proven equal without reading\n"
    )
    assert run_differ("--summary", "--stat", *trees)[1] == stat_ + NEW
    assert run_differ("-v", "--summary", *trees)[1] == listed + NEW
    assert run_differ("--stat", "--report", tmp_path / "report", *trees)[1] == stat_
    assert (tmp_path / "report").read_text().count("\n") == 2
    assert run_differ("--summary", *trees, tmp_path / "out")[1] == NEW
    assert (tmp_path / "out/d/f").read_text() == "new"
    assert run_differ("--summary", "--verify", "-v", *trees, tmp_path / "again")[1] == listed + NEW
    assert run_differ("--stat", "--layer", tmp_path / "layer", *trees)[1] == stat_
    assert (tmp_path / "layer").stat().st_size


@pytest.mark.cli
def test_a_layer_is_not_mixed_with_them(trees: tuple[Path, Path], tmp_path: Path) -> None:
    from .command import differ, ended

    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    for option in ("--stat", "--summary"):
        with open(tmp_path / "file", "w") as stdout:
            status, _, err = ended(differ(option, "--layer", link, *trees, stdout=stdout))
        assert (status, "the layer is all that can be on stdout" in err) == (2, True)
        assert (tmp_path / "file").read_text() == ""


@pytest.mark.cli
def test_what_is_left_out_is_counted(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    lower.mkdir()
    for number in range(30):
        (upper / f"d{number:02}").mkdir(parents=True)
        (upper / f"d{number:02}/f").write_text("x" * (100 + number))
    (upper / "d05/f").write_text("x" * 500)

    def told(*options: str) -> tuple[list[str], str]:
        lines = run_differ("-q", "--stat", *options, lower, upper)[1].splitlines()
        return [line.split()[0] for line in lines[1:]], lines[-1]

    biggest = [".", "d05/", *(f"d{number:02}/" for number in range(29, -1, -1) if number != 5)]
    names, last = told()
    assert names == [*biggest[:20], "11"]
    assert last == "11 more directories; --stat-rows 31 shows all"
    names, last = told("--stat-rows", "30")
    assert names == [*biggest[:30], "1"]
    assert last == "1 more directory; --stat-rows 31 shows all"
    assert told("--stat-rows", "31")[0] == biggest
    assert told("--stat-rows", "1")[0] == [".", "30"]


# ---------------------------------------------------------------- rows fit


@pytest.mark.cli
@pytest.mark.parametrize(
    ("environment", "columns", "width"),
    [({}, 40, 40), ({}, 200, 200), ({"COLUMNS": "60"}, 100, 100), ({"COLUMNS": "60"}, 0, 60), ({}, 0, 80)],
)
def test_a_table_is_as_wide_as_the_terminal(
    trees: tuple[Path, Path], environment: dict[str, str], columns: int, width: int
) -> None:
    status, out = on_a_terminal("--stat", *trees, environment=environment, size=(24, columns))
    assert status == 0
    assert max(map(len, out.splitlines())) == width, out


@pytest.mark.cli
@pytest.mark.parametrize(
    ("columns", "width"), [("132", 132), ("", 80), ("0", 80), ("-5", 80), ("x", 80), ("9" * 99, 80)]
)
def test_a_table_without_a_terminal(
    trees: tuple[Path, Path], run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert max(map(len, run_differ("-q", "--stat", *trees)[1].splitlines())) == width


@pytest.mark.cli
def test_bars_have_colours_on_a_terminal(trees: tuple[Path, Path]) -> None:
    (trees[0] / "old").write_text("gone")
    _, plain = on_a_terminal("--stat", *trees, environment={"TERM": "dumb"})
    _, coloured = on_a_terminal("--stat", *trees, environment={"TERM": "xterm"})
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
    assert re.findall(r"(?<=  )\x1b.*", coloured) == [
        re.sub(
            "-+",
            lambda bar: f"\x1b[31m{bar[0]}\x1b[m",
            re.sub(r"\++", lambda bar: f"\x1b[32m{bar[0]}\x1b[m", bar),
        )
        for bar in re.findall(r"  ([+-]+)$", plain, re.MULTILINE)
    ]
    assert coloured.count("\x1b[31m") == 1
    assert coloured.count("\x1b[32m") == 2


def cells(text: str) -> int:
    """As unicodedata has it."""
    wide = sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
    return wide - sum("\u0300" <= one <= "\u036f" for one in text)


def tree(paths: dict[str, tuple[int, int]]) -> Sum:
    """The sum of files that are modified, by their paths, with their new and old bytes."""
    root = Sum()
    for path, (new, old) in paths.items():
        above = root
        above.add(ChangeKind.MODIFIED, new, old)
        for name in path.split("/")[:-1]:
            above = above.children.setdefault(name.encode("utf-8", "surrogatepass"), Sum())
            above.add(ChangeKind.MODIFIED, new, old)
    return root


components = st.text(min_size=1, max_size=30).filter(lambda text: not {"/", "\0"} & set(text))
trees_of_files = st.dictionaries(
    st.lists(components, min_size=1, max_size=6).map("/".join),
    st.tuples(*[st.integers(0, 10**12) | st.integers(0, 10)] * 2),
    min_size=1,
    max_size=12,
)


@given(paths=trees_of_files, width=st.integers(1, 250), limit=st.integers(1, 12))
@example(paths={"日本語のとても長い名前/" * 5 + "f": (1, 1)}, width=40, limit=9)
@example(paths={"d/" * 60 + "f": (1, 1), "d/" * 30 + "e": (2, 1)}, width=50, limit=9)
@example(paths={"".join("d/" * depth) + "f": (1, 1) for depth in range(40)}, width=30, limit=40)
def test_no_row_is_wider_than_the_terminal(paths: dict[str, tuple[int, int]], width: int, limit: int) -> None:
    root = tree(paths)
    lines = list(table(root, width, limit))
    for line in lines:
        assert cells(line) <= width
        assert line.isprintable()
        assert line == line.rstrip()
    # Colours are in no cell.
    coloured = [re.sub(r"\x1b\[\d*m", "", line) for line in table(root, width, limit, coloured=True)]
    assert coloured == lines


@given(paths=trees_of_files)
def test_bars_are_to_scale(paths: dict[str, tuple[int, int]]) -> None:
    # Rows are looked at by their order alone: names may be anything.
    root = tree(paths)
    most, width = root.new + root.old, 0
    for line in table(root, 10_000, 1000):
        parts = re.fullmatch(r".*?  (\S+ [kMGTPE]?B)  +(\S+ [kMGTPE]?B)(?:  (\+*)(-*))?", line)
        if parts is None:
            continue
        plus, minus = len(parts[3] or ""), len(parts[4] or "")
        width = width or plus + minus
        assert bool(plus) == (parts[1] != "0 B")
        assert bool(minus) == (parts[2] != "0 B")
        assert plus + minus <= width
    assert bool(width) == bool(most)


def test_a_name_that_is_too_long_is_cut_in_the_middle() -> None:
    root = tree({f"{'a' * 100}/f": (10, 5), "b/f": (1, 1)})
    lines = list(table(root, 60, 20))
    assert lines == [
        "                              A  M  D   new  old",
        ".                             0  2  0  11 B  6 B  ++++++----",
        f"  {'a' * 13}…{'a' * 11}/  0  1  0  10 B  5 B  ++++++---",
        "  b/                          0  1  0   1 B  1 B  +-",
    ]


def test_narrow_terminals_leave_out_columns() -> None:
    root = tree({"directory/f": (10, 5), "b/f": (1, 1)})

    def at(width: int) -> list[str]:
        return list(table(root, width, 20))

    assert at(44)[:2] == [
        "              A  M  D   new  old",
        ".             0  2  0  11 B  6 B  ++++++----",
    ]
    assert at(43)[:2] == ["              A  M  D   new  old", ".             0  2  0  11 B  6 B"]
    assert at(30)[:3] == ["               new  old", ".             11 B  6 B", "  directory/  10 B  5 B"]
    assert at(22)[:3] == [".", "  directory/", "  b/"]
    assert at(8) == [".", "  dir…y/", "  b/"]


def test_what_is_deep_has_a_name_all_the_same() -> None:
    root = tree({"directory/" * depth + "f": (1, 1) for depth in range(30)})
    lines = list(table(root, 60, 30))
    assert [line[:27].rstrip() for line in lines[1:]] == [
        ".",
        *("  " * min(depth, 8) + "directory/" for depth in range(1, 30)),
    ]
    # One that has no room even so gets half of the column.
    root = tree(
        {**{"d/" * depth + "f": (1, 1) for depth in range(30)}, "d/" * 30 + "long" * 9 + "/f": (2, 1)}
    )
    lines = list(table(root, 60, 31))
    (last,) = (line for line in lines if "…" in line)
    assert last.startswith(" " * 13 + "d/long…glong/  0")


def test_wide_characters_keep_the_columns_apart() -> None:
    lines = list(table(tree({"日本語/f": (10, 5), "e\u0301/f": (2, 1), "ascii/f": (1, 1)}), 80, 20))
    assert [cells(line[: line.index(" B")]) for line in lines[1:]] == [22] * 4


@pytest.mark.parametrize("plane", range(17))
def test_no_character_is_wider_than_is_thought(plane: int) -> None:
    for code in range(plane << 16, (plane + 1) << 16):
        character = chr(code)
        if character.isprintable():
            assert _width(character) >= cells(character), hex(code)
    if not plane:
        plain = map(
            chr,
            itertools.chain(range(32, 127), range(0xA0, 0x300), range(0x370, 0x1100), range(0x2500, 0x2580)),
        )
        assert all(_width(character) == 1 for character in plain)


@given(text=st.text(st.sampled_from("ab日e\u0301")), width=st.integers(0, 20))
def test_both_ends_of_what_is_cut_are_kept(text: str, width: int) -> None:
    told = cut(text, width)
    assert cells(told) <= width
    if cells(text) <= width:
        assert told == text
    elif width:
        head, _, tail = told.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)
        # Nothing is left out that would have had room, but for half a wide character at either end.
        assert cells(told) >= width - 2


def test_memory_grows_with_directories_and_not_with_names() -> None:
    def peak(names: int) -> int:
        totals = Totals(MemoryTree({}), MemoryTree({}), by_directory=True, tick=lambda: None)
        tracemalloc.start()
        for number in range(names):
            totals.add(added(b"d%d/%d" % (number * 10 // names, number), file(b"1")))
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert totals.root.new == names
        assert len(totals.root.children) == 10
        return got

    peak(100)  # what is made once
    assert peak(10_000) < peak(100) + 10_000


def test_depth_has_no_limit() -> None:
    root = tree({"d/" * 5000 + "f": (2, 1), "d/" * 3000 + "e": (1, 1)})
    lines = list(table(root, 60, 20))
    assert len(lines) == 4
    assert max(map(len, lines)) <= 60


def test_nothing_is_painted_where_there_is_nothing() -> None:
    assert painted("", KINDS[0]) == ""


@pytest.mark.cli
@needs_root
def test_names_of_directories_are_escaped(tmp_path: Path, run_differ: RunDiffer) -> None:
    (tmp_path / "lower").mkdir()
    (tmp_path / "upper").mkdir()
    made = Builder(tmp_path / "upper")
    made.dirs(b"\x1b[2J\n", b"\xff")
    out = run_differ("-q", "--stat", tmp_path / "lower", tmp_path / "upper")[1]
    assert [line.split()[0] for line in out.splitlines()[1:]] == [".", "\\x1b[2J\\n/", "\\xff/"]
