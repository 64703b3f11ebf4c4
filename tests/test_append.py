"""A difference on top of an image: what is in the layout then, and what other programs make of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .command import PROGRAMS
from .conftest import RunDiffer, needs_program, needs_root
from .raw_tar import END, LayoutFiles, entry
from .refusals import everything
from .trees import A, Builder, read_tree

pytestmark = pytest.mark.cli

Json = dict[str, Any]
REF_NAME = "org.opencontainers.image.ref.name"
BASE = [entry(b"d/", b"5", mode=0o755), entry(b"d/old", data=b"old"), entry(b"d/gone", data=b"gone")]


class Layout:
    """An image layout, read by nothing of the product."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def index(self) -> Json:
        found: Json = json.loads((self.path / "index.json").read_text())
        return found

    def tags(self) -> dict[str, str]:
        return {one["annotations"][REF_NAME]: one["digest"] for one in self.index()["manifests"]}

    def blob(self, digest: str) -> bytes:
        data = (self.path / "blobs/sha256" / digest.partition(":")[2]).read_bytes()
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    def manifest(self, tag: str) -> Json:
        found: Json = json.loads(self.blob(self.tags()[tag]))
        return found

    def config(self, tag: str) -> Json:
        found: Json = json.loads(self.blob(self.manifest(tag)["config"]["digest"]))
        return found

    def check(self) -> None:
        """Every blob is what its name says, every image has all of its parts, and nothing else is there."""
        assert sorted(os.listdir(self.path)) == ["blobs", "index.json", "oci-layout"]
        assert os.listdir(self.path / "blobs") == ["sha256"]
        for name in os.listdir(self.path / "blobs/sha256"):
            self.blob(f"sha256:{name}")
        for tag in self.tags():
            manifest = self.manifest(tag)
            for described in (manifest["config"], *manifest["layers"]):
                assert len(self.blob(described["digest"])) == described["size"]
            assert len(manifest["layers"]) == len(self.config(tag)["rootfs"]["diff_ids"])


def base_image(place: Path, tag: str = "base") -> LayoutFiles:
    files = LayoutFiles([b"".join([*BASE, END])], tag)
    files.config["history"] = [{"created_by": "one"}, {"created_by": "two", "empty_layer": True}]
    files.config["created"] = "2001-01-01T00:00:00Z"
    files.write(place)
    return files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A layout ``image`` with the tag ``base``, and the trees ``lower``, which is that image, and ``upper``."""
    base_image(tmp_path / "image")
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
        t = Builder(tmp_path / side)
        t.dir("d")
        t.file("d/old", "old", mtime=(1_600_000_000, 0))
        if side == "lower":
            t.file("d/gone", "gone", mtime=(1_600_000_000, 0))
        else:
            t.file("d/new", "new" * 1000, mtime=(A[0], 0))
        t.settle((A[0], 0))
    return tmp_path


def append(run_differ: RunDiffer, place: Path, *options: object, tag: str = "base") -> str:
    """Put the difference on top of the image; what is said last."""
    words = ["--append", f"oci:{place}/image:{tag}", *options, place / "lower", place / "upper"]
    status, out, err = run_differ(*words)
    assert (status, out) == (0, ""), err
    return err.splitlines()[-1]


def same(run_differ: RunDiffer, lower: object, upper: object) -> None:
    status, out, err = run_differ("--exit-code", lower, upper)
    assert (status, out) == (0, ""), err


# ---------------------------------------------------------------- where it goes
def test_on_top_of_the_tag(place: Path, run_differ: RunDiffer) -> None:
    layout = Layout(place / "image")
    before = layout.tags()["base"]
    told = append(run_differ, place)
    layout.check()
    digest = layout.tags()["base"]
    assert list(layout.tags()) == ["base"]
    assert digest != before
    layout.blob(before)  # stays, for whoever has its digest
    assert told.endswith(f"; oci:{place}/image:base is {digest}")
    same(run_differ, f"oci:{place}/image", place / "upper")
    same(run_differ, f"oci:{place}/image:{digest}", f"oci:{place}/image:base")


@pytest.mark.parametrize("to", ["image", "new", "empty", "image2"])
def test_to_another_tag(to: str, place: Path, run_differ: RunDiffer) -> None:
    (place / "empty").mkdir()
    base_image(place / "image2", "other")
    before = Layout(place / "image").tags()
    append(run_differ, place, "--to", f"oci:{place}/{to}:next:1")
    layout = Layout(place / to)
    layout.check()
    kept = {"image": before, "image2": Layout(place / "image2").tags()}.get(to, {})
    assert layout.tags() == {**kept, "next:1": layout.tags()["next:1"]}
    assert ("other" in layout.tags()) == (to == "image2")
    assert {**Layout(place / "image").tags(), **before} == Layout(place / "image").tags()
    same(run_differ, f"oci:{place}/{to}:next:1", place / "upper")
    assert not [name for name in os.listdir(place) if name.startswith(".")]


def test_the_other_tags_stay(place: Path, run_differ: RunDiffer) -> None:
    append(run_differ, place, "--to", f"oci:{place}/image:b")
    append(run_differ, place, "--to", f"oci:{place}/image:c")
    before = Layout(place / "image").tags()
    append(run_differ, place, "--to", f"oci:{place}/image:b", tag="b")
    after = Layout(place / "image").tags()
    assert {tag for tag in after if after[tag] != before[tag]} == {"b"}
    assert after.keys() == before.keys() == {"base", "b", "c"}
    assert len(Layout(place / "image").manifest("b")["layers"]) == 3


def test_an_image_of_the_difference_alone(place: Path, run_differ: RunDiffer) -> None:
    for where in ("image", "new"):
        word = f"oci:{place}/{where}:alone"
        status, _, err = run_differ("--append-to-scratch", word, place / "lower", place / "upper")
        assert status == 0, err
        layout = Layout(place / where)
        layout.check()
        assert len(layout.manifest("alone")["layers"]) == 1
        assert "annotations" not in layout.manifest("alone")
        config = layout.config("alone")
        assert (config["os"], config["rootfs"]["type"]) == ("linux", "layers")
        assert [one["created"] for one in config["history"]] == [config["created"]]
    status, out, _ = run_differ("scratch", f"oci:{place}/new:alone")
    assert (status, out.split()) == (0, ["A", "d/", "A", "d/new"])


def test_a_tag_is_needed(place: Path, run_differ: RunDiffer) -> None:
    for options in (
        ["--append-to-scratch", f"oci:{place}/new"],
        ["--append", f"oci:{place}/image", "--to", f"oci:{place}/new"],
    ):
        status, _, err = run_differ(*options, place / "lower", place / "upper")
        reason = "name a tag for the image: oci:DIR:TAG"
        assert (status, err) == (2, f"differ: oci:{place}/new: {reason}\n")
    assert not (place / "new").exists()


# ---------------------------------------------------------------- what is said of it
def test_configuration_and_annotations(
    place: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    layout = Layout(place / "image")
    before, base = layout.config("base"), layout.tags()["base"]
    described = place / "described"
    append(run_differ, place, "--to", f"oci:{place}/image:next", "--metadata-file", described)
    manifest, config = layout.manifest("next"), layout.config("next")
    metadata = json.loads(described.read_text())
    assert metadata["manifest"]["digest"] == layout.tags()["next"]
    assert {key: metadata[key] for key in ("mediaType", "digest", "size")} == manifest["layers"][1]
    assert metadata["changes"] == {"added": 1, "modified": 0, "removed": 1}
    assert config["rootfs"]["diff_ids"] == [*before["rootfs"]["diff_ids"], metadata["diffID"]]
    assert config["config"] == before["config"] == {"Env": ["A=b"]}
    created = "2023-11-14T22:13:20Z"
    assert config["created"] == created
    said = f"differ {place}/lower {place}/upper"
    assert config["history"] == [*before["history"], {"created": created, "created_by": said}]
    assert manifest["annotations"] == {"org.opencontainers.image.base.digest": base}
    assert manifest["layers"][0] == layout.manifest("base")["layers"][0]


def test_the_name_of_the_base(tmp_path: Path, place: Path, run_differ: RunDiffer) -> None:
    base_image(place / "named", "example.org/base:1")
    words = ["--append", f"oci:{place}/named:example.org/base:1", "--to", f"oci:{place}/named:next"]
    assert run_differ(*words, place / "lower", place / "upper")[0] == 0
    annotations = Layout(place / "named").manifest("next")["annotations"]
    assert annotations["org.opencontainers.image.base.name"] == "example.org/base:1"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_one_digest_for_one_difference(
    compression: str, place: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compression == "zstd" and PROGRAMS is not None:
        return  # test_layer.py says what is told then
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    digests = set()
    for number in range(2):
        to = f"oci:{place}/new{number}:next"
        append(run_differ, place, f"--compression={compression}", "--to", to)
        layout = Layout(place / f"new{number}")
        layout.check()
        digests.add(layout.tags()["next"])
        kind = layout.manifest("next")["layers"][1]["mediaType"]
        suffix = "" if compression == "none" else f"+{compression}"
        assert kind == f"application/vnd.oci.image.layer.v1.tar{suffix}"
        same(run_differ, f"oci:{place}/new{number}", place / "upper")
    assert len(digests) == 1


@pytest.mark.parametrize("history", [None, [], [{"created_by": "one"}] * 2, "none", [1]])
def test_a_history_of_other_layers_is_left_out(
    history: object, tmp_path: Path, place: Path, run_differ: RunDiffer
) -> None:
    files = LayoutFiles([b"".join([*BASE, END])], "base")
    files.config["history"] = history
    shutil.rmtree(place / "image")
    files.write(place / "image")
    append(run_differ, place)
    assert "history" not in Layout(place / "image").config("base")


def docker(files: LayoutFiles) -> None:
    kind = "application/vnd.docker."
    files.manifest["mediaType"] = kind + "distribution.manifest.v2+json"
    for layer in files.manifest["layers"]:
        layer["mediaType"] = kind + "image.rootfs.diff.tar.gzip"


def test_a_manifest_of_docker(place: Path, run_differ: RunDiffer) -> None:
    """What is made of it is an OCI image all through."""
    files = LayoutFiles([b"".join([*BASE, END])], "base")
    docker(files)
    described = files.described()
    described["mediaType"] = files.manifest["mediaType"]
    files.index = {"schemaVersion": 2, "manifests": [described]}
    shutil.rmtree(place / "image")
    files.write(place / "image")
    append(run_differ, place)
    manifest = Layout(place / "image").manifest("base")
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    kinds = {layer["mediaType"] for layer in manifest["layers"]}
    assert kinds == {"application/vnd.oci.image.layer.v1.tar+gzip"}


def test_an_index_of_several_machines(place: Path, run_differ: RunDiffer) -> None:
    files = LayoutFiles([b"".join([*BASE, END])], "base")
    described = {**files.described(), "annotations": {}}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    platforms = [{"os": "linux", "architecture": name} for name in ("vax", machine)]
    inner = {"schemaVersion": 2, "manifests": [{**described, "platform": one} for one in platforms]}
    index = files.blob("index.v1+json", json.dumps(inner).encode(), annotations={REF_NAME: "base"})
    files.index = {"schemaVersion": 2, "manifests": [index]}
    shutil.rmtree(place / "image")
    files.write(place / "image")
    before = everything(place)
    word = f"oci:{place}/image:base"
    status, _, err = run_differ("--append", word, place / "lower", place / "upper")
    reason = "names images for several machines; give the new one a tag with --to oci:DIR:TAG"
    assert (status, err) == (2, f"differ: {word}: {reason}\n")
    assert everything(place) == before
    append(run_differ, place, "--to", f"oci:{place}/image:next")
    layout = Layout(place / "image")
    assert layout.tags()["base"] == index["digest"]
    annotations = layout.manifest("next")["annotations"]
    assert annotations == {"org.opencontainers.image.base.digest": index["digest"]}
    same(run_differ, f"oci:{place}/image:next", place / "upper")


# ---------------------------------------------------------------- what others make of it
@needs_program("skopeo")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_skopeo_copies_it(compression: str, place: Path, run_differ: RunDiffer) -> None:
    append(run_differ, place, f"--compression={compression}", "--to", f"oci:{place}/new:next")
    status, _, err = run_differ("--append-to-scratch", f"oci:{place}/new:alone", "scratch", place / "upper")
    assert status == 0, err
    for tag, layers in (("next", 2), ("alone", 1)):
        word = f"oci:{place}/new:{tag}"
        found = json.loads(run("skopeo", "inspect", word))
        assert (found["Digest"], len(found["Layers"])) == (Layout(place / "new").tags()[tag], layers)
        run(
            "skopeo",
            "--insecure-policy",
            "copy",
            "--dest-oci-accept-uncompressed-layers",
            word,
            f"oci:{place}/copy:{tag}",
        )
        assert Layout(place / "copy").tags()[tag] == found["Digest"]
        same(run_differ, f"oci:{place}/copy:{tag}", place / "upper")


@needs_root
@needs_program("umoci")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_umoci_unpacks_it(compression: str, place: Path, run_differ: RunDiffer) -> None:
    append(run_differ, place, f"--compression={compression}")
    run("umoci", "unpack", "--image", f"{place}/image:base", place / "bundle")
    assert read_tree(place / "bundle/rootfs")[1:] == read_tree(place / "upper")[1:]


def run(*words: object) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout
