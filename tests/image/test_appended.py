"""An image made of a Debian and, on top, of what packages have changed in it: loaded, unpacked and run by others."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from ..command import differ, ended
from ..conftest import needs_program, needs_root
from ..trees import Row, read_tree
from .conftest import Named
from .engines import Docker
from .saved import CAPABILITY, carried, unlike

pytestmark = [pytest.mark.image, needs_root, needs_program("skopeo")]

TAG = "differ-top"
MADE_BY_DOCKER = ("dev", "proc", "sys", "run")
WRITTEN_BY_DOCKER = {".dockerenv", "etc/hosts", "etc/hostname", "etc/mtab", "etc/resolv.conf"}

Rows = dict[str, Row]


class Made(NamedTuple):
    """``layout``: with the images ``base`` and ``top``.  ``archive``: ``top`` as skopeo packs it for Docker."""

    compression: str
    layout: Path
    archive: Path


def run(*words: object) -> str:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, check=True, timeout=300).stdout


def done(*words: object) -> None:
    status, _, err = ended(differ("--strict", *words))
    assert status == 0, err


@pytest.fixture(scope="module")
def written(place: Path, debian_pair: tuple[Path, Path]) -> Rows:
    """The difference as a directory."""
    out = place / "appended-out"
    done(*debian_pair, out)
    return {row["path"]: row for row in read_tree(out)}


@pytest.fixture(scope="module")
def wanted(debian_pair: tuple[Path, Path], written: Rows) -> Rows:
    rows = comparable(debian_pair[1], written)
    assert CAPABILITY in rows["usr/bin/ping"]
    return rows


@pytest.fixture(scope="module", params=["gzip", "zstd"])
def made(request: pytest.FixtureRequest, place: Path, debian_pair: tuple[Path, Path]) -> Made:
    lower, upper = debian_pair
    compression: str = request.param
    layout, archive = place / f"appended-{compression}", place / f"appended-{compression}.tar"
    packed = ("-q", f"--compression={compression}", "--compression-level=1")
    done(*packed, "scratch", lower, "--append-to-scratch", f"oci:{layout}:base")
    done(*packed, lower, upper, "--append", f"oci:{layout}:base", "--to", f"oci:{layout}:top")
    # What Docker had before there was a specification has no zstd.
    kind = "docker-archive" if compression == "gzip" else "oci-archive"
    run("skopeo", "copy", "-q", f"oci:{layout}:top", f"{kind}:{archive}:docker.io/library/{TAG}:latest")
    return Made(compression, layout, archive)


@pytest.fixture(scope="module")
def loaded(made: Made, bare_engine: Named) -> Docker:
    """An engine that has the image: the oldest, or for zstd one that takes an OCI layout as it is."""
    engine = bare_engine("docker20" if made.compression == "gzip" else "docker26-containerd")
    assert isinstance(engine, Docker)
    engine.load(TAG, made.archive)
    return engine


def comparable(tree: Path, written: Rows, left_out: set[str] = frozenset()) -> Rows:  # type: ignore[assignment]
    """What an image can hold of a tree, without the times of directories that no layer has."""
    rows = {path: row for path, row in carried(read_tree(tree)).items() if path not in left_out}
    for path, row in rows.items():
        if row["type"] == "dir" and path not in written:
            del row["mtime"]
    return rows


def less_docker(rows: Rows) -> Rows:
    """Less what Docker puts into every container."""
    kept = {
        path: dict(row)
        for path, row in rows.items()
        if path not in WRITTEN_BY_DOCKER and path.partition("/")[0] not in MADE_BY_DOCKER
    }
    kept["etc"].pop("mtime", None)
    return kept


def test_docker_unpacks_upper(loaded: Docker, wanted: Rows, written: Rows, tmp_path: Path) -> None:
    tar, unpacked = tmp_path / "container.tar", tmp_path / "unpacked"
    container = loaded.docker("create", TAG, "true").split()[-1]
    loaded.docker("export", "-o", tar, container)
    loaded.docker("rm", container)
    unpacked.mkdir()
    attributes = ("--xattrs", "--xattrs-include=*")
    run("tar", "-x", "-p", "--numeric-owner", *attributes, "-C", unpacked, "-f", tar)
    assert unlike(less_docker(comparable(unpacked, written)), less_docker(wanted)) == []


def test_a_command_of_an_added_package(loaded: Docker) -> None:
    status, out, err = loaded.run("--rm", TAG, "hello", "--version")
    assert status == 0, err
    assert out.startswith("hello (GNU Hello) ")


@needs_program("umoci")
def test_skopeo_and_umoci_read_it(made: Made, wanted: Rows, written: Rows, tmp_path: Path) -> None:
    image = json.loads(run("skopeo", "inspect", f"oci:{made.layout}:top"))
    config = json.loads(run("skopeo", "inspect", "--config", f"oci:{made.layout}:top"))
    stat = json.loads(run("umoci", "stat", "--json", "--image", f"{made.layout}:top"))
    assert len(image["Layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    assert [one["layer"]["digest"] for one in stat["history"]] == image["Layers"]
    if made.compression == "zstd":
        return  # which this umoci has not
    run("umoci", "unpack", "--image", f"{made.layout}:top", tmp_path / "bundle")
    rows = comparable(tmp_path / "bundle/rootfs", written)
    assert unlike(rows, wanted) == []
