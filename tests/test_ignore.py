"""``--ignore``: the patterns of a .dockerignore file, and what they leave of two trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differ.ignore import Patterns
from differ.model import DifferError

from .conftest import RunDiffer
from .listing import names

pytestmark = pytest.mark.cli

TAKEN: list[tuple[str, list[bytes], list[bytes]]] = [
    # a pattern, paths that it takes, paths that it leaves
    ("foo", [b"foo", b"foo/bar", b"foo/a/b"], [b"foobar", b"fo", b"a/foo", b"Foo", b"foo\n"]),
    ("a/b", [b"a/b", b"a/b/c"], [b"a", b"b", b"x/a/b", b"a/bc", b"ab"]),
    # filepath.Clean: slashes at either end, twice, and the dots
    ("/foo", [b"foo", b"foo/bar"], [b"a/foo"]),
    ("foo/", [b"foo", b"foo/bar"], [b"foobar"]),
    ("/a//b/", [b"a/b"], [b"a", b"b"]),
    ("./a/./b/.", [b"a/b"], [b"a"]),
    ("a/../b", [b"b"], [b"a", b"a/b"]),
    ("/../a", [b"a"], []),
    ("a/b/../..", [], [b"a", b"a/b"]),
    (".", [], [b"a", b"a/b"]),
    ("/", [], [b"a", b"a/b"]),
    # A path above the root is nowhere in the tree.
    ("../a", [], [b"a", b"a/b"]),
    ("  foo\t", [b"foo"], [b"  foo"]),
    # stars and question marks stop at slashes, and nothing stops at a leading dot or a newline
    ("*", [b"a", b".a", b"a/b", b"\n", b"\xff"], []),
    ("*.txt", [b"a.txt", b".txt", b"a.txt/b", b"a\nb.txt"], [b"d/a.txt", b"a.txtx", b"atxt"]),
    ("*/x", [b"d/x", b"d/x/y"], [b"x", b"d/e/x"]),
    ("a*b", [b"ab", b"a.b", b"a**b"], [b"a/b", b"abc"]),
    ("?", [b"a", b"\n", b"?", "é".encode(), b"\xff", b"a/b"], [b"ab", b""]),
    ("a?b", [b"axb", b"a\nb", b"a\xffb"], [b"a/b", b"ab"]),
    # two stars are any number of directories, and none
    ("**", [b"a", b"a/b", b".a/b"], []),
    ("**/", [b"a", b"a/b"], []),
    ("**/x", [b"x", b"d/x", b"d/e/x", b"d/x/y", b"d\n/x"], [b"dx", b"d/xy"]),
    ("**.o", [b"a.o", b"d/a.o", b".o", b"d/.o"], [b"d/a.oo", b"o"]),
    ("**a?", [b"ab", b"d/ab"], [b"dab"]),
    ("**\\a", [b"a", b"d/a"], [b"da"]),
    ("a**.o", [b"a.o", b"ab/.o"], [b"ab.o", b"d/a.o"]),
    ("**/*.o", [b"a.o", b"d/a.o", b"d/e/.o"], [b"d/a.oo"]),
    ("d/**", [b"d/x", b"d/e/x"], [b"d", b"dx"]),
    ("a/**/b", [b"a/b", b"a/x/b", b"a/x/y/b", b"a/x/b/c"], [b"ab", b"a/xb", b"x/a/b"]),
    ("**/d/**/x", [b"d/x", b"a/d/x", b"a/d/b/x"], [b"d", b"x", b"a/dx"]),
    # classes
    ("[abc]", [b"a", b"b", b"c"], [b"d", b"ab", b"[abc]"]),
    ("[a-c]x", [b"ax", b"cx"], [b"dx", b"x"]),
    ("[a-cx-z]", [b"b", b"y"], [b"d", b"-"]),
    ("[^a-c]", [b"d", b"\n", b"^"], [b"a", b"dd"]),
    ("d[^x]y", [b"d.y", b"d/y"], [b"dxy"]),
    ("[!a]", [b"!", b"a"], [b"b"]),
    ("[a^]", [b"a", b"^"], [b"b"]),
    ("[\\]a]", [b"]", b"a"], [b"\\"]),
    ("[\\-a]", [b"-", b"a"], [b"\\"]),
    ("[\\^a]", [b"^", b"a"], [b"b"]),
    ("[*?.]", [b"*", b"?", b"."], [b"a"]),
    ("[é-ë]", ["ê".encode()], [b"e"]),
    # escapes
    ("\\*", [b"*"], [b"a", b"\\*"]),
    ("a\\?", [b"a?"], [b"ab"]),
    ("\\[a]", [b"[a]"], [b"a"]),
    ("\\a\\b", [b"ab"], [b"\\a\\b"]),
    ("\\!a", [b"!a"], [b"a"]),
    ("a\\\\b", [b"a\\b"], [b"ab"]),
    # what a regular expression would read as something else
    ("a.b", [b"a.b"], [b"axb"]),
    ("a+", [b"a+"], [b"a", b"aa"]),
    ("(a|b)", [b"(a|b)"], [b"a", b"b"]),
    ("^a$", [b"^a$"], [b"a"]),
    ("a{2}", [b"a{2}"], [b"aa"]),
    ("]", [b"]"], [b"a"]),
    ("[a-c&&b]", [b"a", b"&"], [b"d"]),
    ("a b#c", [b"a b#c"], [b"a"]),
    ("a\nb", [b"a\nb"], [b"a", b"b"]),
    (os.fsdecode(b"\xff*"), [b"\xff", b"\xff\xfe"], [b"\xfe", "ÿ".encode()]),
]


@pytest.mark.parametrize(("pattern", "taken", "left"), TAKEN, ids=[ascii(row[0]) for row in TAKEN])
def test_what_one_pattern_takes(pattern: str, taken: list[bytes], left: list[bytes]) -> None:
    patterns = Patterns([pattern])
    assert {path: patterns.take(path) for path in taken} == dict.fromkeys(taken, True)
    assert {path: patterns.take(path) for path in left} == dict.fromkeys(left, False)


ORDERED: list[tuple[list[str], list[bytes], list[bytes]]] = [
    # patterns, paths that they take together, paths that they leave
    (["a", "b"], [b"a", b"b/x"], [b"c"]),
    (["*", "!keep"], [b"a", b"keeper"], [b"keep", b"keep/x"]),
    (["!keep", "*"], [b"a", b"keep"], []),
    (["d", "!d/k", "d/k/x"], [b"d", b"d/a", b"d/k/x", b"d/k/x/y"], [b"d/k", b"d/k/y"]),
    (["*.md", "!README*.md", "README-secret.md"], [b"a.md", b"README-secret.md"], [b"README.md"]),
    (["**", "!**/*.py"], [b"a", b"d/a"], [b"a.py", b"d/e/a.py"]),
    (["d", "!d"], [], [b"d", b"d/x"]),
    (["*", "!/keep/"], [b"a"], [b"keep", b"keep/x"]),
    (["*", "! keep "], [b"a"], [b"keep"]),
    (["*", "!d/../keep"], [b"a", b"d"], [b"keep"]),
    ([], [], [b"a"]),
]


@pytest.mark.parametrize(("patterns", "taken", "left"), ORDERED, ids=[" ".join(row[0]) for row in ORDERED])
def test_the_last_pattern_that_matches_decides(
    patterns: list[str], taken: list[bytes], left: list[bytes]
) -> None:
    compiled = Patterns(patterns)
    assert {path: compiled.take(path) for path in taken} == dict.fromkeys(taken, True)
    assert {path: compiled.take(path) for path in left} == dict.fromkeys(left, False)


# Go's filepath.Match, whose rules those of .dockerignore are, calls each of these malformed; the
# range that runs backwards is refused by docker later on.
MALFORMED = [
    *("[", "[a", "[^", "[^a", "a[", "[]", "[^]", "[]a]", "[-a]", "[a-]", "[a-b-c]", "[b-a]", "[a-\\]"),
    *("\\", "a\\", "[\\", "d/[/x", "!", "! ", "", "  ", "![", "!\\"),
]


@pytest.mark.parametrize("pattern", MALFORMED)
def test_a_malformed_pattern_is_named(pattern: str) -> None:
    with pytest.raises(DifferError) as caught:
        Patterns(["fine", pattern])
    assert str(caught.value).startswith(f"--ignore {pattern!r}: ")


# ---------------------------------------------------------------- on trees


def tree(root: Path, *paths: str | bytes, data: str = "1") -> None:
    """Files with equal times, and the directories above them, in ``root``."""
    for path in paths:
        full = os.path.join(os.fsencode(root), os.fsencode(path))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(data)
        os.utime(full, ns=(1, 1))


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path, Path]:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    return tmp_path / "lower", tmp_path / "upper", tmp_path / "out"


Trees = tuple[Path, Path, Path]


def test_ignored_names_are_absent_on_both_sides(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(lower, "log/a", "log/gone", "src/a.o", "src/gone.o", "src/x.c", "src/gone.c")
    tree(upper, "log/a", "log/new", "src/a.o", "src/new.o", "src/x.c", "src/new.c", data="22")
    status, _, err = run_differ("--verify", "--ignore", "log", "--ignore=**/*.o", lower, upper, out)
    assert (status, names(out)) == (0, ["src", "src/.wh.gone.c", "src/new.c", "src/x.c"])
    assert err.startswith("differ: 1 added, 1 modified, 1 removed; ")
    assert err.endswith("; proved\n")


def test_a_directory_stays_for_what_an_exception_brings_back(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(upper, "d/a", "d/e/b", "d/e/keep/c", "d/e/keep/deep/d", "d/f/g", "keep/x")
    (upper / "d").chmod(0o750)
    patterns = ("--ignore", "*", "--ignore", "!d/e/keep", "--ignore", "d/e/keep/deep")
    status, _, err = run_differ("--verify", *patterns, lower, upper, out)
    assert status == 0, err
    assert names(out) == ["d", "d/e", "d/e/keep", "d/e/keep/c"]
    assert (out / "d").stat().st_mode & 0o777 == 0o750


def test_an_exception_that_brings_nothing_back_keeps_no_directory(
    trees: Trees, run_differ: RunDiffer
) -> None:
    lower, upper, out = trees
    tree(upper, "d/e/a", "d/b", "x")
    status, _, err = run_differ("--ignore", "d", "--ignore", "!d/**/keep", lower, upper, out)
    assert status == 0, err
    assert names(out) == ["x"]


def test_an_exception_reaches_both_sides(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(lower, "d/keep", "d/gone", "d/same")
    tree(upper, "d/keep", "d/new", data="22")
    tree(upper, "d/same")
    patterns = ("--ignore", "d/*", "--ignore", "!d/keep", "--ignore", "!d/gone")
    status, _, err = run_differ("--verify", *patterns, lower, upper, out)
    assert status == 0, err
    assert names(out) == ["d", "d/.wh.gone", "d/keep"]


KEEP = ("--ignore", "d", "--ignore", "!**/keep")


def test_what_is_brought_back_in_lower_keeps_the_directory_in_upper(
    trees: Trees, run_differ: RunDiffer
) -> None:
    """Else its whiteout would remove what the patterns take, which UPPER still has."""
    lower, upper, out = trees
    tree(lower, "d/x", "d/e/x", "d/e/keep")
    tree(upper, "d/x", "d/e/x")
    status, _, err = run_differ("--verify", *KEEP, lower, upper, out)
    assert status == 0, err
    assert names(out) == ["d", "d/e", "d/e/.wh.keep"]
    assert run_differ(lower, out, out.parent / "merged", apply=True)[0] == 0
    assert names(out.parent / "merged") == names(upper)


def test_what_is_brought_back_in_upper_keeps_the_directory_in_lower(
    trees: Trees, run_differ: RunDiffer
) -> None:
    lower, upper, out = trees
    tree(lower, "d/x", "d/e/x")
    tree(upper, "d/x", "d/e/x", "d/e/keep")
    status, text, err = run_differ("-v", "--verify", *KEEP, lower, upper, out)
    assert (status, text) == (0, "A d/e/keep\n"), err
    assert names(out) == ["d", "d/e", "d/e/keep"]


def test_what_is_brought_back_keeps_no_directory_that_is_none_on_the_other_side(
    trees: Trees, run_differ: RunDiffer
) -> None:
    lower, upper, out = trees
    tree(lower, "d/e/x", "d/e/keep", "d/f")
    tree(upper, "d/e", "d/f/keep")
    status, _, err = run_differ("--verify", *KEEP, lower, upper, out)
    assert status == 0, err
    assert names(out) == ["d", "d/.wh.e", "d/f", "d/f/keep"]


def test_a_removed_directory_goes_with_what_was_ignored_in_it(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(lower, "d/a", "d/ignored")
    status, _, err = run_differ("--ignore", "d/ignored", lower, upper, out)
    assert status == 0, err
    assert names(out) == [".wh.d"]


def test_an_ignored_name_of_an_inode_is_no_link(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, _ = trees
    for side in (lower, upper):
        tree(side, "a", "b")
    os.link(upper / "a", upper / "ignored")
    os.link(lower / "b", lower / "ignored-too")
    status, out, err = run_differ("--exit-code", "--ignore", "ignored*", lower, upper)
    assert (status, out) == (0, ""), err
    status, out, _ = run_differ("--exit-code", "--ignore", "ignored", lower, upper)
    assert (status, out) == (1, "D ignored-too\nM b  links\n")


def test_the_contents_of_an_ignored_directory_are_not_looked_at(trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(upper, "d/.wh.refused", "x")
    assert run_differ(lower, upper, out)[0] == 2
    status, _, err = run_differ("--ignore", "d", lower, upper, out)
    assert status == 0, err
    assert names(out) == ["x"]


ODD = [b"new\nline", b"\xff\xfe", "é".encode(), b"a b", b"back\\slash", b"*", b"tab\tx"]


@pytest.mark.parametrize("name", ODD)
def test_names_of_any_bytes(name: bytes, trees: Trees, run_differ: RunDiffer) -> None:
    lower, upper, out = trees
    tree(lower, *(b"gone/" + other for other in ODD), b"gone/x")
    tree(upper, *(b"d/" + other for other in ODD), b"d/x", b"gone/x")
    # The name as a pattern takes it alone.
    pattern = os.fsdecode(b"*/" + name.replace(b"\\", b"\\\\").replace(b"*", b"\\*"))
    status, _, err = run_differ("--verify", "--ignore", pattern, lower, upper, out)
    assert status == 0, err
    others = {other for other in ODD if other != name}
    assert set(os.listdir(os.fsencode(out / "d"))) == {*others, b"x"}
    assert set(os.listdir(os.fsencode(out / "gone"))) == {b".wh." + other for other in others}


@pytest.mark.parametrize("pattern", ["[", "[b-a]", "a\\", "!", ""])
def test_a_malformed_pattern_ends_the_run(trees: Trees, run_differ: RunDiffer, pattern: str) -> None:
    lower, upper, out = trees
    status, listed, err = run_differ("--ignore", pattern, lower, upper, out)
    assert (status, listed) == (2, "")
    assert err.startswith(f"differ: --ignore {pattern!r}: ")
    assert err.count("\n") == 1
    assert not out.exists()
