"""Images and tars as LOWER and UPPER: the same as the trees that are in them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from .command import PROGRAMS
from .conftest import RunDiffer, needs_program, needs_root
from .editor import Editor
from .raw_tar import END, LayoutFiles, entry, pax
from .trees import ACL_755, CAP_NET_RAW, T_LOWER, A, B, read_tree, without

pytestmark = pytest.mark.cli


def run(*words: object) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(list(map(str, words)), capture_output=True, env=environment, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def build(root: Path, whole_seconds: bool = False) -> None:
    """A tree with all that a tar can hold."""
    when = (A[0], 0) if whole_seconds else A
    root.mkdir(mode=0o755)
    t = Editor(root)
    t.dirs("d", "d/e", "empty")
    t.file("d/f", "data" * 300, mode=0o4755, uid=1000, gid=3_000_000_000, mtime=when)
    t.file("d/none", "", mode=0o600, mtime=(-86400, 0))
    t.link("d/f", "d/e/linked")
    t.symlink("d/l", "../nowhere/" + "t" * 200, uid=7, gid=8, mtime=when)
    t.link("d/l", "l2")
    t.file("n" * 255, "long", mtime=when)
    t.file("bad\udcff\n\\", "bad", mtime=when)
    t.file("d/e/" + "x" * 120, "cap", xattrs={"security.capability": CAP_NET_RAW}, mtime=when)
    t.file("d/attributes", "x", mtime=when, xattrs={"user.a": b"\0\xff=\n", "trusted.b": b"1"})
    t.dir("acl", xattrs={"system.posix_acl_default": ACL_755})
    t.fifo("fifo", mode=0o620, mtime=when)
    t.chr("chr", (259, 300), mtime=when)
    t.blk("blk", (7, 9), mtime=when)
    t.sparse("holes", 5 << 20, 3 << 20, b"island", mtime=when)
    t.sparse("holes-" + "s" * 120, 1 << 20, 1 << 19, b"island", mtime=when)
    t.sparse("holes\udcff", 1 << 20, (1 << 20) - 3, b"end", mtime=when)
    t.settle((T_LOWER[0], 0) if whole_seconds else T_LOWER)


def pack(root: Path, tar: Path, *options: str) -> None:
    facts = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name", "--sparse"]
    run("tar", "-c", *facts, *options, "-C", root, "-f", tar, ".")


def same(run_differ: RunDiffer, lower: object, upper: object) -> None:
    """Neither of two has what the other has not."""
    for sides in ((lower, upper), (upper, lower)):
        status, out, err = run_differ("--exit-code", *sides)
        assert (status, out) == (0, ""), err


# ---------------------------------------------------------------- tars
@needs_root
@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0"])
def test_a_tar_is_the_tree_that_is_in_it(version: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    build(tmp_path / "tree")
    tar = tmp_path / "tree.tar"
    pack(tmp_path / "tree", tar, "--format=posix", f"--sparse-version={version}")
    same(run_differ, f"tar:{tar}", tmp_path / "tree")
    reports = []
    for word in (f"tar:{tar}", str(tmp_path / "tree")):
        report = tmp_path / "report"
        status, _, err = run_differ("--report", report, "--digest", "scratch", word)
        assert status == 0, err
        reports.append([json.loads(line) for line in report.read_text().splitlines()])
    assert reports[0] == reports[1]
    assert len(reports[0]) == 19
    status, _, err = run_differ("--strict", "--whiteout=none", "scratch", f"tar:{tar}", tmp_path / "out")
    assert status == 0, err
    assert read_tree(tmp_path / "out")[1:] == read_tree(tmp_path / "tree")[1:]
    for name in ("holes", "holes\udcff"):
        facts = os.stat(tmp_path / "out" / name)
        assert facts.st_blocks * 512 < facts.st_size, name


@needs_root
def test_a_change_of_any_fact_is_seen(tmp_path: Path, run_differ: RunDiffer) -> None:
    build(tmp_path / "tree")
    tar = tmp_path / "tree.tar"
    pack(tmp_path / "tree", tar, "--format=posix")
    t = Editor(tmp_path / "tree")
    for path, facts in {
        "d/f": {"mode": 0o755},
        "d/none": {"mtime": B},
        "d/l": {"gid": 9},
        "d/attributes": {"xattrs": {"user.a": b"\0"}},
        "fifo": {"uid": 1},
    }.items():
        t.meta(path, **facts)  # type: ignore[arg-type]
    t.flip("holes")
    t.again("d/e/linked")
    t.rm("chr")
    t.chr("chr", (259, 301), mtime=A)
    status, out, _ = run_differ(f"tar:{tar}", tmp_path / "tree")
    assert status == 0
    changed = ["M chr", "M d/attributes", "M d/e/linked", "M d/f", "M d/l", "M d/none", "M fifo", "M holes"]
    found = [line.partition("  ")[0] for line in out.splitlines()]
    assert [line for line in found if line != "M l2"] == changed


@needs_root
def test_the_old_format_of_gnu_tar(tmp_path: Path, run_differ: RunDiffer) -> None:
    build(tmp_path / "tree", whole_seconds=True)
    tar = tmp_path / "tree.tar"
    run("tar", "-c", "--format=gnu", "--numeric-owner", "--sparse", "-C", tmp_path / "tree", "-f", tar, ".")
    for sides in ((f"tar:{tar}", tmp_path / "tree"), (tmp_path / "tree", f"tar:{tar}")):
        status, out, err = run_differ("--exit-code", "--xattr-exclude=*", *sides)
        assert (status, out) == (0, ""), err


@needs_root
@pytest.mark.parametrize("program", ["gzip", "zstd"])
def test_a_compressed_tar(program: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    build(tmp_path / "tree")
    tar = tmp_path / "tree.tar"
    pack(tmp_path / "tree", tar, "--format=posix")
    data = tar.read_bytes()
    if program == "gzip":
        tar.write_bytes(subprocess.run(["gzip", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout)
    elif PROGRAMS is None:
        zstandard = pytest.importorskip("zstandard")
        tar.write_bytes(zstandard.ZstdCompressor().compress(data))
    same(run_differ, f"tar:{tar}", tmp_path / "tree")


@needs_root
@pytest.mark.inside
@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1"])
def test_names_are_bytes_whatever_the_locale_says(locale: str, tmp_path: Path) -> None:
    from .command import differ, ended

    build(tmp_path / "tree")
    (tmp_path / "tree/é").write_text("")
    pack(tmp_path / "tree", tmp_path / "tree.tar", "--format=posix")
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = differ("--exit-code", f"tar:{tmp_path}/tree.tar", tmp_path / "tree", env=environment)
    status, out, err = ended(process)
    assert (status, out) == (0, ""), err


# ---------------------------------------------------------------- layers
def directory(name: bytes, mode: int = 0o755) -> bytes:
    return entry(name + b"/", b"5", mode=mode)


FIRST = [
    directory(b"d"),
    entry(b"d/a", data=b"a"),
    entry(b"d/b", data=b"b"),
    directory(b"d/e"),
    entry(b"d/e/x", data=b"x"),
    entry(b"d/e/y", data=b"y"),
    entry(b"f", data=b"f"),
    entry(b"link", b"2", target=b"d", mode=0o777),
]
LAYERS: dict[str, tuple[list[list[bytes]], str]] = {
    # layers on top of the first, and the names that are there then
    "nothing": ([], "d d/a d/b d/e d/e/x d/e/y f link"),
    "a whiteout": ([[entry(b"d/.wh.a")]], "d d/b d/e d/e/x d/e/y f link"),
    "a whiteout of a directory": ([[entry(b"d/.wh.e")]], "d d/a d/b f link"),
    "a whiteout of nothing": ([[entry(b"d/.wh.none")]], "d d/a d/b d/e d/e/x d/e/y f link"),
    "a whiteout of a link": ([[entry(b".wh.link")]], "d d/a d/b d/e d/e/x d/e/y f"),
    "opaque": ([[directory(b"d"), entry(b"d/.wh..wh..opq"), entry(b"d/n")]], "d d/n f link"),
    "opaque at the end": ([[directory(b"d"), entry(b"d/n"), entry(b"d/.wh..wh..opq")]], "d d/n f link"),
    "opaque root": ([[entry(b".wh..wh..opq"), entry(b"n")]], "n"),
    "opaque over a directory with new ones": (
        [[directory(b"d"), directory(b"d/e"), entry(b"d/e/n"), entry(b"d/.wh..wh..opq")]],
        "d d/e d/e/n f link",
    ),
    "a hard link into a lower layer": (
        [[entry(b"h", b"1", target=b"d/a")]],
        "d d/a d/b d/e d/e/x d/e/y f h link",
    ),
    "a hard link and a whiteout of its target": (
        [[entry(b"h", b"1", target=b"d/a"), entry(b"d/.wh.a")]],
        "d d/b d/e d/e/x d/e/y f h link",
    ),
    "a hard link that is replaced": (
        [[entry(b"h", b"1", target=b"d/a")], [entry(b"d/a", data=b"new")]],
        "d d/a d/b d/e d/e/x d/e/y f h link",
    ),
    "a directory becomes a file": ([[entry(b"d", data=b"file")]], "d f link"),
    "a file becomes a directory": (
        [[directory(b"f"), entry(b"f/n")]],
        "d d/a d/b d/e d/e/x d/e/y f f/n link",
    ),
    "a directory becomes a file and back": (
        [[entry(b"d", data=b"file")], [directory(b"d"), entry(b"d/n")]],
        "d d/n f link",
    ),
    "a directory gets other facts": ([[directory(b"d", 0o700)]], "d d/a d/b d/e d/e/x d/e/y f link"),
    "a whiteout before an entry of its name": (
        [[entry(b".wh.d"), directory(b"d"), entry(b"d/n")]],
        "d d/n f link",
    ),
    "a whiteout, then an entry in three layers": (
        [[entry(b".wh.f")], [entry(b"f", data=b"2")], [entry(b".wh.f")]],
        "d d/a d/b d/e d/e/x d/e/y link",
    ),
    "directories that have no entry": ([[entry(b"p/q/r")]], "d d/a d/b d/e d/e/x d/e/y f link p p/q p/q/r"),
    "below a directory without its entry": ([[entry(b"d/e/n")]], "d d/a d/b d/e d/e/n d/e/x d/e/y f link"),
    "a name twice": (
        [[entry(b"n", data=b"1"), entry(b"n", data=b"22")]],
        "d d/a d/b d/e d/e/x d/e/y f link n",
    ),
    "the first once more": ([[entry(b".wh.d")], FIRST], "d d/a d/b d/e d/e/x d/e/y f link"),
    "a whiteout below what is a file now": (
        [[entry(b"d", data=b"file"), entry(b"d/.wh.a"), entry(b"f/.wh.x")]],
        "d f link",
    ),
    "a dot in front": ([[entry(b"./.wh.f"), entry(b"./d/./n")]], "d d/a d/b d/e d/e/x d/e/y d/n link"),
    "attributes": (
        [[pax({b"SCHILY.xattr.user.k": b"\xff\0"}) + entry(b"f", data=b"f")]],
        "d d/a d/b d/e d/e/x d/e/y f link",
    ),
}
NOT_UMOCI = {
    "a whiteout below what is a file now",
    "a hard link and a whiteout of its target",
}
"""What umoci does otherwise, or not at all."""
IN_LINK: list[bytes] = [entry(b"link/n", data=b"n")]


def tar(layer: list[bytes]) -> bytes:
    return b"".join([*layer, END])


def write_layers(place: Path, layers: list[list[bytes]]) -> tuple[str, str]:
    """An image and tars with the same layers: what to call both."""
    LayoutFiles([tar(layer) for layer in layers]).write(place / "image")
    for number, layer in enumerate(layers):
        (place / f"{number}.tar").write_bytes(tar(layer))
    files = ":".join(str(place / f"{number}.tar") for number in range(len(layers)))
    return f"oci:{place}/image:latest", f"tar:{files}"


def names(run_differ: RunDiffer, word: str) -> str:
    status, out, err = run_differ("scratch", word)
    assert status == 0, err
    return " ".join(line.removeprefix("A ").partition("  ")[0].rstrip("/") for line in out.splitlines())


@pytest.mark.parametrize("case", LAYERS)
def test_layers_are_applied_in_order(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    more, wanted = LAYERS[case]
    image, tars = write_layers(tmp_path, [FIRST, *more])
    assert names(run_differ, image) == names(run_differ, tars) == wanted
    same(run_differ, image, tars)


@needs_root
@needs_program("umoci")
@pytest.mark.parametrize("case", sorted({*LAYERS} - NOT_UMOCI))
def test_umoci_unpacks_the_same(case: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    image, _ = write_layers(tmp_path, [FIRST, *LAYERS[case][0]])
    run("umoci", "raw", "unpack", "--image", image.removeprefix("oci:"), tmp_path / "unpacked")
    same(run_differ, image, tmp_path / "unpacked")


def test_an_entry_goes_through_a_link_in_the_tree(tmp_path: Path, run_differ: RunDiffer) -> None:
    image, _ = write_layers(tmp_path, [FIRST, IN_LINK])
    assert names(run_differ, image) == "d d/a d/b d/e d/e/x d/e/y d/n f link"


def test_an_absolute_link_stays_in_the_tree(tmp_path: Path, run_differ: RunDiffer) -> None:
    absolute = entry(b"away", b"2", target=b"/d/e", mode=0o777)
    image, _ = write_layers(tmp_path, [FIRST, [absolute, entry(b"away/n")]])
    assert names(run_differ, image) == "away d d/a d/b d/e d/e/n d/e/x d/e/y f link"


def test_a_layer_in_common_hides_no_change_below_it(tmp_path: Path, run_differ: RunDiffer) -> None:
    """What two images have of one layer is one inode to both, directories too."""
    lower = LayoutFiles([tar(FIRST)], "lower")
    upper = LayoutFiles(
        [tar(FIRST), tar([entry(b"d/e/n"), entry(b"d/.wh.a"), entry(b"h", b"1", target=b"f")])]
    )
    described = [lower.described(), upper.described()]
    upper.blobs |= lower.blobs
    upper.index = {"schemaVersion": 2, "manifests": described}
    upper.write(tmp_path / "image")
    sides = f"oci:{tmp_path}/image:lower", f"oci:{tmp_path}/image:latest"
    status, out, err = run_differ(*sides)
    assert status == 0, err
    changes = [line.partition("  ")[0] for line in out.splitlines()]
    assert changes == ["D d/a", "A d/e/n", "A h", "M f"]
    assert "0 B compared" in err


def test_a_whiteout_of_any_type_is_one(tmp_path: Path, run_differ: RunDiffer) -> None:
    """Nobody who unpacks a layer looks at the type."""
    for number, marker in enumerate(
        (entry(b".wh.f", b"2", target=b"x"), entry(b".wh.f/", b"5"), entry(b".wh.f", b"1", target=b"d/a"))
    ):
        (tmp_path / str(number)).mkdir()
        image, _ = write_layers(tmp_path / str(number), [FIRST, [marker]])
        assert names(run_differ, image) == "d d/a d/b d/e d/e/x d/e/y link"


@needs_root
@needs_program("umoci")
def test_an_image_of_umoci(tmp_path: Path, run_differ: RunDiffer) -> None:
    """Three layers, each of them made by umoci from what has changed."""
    image = tmp_path / "image"
    run("umoci", "init", "--layout", image)
    run("umoci", "new", "--image", f"{image}:v0")

    def build_anew(root: Path) -> None:
        shutil.rmtree(root)
        build(root)

    def change(root: Path) -> None:
        shutil.rmtree(root / "d")
        (root / "d").write_text("file")
        os.unlink(root / "fifo")
        (root / "empty/new").write_text("new")
        os.chmod(root / "acl", 0o700)

    def change_back(root: Path) -> None:
        os.unlink(root / "d")
        os.mkdir(root / "d")
        (root / "d/again").write_text("again")

    for number, edit in enumerate((build_anew, change, change_back)):
        bundle = tmp_path / f"bundle{number}"
        run("umoci", "unpack", "--image", f"{image}:v{number}", bundle)
        edit(bundle / "rootfs")
        run("umoci", "repack", "--image", f"{image}:v{number + 1}", bundle)
        unpacked = tmp_path / f"unpacked{number}"
        run("umoci", "raw", "unpack", "--image", f"{image}:v{number + 1}", unpacked)
        same(run_differ, f"oci:{image}:v{number + 1}", unpacked)
    status, out, err = run_differ(f"oci:{image}:v1", f"oci:{image}:v3")
    assert status == 0, err
    found = {line.partition("  ")[0] for line in out.splitlines()}
    assert {"D fifo", "A empty/new", "A d/again", "D d/f", "M acl/"} <= found, out


# ---------------------------------------------------------------- what is made of them
@needs_root
def test_the_difference_of_two_images_applies(tmp_path: Path, run_differ: RunDiffer) -> None:
    build(tmp_path / "lower", whole_seconds=True)
    (tmp_path / "lower" / ("n" * 255)).unlink()  # whose whiteout no directory can hold
    shutil.copytree(tmp_path / "lower/d/e", tmp_path / "upper/d/e", symlinks=True)
    (tmp_path / "upper/new").write_text("new")
    Editor(tmp_path / "upper").settle((B[0], 0))
    for tree in ("lower", "upper"):
        pack(tmp_path / tree, tmp_path / f"{tree}.tar", "--format=posix")
    words = [f"tar:{tmp_path}/{tree}.tar" for tree in ("lower", "upper")]
    status, _, err = run_differ("--verify", "--strict", *words, tmp_path / "out")
    assert status == 0, err
    status, _, err = run_differ("--layer-xattrs=all", "--layer", tmp_path / "layer", *words)
    assert status == 0, err
    for changes, to in ((tmp_path / "out", "a"), (f"tar:{tmp_path}/layer", "b")):
        status, _, err = run_differ(words[0], changes, tmp_path / to, apply=True)
        assert status == 0, err
    assert without(read_tree(tmp_path / "a")[1:], "mtime") == without(read_tree(tmp_path / "b")[1:], "mtime")
    same(run_differ, tmp_path / "b", tmp_path / "upper")
    same(run_differ, f"{words[0]}:{tmp_path}/layer", words[1])


def test_patterns_and_reports_know_no_difference(tmp_path: Path, run_differ: RunDiffer) -> None:
    image, tars = write_layers(tmp_path, [FIRST, LAYERS["opaque"][0][0]])
    for word in (image, tars):
        status, out, err = run_differ("--ignore", "d", "scratch", word)
        assert (status, out) == (0, "A f\nA link\n"), err
        assert run_differ("--exit-code", "-q", "scratch", word)[0] == 1


@needs_root
def test_modes_of_links_do_not_count(tmp_path: Path, run_differ: RunDiffer) -> None:
    """Linux has none, and some programs write others than 0777 into a tar."""
    (tmp_path / "l.tar").write_bytes(tar([entry(b"l", b"2", target=b"x", mode=0o644)]))
    (tmp_path / "tree").mkdir()
    Editor(tmp_path / "tree").symlink("l", "x", mtime=(1_600_000_000, 0))
    assert stat.S_IMODE(os.lstat(tmp_path / "tree/l").st_mode) == 0o777
    same(run_differ, f"tar:{tmp_path}/l.tar", tmp_path / "tree")
