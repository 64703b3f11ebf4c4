"""What the words of a command line mean on a disk, and what the command says about it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from .command import REPOSITORY, ended, program
from .conftest import RunDiffer
from .listing import names
from .trees import Builder, read_tree

pytestmark = pytest.mark.cli


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two empty trees in the current directory."""
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- the empty tree


@pytest.fixture
def scratch(place: Path) -> Path:
    """A directory with the name of the empty tree, and something in it."""
    (place / "scratch").mkdir()
    (place / "scratch/inside").touch()
    return place


@pytest.mark.parametrize("upper", ["scratch", "./scratch", "scratch/", "lower/../scratch"])
def test_upper_is_always_a_directory(scratch: Path, run_differ: RunDiffer, upper: str) -> None:
    assert run_differ("-q", "--verify", "lower", upper, "out") == (0, "", "")
    assert names(scratch / "out") == ["inside"]
    assert run_differ("lower", upper)[:2] == (0, "A inside\n")


@pytest.mark.parametrize("lower", ["./scratch", "scratch/", "upper/../scratch"])
def test_a_lower_of_that_name_is_written_otherwise(scratch: Path, run_differ: RunDiffer, lower: str) -> None:
    assert run_differ(lower, "upper")[:2] == (0, "D inside\n")
    assert run_differ("-q", lower, "upper", "applied", apply=True) == (0, "", "")
    assert names(scratch / "applied") == ["inside"]


def test_the_word_itself_is_the_empty_tree(scratch: Path, run_differ: RunDiffer) -> None:
    (scratch / "upper/new").touch()
    assert run_differ("scratch", "upper")[:2] == (0, "A new\n")
    assert run_differ("-q", "scratch", "upper", "applied", apply=True) == (0, "", "")
    assert names(scratch / "applied") == ["new"]
    assert run_differ("scratch", "scratch")[:2] == (0, "A inside\n")
    before = read_tree(scratch / "scratch")
    status, _, err = run_differ("scratch", "upper", "scratch")
    assert (status, err.startswith("differ: scratch: is not empty; ")) == (2, True), err
    assert read_tree(scratch / "scratch") == before


def test_changes_are_always_a_directory(scratch: Path, run_differ: RunDiffer) -> None:
    assert run_differ("-q", "lower", "scratch", "applied", apply=True) == (0, "", "")
    assert names(scratch / "applied") == ["inside"]


@pytest.mark.parametrize("apply", [False, True])
def test_upper_must_be_there(place: Path, run_differ: RunDiffer, apply: bool) -> None:
    command = "differ-apply" if apply else "differ"
    status, text, err = run_differ("lower", "scratch", "out", apply=apply)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{command}: scratch: no such directory "), err
    assert run_differ("-q", "scratch", "upper", "out", apply=apply) == (0, "", "")
    # And OUT may have any name.
    assert run_differ("-q", "lower", "upper", "scratch", apply=apply) == (0, "", "")
    assert os.listdir("scratch") == []


# ---------------------------------------------------------------- words in another locale

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF_8 = {"LC_ALL": "C.UTF-8"}


def run(environment: dict[str, str], *words: str) -> tuple[int, str, str]:
    """Run the command in the current directory."""
    process = subprocess.Popen(
        [*program(code=REPOSITORY), *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    return ended(process)


PATTERNS = [
    ("é*", {"été", "étui"}),
    ("?té", {"été"}),
    ("[à-ë]té", {"été"}),
    ("*é", {"été"}),
    ("d/été", {"d/été"}),
    ("**/été", {"été", "d/été"}),
    ("日*", {"日本"}),
]


@pytest.mark.parametrize("environment", [C_LOCALE, UTF_8], ids=["C", "UTF-8"])
@pytest.mark.parametrize(("pattern", "ignored"), PATTERNS)
def test_a_pattern_is_utf_8_in_any_locale(
    place: Path, environment: dict[str, str], pattern: str, ignored: set[str]
) -> None:
    paths = {"été", "étui", "ete", "日本", "d", "d/été", "d/x"}
    Builder(place / "upper").dir("d")
    for path in paths - {"d"}:
        Builder(place / "upper").file(path.encode())
    status, _, err = run(environment, "--verify", f"--ignore={pattern}", "lower", "upper", "out")
    assert status == 0, err
    assert set(names(place / "out")) == paths - ignored


@pytest.mark.parametrize("environment", [C_LOCALE, UTF_8], ids=["C", "UTF-8"])
def test_a_path_is_its_bytes_in_any_locale(place: Path, environment: dict[str, str]) -> None:
    Path("upper/é").touch()
    os.rename("lower", "bas")
    os.mkdir("étage")
    status, _, err = run(environment, "--report", "étage/rapport", "bas", "./upper", "étage/sortie")
    assert status == 0, err
    assert sorted(os.listdir("étage")) == ["rapport", "sortie"]
    assert os.listdir("étage/sortie") == ["é"]
    status, _, err = run(environment, "bas", "étage/keine")
    assert (status, err.startswith("differ: étage/keine: no such directory")) == (2, True), err


# ---------------------------------------------------------------- a list of everything


def what_oci_has_not(place: Path) -> None:
    t = Builder(place / "upper")
    t.dirs("d", "d/deep")
    t.sock("d/deep/socket")
    t.sock("s")
    t.file(".wh.x")
    t.file("d/.wh.y", "1")
    t.chr("zero", (0, 0)) if os.geteuid() == 0 else None
    t.fifo("z")


def test_without_out_everything_is_told(place: Path, run_differ: RunDiffer) -> None:
    what_oci_has_not(place)
    zero = ["zero"] if os.geteuid() == 0 else []
    wanted = [".wh.x", "d/", "d/.wh.y", "d/deep/", "d/deep/socket", "s", "z", *zero]
    status, text, err = run_differ("--exit-code", "lower", "upper")
    assert (status, text.splitlines()) == (1, [f"A {path}" for path in wanted]), err
    status, text, err = run_differ("--report=-", "lower", "upper")
    assert status == 0, err
    assert [json.loads(line)["path"] for line in text.splitlines()] == [path.rstrip("/") for path in wanted]
    # What is gone is told as well, however it would be written.
    status, text, err = run_differ("upper", "lower")
    assert status == 0, err
    assert text.splitlines() == [f"D {path}" for path in (".wh.x", "d/", "s", "z", *zero)]


@pytest.mark.parametrize("style", ["none", "overlay"])
def test_sockets_and_wh_names_are_told_where_the_style_has_them(
    place: Path, run_differ: RunDiffer, style: str
) -> None:
    Builder(place / "upper").sock("s")
    Builder(place / "upper").file(".wh.x")
    assert run_differ("--whiteout", style, "lower", "upper")[:2] == (0, "A .wh.x\nA s\n")


def test_a_list_for_an_image_layer(place: Path, run_differ: RunDiffer) -> None:
    t = Builder(place / "upper")
    t.sock("s")
    t.file("f")
    assert run_differ("--whiteout=oci", "lower", "upper")[:2] == (0, "A f\n")
    assert run_differ("-v", "lower", "upper", "out")[:2] == (0, "A f\n")
    assert names(place / "out") == ["f"]
    t.file(".wh.x")
    for words in (["--whiteout=oci", "lower", "upper"], ["lower", "upper", "out2"]):
        status, _, err = run_differ(*words)
        assert (status, err.count("\n")) == (2, 1)
        assert err.startswith("differ: .wh.x: names that begin with .wh. "), err
    assert run_differ("--whiteout=oci", "--allow-wh-names", "lower", "upper")[:2] == (0, "A .wh.x\nA f\n")


def test_a_socket_alone_is_a_difference_only_where_it_is_told(place: Path, run_differ: RunDiffer) -> None:
    Builder(place / "upper").sock("s")
    assert run_differ("-q", "--exit-code", "lower", "upper") == (1, "", "")
    assert run_differ("-q", "--exit-code", "--whiteout=oci", "lower", "upper") == (0, "", "")


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(("count", "words"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries")])
def test_entries_are_counted_in_english(place: Path, run_differ: RunDiffer, count: int, words: str) -> None:
    for number in range(count):
        Path(f"upper/{number}").touch()
    status, text, err = run_differ("lower", "upper", "out", apply=True)
    assert (status, text, err) == (0, "", f"differ-apply: {words}, 0 B written\n")
