"""Files larger than memory, and paths longer and deeper than any limit of the system."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import program
from .conftest import RunDiffer
from .trees import A, Builder, read_tree

pytestmark = pytest.mark.cli

GIB = 1 << 30
PAGE = 4096
REPOSITORY = Path(__file__).parent.parent


def pair(place: Path) -> tuple[Path, Path, Path]:
    for side in ("lower", "upper"):
        (place / side).mkdir()
    return place / "lower", place / "upper", place / "out"


def sparse(path: Path, size: int, *data: int) -> None:
    """A file of ``size`` bytes with one page of data at each offset."""
    with open(path, "wb") as file:
        for offset in data:
            file.seek(offset)
            file.write(b"%d" % offset * (PAGE // len(b"%d" % offset)))
        file.truncate(size)
    os.utime(path, (1, 1))


def pieces(path: Path, *offsets: int) -> list[bytes]:
    with open(path, "rb") as file:
        return [os.pread(file.fileno(), 2 * PAGE, offset) for offset in offsets]


# ---------------------------------------------------------------- holes


@pytest.mark.parametrize(
    ("size", "data"),
    [
        (GIB, []),
        (8 << 20, [0]),
        (8 << 20, [(8 << 20) - PAGE]),
        (8 << 20, [1 << 20, 2 << 20, 5 << 20]),
        ((8 << 20) + 1, [4 << 20]),
        (5 * GIB, [0, 3 * GIB, 5 * GIB - PAGE]),
    ],
)
def test_holes_stay_holes(size: int, data: list[int], tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    sparse(upper / "x", size, *data)
    facts = (upper / "x").stat()
    status, _, err = run_differ(lower, upper, out)
    assert status == 0, err
    copied = (out / "x").stat()
    assert (copied.st_size, copied.st_mtime_ns) == (size, facts.st_mtime_ns)
    assert copied.st_blocks <= facts.st_blocks
    where = [0, *data, max(0, size - 2 * PAGE)]
    assert pieces(out / "x", *where) == pieces(upper / "x", *where)


def test_a_small_sparse_file_byte_for_byte(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    sparse(lower / "x", 4 << 20, 1 << 20)
    sparse(upper / "x", 4 << 20, 2 << 20)
    for style in ("oci", "none"):
        status, _, err = run_differ("--verify", "--whiteout", style, lower, upper, tmp_path / style)
        assert status == 0, err
        assert read_tree(tmp_path / style)[1:] == read_tree(upper)[1:]
    assert not out.exists()


@pytest.mark.parametrize("last", [b"1", b"2"])
def test_five_gibibytes_that_differ_in_their_last_byte(
    last: bytes, tmp_path: Path, run_differ: RunDiffer
) -> None:
    lower, upper, _ = pair(tmp_path)
    for side, byte in ((lower, b"1"), (upper, last)):
        with open(side / "x", "wb") as file:
            file.seek(5 * GIB - 1)
            file.write(byte)
        os.utime(side / "x", (1, 1))
    status, text, err = run_differ("--exit-code", lower, upper)
    assert (status, text) == ((0, "") if last == b"1" else (1, "M x  content\n")), err


def test_a_hole_equals_zeros(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, _ = pair(tmp_path)
    sparse(lower / "x", 1 << 20)
    (upper / "x").write_bytes(bytes(1 << 20))
    os.utime(upper / "x", (1, 1))
    for trees in ((lower, upper), (upper, lower)):
        assert run_differ("--exit-code", *trees)[:2] == (0, "")
    with open(upper / "x", "r+b") as file:
        file.seek(700_000)
        file.write(b"1")
    os.utime(upper / "x", (1, 1))
    for trees in ((lower, upper), (upper, lower)):
        assert run_differ("--exit-code", *trees)[:2] == (1, "M x  content\n")


@pytest.mark.inside
@pytest.mark.parametrize("last", [b"1", b"2"])
def test_a_file_system_that_reads_in_pieces(
    last: bytes, tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As some network file systems do; read(2) may always give less than it was asked for.
    lower, upper, _ = pair(tmp_path)
    for side, byte in ((lower, b"1"), (upper, last)):
        (side / "x").write_bytes(b"0" * 400_000 + byte)
        os.utime(side / "x", (1, 1))
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: real(fd, [memoryview(buffers[0])[:70_001]], at))
    status, text, _ = run_differ("--exit-code", lower, upper)
    assert (status, text) == ((0, "") if last == b"1" else (1, "M x  content\n"))


# ---------------------------------------------------------------- memory
PEAK_KB = 60_000
# A child's peak starts at what its parent holds when it forks, and pytest holds much.
MEASURED = (
    "import resource, subprocess, sys; status = subprocess.call(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"
)


@pytest.mark.parametrize(("compression", "size", "mebibytes"), [("none", GIB, 100), ("gzip", GIB // 8, 10)])
def test_a_layer_of_large_files_needs_little_memory(
    compression: str, size: int, mebibytes: int, tmp_path: Path
) -> None:
    lower, upper, _ = pair(tmp_path)
    sparse(upper / "sparse", size, size // 2)
    with open(upper / "real", "wb") as file:
        for number in range(mebibytes):
            file.write(hashlib.shake_128(b"%d" % number).digest(1 << 20))
    words = ["-q", f"--compression={compression}", "--layer", "/dev/null", lower, upper]
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, *program(), *map(str, words)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < PEAK_KB
    (upper / "real").unlink()


# ---------------------------------------------------------------- paths


@pytest.fixture
def deep_tmp(tmp_path: Path) -> Iterator[Path]:
    """A place for trees that are too deep for what pytest cleans up with."""
    yield tmp_path
    subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


def bottom(root: Path, names: list[str]) -> int:
    """A descriptor of the directory at the end of ``names``."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def write(fd: int, name: str, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd)
    os.write(file, data)
    os.close(file)


@pytest.mark.parametrize("style", ["oci", "none"])
def test_paths_longer_than_path_max(style: str, deep_tmp: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(deep_tmp)
    names = [chr(ord("a") + level) * 200 for level in range(24)]

    def fill(fd: int) -> None:
        for name in ("kept", "linked"):
            write(fd, name, b"1")
        os.symlink("kept", "symlink", dir_fd=fd)
        os.mkdir("d", dir_fd=fd)
        os.setxattr(f"/proc/self/fd/{fd}", "user.deep", b"1")

    for side in (lower, upper):
        Builder(side).deep(names, fill)
    changed = bottom(upper, names)
    os.unlink("linked", dir_fd=changed)
    os.link("kept", "linked", src_dir_fd=changed, dst_dir_fd=changed)
    write(changed, "new", b"2")
    os.close(changed)
    Builder(lower).settle(A)
    Builder(upper).settle(A)
    status, _, err = run_differ("--verify", "--whiteout", style, lower, upper, out)
    assert status == 0, err
    status, _, err = run_differ("--whiteout", style, lower, out, deep_tmp / "applied", apply=True)
    assert status == 0, err
    assert read_tree(deep_tmp / "applied")[1:] == read_tree(upper)[1:]
    # A message about such a path names it whole.
    fd = bottom(upper, names)
    write(fd, ".wh.x", b"")
    os.close(fd)
    status, _, err = run_differ(lower, upper, deep_tmp / "refused")
    assert status == 2
    assert err.startswith(f"differ: {'/'.join(names)}/.wh.x: ")


def test_depth_has_no_limit(deep_tmp: Path) -> None:
    """1,500 levels: more than Python recurses, and more than a process may open."""
    lower, upper, out = pair(deep_tmp)
    names = ["d"] * 1500
    for side, extra in ((lower, "gone"), (upper, "new")):
        Builder(side).deep(names, lambda fd, name=extra: write(fd, name, name.encode()))  # type: ignore[misc]
    for words in (
        ["--verify", lower, upper, out],
        ["--verify", "--compare=metadata", "--whiteout=none", lower, upper, deep_tmp / "none"],
        ["--verify", "scratch", upper, deep_tmp / "copy"],
    ):
        result = subprocess.run(
            ["sh", "-c", 'ulimit -n 1024 && exec "$0" "$@"', *program(), *map(str, words)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
    for tree, wanted in ((out, [".wh.gone", "new"]), (deep_tmp / "copy", ["new"])):
        fd = bottom(tree, names)
        assert sorted(os.listdir(fd)) == wanted
        file = os.open("new", os.O_RDONLY, dir_fd=fd)
        assert os.read(file, 10) == b"new"
        os.close(file)
        os.close(fd)
    # The time of every directory on the way is UPPER's.
    ours, theirs = (os.open(root, os.O_RDONLY) for root in (out, upper))
    for level in range(1500):
        below = [os.open("d", os.O_RDONLY, dir_fd=fd) for fd in (ours, theirs)]
        os.close(ours)
        os.close(theirs)
        ours, theirs = below
        assert os.fstat(ours).st_mtime_ns == os.fstat(theirs).st_mtime_ns, level
    os.close(ours)
    os.close(theirs)
