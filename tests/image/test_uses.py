"""The four uses of moby/buildkit#4239, written by hand for engines without ``a..b``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import needs_root
from ..trees import Row, read_tree
from .engines import Docker, Engine, EngineError
from .inside import ABOVE, ADDED, CHANGED, REMOVED, perform
from .saved import CAPABILITY, carried, unlike, unpack

Rows = dict[str, Row]

pytestmark = [pytest.mark.image, needs_root]

WORK = """\
FROM base AS work
RUN inside do add
RUN inside do change
RUN inside do remove
"""
DIFFER = """\
FROM differ AS d
RUN --mount=from={lower},target=/lower --mount=from={upper},target=/upper \
    ["differ", {options}"/lower", "/upper", "/out"]
"""
STYLES = {"none": '"--whiteout", "none", ', "oci": ""}


def diff(lower: str, upper: str, style: str = "none") -> str:
    """A stage that holds the difference of two others in /out."""
    return DIFFER.format(lower=lower, upper=upper, options=STYLES[style])


@pytest.fixture(scope="session")
def trees(place: Path, base_tree: Path) -> dict[str, Rows]:
    """What the images must hold: the same steps made on directories of this machine."""
    told = {"base": carried(read_tree(base_tree))}
    for name, steps in (("work", ("add", "change", "remove")), ("newer", ("upgrade",))):
        root = place / name
        subprocess.run(["cp", "-a", base_tree, root], check=True)
        perform(str(root), *steps)
        told[name] = carried(read_tree(root))
        shutil.rmtree(root)
    return told


def held(engine: Engine, tag: str, tmp_path: Path) -> Rows:
    root, _ = unpack(engine, tag, tmp_path / tag)
    return carried(read_tree(root))


def topped(tree: Rows, work: Rows, style: str) -> Rows:
    """A tree with what ``work`` changed on top; COPY takes nothing away, whiteouts do."""
    rows = {**tree, **{path: work[path] for path in (*ABOVE, *ADDED, *CHANGED)}}
    if style == "oci":
        for path in list(rows):
            if any(path == name or path.startswith(f"{name}/") for name in REMOVED):
                del rows[path]
    return rows


def settled(rows: Rows, style: str) -> Rows:
    """Less the time of a directory that without its whiteout has no other change: some engines leave
    such a one out of a layer."""
    var = {key: value for key, value in rows["var"].items() if key != "mtime"}
    return {**rows, "var": var} if style == "none" else rows


def test_the_steps_do_what_is_said_of_them(trees: dict[str, Rows]) -> None:
    assert unlike(topped(trees["base"], trees["work"], "oci"), trees["work"]) == []
    unchanged = [path for path in (*ADDED, *CHANGED) if trees["base"].get(path) == trees["work"][path]]
    assert unchanged == []
    assert set(REMOVED) <= set(trees["base"]) - set(trees["work"])


def test_the_engine_carries_the_trees(engine: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    """Without this the other tests would show nothing."""
    engine.build(WORK, tag="work")
    for name in ("base", "work"):
        assert unlike(held(engine, name, tmp_path), trees[name]) == []


def test_copy_only_what_a_command_added(engine: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    engine.build(
        f"{WORK}{diff('base', 'work')}FROM scratch\nCOPY --from=d /out/usr/local /usr/local\n", tag="added"
    )
    got = held(engine, "added", tmp_path)
    below = {path: row for path, row in got.items() if path.startswith("usr/local/")}
    assert set(got) - set(below) == {"usr", "usr/local"}
    assert unlike(below, {path: trees["work"][path] for path in (*ADDED, "usr/local/bin")}) == []


def test_a_stage_that_is_the_difference(engine: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    dockerfile = f"{WORK}{diff('base', 'work')}FROM scratch AS changes\nCOPY --from=d /out/ /\nFROM base\n"
    tree, tar = tmp_path / "tree", tmp_path / "tar"
    engine.build(dockerfile, target="changes", output=f"type=local,dest={tree}")
    engine.build(dockerfile, target="changes", output=f"type=tar,dest={tar}")
    root = tmp_path / "root"
    root.mkdir()
    facts = ("--xattrs", "--xattrs-include=security.capability", "--numeric-owner", "-p")
    subprocess.run(["tar", "-x", *facts, "-C", root, "-f", tar], check=True)
    wanted = {path: trees["work"][path] for path in [*ADDED, *CHANGED]}
    for got, carries in ((tree, written_by_a_client), (root, dict)):
        rows = carried(read_tree(got))
        parents = {path: row for path, row in rows.items() if path not in wanted}
        assert {row["type"] for row in parents.values()} == {"dir"}
        assert unlike(told(rows, carries), told({**parents, **wanted}, carries)) == []


def told(rows: Rows, carries: Callable[[Row], Row]) -> Rows:
    return {path: carries(row) for path, row in rows.items()}


def written_by_a_client(row: Row) -> Row:
    """What BuildKit's clients keep of an entry that is exported to a directory of theirs."""
    lost = {"uid", "gid", CAPABILITY} | ({"mtime"} if row["type"] == "dir" else set())
    return {key: value for key, value in row.items() if key not in lost}


@pytest.mark.parametrize("style", STYLES)
def test_squash_a_stage_over_its_base(
    engine: Engine, style: str, trees: dict[str, Rows], tmp_path: Path
) -> None:
    engine.build(f"{WORK}{diff('base', 'work', style)}FROM base\nCOPY --from=d /out/ /\n", tag="squashed")
    root, count = unpack(engine, "squashed", tmp_path / "squashed")
    assert count == 2
    wanted = topped(trees["base"], trees["work"], style)
    assert unlike(settled(carried(read_tree(root)), style), settled(wanted, style)) == []


@pytest.mark.parametrize("style", STYLES)
def test_move_the_top_to_another_base(
    engine: Engine, style: str, trees: dict[str, Rows], tmp_path: Path
) -> None:
    engine.build(WORK, tag="app")
    engine.build("FROM base\nRUN inside do upgrade\n", tag="newer")
    assert unlike(held(engine, "newer", tmp_path), trees["newer"]) == []
    move = f"""\
ARG IMG=app
ARG OLDBASE=base
ARG NEWBASE=other
FROM ${{OLDBASE}} AS old
FROM ${{IMG}} AS img
{diff("old", "img", style)}
FROM ${{NEWBASE}}
COPY --from=d /out/ /
"""
    engine.build(move, tag="moved", args={"NEWBASE": "newer"})
    wanted = topped(trees["newer"], trees["work"], style)
    assert unlike(settled(held(engine, "moved", tmp_path), style), settled(wanted, style)) == []


def test_the_whole_of_it_with_differ_apply(engine: Engine, trees: dict[str, Rows], tmp_path: Path) -> None:
    """What COPY cannot do, differ-apply does: take away, and put a file where a directory was."""
    swap = "RUN inside do file_to_directory directory_to_file\n"
    apply = """\
FROM differ AS applied
RUN --mount=from=base,target=/lower --mount=from=d,source=/out,target=/upper \
    ["differ-apply", "/lower", "/upper", "/out"]
FROM scratch
COPY --from=applied /out/ /
"""
    engine.build(f"{WORK}{swap}", tag="swapped")
    engine.build(f"{WORK}{swap}{diff('base', 'work', 'oci')}{apply}", tag="applied")
    assert unlike(held(engine, "applied", tmp_path), held(engine, "swapped", tmp_path)) == []


@pytest.mark.parametrize("step", ["file_to_directory", "directory_to_file"])
def test_copy_cannot_swap_a_file_and_a_directory(docker: Docker, step: str) -> None:
    """So the build fails: no image comes out that is neither one nor the other."""
    work = f"FROM base AS work\nRUN inside do {step}\n"
    with pytest.raises(EngineError, match=r"cannot (copy to non-directory|replace to directory)"):
        docker.build(f"{work}{diff('base', 'work')}FROM base\nCOPY --from=d /out/ /\n", tag="swapped")


def test_special_files(docker: Docker, tmp_path: Path) -> None:
    """Docker 20.10's COPY leaves a FIFO out, makes a file of a device, and says nothing; later ones do not."""
    work = "FROM base AS work\nRUN inside do special\n"
    docker.build(f"{work}{diff('base', 'work')}FROM scratch\nCOPY --from=d /out/srv/ /\n", tag="special")
    kinds = {path: row["type"] for path, row in held(docker, "special", tmp_path).items()}
    assert kinds == ({"null": "file"} if docker.name == "docker20" else {"fifo": "fifo", "null": "chr"})
