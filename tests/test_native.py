"""``--compare native`` against what BuildKit's DiffOp was measured to give, in both faces."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunDiffer, needs_root
from .native.cases import CASES, make
from .trees import Row, read_tree

pytestmark = [needs_root, pytest.mark.cli]

GOLDEN = Path(__file__).parent / "native" / "golden"

NO_LAYER = {
    "name_255": (
        "holds the whiteout of a name longer than 251 bytes, which no directory can hold",
        "no directory can hold the whiteout",
    ),
    "wh_collision": (
        "native writes one name twice, as a whiteout and as a file; a directory holds it once",
        "would take the place of the entry",
    ),
}
"""The layers that are out of reach for a directory (semantics.md rule 3.9, native-diffop/README.md), why,
and what the error must say."""

CAPABILITY = "security.capability"


def golden(case: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((GOLDEN / f"{case}.json").read_text())
    return result


def test_every_case_has_a_result() -> None:
    assert len(CASES) == 81
    assert sorted(CASES) == sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name: str = request.param
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir(mode=0o755)
        make(name, side, str(tmp_path / side))
    return name


def test_the_trees_are_the_measured_ones(case: str, tmp_path: Path) -> None:
    for side in ("lower", "upper"):
        assert read_tree(tmp_path / side)[1:] == golden(case)[side]


def test_layer_face(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    out = tmp_path / "out"
    status, _, err = run_differ("--compare", "native", tmp_path / "lower", tmp_path / "upper", out)
    if case in NO_LAYER:
        assert status == 2
        assert NO_LAYER[case][1] in err
        assert not out.exists()
        return
    assert status == 0, err
    assert as_layer(read_tree(out)[1:]) == resolved(golden(case)["native"]["layer"])


def test_mount_face(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    out = tmp_path / "out"
    status, _, err = run_differ(
        "--compare", "native", "--whiteout", "none", tmp_path / "lower", tmp_path / "upper", out
    )
    assert status == 0, err
    assert read_tree(out)[1:] == golden(case)["native"]["mount"]


def test_exact_contains_native(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    paths = {}
    for profile in ("native", "exact"):
        out = tmp_path / profile
        status, _, err = run_differ(
            "--compare", profile, "--whiteout", "none", tmp_path / "lower", tmp_path / "upper", out
        )
        assert status == 0, err
        paths[profile] = {row["path"] for row in read_tree(out)}
    assert paths["native"] <= paths["exact"]


def as_layer(rows: list[Row]) -> list[Row]:
    """The rows of a tree as entries of a layer: whole seconds, capabilities only, no link groups."""
    first: dict[str, str] = {}
    return [_entry(row, first) for row in rows]


def _entry(row: Row, first: dict[str, str]) -> Row:
    slash = "/" if row["type"] == "dir" else ""
    entry: Row = {
        key: row[key] for key in ("type", "mode", "uid", "gid", "size", "sha256", "rdev") if key in row
    }
    entry |= {"name": row["path"] + slash, "mtime": row["mtime"][0]}
    if "target" in row:
        entry["linkname"] = row["target"]
    if CAPABILITY in row.get("xattrs", {}):
        entry[CAPABILITY] = row["xattrs"][CAPABILITY]
    if "linkgroup" in row:
        entry["linkgroup"] = row["linkgroup"]
    return entry


def resolved(entries: list[Row]) -> list[Row]:
    """The entries of a layer with hard links told as what a directory shows of them, sorted as a tree."""
    by_name = {entry["name"]: entry for entry in entries}
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if entry["type"] == "hardlink":
            groups.setdefault(entry["linkname"], [entry["linkname"]]).append(entry["name"])
    rows = []
    for entry in entries:
        source = by_name[entry["linkname"]] if entry["type"] == "hardlink" else entry
        row = {key: value for key, value in source.items() if key not in ("pax", "name", "mtime")}
        if row["type"] not in ("file",):
            row.pop("size", None)
        row |= {"name": entry["name"], "mtime": int(source["mtime"])}
        capability = source.get("pax", {}).get(f"SCHILY.xattr.{CAPABILITY}")
        if capability is not None:
            row[CAPABILITY] = capability
        for group in groups.values():
            if entry["name"] in group:
                row["linkgroup"] = min(group, key=os.fsencode)
        rows.append(row)
    rows.sort(key=lambda row: os.fsencode(row["name"].rstrip("/")).split(b"/"))
    return rows
