"""The keys of BuildKit's cache know the content behind a mount, but not its times, hard links and ACLs: a
build whose UPPER differs from an earlier one's in nothing else gets the earlier one's result.

Two recipes for Dockerfiles that are written by hand help.  (The third is to build with --no-cache.)
"""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

import pytest

from ..conftest import needs_root
from ..trees import Row
from .bases import changed_by
from .engines import Docker

pytestmark = [pytest.mark.image, needs_root]

STEPS = ("unseen_one", "unseen_two")

HELPER = """\
FROM base AS work
RUN inside do {step}
FROM differ AS d
RUN --mount=from=base,target=/lower --mount=from=work,target=/upper ["differ", "/lower", "/upper", "/out"]
"""
# The environment is part of the key, and an argument is in it: anything that tells the inputs apart.
WITH_ARGUMENT = HELPER.replace("RUN --mount", "ARG STAMP\nRUN --mount")
# A file that is made anew whenever UPPER is, or what it was made from, whose content is part of the key.
WITH_FILE = HELPER.replace(
    "FROM differ",
    "FROM work AS stamp\nRUN cat /proc/sys/kernel/random/uuid >/stamp\nFROM differ",
).replace("RUN --mount", "RUN --mount=from=stamp,source=/stamp,target=/stamp --mount")
# What is in /out, told by a stage whose own key is never an old one.
READ = """\
FROM base AS read
ARG ONCE
RUN --mount=from=d,source=/out,target=/seen inside tree /seen >/rows.json
FROM scratch
COPY --from=read /rows.json /
"""


def seen(docker: Docker, helper: str, step: str, place: Path, stamp: str = "") -> list[Row]:
    """What is in /out after a build."""
    output = place / "output"
    docker.build(
        helper.format(step=step) + READ,
        output=f"type=local,dest={output}",
        args={"ONCE": str(uuid.uuid4()), **({"STAMP": stamp} if stamp else {})},
    )
    rows: list[Row] = json.loads((output / "rows.json").read_text())
    shutil.rmtree(output)
    return entries(rows)


def entries(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["type"] != "dir"]


@pytest.mark.parametrize("recipe", ["argument", "file"])
def test_the_recipes_help(docker: Docker, recipe: str, base_tree: Path, tmp_path: Path) -> None:
    for step in STEPS:
        helper, stamp = (WITH_ARGUMENT, step) if recipe == "argument" else (WITH_FILE, "")
        assert seen(docker, helper, step, tmp_path, stamp) == changed_by(base_tree, step, tmp_path)


def test_without_them_the_old_result_comes_back(docker: Docker, base_tree: Path, tmp_path: Path) -> None:
    one, two = STEPS
    right = changed_by(base_tree, one, tmp_path)
    assert seen(docker, HELPER, one, tmp_path) == right
    for row in changed_by(base_tree, two, tmp_path):
        assert row not in right
    assert seen(docker, HELPER, two, tmp_path) == right


# LOWER changes and UPPER, which was not made from it, does not.  ("true" makes it a step of its own.)
APART = """\
FROM base AS low
RUN inside do {step}
FROM base AS work
RUN inside do unseen_one && true
FROM work AS stamp
RUN cat /proc/sys/kernel/random/uuid >/stamp
FROM low AS stamp-low
RUN cat /proc/sys/kernel/random/uuid >/stamp
FROM differ AS d
RUN --mount=from=stamp,source=/stamp,target=/stamp {more}--mount=from=low,target=/lower \\
    --mount=from=work,target=/upper ["differ", "/lower", "/upper", "/out"]
"""
OF_LOWER = "--mount=from=stamp-low,source=/stamp,target=/stamp-low "


@pytest.mark.parametrize("more", ["", OF_LOWER], ids=["one", "both"])
def test_each_side_that_stands_alone_needs_its_file(docker: Docker, more: str, tmp_path: Path) -> None:
    helper = APART.replace("{more}", more)
    paths = [[row["path"] for row in seen(docker, helper, step, tmp_path)] for step in STEPS]
    changed = ["srv/c", "srv/d", "srv/e", "usr/share/doc/b"]
    assert paths == [[], changed if more else []]
