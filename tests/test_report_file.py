"""``--report`` and ``--digest`` on real trees, and the file that the report goes to."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from .command import program
from .conftest import RunDiffer, needs_root
from .test_report import name, read, real_names, unescaped
from .trees import Builder

pytestmark = pytest.mark.cli

Lines = list[dict[str, Any]]


class Trees:
    """Two trees that differ a little, and a place for results."""

    def __init__(self, place: Path) -> None:
        self.lower, self.upper, self.out = place / "lower", place / "upper", place / "out"
        self.results = place / "results"
        for path in (self.lower, self.upper, self.results):
            path.mkdir()
        for side, data in ((self.lower, "1"), (self.upper, "2")):
            self.file(side / "changed", data)
        self.file(self.upper / "new", "new")
        self.file(self.lower / "gone", "gone")

    @staticmethod
    def file(path: Path, data: str) -> None:
        path.write_text(data)
        os.utime(path, ns=(1, 1))


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def lines(text: str) -> Lines:
    assert text == "" or text.endswith("\n")
    return [read(line) for line in text.splitlines()]


WANTED = [
    {
        "v": 1,
        "kind": "modified",
        "path": "changed",
        "type": "file",
        "bytes": 1,
        "fields": {"content": [None, None]},
    },
    {"v": 1, "kind": "removed", "path": "gone", "type": "file", "bytes": 4},
    {"v": 1, "kind": "added", "path": "new", "type": "file", "bytes": 3},
]
TEXT = "M changed  content\nD gone\nA new\n"


def sha(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


# ---------------------------------------------------------------- where it goes


def test_a_file(trees: Trees, run_differ: RunDiffer) -> None:
    report = trees.results / "report"
    for out in ([], [trees.out]):
        status, text, err = run_differ("--report", report, trees.lower, trees.upper, *out)
        assert status == 0, err
        assert text == ("" if out else TEXT)
        assert lines(report.read_text()) == WANTED
        assert stat.S_IMODE(report.stat().st_mode) == 0o644
        assert os.listdir(trees.results) == ["report"]


def test_stdout(trees: Trees, run_differ: RunDiffer) -> None:
    for out in ([], [trees.out]):
        status, text, err = run_differ("--report", "-", trees.lower, trees.upper, *out)
        assert (status, lines(text)) == (0, WANTED), err
        assert err.startswith("differ: 1 added, 1 modified, 1 removed; ")


def test_no_difference_is_an_empty_report(trees: Trees, run_differ: RunDiffer) -> None:
    report = trees.results / "report"
    assert run_differ("-q", "--report", report, trees.lower, trees.lower) == (0, "", "")
    assert report.read_bytes() == b""


def test_a_list_and_a_report_at_once(trees: Trees, run_differ: RunDiffer) -> None:
    report = trees.results / "report"
    status, text, _ = run_differ("-v", "--report", report, trees.lower, trees.upper, trees.out)
    assert (status, text, lines(report.read_text())) == (0, TEXT, WANTED)


def test_more_lines_than_one_call_writes(trees: Trees, run_differ: RunDiffer) -> None:
    for number in range(1000):
        (trees.upper / f"f{number:04}").touch()
    report = trees.results / "report"
    assert run_differ("-q", "--report", report, trees.lower, trees.upper) == (0, "", "")
    assert len(lines(report.read_text())) == 1003


def test_a_fifo(trees: Trees, run_differ: RunDiffer) -> None:
    fifo = trees.results / "fifo"
    os.mkfifo(fifo)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_text()), daemon=True)
    reader.start()
    status, _, err = run_differ("--report", fifo, trees.lower, trees.upper, trees.out)
    reader.join(30)
    assert status == 0, err
    assert lines(got[0]) == WANTED
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


def run(*words: object, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(), *map(str, words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )


def test_dev_stdout_that_is_a_pipe(trees: Trees) -> None:
    result = run("--report", "/dev/stdout", trees.lower, trees.upper, trees.out)
    assert (result.returncode, lines(result.stdout)) == (0, WANTED), result.stderr


def test_dev_stdout_that_is_a_file(trees: Trees) -> None:
    # /dev/stdout is a symbolic link to this; it is not tried itself because it is everybody's.
    link = trees.results / "stdout"
    link.symlink_to("/proc/self/fd/1")
    with open(trees.results / "file", "w") as stdout:
        result = run("-q", "--report", link, trees.lower, trees.upper, stdout=stdout)
    assert result.returncode == 0, result.stderr
    assert link.is_symlink()
    assert lines((trees.results / "file").read_text()) == WANTED
    assert sorted(os.listdir(trees.results)) == ["file", "stdout"]


def test_dev_stdout_that_is_a_file_with_something_in_it(trees: Trees) -> None:
    # As `{ echo before; differ --report /dev/stdout ...; echo after; } > file`.
    link = trees.results / "stdout"
    link.symlink_to("/proc/self/fd/1")
    file = trees.results / "file"
    with open(file, "w") as stdout:
        print("before", file=stdout, flush=True)
        result = run("-q", "--report", link, trees.lower, trees.upper, stdout=stdout)
        assert result.returncode == 0, result.stderr
        stdout.seek(0, os.SEEK_END)
        print("after", file=stdout, flush=True)
    before, *between, after = file.read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert list(map(read, between)) == WANTED


def test_dev_null(trees: Trees, run_differ: RunDiffer) -> None:
    assert run_differ("-q", "--report", "/dev/null", trees.lower, trees.upper) == (0, "", "")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_report_that_does_not_fit(trees: Trees, run_differ: RunDiffer) -> None:
    status, _, err = run_differ("--report", "/dev/full", trees.lower, trees.upper, trees.out)
    assert (status, err) == (2, "differ: /dev/full: cannot be written: No space left on device\n")


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("before", [None, "what was there"])
def test_a_failed_run_leaves_the_report_as_it_was(
    trees: Trees, run_differ: RunDiffer, before: str | None
) -> None:
    report = trees.results / "report"
    if before is not None:
        report.write_text(before)
    (trees.upper / ".wh.refused").touch()
    status, _, err = run_differ("--report", report, trees.lower, trees.upper, trees.out)
    assert (status, err.count("\n")) == (2, 1)
    assert ".wh.refused" in err
    assert os.listdir(trees.results) == ([] if before is None else ["report"])
    assert before is None or report.read_text() == before
    assert not trees.out.exists()


def test_an_out_that_cannot_be_used_leaves_no_report(trees: Trees, run_differ: RunDiffer) -> None:
    status, _, _ = run_differ(
        "--report", trees.results / "report", trees.lower, trees.upper, trees.upper / "out"
    )
    assert status == 2
    assert os.listdir(trees.results) == []


def test_a_run_that_finds_a_difference_has_succeeded(trees: Trees, run_differ: RunDiffer) -> None:
    report = trees.results / "report"
    status, _, _ = run_differ("--exit-code", "--report", report, trees.lower, trees.upper)
    assert (status, lines(report.read_text())) == (1, WANTED)


# ---------------------------------------------------------------- places it is refused


@pytest.mark.parametrize("place", ["lower/r", "upper/r", "upper/d/e/r", "link/r", "upper/changed"])
def test_a_report_inside_an_input_is_refused(
    trees: Trees, tmp_path: Path, run_differ: RunDiffer, place: str
) -> None:
    (trees.upper / "d/e").mkdir(parents=True)
    (tmp_path / "link").symlink_to("upper/d")
    status, text, err = run_differ("--report", tmp_path / place, trees.lower, trees.upper, trees.out)
    assert (status, text) == (2, "")
    side = "lower" if place.startswith("lower") else "upper"
    assert err.startswith(f"differ: {tmp_path / place}: lies in {tmp_path / side}; ")
    assert err.count("\n") == 1
    assert sorted(os.listdir(trees.upper)) == ["changed", "d", "new"]
    assert (trees.upper / "changed").read_text() == "2"
    assert not trees.out.exists()


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_a_report_that_leads_into_an_input_is_refused(
    trees: Trees, tmp_path: Path, run_differ: RunDiffer, side: str
) -> None:
    victim = tmp_path / side / "changed"
    before = victim.read_text()
    link = trees.results / "link"
    link.symlink_to(victim)
    status, text, err = run_differ("--report", link, trees.lower, trees.upper, trees.out)
    assert victim.read_text() == before
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"differ: {link}: lies in {tmp_path / side}; ")
    assert not trees.out.exists()


def test_a_report_inside_out_is_refused(trees: Trees, run_differ: RunDiffer) -> None:
    trees.out.mkdir()
    status, _, err = run_differ("--report", trees.out / "report", trees.lower, trees.upper, trees.out)
    assert (status, err.count("\n")) == (2, 1)
    assert os.listdir(trees.out) == []


@pytest.mark.parametrize("place", ["results", "results/", "results/.", "", "results/none/r", "out"])
def test_a_report_that_can_be_no_file_is_refused_before_anything_is_written(
    trees: Trees, tmp_path: Path, run_differ: RunDiffer, place: str
) -> None:
    report = f"{tmp_path}/{place}" if place else ""
    status, text, err = run_differ("--report", report, trees.lower, trees.upper, trees.out)
    assert (status, text, err.count("\n")) == (2, "", 1)
    assert os.listdir(trees.results) == []
    assert not trees.out.exists()


# ---------------------------------------------------------------- what it says


def test_every_field_is_compared(trees: Trees, run_differ: RunDiffer) -> None:
    os.utime(trees.upper / "changed", ns=(2, 2))
    (trees.upper / "changed").chmod(0o600)
    _, text, _ = run_differ("--report", "-", trees.lower, trees.upper)
    assert lines(text)[0]["fields"] == {
        "mode": ["0644", "0600"],
        "mtime": ["0.000000001", "0.000000002"],
        "content": [None, None],
    }
    _, text, _ = run_differ("--report", "-", "--compare", "metadata", trees.lower, trees.upper)
    assert "content" not in lines(text)[0]["fields"]


def test_digests(trees: Trees, run_differ: RunDiffer) -> None:
    trees.file(trees.lower / "type", "was a file")
    (trees.upper / "type").symlink_to("changed")
    (trees.lower / "dir").mkdir()
    (trees.upper / "dir").mkdir(mode=0o700)
    (trees.lower / "into").mkdir()
    trees.file(trees.upper / "into", "is a file")
    for side in (trees.lower, trees.upper):
        trees.file(side / "one", "linked")
        trees.file(side / "two", "linked")
        trees.file(side / "mode", "same bytes")
    (trees.upper / "mode").chmod(0o600)
    (trees.upper / "two").unlink()
    os.link(trees.upper / "one", trees.upper / "two")
    status, text, err = run_differ("--report", "-", "--digest", trees.lower, trees.upper)
    assert status == 0, err
    assert {line["path"]: line.get("sha256") for line in lines(text)} == {
        "changed": [sha("1"), sha("2")],
        "dir": None,
        "gone": [sha("gone"), None],
        "into": [None, sha("is a file")],
        "mode": [sha("same bytes")] * 2,
        "new": [None, sha("new")],
        "one": [sha("linked")] * 2,
        "two": [sha("linked")] * 2,
        "type": [sha("was a file"), None],
    }


def test_links_are_told_with_their_names(trees: Trees, run_differ: RunDiffer) -> None:
    for side in (trees.lower, trees.upper):
        (side / "d").mkdir()
        trees.file(side / "d/a", "1")
    os.link(trees.lower / "d/a", trees.lower / "d/b")
    trees.file(trees.upper / "d/b", "1")
    os.link(trees.upper / "new", trees.upper / "newer")
    _, text, _ = run_differ("--report", "-", trees.lower, trees.upper)
    told = {line["path"]: line for line in lines(text)}
    both = [{"path": "d/a"}, {"path": "d/b"}]
    assert told["newer"]["link"] == "new"
    assert told["d/a"]["fields"] == {"links": [both, [{"path": "d/a"}]]}
    assert told["d/b"]["fields"] == {"links": [both, [{"path": "d/b"}]]}
    assert "link" not in told["d/b"]


@needs_root
def test_every_type(trees: Trees, run_differ: RunDiffer) -> None:
    tree = Builder(trees.upper)
    tree.dir("dir")
    tree.symlink("symlink", b"\xff")
    tree.fifo("fifo")
    tree.sock("socket")
    tree.chr("char", (1, 3))
    tree.blk("block", (7, 300))
    for style in ("oci", "overlay"):
        _, text, _ = run_differ("--report", "-", "--whiteout", style, trees.lower, trees.upper)
        types = {line["path"]: line["type"] for line in lines(text)}
        types = {path: type_ for path, type_ in types.items() if path not in ("changed", "gone", "new")}
        wanted = {type_: type_ for type_ in ("dir", "symlink", "fifo", "socket", "char", "block")}
        if style == "oci":
            del wanted["socket"]
        assert types == wanted
    (told,) = (line for line in lines(text) if line["path"] == "symlink")
    assert name(told, "target") == b"\xff"


@given(new=real_names, gone=real_names)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_on_a_disk(run_differ: RunDiffer, new: bytes, gone: bytes) -> None:
    if gone == new:
        gone += b"-"
    with tempfile.TemporaryDirectory() as place:
        lower, upper = os.path.join(place, "lower"), os.path.join(place, "upper")
        for side, path in ((lower, gone), (upper, new)):
            os.mkdir(side)
            os.symlink(path, os.path.join(os.fsencode(side), path))
        style = ("--whiteout", "none")  # where no name is refused
        status, text, err = run_differ(*style, lower, upper)
        assert status == 0, err
        assert sorted(map(unescaped, text[:-1].split("\n"))) == sorted([b"A " + new, b"D " + gone])
        status, text, err = run_differ(*style, "--report", "-", lower, upper)
        assert status == 0, err
        told = {line["kind"]: line for line in map(json.loads, text[:-1].split("\n"))}
        assert (name(told["added"], "path"), name(told["removed"], "path")) == (new, gone)
        assert name(told["added"], "target") == new
