"""Image layouts that are damaged or mean harm: refused in one line, with nothing written anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunDiffer
from .raw_tar import BLOCK, END, LayoutFiles, entry
from .refusals import AFTER, BASE, everything, hostile_place, refused, tar_of

pytestmark = pytest.mark.cli


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return hostile_place(tmp_path)


LAYERS = [b"".join([*BASE, END]), b"".join([AFTER, END])]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[LayoutFiles], object]:
    """Change the manifest before it is written."""

    def before(files: LayoutFiles) -> None:
        files.described()
        change(files.manifest)
        files.index = {"schemaVersion": 2, "manifests": [files.described()]}

    return before


def _of_index(files: LayoutFiles, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    files.index = {"schemaVersion": 2, "manifests": change([files.described()])}


def _nested(files: LayoutFiles, depth: int) -> None:
    described = files.described()
    for _ in range(depth):
        document = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
        described = files.blob("index.v1+json", document)
    files.index = {"schemaVersion": 2, "manifests": [described]}


def _other(files: LayoutFiles) -> dict[str, Any]:
    other = LayoutFiles([LAYERS[1]], "other")
    described = other.described()
    files.blobs |= other.blobs
    return described


BEFORE: dict[str, Callable[[LayoutFiles], object]] = {
    # what is done to the parts before they are written
    "manifest too large": _manifest(lambda manifest: manifest.update(annotations={"a": "b" * (5 << 20)})),
    "manifest without layers": _manifest(lambda manifest: manifest.pop("layers")),
    "layers that are none": _manifest(lambda manifest: manifest.update(layers=["sha256:1"])),
    "one layer less": _manifest(lambda manifest: manifest["layers"].pop()),
    "a layer twice": _manifest(lambda manifest: manifest["layers"].append(manifest["layers"][0])),
    "layers in another order": _manifest(lambda manifest: manifest["layers"].reverse()),
    "a digest that is a path": _manifest(
        lambda manifest: manifest["layers"][0].update(digest="sha256:../../etc/passwd")
    ),
    "a digest of dots": _manifest(lambda manifest: manifest["layers"][0].update(digest="sha256:..")),
    "a digest in capitals": _manifest(
        lambda manifest: manifest["layers"][0].update(digest=manifest["layers"][0]["digest"].upper())
    ),
    "a digest of another kind": _manifest(
        lambda manifest: manifest["layers"][0].update(digest="sha512:" + "0" * 128)
    ),
    "a digest that is no text": _manifest(lambda manifest: manifest["layers"][0].update(digest=7)),
    "a digest of nothing there": _manifest(
        lambda manifest: manifest["layers"][0].update(digest="sha256:" + "0" * 64)
    ),
    "a size that is no number": _manifest(lambda manifest: manifest["layers"][0].update(size="1")),
    "a size that is true": _manifest(lambda manifest: manifest["layers"][0].update(size=True)),
    "a negative size": _manifest(lambda manifest: manifest["layers"][0].update(size=-1)),
    "another size": _manifest(lambda manifest: manifest["layers"][0].update(size=512)),
    "no configuration": _manifest(lambda manifest: manifest.update(config=None)),
    "a manifest of another kind": _manifest(lambda manifest: manifest.update(mediaType="text/\ud800")),
    "other diff ids": lambda files: files.config["rootfs"].update(
        diff_ids=files.config["rootfs"]["diff_ids"][::-1]
    ),
    "fewer diff ids": lambda files: files.config["rootfs"]["diff_ids"].pop(),
    "diff ids that are none": lambda files: files.config["rootfs"].update(diff_ids=[1, 2]),
    "no rootfs": lambda files: files.config.pop("rootfs"),
    "index that is no JSON": lambda files: setattr(files, "index", b"{"),
    "index that is a list": lambda files: setattr(files, "index", []),
    "index of nothing": lambda files: setattr(files, "index", {}),
    "index without images": lambda files: _of_index(files, lambda found: []),
    "index of words": lambda files: _of_index(files, lambda found: ["x"]),
    "index that is deeply nested": lambda files: setattr(files, "index", b"[" * 200_000),
    "index of bytes that are no text": lambda files: setattr(files, "index", b'{"manifests": ["\xff"]}'),
    "index too large": lambda files: setattr(files, "index", b" " * (5 << 20) + b"{}"),
    "index in index in index": lambda files: _nested(files, 5),
    "index of other machines": lambda files: _of_index(
        files,
        lambda found: [
            files.blob(
                "index.v1+json",
                json.dumps(
                    {
                        "manifests": [
                            {**found[0], "platform": {"os": "\ud800\n", "architecture": "vax"}},
                            {**found[0], "platform": {"os": "plan9", "architecture": "amd64"}},
                        ]
                    }
                ).encode(),
            )
        ],
    ),
    "several images": lambda files: _of_index(files, lambda found: [*found, _other(files)]),
    "version that is not known": lambda files: setattr(files, "version", {"imageLayoutVersion": "2.0.0"}),
    "version that is none": lambda files: setattr(files, "version", {}),
    "version that is no JSON": lambda files: setattr(files, "version", b"1.0.0"),
}


def _blob(image: Path, which: int) -> Path:
    return image / "blobs/sha256" / _hash(LAYERS[which])


def _instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Put something else in the place of the first layer."""

    def after(image: Path) -> None:
        blob = _blob(image, 0)
        blob.rename(image.parent / "elsewhere")
        make(blob)

    return after


def _blobs_elsewhere(image: Path, name: str) -> None:
    (image / name).rename(image.parent / "elsewhere")
    (image / name).symlink_to(image.parent / "elsewhere")


def _index_is_a_fifo(image: Path) -> None:
    (image / "index.json").unlink()
    os.mkfifo(image / "index.json")


AFTERWARDS: dict[str, Callable[[Path], object]] = {
    # what is done to the files
    "a blob with another content": _instead(lambda blob: blob.write_bytes(LAYERS[0][:-1] + b"!")),
    "a blob that is shorter": _instead(lambda blob: blob.write_bytes(LAYERS[0][:-BLOCK])),
    "a blob that is a link": _instead(lambda blob: blob.symlink_to(blob.parents[3] / "elsewhere")),
    "a blob that is a FIFO": _instead(os.mkfifo),
    "a blob that is a directory": _instead(os.mkdir),
    "a blob that is missing": _instead(lambda blob: None),
    "blobs that are a link": lambda image: _blobs_elsewhere(image, "blobs"),
    "sha256 that is a link": lambda image: _blobs_elsewhere(image, "blobs/sha256"),
    "an index that is a link": lambda image: _blobs_elsewhere(image, "index.json"),
    "no index": lambda image: (image / "index.json").unlink(),
    "no version": lambda image: (image / "oci-layout").unlink(),
    "no blobs": lambda image: shutil.rmtree(image / "blobs"),
    "an index that is a FIFO": _index_is_a_fifo,
}


def fine_image(place: Path) -> LayoutFiles:
    files = LayoutFiles(LAYERS)
    files.write(place / "image")
    return files


def test_a_layout_that_is_well_formed_is_taken(place: Path, run_differ: RunDiffer) -> None:
    fine_image(place)
    wanted = run_differ("scratch", f"tar:{tar_of(place, *BASE)}")[1]
    for word in (f"oci:{place}/image", f"oci:{place}/image:latest"):
        assert run_differ("-q", "--exit-code", word, f"tar:{tar_of(place, *BASE)}")[0] == 0
        assert run_differ("scratch", word)[:2] == (0, wanted)
    assert "A z\n" in wanted


def test_an_image_in_indexes_is_taken(place: Path, run_differ: RunDiffer) -> None:
    files = LayoutFiles(LAYERS)
    _nested(files, 3)
    files.write(place / "image")
    status, out, err = run_differ("scratch", f"oci:{place}/image")
    assert (status, "A z\n" in out) == (0, True), err


def write_damaged(place: Path, case: str) -> None:
    files = LayoutFiles(LAYERS)
    if case in BEFORE:
        BEFORE[case](files)
    files.write(place / "image")
    if case in AFTERWARDS:
        AFTERWARDS[case](place / "image")


@pytest.mark.parametrize("case", [*BEFORE, *AFTERWARDS])
def test_a_hostile_layout_is_refused(case: str, place: Path, run_differ: RunDiffer) -> None:
    write_damaged(place, case)
    refused(run_differ, place, place / "image", "scratch", f"oci:{place}/image")
    refused(run_differ, place, place / "image", f"oci:{place}/image", "scratch")


LAYERS_ONLY = {"a blob with another content", "layers in another order", "other diff ids"}
"""What is wrong with layers only, which nobody reads to put another one on top of them in the same layout."""


@pytest.mark.parametrize("case", sorted({*BEFORE, *AFTERWARDS} - LAYERS_ONLY))
def test_nothing_is_appended_to_a_hostile_layout(case: str, place: Path, run_differ: RunDiffer) -> None:
    write_damaged(place, case)
    (place / "upper").mkdir()
    (place / "upper/f").write_text("f")
    for to in ("image", "other"):
        before = everything(place.parent)
        options = ["--append", f"oci:{place}/image", "--to", f"oci:{place}/{to}:new"]
        status, out, err = run_differ(*options, "scratch", place / "upper")
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert f"{place}/image" in err
        assert everything(place.parent) == before


@pytest.mark.parametrize("case", ["blobs that are a link", "sha256 that is a link", "no version", "no index"])
def test_no_image_is_written_into_a_hostile_layout(case: str, place: Path, run_differ: RunDiffer) -> None:
    write_damaged(place, case)
    (place / "upper").mkdir()
    before = everything(place.parent)
    word = f"oci:{place}/image:new"
    status, out, err = run_differ("--append-to-scratch", word, "scratch", place / "upper")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert f"{place}/image" in err
    assert everything(place.parent) == before


@pytest.mark.parametrize("tag", ["none", "sha256:" + "0" * 64, "LATEST", "a:b", "\udcff"])
def test_a_tag_that_is_not_there(tag: str, place: Path, run_differ: RunDiffer) -> None:
    fine_image(place)
    word = f"oci:{place}/image:{tag}"
    shown = word.replace("\udcff", "\\xff")
    reason = refused(run_differ, place, Path(shown), "scratch", word)
    assert reason == ": has no such tag; its tags are latest\n"


def test_a_tag_with_half_a_character(place: Path, run_differ: RunDiffer) -> None:
    LayoutFiles(LAYERS, "\ud800\n").write(place / "image")
    word = f"oci:{place}/image:none"
    assert "its tags are \\\\ud800\\n" in refused(run_differ, place, Path(word), "scratch", word)


def test_an_image_by_its_digest(place: Path, run_differ: RunDiffer) -> None:
    files = fine_image(place)
    digest = files.index["manifests"][0]["digest"]
    status, out, err = run_differ("scratch", f"oci:{place}/image:{digest}")
    assert (status, "A z\n" in out) == (0, True), err


HOSTILE = {
    "absolute": entry(b"/etc/canary", data=b"x"),
    "through a link that leads out": entry(b"o", b"2", target=b"../..") + entry(b"o/canary", data=b"x"),
    "damaged": b"not a header".ljust(BLOCK, b"!"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_layer_is_refused(case: str, place: Path, run_differ: RunDiffer) -> None:
    files = LayoutFiles([b"".join(BASE) + END, b"".join([*BASE, HOSTILE[case], AFTER, END])])
    files.write(place / "image")
    blob = place / "image/blobs/sha256" / files.manifest["layers"][1]["digest"].partition(":")[2]
    refused(run_differ, place, blob, "scratch", f"oci:{place}/image")
