"""What is in an image: its layers put on one another by umoci, which is neither the engine nor differ."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

from ..oci_layout import TAG, write_image
from ..trees import Row
from .engines import Engine

CAPABILITY = "security.capability"


def layers(archive: Path, place: Path) -> list[Path]:
    """The tars of the layers in what ``docker save`` wrote, the lowest first."""
    opened = place / "image"
    opened.mkdir()
    _run("tar", "-x", "-C", opened, "-f", archive)
    (manifest,) = json.loads((opened / "manifest.json").read_text())
    tars = []
    for number, name in enumerate(manifest["Layers"]):
        data = (opened / name).read_bytes()
        tars.append(place / f"{number}.tar")
        tars[-1].write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    shutil.rmtree(opened)
    return tars


def put_together(tars: list[Path], place: Path) -> Path:
    """The tree that layers make on one another; the tars are used up."""
    write_image(place / "layout", tars)
    _run("umoci", "raw", "unpack", "--image", f"{place / 'layout'}:{TAG}", place / "root")
    return place / "root"


def unpack(engine: Engine, tag: str, place: Path) -> tuple[Path, int]:
    """Everything that an image holds, with the whiteouts applied, and how many layers that was."""
    place.mkdir()
    archive = place / "image.tar"
    engine.save(tag, archive)
    tars = layers(archive, place)
    archive.unlink()
    return put_together(tars, place), len(tars)


def carried(rows: list[Row]) -> dict[str, Row]:
    """The rows less what no layer holds: the root, nanoseconds, and attributes but for capabilities.

    And less ``/run``, where engines put things while a command runs.
    """
    told = {}
    for row in rows:
        facts = row | {"mtime": row["mtime"][0]}
        attributes = facts.pop("xattrs", {})
        if CAPABILITY in attributes:
            facts[CAPABILITY] = attributes[CAPABILITY]
        told[row["path"]] = facts
    return {path: row for path, row in told.items() if path not in (".", "run")}


def unlike(got: dict[str, Row], wanted: dict[str, Row]) -> list[str]:
    """Where two trees differ, in few words."""
    lines = [f"{path}: missing" for path in wanted if path not in got]
    lines += [f"{path}: {row}" for path, row in got.items() if path not in wanted]
    for path in wanted.keys() & got.keys():
        one, other = got[path], wanted[path]
        lines += [
            f"{path}: {fact} is {one.get(fact)}, not {other.get(fact)}"
            for fact in one.keys() | other.keys()
            if one.get(fact) != other.get(fact)
        ]
    return sorted(lines)


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
