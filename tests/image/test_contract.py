"""What the image promises to whoever runs it: docs/runner.md."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ..conftest import needs_root
from ..trees import Builder, Row, read_tree
from .engines import Docker
from .inside import ABOVE, ADDED, CHANGED, REMOVED, perform, sample, settle_base
from .saved import layers, put_together

pytestmark = [pytest.mark.image, needs_root]

USER = 65532
ANYBODY = ("--read-only", "--cap-drop", "all", "--user", f"{USER}:{USER}")
SUMMARY = "differ: 10 added, 6 modified, 2 removed; "
TREES = ("/lower", "/upper", "/out")


@pytest.fixture(scope="session")
def root(runner_archive: Path, place: Path) -> Path:
    """The image's tree."""
    where = place / "runner"
    where.mkdir()
    return put_together(layers(runner_archive, where), where)


def test_the_program_needs_no_loader(root: Path) -> None:
    program = (root / "usr/bin/differ").read_bytes()
    assert program[:6] == b"\x7fELF\x02\x01"
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = {struct.unpack_from("<I", program, table + number * size)[0] for number in range(count)}
    assert 1 in kinds  # PT_LOAD
    assert 3 not in kinds  # PT_INTERP


# ---------------------------------------------------------------- a pair of trees to work on
class Pair:
    """A pair of trees in a directory that other users can enter, and places for results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lower, self.upper, self.out = path / "lower", path / "upper", path / "out"
        for tree in (self.lower, self.upper, self.out):
            tree.mkdir()
        for tree in (self.lower, self.upper):
            t = Builder(tree)
            t.dirs("usr")
            sample(t)
            settle_base(str(tree))
        perform(str(self.upper), "add", "change", "remove")

    def give_away(self) -> None:
        """Make everything the user's."""
        for above, dirs, files in os.walk(os.fsencode(self.path)):
            for name in [*dirs, *files]:
                path = os.path.join(above, name)
                mode = os.lstat(path).st_mode
                os.chown(path, USER, USER, follow_symlinks=False)
                if not os.path.islink(path):
                    os.chmod(path, mode & 0o7777)

    def check(self, out: Path | None = None) -> None:
        """What is in OUT is the difference, whiteouts included."""
        upper = {row["path"]: row for row in read_tree(self.upper)}
        wanted = [upper[path] for path in (*ABOVE, *ADDED, *CHANGED)]
        markers = {os.path.join(os.path.dirname(p), f".wh.{os.path.basename(p)}") for p in REMOVED}
        rows = {row["path"]: row for row in read_tree(out or self.out)[1:]}
        for marker in markers:
            assert (rows[marker]["size"], rows.pop(marker)["mode"]) == (0, "0000")
        assert by_path(rows.values()) == by_path(wanted)

    def binds(self) -> tuple[str, ...]:
        return (*self.inputs(), "-v", f"{self.out}:/out")

    def inputs(self) -> tuple[str, ...]:
        return ("-v", f"{self.lower}:/lower:ro", "-v", f"{self.upper}:/upper:ro")


def by_path(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: os.fsencode(row["path"]))


@contextlib.contextmanager
def open_place() -> Iterator[Path]:
    """A directory that other users can enter, as pytest's is not."""
    path = Path(tempfile.mkdtemp(prefix="differ-image-"))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with open_place() as path:
        yield Pair(path)


# ---------------------------------------------------------------- docker run
def test_as_anybody(docker: Docker, pair: Pair) -> None:
    """No right at all, nothing to write to but OUT, which is a mount point."""
    pair.give_away()
    status, out, err = docker.run("--rm", *ANYBODY, *pair.binds(), "differ", "--strict", *TREES)
    assert (status, out) == (0, ""), err
    assert err.startswith(SUMMARY)
    assert len(err.splitlines()) == 1
    pair.check()


def test_out_is_a_tmpfs(docker: Docker, pair: Pair) -> None:
    pair.give_away()
    tmpfs = ("--tmpfs", f"/out:uid={USER},mode=700")
    status, out, err = docker.run("--rm", *ANYBODY, *pair.inputs(), *tmpfs, "differ", "--verify", *TREES)
    assert (status, out) == (0, ""), err
    assert err.endswith("; proved\n")


def test_nothing_is_written_but_out(docker: Docker, pair: Pair) -> None:
    status, _, err = docker.run("--name", "written", *pair.inputs(), "differ", "--verify", *TREES)
    assert status == 0, err
    changed = set(re.findall("^[ACD] (.*)$", docker.docker("diff", "written"), re.MULTILINE))
    docker.docker("rm", "written")
    assert "/out/usr/local/lib/app/data" in changed
    assert {path for path in changed if path != "/out" and not path.startswith("/out/")} == set()


def test_differ_apply(docker: Docker, pair: Pair) -> None:
    assert docker.run("--rm", *pair.binds(), "differ", *TREES)[0] == 0
    again = pair.path / "again"
    again.mkdir()
    words = ("-v", f"{pair.lower}:/lower:ro", "-v", f"{pair.out}:/upper:ro", "-v", f"{again}:/out")
    status, _, err = docker.run("--rm", *words, "--entrypoint", "/usr/bin/differ-apply", "differ", *TREES)
    assert status == 0, err
    times = {"var/cache"}
    assert [row for row in read_tree(again)[1:] if row["path"] not in times] == [
        row for row in read_tree(pair.upper)[1:] if row["path"] not in times
    ]


def test_statuses_and_streams(docker: Docker, pair: Pair) -> None:
    run = ("--rm", *ANYBODY, *pair.inputs(), "differ")
    status, out, err = docker.run(*run)
    assert (status, out) == (2, "")
    assert err.startswith("differ: expected LOWER UPPER [OUT], got no argument")
    status, out, err = docker.run(*run, "--version")
    assert (status, err) == (0, "")
    assert out.startswith("differ ")
    status, out, err = docker.run(*run, "/lower", "/nowhere", "/out")
    assert (status, out) == (2, "")
    assert err.startswith("differ: /nowhere: ")
    assert docker.run(*run, "-q", "--exit-code", "/lower", "/lower") == (0, "", "")


@pytest.mark.parametrize(("how", "wanted"), [("stop", 130), ("kill", 143)])
def test_stopped_as_a_container(docker: Docker, how: str, wanted: int, pair: Pair) -> None:
    many = Builder(pair.upper)
    many.dir("many")
    many.file("many/first", "x")
    for number in range(40_000):
        if number % 10_000 == 0:
            many.file(f"many/first{number}", "x")
        many.link(f"many/first{number // 10_000 * 10_000}", f"many/{number}")
    name = f"stopped-{how}"
    docker.docker("create", "--network", "none", "--name", name, *pair.binds(), "differ", *TREES)
    docker.docker("start", name)
    deadline = time.monotonic() + 60
    while not os.listdir(pair.out):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    docker.docker(how, *(("-t", "60") if how == "stop" else ("--signal", "TERM")), name)
    assert docker.docker("wait", name).strip() == str(wanted), docker.docker("logs", name)
    signal = "SIGINT" if how == "stop" else "SIGTERM"
    assert docker.docker("logs", name) == f"differ: /out: interrupted by {signal}\n"
    docker.docker("rm", name)
    assert os.listdir(pair.out) == []


# ---------------------------------------------------------------- without a container
@pytest.fixture
def bare(root: Path, pair: Pair) -> Iterator[Path]:
    """The image's tree with the pair in it, and nothing mounted: no /proc, /dev or /tmp."""
    with open_place() as path:
        subprocess.run(["cp", "-a", root, path / "root"], check=True)
        for tree in (pair.lower, pair.upper):
            (path / "root" / tree.name).rmdir()
            subprocess.run(["cp", "-a", tree, path / "root"], check=True)
        yield path / "root"


def program(bare: Path, *words: str) -> list[str]:
    # Its path, for there is no environment to find it by.
    return [shutil.which("chroot") or "chroot", str(bare), "/usr/bin/differ", *words, *TREES]


def in_bare(words: list[str], user: int = 0, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        words,
        env=env or {},
        user=user,
        group=user,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_with_nothing_around_it(bare: Path, pair: Pair) -> None:
    for tree in (pair.upper, bare / "upper"):
        perform(str(tree), "special")
    assert sorted(os.listdir(bare)) == ["etc", "lower", "out", "upper", "usr", "var"]
    status, out, err = in_bare(program(bare, "--strict", "--verify"))
    assert (status, out) == (0, ""), err
    assert err.startswith("differ: 12 added, ")
    rows = {row["path"]: row for row in read_tree(bare / "out")}
    upper = {row["path"]: row for row in read_tree(pair.upper)}
    for path in (*ADDED, *CHANGED, "srv/fifo", "srv/null"):
        assert rows[path] == upper[path]


def test_the_environment_changes_nothing(bare: Path, pair: Pair) -> None:
    names = ("HOME", "PATH", "DUMP_REFS", "DEBUG", "INSPECT", "OPTIMIZE", "STARTUP", "VERBOSE", "WARNINGS")
    env = {f"PYTHON{name}": "/upper" for name in names} | {"LC_ALL": "C", "LANG": "xx", "TMPDIR": "/none"}
    status, out, err = in_bare(program(bare), env=env)
    assert (status, out) == (0, ""), err
    assert err.startswith(SUMMARY)
    pair.check(bare / "out")


def test_in_a_user_namespace(bare: Path, pair: Pair) -> None:
    pair.give_away()
    for tree in (pair.lower, pair.upper):
        shutil.rmtree(bare / tree.name)
        subprocess.run(["cp", "-a", tree, bare], check=True)
    os.chown(bare / "out", USER, USER)
    words = ["/usr/bin/unshare", "--user", "--map-root-user", *program(bare, "--strict")]
    status, out, err = in_bare(words, user=USER)
    assert (status, out) == (0, ""), err
    pair.check(bare / "out")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(bare: Path, pair: Pair, closed: str) -> None:
    status, out, err = in_bare(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *program(bare)])
    assert (status, out) == (0, ""), err
    assert err.startswith(SUMMARY) is ("2>&-" not in closed)
    pair.check(bare / "out")
    # OUT is not empty now.
    assert in_bare(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *program(bare)])[0] == 2
    pair.check(bare / "out")


def test_two_runs_give_the_same_bytes(bare: Path) -> None:
    tars = []
    for number in range(2):
        status, _, err = in_bare(program(bare))
        assert status == 0, err
        facts = ("--format=posix", "--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*")
        times = "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime"
        tar = bare.parent / f"{number}.tar"
        names = sorted(os.listdir(bare / "out"))
        subprocess.run(["tar", "-c", *facts, times, "-C", bare / "out", "-f", tar, *names], check=True)
        tars.append(tar.read_bytes())
        shutil.rmtree(bare / "out")
        (bare / "out").mkdir()
    assert tars[0] == tars[1]


@pytest.mark.parametrize(("number", "name"), [(2, "SIGINT"), (15, "SIGTERM")])
def test_signals_as_process_one(bare: Path, number: int, name: str) -> None:
    many = Builder(bare / "upper")
    many.dir("many")
    for count in range(2000):
        many.file(f"many/{count:0100d}")
    # The list goes to a pipe that nobody reads, so the run stands still in the middle.
    words = ["unshare", "--pid", "--fork", "--kill-child", *program(bare, "--verbose")]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out = bare / "out"
        deadline = time.monotonic() + 60
        while next(out.rglob("many"), None) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (child,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(child), number)
        _, err = run.communicate(timeout=60)
    finally:
        run.kill()
        run.wait()
    assert (run.returncode, err) == (128 + number, f"differ: /out: interrupted by {name}\n")
    assert os.listdir(out) == []
