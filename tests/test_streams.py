"""Streams that are closed, full or read only in part, and files that must not be opened."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from .command import Trees, differ, ended
from .conftest import needs_root
from .trees import read_tree

pytestmark = pytest.mark.cli


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


@pytest.mark.parametrize("options", [[], ["--report", "-"], ["-v", "out"], ["--report", "-", "out"]])
def test_a_reader_who_has_seen_enough(trees: Trees, options: list[str]) -> None:
    # As `differ LOWER UPPER | head -n 1`.
    words = [str(trees.out) if word == "out" else word for word in options]
    out = [words.pop()] if "out" in options else []
    # The smallest pipe: what it says does not fit.
    process = differ(*words, trees.lower, trees.upper, *out, bufsize=1, pipesize=4096)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    status, _, err = ended(process)
    assert (status, err) == (128 + signal.SIGPIPE, "")
    assert sorted(os.listdir(trees.place)) == ["lower", "upper"]


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_a_reader_who_never_looked(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = differ(*words, stdout=write)
    os.close(write)
    status, _, err = ended(process)
    assert (status, err) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["lower", "upper"], ["--report=-", "lower", "upper"]]
)
def test_stdout_that_is_full(trees: Trees, words: list[str]) -> None:
    words = [str(trees.place / word) if word in ("lower", "upper") else word for word in words]
    with open("/dev/full", "w") as full:
        status, _, err = ended(differ(*words, stdout=full))
    assert status == 2
    assert err == "differ: results cannot be written to stdout: No space left on device\n"


@pytest.mark.parametrize("option", ["--stat", "--summary"])
@pytest.mark.parametrize("out", [[], ["out"]])
def test_totals_that_nobody_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, out: list[str]
) -> None:
    # They fit into one buffer, and nothing is said of success before that has been taken.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    for side in ("lower", "upper/new"):
        (tmp_path / side).mkdir(parents=True)
    words = [option, *(str(tmp_path / word) for word in ("lower", "upper", *out))]
    read, write = os.pipe()
    os.close(read)
    status, _, err = ended(differ(*words, stdout=write))
    assert (status, err) == (128 + signal.SIGPIPE, "")
    os.close(write)
    with open("/dev/full", "w") as full:
        status, _, err = ended(differ(*words, stdout=full))
    assert (status, err) == (2, "differ: results cannot be written to stdout: No space left on device\n")
    assert sorted(os.listdir(tmp_path)) == ["lower", "upper"]


@pytest.mark.parametrize("words", [["lower", "upper"], ["--help"]])
def test_stdout_that_is_closed(trees: Trees, words: list[str]) -> None:
    # As `differ LOWER UPPER >&-`: a result that nobody can get is no success.
    words = [str(trees.place / word) if word in ("lower", "upper") else word for word in words]
    status, _, err = ended(differ(*words, preexec_fn=lambda: os.close(1)))
    assert status == 2
    assert err.startswith("differ: ")
    assert err.count("\n") == 1


def test_a_closed_stdout_matters_only_where_it_is_used(trees: Trees) -> None:
    status, _, err = ended(
        differ("--verify", trees.lower, trees.upper, trees.out, preexec_fn=lambda: os.close(1))
    )
    assert status == 0, err
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]


@pytest.mark.parametrize("how", ["closed", "full"])
def test_stderr_that_takes_nothing(trees: Trees, how: str) -> None:
    def run(*words: object) -> int:
        if how == "closed":
            return ended(differ(*words, preexec_fn=lambda: os.close(2)))[0]
        with open("/dev/full", "w") as full:
            return ended(differ(*words, stderr=full))[0]

    assert run("--verify", trees.lower, trees.upper, trees.out) == 0
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]
    assert run(trees.lower, trees.upper, trees.out) == 2
    assert run("--bogus") == 2
    assert run("--exit-code", trees.lower, trees.upper) == 1
    # Descriptor 2 has become that of something else; nothing of a message is in there.
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]


def test_all_streams_closed(trees: Trees) -> None:
    def close() -> None:
        for fd in (0, 1, 2):
            os.close(fd)

    assert ended(differ(trees.lower, trees.upper, trees.out, preexec_fn=close))[0] == 0
    assert read_tree(trees.out)[1:] == read_tree(trees.upper)[1:]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_stdout_that_is_not_utf_8(tmp_path: Path, environment: dict[str, str]) -> None:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    for name in ("é".encode(), b"\xff", "\U0001f600".encode()):
        with open(os.path.join(os.fsencode(tmp_path), b"upper", name), "w"):
            pass
    process = differ(tmp_path / "lower", tmp_path / "upper", env={**os.environ, **environment}, text=False)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "A é\nA \U0001f600\nA \\xff\n".encode()  # type: ignore[comparison-overlap]


# ---------------------------------------------------------------- what must not be opened


@needs_root
def test_nothing_but_regular_files_is_opened(tmp_path: Path) -> None:
    """Opening a FIFO would hang, and opening a device may do anything."""
    for side, mode in (("lower", 0o600), ("upper", 0o644)):
        tree = tmp_path / side
        tree.mkdir()
        for name, kind in (("fifo", stat.S_IFIFO), ("socket", stat.S_IFSOCK), ("same", stat.S_IFIFO)):
            os.mknod(tree / name, kind | (0o600 if name == "same" else mode))
        os.mknod(tree / "console", stat.S_IFCHR | mode, os.makedev(5, 1))
        os.mknod(tree / "nothing", stat.S_IFBLK | mode, os.makedev(4000, 1))
        for name in os.listdir(tree):
            os.utime(tree / name, (1, 1))
    for side in ("lower", "upper"):
        os.mknod(tmp_path / side / "type", (stat.S_IFIFO if side == "lower" else stat.S_IFREG) | 0o600)
    words = ("--verify", "--whiteout=none", "--digest", f"--report={tmp_path}/report")
    status, _, err = ended(differ(*words, tmp_path / "lower", tmp_path / "upper", tmp_path / "out"))
    assert status == 0, err
    assert sorted(os.listdir(tmp_path / "out")) == ["console", "fifo", "nothing", "socket", "type"]


@pytest.mark.parametrize("apply", [False, True])
def test_a_fifo_is_no_tree(trees: Trees, apply: bool) -> None:
    fifo = trees.place / "fifo"
    os.mkfifo(fifo)
    for words in ((fifo, trees.upper, trees.out), (trees.lower, fifo, trees.out)):
        status, _, err = ended(differ(*words, apply=apply))
        assert status == 2
        assert f": {fifo}: is not a directory" in err
