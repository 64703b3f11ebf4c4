"""``a..b`` in Dockerfiles on every engine: the frontend where there is BuildKit, the rewriter with buildah.

The trees that must come of it are made by the same steps on directories of this machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..command import REPOSITORY, rewriter
from ..conftest import needs_root
from ..trees import Row, read_tree
from .conftest import Named
from .engines import ENGINES, Docker, Engine, EngineError
from .inside import ABOVE, ADDED, CHANGED, perform
from .saved import carried, unlike, unpack

Rows = dict[str, Row]

pytestmark = [pytest.mark.image, needs_root]

# What the proposal's examples leave out is filled in: "RUN" without a command, "FROM ...".
GENERATE = """\
FROM alpine AS compile
RUN ./generate-files

FROM busybox
COPY --from=alpine..compile /usr/local /usr/local
"""
GEN_FILES = """\
FROM alpine AS compile
RUN ./generate-files

FROM alpine..compile AS gen-files

FROM busybox
COPY --from=gen-files /usr/local /usr/local
"""
SQUASH = """\
FROM alpine AS build
RUN inside do add
RUN inside do change
RUN inside do remove

FROM alpine AS squashed
COPY --from=alpine..build / /

FROM build
"""
REBASE = """\
ARG IMG=myrepo/myimage
ARG OLDBASE=alpine:3.16
ARG NEWBASE=alpine:3.17

FROM ${OLDBASE}..${IMG} AS app

FROM ${NEWBASE}
COPY --link --from=app / /
"""
IMAGES = {
    "alpine": "FROM base\nCOPY --chmod=755 generate-files /\n",
    "busybox": "FROM base\n",
    "alpine:3.16": "FROM base\n",
    "alpine:3.17": "FROM base\nRUN inside do upgrade\n",
    "myrepo/myimage": "FROM base\nRUN inside do add\nRUN inside do change\nRUN inside do remove\n",
}


def rewritten(dockerfile: str, *options: str) -> str:
    """What differ-dockerfile makes of it."""
    done = subprocess.run(
        [*rewriter(), *options],
        input=dockerfile,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode:
        raise EngineError(done.stderr)
    return done.stdout


def write(engine: Engine, dockerfile: str) -> str:
    """What is given to an engine."""
    if isinstance(engine, Docker):
        return f"# syntax=differ\n{dockerfile}"
    return rewritten(dockerfile, "--drop-link")


def build(engine: Engine, dockerfile: str, **more: Any) -> str:
    return engine.build(write(engine, dockerfile), **more)


@pytest.fixture(scope="session")
def trees(place: Path, base_tree: Path) -> dict[str, Rows]:
    """What the images must hold."""
    told = {}
    steps = {"base": (), "work": ("add", "change", "remove"), "newer": ("upgrade",)}
    for name, done in steps.items():
        root = place / f"syntax-{name}"
        subprocess.run(["cp", "-a", base_tree, root], check=True)
        if done:
            perform(str(root), *done)
        told[name] = carried(read_tree(root))
        shutil.rmtree(root)
    return told


@pytest.fixture(scope="session", params=ENGINES)
def syntax(ready_engine: Named, place: Path, request: pytest.FixtureRequest) -> Engine:
    """Each engine with the images that the proposal's examples name."""
    engine = ready_engine(request.param)
    context = place / f"syntax-{engine.name}"
    context.mkdir()
    (context / "generate-files").write_text("#!/bin/sh\nexec inside do add\n")
    (context / "generate-files").chmod(0o755)
    for tag, dockerfile in IMAGES.items():
        engine.build(dockerfile, context, tag=tag)
    return engine


def held(engine: Engine, dockerfile: str, place: Path, **more: Any) -> Rows:
    """What is in the image that a Dockerfile makes."""
    build(engine, dockerfile, tag="result", **more)
    root, _ = unpack(engine, "result", place / "result")
    rows = carried(read_tree(root))
    shutil.rmtree(place / "result")
    return rows


def below(rows: Rows, *tops: str) -> Rows:
    return {path: row for path, row in rows.items() if any(f"{path}/".startswith(f"{top}/") for top in tops)}


def added(trees: dict[str, Rows]) -> Rows:
    return {path: trees["work"][path] for path in ADDED}


def topped(tree: Rows, work: Rows) -> Rows:
    """A tree with what ``work`` changed on top, which takes nothing away."""
    return {**tree, **{path: work[path] for path in (*ABOVE, *ADDED, *CHANGED)}}


def settled(rows: Rows) -> Rows:
    """Less the time of a directory from which something was only removed: there engines differ."""
    return {**rows, "var": {key: value for key, value in rows["var"].items() if key != "mtime"}}


@pytest.mark.parametrize("dockerfile", [GENERATE, GEN_FILES], ids=["copy", "from"])
def test_files_that_a_command_made(
    syntax: Engine, dockerfile: str, trees: dict[str, Rows], tmp_path: Path
) -> None:
    rows = held(syntax, dockerfile, tmp_path)
    assert unlike({path: rows.get(path, {}) for path in ADDED}, added(trees)) == []
    assert set(rows) == {*trees["base"], *ADDED}


def test_the_stage_is_a_target(syntax: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    rows = held(syntax, GEN_FILES, tmp_path, target="gen-files")
    parents = {path for path in rows if path not in ADDED}
    assert parents == {"usr", "usr/local", "usr/local/bin"}
    assert unlike({path: rows.get(path, {}) for path in ADDED}, added(trees)) == []


def test_squash_over_the_base(syntax: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    build(syntax, SQUASH, tag="squashed", target="squashed")
    root, count = unpack(syntax, "squashed", tmp_path / "squashed")
    assert count == base_layers(syntax, tmp_path) + 1
    rows = {path: row for path, row in carried(read_tree(root)).items() if path != "generate-files"}
    assert unlike(settled(rows), settled(topped(trees["base"], trees["work"]))) == []
    # As the example is printed, its last stage is the one that was squashed.
    rows = {path: row for path, row in held(syntax, SQUASH, tmp_path).items() if path != "generate-files"}
    assert unlike(rows, trees["work"]) == []


def base_layers(engine: Engine, place: Path) -> int:
    return unpack(engine, "alpine:latest", place / "alpine")[1]


def test_move_to_a_new_base(syntax: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    rows = held(syntax, REBASE, tmp_path)
    assert unlike(settled(rows), settled(topped(trees["newer"], trees["work"]))) == []


CHAIN = """\
FROM base AS aa
FROM aa AS bb
RUN inside do add
FROM aa AS dd
RUN inside do add && inside do change
FROM aa..bb AS cc
FROM cc..dd AS ee
FROM scratch
COPY --from=ee / /ee/
COPY --from=cc / /cc/
"""


def test_a_chain_goes_through_names(syntax: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    rows = held(syntax, CHAIN, tmp_path)
    first = {f"cc/{path}" for path in ADDED}
    # All that dd has and cc, which has few files and the directories above them, has not.
    alike = {"usr/local", "usr/local/bin"}
    second = {f"ee/{path}" for path in trees["base"] if path not in ("run", *ADDED, *alike)}
    assert first <= set(rows)
    assert {path for path in rows if path.startswith("cc/")} - first <= {f"cc/{path}" for path in ABOVE}
    assert {f"ee/{path}" for path in CHANGED} <= set(rows)
    assert {path for path in second if path not in rows} == set()
    assert f"ee/{ADDED[0]}" not in rows


ARGUMENTS = """\
ARG OLD=busybox
ARG WHICH
FROM ${OLD} AS work
RUN inside do add
FROM ${WHICH:-busybox}..work AS top
FROM scratch
COPY --from=top /usr/local /
"""


@pytest.mark.parametrize("args", [{}, {"OLD": "alpine", "WHICH": "alpine"}, {"WHICH": "alpine:3.16"}])
def test_arguments_in_from(
    syntax: Engine, args: dict[str, str], trees: dict[str, Rows], tmp_path: Path
) -> None:
    rows = held(syntax, ARGUMENTS, tmp_path, args=args)
    assert set(rows) == {path.removeprefix("usr/local/") for path in (*ADDED, "usr/local/bin")}


UNREACHABLE = """\
FROM missing:image AS one
RUN false
FROM nowhere..one AS two
FROM base AS low
FROM low AS work
RUN inside do add
FROM scratch AS three
COPY --from=one..missing:other / /
FROM scratch
COPY --from=low..work /usr/local /
"""


def test_stages_that_the_target_does_not_need_are_not_looked_at(syntax: Engine, tmp_path: Path) -> None:
    rows = held(syntax, UNREACHABLE, tmp_path)
    assert set(rows) == {path.removeprefix("usr/local/") for path in (*ADDED, "usr/local/bin")}


NUMBERS = """\
FROM base
FROM base
RUN inside do add
FROM scratch
COPY --from=0..1 /usr/local /one/
COPY --from=1 /usr/local /two/
COPY --from=scratch..1 /usr/local /three/
"""


def test_stages_by_their_numbers_and_scratch(syntax: Engine, tmp_path: Path) -> None:
    rows = held(syntax, NUMBERS, tmp_path)
    for top in ("one", "two", "three"):
        got = {path.removeprefix(f"{top}/") for path in rows if path.startswith(f"{top}/")}
        assert got == {path.removeprefix("usr/local/") for path in (*ADDED, "usr/local/bin")}, top


MOUNTED = """\
FROM base AS work
RUN inside do add
FROM base
RUN --mount=type=bind,from=base..work,target=/seen \\
    --mount=from=base..work,source=usr/local/lib,target=/lib-seen \\
    ls /lib-seen >/listed && cp /seen/usr/local/bin/suid /copied
"""


def test_a_mount(syntax: Engine, tmp_path: Path) -> None:
    build(syntax, MOUNTED, tag="mounted")
    root, _ = unpack(syntax, "mounted", tmp_path / "mounted")
    assert (root / "listed").read_text().split() == ["app", "drop", "sparse"]
    assert (root / "copied").read_text() == "suid\n"


def test_a_named_context_is_a_side(docker: Docker, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "a").write_text("a\n")
    dockerfile = "FROM scratch\nCOPY --from=base0..ext / /\n"
    contexts = {"ext": str(context), "base0": str(tmp_path / "other")}
    (tmp_path / "other").mkdir()
    if docker.name == "docker20":
        # Its own frontend knows no named contexts, and the client says so.
        with pytest.raises(EngineError, match="contexts"):
            build(docker, dockerfile, contexts=contexts)
        return
    build(docker, dockerfile, contexts=contexts, output=f"type=local,dest={tmp_path / 'out'}")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    # A context of a stage's name takes its place.
    dockerfile = "FROM missing:image AS ext\nFROM scratch..ext\n"
    build(docker, dockerfile, contexts=contexts, output=f"type=local,dest={tmp_path / 'again'}")
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["a"]


ERRORS = {
    "three": ("FROM base AS b\n\nFROM b..b..b\n", 3, r"FROM \S+\.\.\S+ AS"),
    "no upper": ("FROM base AS b\nFROM scratch\nCOPY --from=b.. \\\n  / /\n", 3, "b.."),
    "no lower": ("FROM base AS b\nRUN --mount=from=..b,target=/m ls\n", 2, "..b"),
    "trigger": ("FROM base AS b\nONBUILD COPY --from=b..b / /\n", 2, "ONBUILD"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_point_at_the_line(syntax: Engine, name: str) -> None:
    dockerfile, line, hint = ERRORS[name]
    with pytest.raises(EngineError, match=rf"line {line + isinstance(syntax, Docker)}\b.*{hint}"):
        build(syntax, dockerfile)


def test_an_image_that_is_not_there(docker: Docker, tmp_path: Path) -> None:
    dockerfile = "FROM base AS b\n\nFROM scratch\nCOPY --from=localhost:1/missing..b / /\n"
    with pytest.raises(EngineError, match="localhost:1/missing") as caught:
        build(docker, dockerfile)
    assert "differ-placeholder" not in str(caught.value)
    if docker.name == "docker20":
        return
    # The engine has no line for it; the older client does not show any.
    with pytest.raises(EngineError, match=r"> COPY --from=localhost:1/missing\.\.b / /"):
        build(docker, dockerfile, contexts={"unused": str(tmp_path)})


def test_other_errors_have_the_user_s_line(docker: Docker) -> None:
    dockerfile = "FROM base AS b\n\nFROM base..b\nFROM scratch\nCOPY --from=base..b / /\nWRONG x\n"
    with pytest.raises(EngineError, match=r"dockerfile parse error (on )?line 7: unknown instruction: WRONG"):
        build(docker, dockerfile)


@pytest.mark.parametrize("end", ["RUN ls / \\", "RUN ls C:\\\\ || true\nCMD x\\\\", "RUN ls / \\\n# end\n"])
def test_the_file_may_end_anyhow(docker: Docker, end: str) -> None:
    """The question for the sides is put after the last line."""
    build(docker, f"FROM base AS work\nRUN inside do add\nFROM base\nCOPY --from=base..work / /\n{end}")


def test_a_stage_called_scratch_and_one_that_comes_later(docker: Docker, tmp_path: Path) -> None:
    dockerfile = "FROM base AS scratch\nFROM scratch AS w\nRUN inside do add\nFROM scratch..w\n"
    build(docker, dockerfile, output=f"type=local,dest={tmp_path / 'out'}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"usr"}
    with pytest.raises(EngineError, match=r"line 3: base\.\.w: the stage w comes after this line"):
        build(docker, "FROM base\nCOPY --from=base..w / /\nFROM base AS w\n")


def test_the_config_is_that_of_scratch(docker: Docker) -> None:
    configs = []
    for line in ("FROM scratch", "FROM base..work"):
        build(
            docker,
            f"FROM base AS work\nENV A=b\nRUN inside do add\nUSER 7\n{line}\nLABEL a=b\n",
            tag="config",
        )
        (image,) = json.loads(docker.docker("image", "inspect", "config"))
        configs.append({**image["Config"], "Image": "", "Hostname": ""})
        assert "differ-placeholder" not in docker.docker("history", "--no-trunc", "config")
    assert configs[0] == configs[1]


def test_who_makes_the_difference(docker: Docker) -> None:
    """The engine itself where it can, differ where it cannot or is asked for."""
    dockerfile = "FROM base AS work\nRUN inside do add\nFROM scratch\nCOPY --from=base..work / /\n"
    log = build(docker, dockerfile, no_cache=True)
    native = docker.name == "docker26-containerd"
    assert ("DIFF base..work" in log) == native
    assert ("RUN differ base..work" in log) == (not native)
    assert ("differ: " in log) == (not native)
    log = build(docker, dockerfile, no_cache=True, args={"DIFFER_FALLBACK": "1"})
    assert "RUN differ base..work" in log
    assert "DIFF base" not in log


@pytest.mark.parametrize("style", ["copy", "mount"])
def test_the_rewriter_on_docker(docker: Docker, style: str, trees: dict[str, Rows], tmp_path: Path) -> None:
    """Without a frontend: what it writes is Dockerfile that the engine's own reads."""
    text = "FROM base AS work\nRUN inside do add\nFROM base\nCOPY --from=base..work /usr/local /usr/local\n"
    docker.build(rewritten(text, "--style", style), tag="result")
    root, _ = unpack(docker, "result", tmp_path / "result")
    rows = carried(read_tree(root))
    assert unlike({path: rows.get(path, {}) for path in ADDED}, added(trees)) == []


def test_the_rewriter_and_a_cache_that_does_not_know_what_is_behind_a_mount(
    ready_engine: Named, tmp_path: Path
) -> None:
    """Two Dockerfiles whose stages have the same names, in an engine that keeps layers."""
    buildah = ready_engine("buildah")
    for number, step in enumerate(("add", "change")):
        text = f"FROM base AS work\nRUN inside do {step}\nFROM base..work\n"
        buildah.build(rewritten(text), tag="kept", more=("--layers=true",))
        root, _ = unpack(buildah, "kept", tmp_path / str(number))
        assert (root / "usr/local/bin/suid").exists() == (step == "add")
        assert (root / "opt/tool/conf").exists() == (step == "change")
