"""What BuildKit's DiffOp was measured to give, given by the image inside a build of an engine without it.

One build: every pair of trees is made, compared in both faces, and told as rows by a reader inside, because
an export would lose nanoseconds, sockets and attributes.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..conftest import needs_root
from ..native.cases import CASES
from ..test_native import NO_LAYER, as_layer, golden, resolved
from ..trees import Row
from .engines import Docker

pytestmark = [pytest.mark.image, needs_root]

CANNOT_BE_MADE = {
    "chr00_add": "overlayfs, on which a build's files are, takes this device for a whiteout and makes none",
    "chr00_replaces_file": "the same",
}
WITHOUT_TRUSTED = "xattrs_on_added"
"""Made and compared without its ``trusted.*`` attributes: they need a capability that builds do not have."""

FACES = {"layer": "", "mount": "--whiteout none"}
LOOP = " ".join(
    f"mkdir /out/{face}; for c in $(ls /lower); do"
    f" differ --compare native {options} /lower/$c /upper/$c /out/{face}/$c 2>/out/{face}-$c;"
    f" echo $? >>/out/{face}-$c; done;"
    for face, options in FACES.items()
)
BUILD = f"""\
FROM base AS lower
RUN inside cases lower /cases >/failed.json
FROM base AS upper
RUN inside cases upper /cases >/failed.json
FROM differ AS d
RUN --mount=from=lower,source=/cases,target=/lower --mount=from=upper,source=/cases,target=/upper \\
    --mount=from=base,source=/bin,target=/bin ["/bin/sh", "-c", "{LOOP}"]
FROM base AS read
RUN --mount=from=d,source=/out,target=/seen --mount=from=lower,target=/l --mount=from=upper,target=/u \\
    mkdir /rows && inside rows /l/cases >/rows/lower && inside rows /u/cases >/rows/upper && \\
    inside rows /seen/layer >/rows/layer && inside rows /seen/mount >/rows/mount && \\
    inside said /seen >/rows/said && cp /l/failed.json /rows/lower-failed && cp /u/failed.json /rows/upper-failed
FROM scratch
COPY --from=read /rows/ /
"""

Told = dict[str, Any]


@pytest.fixture(scope="module")
def told(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """All rows of the one build of an engine."""
    output = tmp_path_factory.mktemp("rows")
    docker.build(BUILD, output=f"type=local,dest={output}", no_cache=True)
    return {path.name: json.loads(path.read_text()) for path in output.iterdir()}


def less_trusted(case: str, rows: list[Row]) -> list[Row]:
    """The rows less the attributes that were not made."""
    if case != WITHOUT_TRUSTED:
        return rows
    told = []
    for row in rows:
        xattrs = {name: value for name, value in row.get("xattrs", {}).items() if name[:8] != "trusted."}
        less = {key: value for key, value in row.items() if key != "xattrs"}
        told.append(less | {"xattrs": xattrs} if xattrs else less)
    return told


def test_what_cannot_be_made_is_what_is_said(told: Told) -> None:
    failed = told["lower-failed"] | told["upper-failed"]
    assert failed.keys() == CANNOT_BE_MADE.keys()


@pytest.fixture(params=[case for case in CASES if case not in CANNOT_BE_MADE])
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_trees_are_the_measured_ones(told: Told, case: str) -> None:
    for side in ("lower", "upper"):
        assert told[side][case] == less_trusted(case, golden(case)[side])


def test_layer_face(told: Told, case: str) -> None:
    *_, status = told["said"][f"layer-{case}"].splitlines()
    if case in NO_LAYER:
        assert status == "2"
        assert NO_LAYER[case][1] in told["said"][f"layer-{case}"]
        assert case not in told["layer"]
        return
    assert status == "0", told["said"][f"layer-{case}"]
    assert as_layer(told["layer"][case]) == resolved(golden(case)["native"]["layer"])


def test_mount_face(told: Told, case: str) -> None:
    *_, status = told["said"][f"mount-{case}"].splitlines()
    assert status == "0", told["said"][f"mount-{case}"]
    assert told["mount"][case] == less_trusted(case, golden(case)["native"]["mount"])
