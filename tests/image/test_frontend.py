"""What the frontend does beside the differences themselves: caches, contexts, platforms, messages."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.frontend import many

from ..conftest import needs_root
from ..trees import Row, read_tree
from .bases import changed_by
from .conftest import Named
from .engines import Docker, EngineError
from .saved import carried, unlike, unpack

pytestmark = [pytest.mark.image, needs_root]

SYNTAX = "# syntax=differ\n"

# What is in a difference, told by a stage whose own key is never an old one: what a client exports has lost
# links and ACLs.
SEEN = """\
FROM base AS read
ARG ONCE
RUN --mount=from=base..work,target=/seen inside tree /seen >/rows.json
FROM scratch
COPY --from=read /rows.json /
"""


def seen(
    docker: Docker, work: str, place: Path, args: dict[str, str] | None = None, context: Path | None = None
) -> list[Row]:
    """The entries of ``base..work`` that are no directories."""
    output = place / "output"
    docker.build(
        f"{SYNTAX}{work}{SEEN}",
        context,
        output=f"type=local,dest={output}",
        args={"ONCE": str(uuid.uuid4()), **(args or {})},
    )
    rows: list[Row] = json.loads((output / "rows.json").read_text())
    shutil.rmtree(output)
    return [row for row in rows if row["type"] != "dir"]


@pytest.mark.parametrize("args", [{}, {"DIFFER_FALLBACK": "1"}], ids=["default", "fallback"])
def test_an_upper_with_another_time_link_or_acl_is_another(
    docker: Docker, args: dict[str, str], base_tree: Path, tmp_path: Path
) -> None:
    """The key under which BuildKit keeps a RUN would find the result of the build before."""
    for step in ("unseen_one", "unseen_two"):
        rows = seen(docker, f"FROM base AS work\nRUN inside do {step}\n", tmp_path, args)
        right = changed_by(base_tree, step, tmp_path)
        if docker.name == "docker26-containerd" and not args:
            # The engine's own DiffOp takes the layer as it is: whole files, and what is in them.
            paths = {row["path"] for row in right}
            assert {row["path"] for row in rows} == paths
            assert {row["path"]: row["mtime"] for row in rows} == {row["path"]: row["mtime"] for row in right}
        else:
            assert rows == right


def test_a_script_of_the_context_that_changes_only_what_no_key_knows(
    docker: Docker, base_tree: Path, tmp_path: Path
) -> None:
    """What a side is made from is not only in the graph: the client sends some of it."""
    context = tmp_path / "context"
    context.mkdir()
    work = "FROM base AS work\nRUN --mount=target=/context sh /context/script\n"
    for step in ("unseen_one", "unseen_two"):
        (context / "script").write_text(f"inside do {step}\n")
        rows = seen(docker, work, tmp_path, {"DIFFER_FALLBACK": "1"}, context)
        assert rows == changed_by(base_tree, step, tmp_path)


def test_what_is_cached_is_not_made_again(docker: Docker) -> None:
    dockerfile = f"{SYNTAX}FROM base AS work\nRUN inside do add\nFROM scratch\nCOPY --from=base..work / /\n"
    docker.build(dockerfile)
    log = docker.build(dockerfile, args={"DIFFER_FALLBACK": "1"})
    again = docker.build(dockerfile, args={"DIFFER_FALLBACK": "1"})
    assert "differ: " not in again
    # --no-cache is for the difference too.
    log = docker.build(dockerfile, args={"DIFFER_FALLBACK": "1"}, no_cache=True)
    assert "differ: 10 added" in log


UNRELATED = """\
FROM base AS one
RUN inside do add
FROM base AS two
RUN inside do add && inside do change && inside do remove
FROM scratch
COPY --from=one..two / /
"""


def test_native_and_fallback_give_the_same_for_sides_that_share_nothing(
    ready_engine: Named, tmp_path: Path
) -> None:
    engine = ready_engine("docker26-containerd")
    trees = []
    for number, fallback in enumerate(({}, {"DIFFER_FALLBACK": "1"})):
        engine.build(f"{SYNTAX}{UNRELATED}", tag="unrelated", args=fallback)
        root, _ = unpack(engine, "unrelated", tmp_path / str(number))
        trees.append(carried(read_tree(root)))
    assert trees[0]
    assert unlike(*trees) == []


def test_what_is_compared_and_how_removals_are_written(docker: Docker, tmp_path: Path) -> None:
    work = "FROM base AS work\nRUN inside do remove && touch /opt/tool/run\n"
    dockerfile = f"{SYNTAX}{work}FROM base..work\n"
    for number, (args, paths) in enumerate(
        (
            ({"DIFFER_FALLBACK": "1"}, {"run"}),
            ({"DIFFER_WHITEOUT": "oci"}, {"run", ".wh.old"}),
            ({"DIFFER_COMPARE": "native", "DIFFER_WHITEOUT": "oci"}, {"run", ".wh.old"}),
        )
    ):
        output = tmp_path / str(number)
        docker.build(dockerfile, output=f"type=local,dest={output}", args=args)
        assert {path.name for path in (output / "opt/tool").iterdir()} == paths
    with pytest.raises(EngineError, match="DIFFER_WHITEOUT=yes: the value is one of none, oci"):
        docker.build(dockerfile, args={"DIFFER_WHITEOUT": "yes"})


def test_link_is_left_out_where_it_is_not_known(docker: Docker) -> None:
    dockerfile = (
        f"{SYNTAX}FROM base AS work\nRUN inside do add\nFROM base\nCOPY --link --from=base..work / /\n"
    )
    log = docker.build(dockerfile)
    assert ("WARNING: line 5: " in log) == (docker.name == "docker20")


def test_a_frontend_that_is_an_image_in_the_place_of_the_engines_own(docker: Docker, tmp_path: Path) -> None:
    """There is no upstream one here; ours passes on what it is given."""
    dockerfile = f"{SYNTAX}FROM base AS work\nRUN inside do add\nFROM base..work\n"
    docker.build(dockerfile, args={"DIFFER_SYNTAX": "differ"}, output=f"type=local,dest={tmp_path / 'out'}")
    assert (tmp_path / "out" / "usr/local/bin/suid").read_text() == "suid\n"


def test_ignore_files(docker: Docker, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in ("a", "b", "c"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("a\n")
    dockerfile = f"{SYNTAX}FROM scratch AS all\nCOPY . /\nFROM scratch..all\n"
    (context / "Dockerfile").write_text(dockerfile)
    docker.docker("build", "--output", f"type=local,dest={tmp_path / 'one'}", context)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        ".dockerignore",
        "Dockerfile",
        "b",
        "c",
    ]
    # An ignore file of the Dockerfile's own goes before it.
    (context / "Dockerfile.dockerignore").write_text("b\nDockerfile*\n.dockerignore\n")
    docker.docker("build", "--output", f"type=local,dest={tmp_path / 'two'}", context)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["a", "c"]


def test_a_dockerfile_in_lower_case(docker: Docker, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "dockerfile").write_text(f"{SYNTAX}FROM base AS work\nRUN inside do add\nFROM base..work\n")
    docker.docker("build", "--network=none", "--output", f"type=local,dest={tmp_path / 'out'}", context)
    assert (tmp_path / "out" / "usr/local/bin/suid").read_text() == "suid\n"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """The address of a directory's files."""
    handler = functools.partial(_Quiet, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_remote_contexts(docker: Docker, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    # Content of its own: a COPY that is found in the cache has the times of the one that was kept.
    (work / "one").write_text(str(uuid.uuid4()))
    (work / "two").write_text("2\n")
    (work / "Dockerfile").write_text(
        f"{SYNTAX}FROM scratch AS a\nCOPY one /\nFROM scratch AS b\nCOPY one two /\nFROM a..b AS c\n"
        "FROM scratch\nCOPY --from=c / /\nCOPY . /context/\n"
    )
    with tarfile.open(tmp_path / "context.tar.gz", "w:gz") as tar:
        for path in work.iterdir():
            tar.add(path, path.name)
    git = ("git", "-C", work, "-c", "user.name=a", "-c", "user.email=a@localhost")
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, tmp_path / "r.git"], check=True)
    subprocess.run(["git", "-C", tmp_path / "r.git", "update-server-info"], check=True)
    with served(tmp_path) as address:
        for number, place in enumerate(("r.git#main", "context.tar.gz")):
            output = tmp_path / str(number)
            docker.docker("build", "--output", f"type=local,dest={output}", f"{address}/{place}")
            assert "two" in [path.name for path in output.iterdir()], place
            assert {path.name for path in (output / "context").iterdir()} == {"one", "two", "Dockerfile"}
    if docker.name == "docker26-containerd":
        return  # this engine cannot load what its client sends, with any frontend
    # A context that the client sends can be had only once.
    output = tmp_path / "sent"
    with (tmp_path / "context.tar.gz").open("rb") as archive:
        docker.docker("build", "--output", f"type=local,dest={output}", "-", stdin=archive)
    assert "two" in [path.name for path in output.iterdir()]


PLATFORMS = """\
FROM scratch AS low
COPY one /
FROM scratch AS amd64
COPY one two /
FROM scratch AS arm64
COPY one three /
FROM low..${TARGETARCH} AS top
FROM scratch
COPY --from=top / /
"""


def test_platforms(ready_engine: Named, tmp_path: Path) -> None:
    docker = ready_engine("docker26-containerd")
    context = tmp_path / "context"
    context.mkdir()
    for name in ("one", "two", "three"):
        (context / name).write_text(str(uuid.uuid4()))
    output = tmp_path / "out"
    docker.build(
        f"{SYNTAX}{PLATFORMS}",
        context,
        platform="linux/amd64,linux/arm64",
        output=f"type=local,dest={output}",
        contexts={"unused": str(context)},
    )
    assert [path.name for path in (output / "linux_amd64").iterdir()] == ["two"]
    assert [path.name for path in (output / "linux_arm64").iterdir()] == ["three"]


def test_provenance_holds_the_users_dockerfile(ready_engine: Named, tmp_path: Path) -> None:
    docker = ready_engine("docker26-containerd")
    archive = tmp_path / "image.tar"
    docker.build(
        f"{SYNTAX}FROM base AS work\nRUN inside do add\nFROM base..work\n",
        output=f"type=oci,dest={archive}",
        contexts={"unused": str(tmp_path)},
        more=("--provenance=mode=max",),
    )
    data = archive.read_bytes()
    assert b"slsa.dev/provenance" in data
    assert b"differ-placeholder" not in data
    with tarfile.open(archive) as tar:
        blobs = [tar.extractfile(member) for member in tar if member.isfile()]
        texts = [blob.read() for blob in blobs if blob is not None]
    (statement,) = (json.loads(text) for text in texts if b'"predicateType":"https://slsa' in text)
    steps = statement["predicate"]["buildConfig"]["llbDefinition"]
    assert [step for step in steps if "diff" in (step["op"].get("Op") or {})]


def test_the_cache_can_be_carried_away(ready_engine: Named, tmp_path: Path) -> None:
    """The containerd store exports a cache of every step, and every Solve must name what is imported."""
    docker = ready_engine("docker26-containerd")
    assert isinstance(docker, Docker)
    cache, stamp = tmp_path / "cache", str(uuid.uuid4())
    work = f"{SYNTAX}FROM base AS work\nRUN inside do add && echo {stamp}\nFROM base..work\n"
    for args in ({}, {"DIFFER_FALLBACK": "1"}):
        unused = {"unused": str(tmp_path)}
        export = (f"--cache-to=type=local,dest={cache},mode=max",)
        docker.build(work, args=args, contexts=unused, more=export, tag="carried")
        docker.docker("builder", "prune", "--all", "--force")
        docker.docker("image", "rm", "carried")
        log = docker.build(
            work, args=args, contexts=unused, more=(f"--cache-from=type=local,src={cache}",), tag="x"
        )
        assert "differ: " not in log
        assert log.count("CACHED") >= 2
        shutil.rmtree(cache)


def test_thirty_differences_take_as_many_questions_as_one(docker: Docker) -> None:
    """bench/frontend.py builds one of 330 RUNs and 30 diffs."""
    log = docker.build(SYNTAX + many(60, 30))
    questions = {line for line in log.splitlines() if "each a..b" in line}
    assert len(questions) == (1 if docker.name == "docker20" else 2), questions


PROVEN = """\
FROM base AS low
RUN inside do add
FROM low AS work
RUN inside do change && inside do remove
FROM scratch
COPY --from=low..work / /one/
COPY --from=base..work / /two/
COPY --from=base..low / /three/
"""


def test_what_the_mounts_prove_is_not_read(docker: Docker) -> None:
    """A stage on top of another is an overlay mount with more layers on every engine."""
    log = docker.build(f"{SYNTAX}{PROVEN}", args={"DIFFER_FALLBACK": "1"}, no_cache=True)
    told = [line for line in log.splitlines() if "differ: " in line]
    assert len(told) == 3
    for line in told:
        assert "0 B compared" in line
        assert "directories read, the others untouched (overlay inode" in line


def test_what_the_mounts_do_not_prove_is_compared_and_told(docker: Docker) -> None:
    dockerfile = (
        "FROM base AS one\nRUN inside do add\nFROM scratch AS two\nCOPY --from=one / /\nFROM one..two\n"
    )
    log = docker.build(f"{SYNTAX}{dockerfile}", args={"DIFFER_FALLBACK": "1"}, no_cache=True)
    (told,) = [line for line in log.splitlines() if "differ: " in line]
    assert "; all compared (" in told
