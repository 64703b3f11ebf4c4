"""``differ-rebase`` on small images: what the result is, what it says of itself, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunDiffer

pytestmark = pytest.mark.cli

Files = dict[str, str]
T = 1_600_000_000
MISSING = "expected OLDBASE IMAGE NEWBASE, got "


class Images:
    """A layout with the images ``old``, ``image`` and ``new``, and the command."""

    def __init__(self, place: Path, run_differ: RunDiffer) -> None:
        self.place = place
        self.layout = place / "layout"
        self._run = run_differ

    def name(self, tag: str) -> str:
        return f"oci:{self.layout}:{tag}"

    def run(self, *words: object, rebase: bool = False) -> tuple[int, str, str]:
        return self._run(*words, rebase=rebase)

    def add(self, tag: str, make: Callable[[Path], None]) -> None:
        """An image with one layer: what ``make`` makes in a directory."""
        tree = self.place / tag
        tree.mkdir()
        make(tree)
        status, _, err = self.run("-q", "scratch", tree, "--append-to-scratch", self.name(tag))
        assert status == 0, err

    def rebase(self, *options: str, old: str | None = None) -> tuple[int, str, str]:
        words = [old or self.name("old"), self.name("image"), self.name("new"), "--to", self.name("top")]
        return self.run("--progress=none", *options, *words, rebase=True)

    def list(self, lower: str = "new", upper: str = "top") -> list[str]:
        """What ``differ`` finds between two images, in its order."""
        status, out, err = self.run("--progress=none", self.name(lower), self.name(upper))
        assert status == 0, err
        return out.splitlines()

    def blob(self, digest: str) -> Any:
        data = (self.layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
        return json.loads(data)

    def descriptor(self, tag: str) -> Any:
        index = json.loads((self.layout / "index.json").read_text())
        name = "org.opencontainers.image.ref.name"
        (found,) = [one for one in index["manifests"] if one["annotations"][name] == tag]
        return found

    def snapshot(self) -> dict[str, bytes]:
        """Everything in the layout, byte for byte."""
        paths = [path for path in self.layout.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths}


def files(root: Path, **content: str | None) -> None:
    """Files by their paths, ``__`` for a slash; all of one time."""
    for path, text in content.items():
        file = root / path.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text or "")
        os.utime(file, (T, T))


@pytest.fixture
def images(tmp_path: Path, run_differ: RunDiffer) -> Images:
    return Images(tmp_path, run_differ)


def three(images: Images, old: Files, image: Files, new: Files) -> None:
    for tag, content in (("old", old), ("image", image), ("new", new)):
        images.add(tag, lambda root, content=content: files(root, **content))  # type: ignore[misc]


def test_both_changes_are_in_the_result(images: Images) -> None:
    three(
        images,
        {"a": "1", "b": "1", "d__gone": "1", "d__stays": "1"},
        {"a": "2", "b": "1", "d__stays": "1", "d__new": "1"},
        {"a": "1", "b": "2", "d__gone": "1", "d__stays": "1"},
    )
    os.chmod(images.place / "new/d", 0o700)
    images.run("-q", "scratch", images.place / "new", "--append-to-scratch", images.name("new"))
    status, out, err = images.rebase()
    assert (status, out) == (0, ""), err
    assert err.startswith("differ-rebase: 1 added, 1 modified, 1 removed; 0 conflicts; 2 B written; oci:")
    # The directory that only stands above keeps the mode that the new base has given it.
    assert images.list() == ["M a  content", "D d/gone", "A d/new"]


def test_a_conflict_is_told_and_nothing_is_written(images: Images) -> None:
    three(images, {"a": "1", "b": "1"}, {"a": "22", "b": "2"}, {"a": "333", "b": "1"})
    before = images.snapshot()
    status, out, err = images.rebase()
    assert status == 1
    assert out == (
        "C a\n"
        "    old base  file 0644 {o} 1 bytes 2020-09-13T12:26:40Z\n"
        "    image     file 0644 {o} 2 bytes 2020-09-13T12:26:40Z\n"
        "    new base  file 0644 {o} 3 bytes 2020-09-13T12:26:40Z\n"
    ).format(o=f"{os.geteuid()}:{os.getegid()}")
    assert "1 name has been changed by the image and by the new base; nothing was written" in err
    assert images.snapshot() == before
    assert sorted(os.listdir(images.layout)) == ["blobs", "index.json", "oci-layout"]
    status, again, err = images.rebase("--allow-conflicts")
    assert (status, again) == (0, out), err
    assert "1 conflict; " in err
    assert images.list("image", "top") == []


def test_the_new_base_has_removed_the_directory(images: Images) -> None:
    """What the image has removed below it, or has only another time of, does not bring it back."""
    three(images, {"d__f": "1", "d__g": "1"}, {"d__g": "1"}, {"x": "1"})
    os.utime(images.place / "image/d/g", (T + 5, T + 5))
    images.run("-q", "scratch", images.place / "image", "--append-to-scratch", images.name("image"))
    status, out, err = images.rebase()
    assert (status, out) == (0, ""), err
    assert images.list() == []


def test_names_of_one_inode_stay_together(images: Images) -> None:
    def linked(text: str, when: int) -> Callable[[Path], None]:
        def make(root: Path) -> None:
            files(root, a=text)
            os.link(root / "a", root / "b")
            os.utime(root / "a", (when, when))

        return make

    for tag, text, when in (("old", "1", T), ("image", "2", T), ("new", "1", T + 9)):
        images.add(tag, linked(text, when))
    status, _, err = images.rebase()
    assert status == 0, err
    assert images.list("image", "top") == []


def test_a_link_to_what_the_new_base_has_not(images: Images) -> None:
    """A name is not left out when another is linked to it, though only its time is another."""
    three(images, {"a": "1"}, {"a": "1"}, {"x": "1"})
    os.link(images.place / "image/a", images.place / "image/c")
    os.utime(images.place / "image/a", (T + 5, T + 5))
    images.run("-q", "scratch", images.place / "image", "--append-to-scratch", images.name("image"))
    status, out, err = images.rebase()
    assert (status, out.splitlines()[0]) == (1, "C a"), err
    assert images.rebase("--allow-conflicts")[0] == 0
    assert images.list("image", "top") == ["A x"]


def test_the_image_is_the_same_but_for_its_base(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(T))
    three(images, {"a": "1"}, {"a": "1", "b": "1"}, {"a": "2"})
    configure(images, "image", {"Entrypoint": ["/b"], "Env": ["A=1"]})
    configure(images, "new", {"Entrypoint": ["/other"]})
    assert images.rebase()[0] == 0
    base, top = images.descriptor("new"), images.descriptor("top")
    manifest, under = images.blob(top["digest"]), images.blob(base["digest"])
    config, its = images.blob(manifest["config"]["digest"]), images.blob(under["config"]["digest"])
    assert config["config"] == {"Entrypoint": ["/b"], "Env": ["A=1"]}
    assert manifest["layers"][:-1] == under["layers"]
    assert config["rootfs"]["diff_ids"][:-1] == its["rootfs"]["diff_ids"]
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    assert config["history"][:-1] == its["history"]
    said = " ".join(["differ-rebase", *map(images.name, ("old", "image", "new"))])
    assert config["history"][-1] == {"created": "2020-09-13T12:26:40Z", "created_by": said}
    assert manifest["annotations"]["org.opencontainers.image.base.digest"] == base["digest"]
    assert images.rebase()[0] == 0
    assert images.descriptor("top") == top


def configure(images: Images, tag: str, config: dict[str, Any]) -> None:
    """Give an image another configuration."""
    index = json.loads((images.layout / "index.json").read_text())
    found = images.descriptor(tag)
    manifest = images.blob(found["digest"])
    manifest["config"] |= store(images, images.blob(manifest["config"]["digest"]) | {"config": config})
    changed = found | store(images, manifest)
    index["manifests"] = [changed if one == found else one for one in index["manifests"]]
    (images.layout / "index.json").write_text(json.dumps(index))


def store(images: Images, document: Any) -> dict[str, Any]:
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (images.layout / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def test_the_old_base_may_be_a_directory(images: Images) -> None:
    three(images, {"a": "1"}, {"a": "1", "b": "1"}, {"a": "2"})
    status, _, err = images.rebase(old=str(images.place / "old"))
    assert status == 0, err
    assert images.list() == ["A b"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], f"{MISSING}no argument: "),
        (["a", "b"], f"{MISSING}2 arguments: "),
        (["a", "b", "c"], "where does the image go? "),
        (["a", "oci:b", "oci:c", "--to", "oci:d"], "name a tag for the image"),
        (["a", "oci:b", "oci:c", "--to", "d:e"], "expected oci:DIR[:TAG]"),
        (["a", "b", "oci:c", "--to", "oci:d:e"], "expected oci:DIR[:TAG]"),
        (["a", "b", "c", "--to", "oci:d:e", "--compression=none", "--compression-level=3"], "none has none"),
        (["a", "b", "c", "--to", "oci:d:e", "--whiteout=oci"], "unknown option --whiteout"),
    ],
)
def test_a_command_line_that_asks_for_nothing(
    words: list[str], reason: str, tmp_path: Path, run_differ: RunDiffer
) -> None:
    os.chdir(tmp_path)
    status, out, err = run_differ(*words, rebase=True)
    assert (status, out) == (2, "")
    assert reason in err
    assert os.listdir(tmp_path) == []


def test_a_tag_has_to_be_said_where_there_are_several(images: Images) -> None:
    three(images, {"a": "1"}, {"a": "2"}, {"a": "1"})
    words = [images.name("old"), f"oci:{images.layout}", images.name("new"), "--to", images.name("top")]
    status, _, err = images.run(*words, rebase=True)
    assert status == 2
    assert "holds several images; its tags are image, new, old" in err
