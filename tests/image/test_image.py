"""The image itself: what is in it, how large it is, and that the same sources make the same layer."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ..command import REPOSITORY
from ..conftest import needs_program, needs_root
from .conftest import Named, copy_sources
from .engines import DOCKERS, Docker

pytestmark = [pytest.mark.image, needs_root]

LARGEST = 3_000_000  # bytes of the compressed layer
MOST_FILES = 12


class Image:
    """An image as ``docker save`` wrote it."""

    def __init__(self, archive: Path) -> None:
        with tarfile.open(archive) as tar:
            (manifest,) = json.loads(self._read(tar, "manifest.json"))
            self.config: dict[str, Any] = json.loads(self._read(tar, manifest["Config"]))
            (layer,) = manifest["Layers"]
            data = self._read(tar, layer)
        self.layer = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as tar:
            self.entries = {entry.name: entry for entry in tar}
            self.texts = {
                name: self._read(tar, name)
                for name, entry in self.entries.items()
                if entry.isreg() and entry.size < 100_000
            }

    @staticmethod
    def _read(tar: tarfile.TarFile, name: str) -> bytes:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


@pytest.fixture(scope="module")
def image(runner_archive: Path) -> Image:
    return Image(runner_archive)


def test_it_is_small(image: Image) -> None:
    assert len(gzip.compress(image.layer)) <= LARGEST
    assert len([entry for entry in image.entries.values() if not entry.isdir()]) <= MOST_FILES


def test_what_is_in_it(image: Image) -> None:
    for entry in image.entries.values():
        assert (entry.uid, entry.gid, entry.mtime) == (0, 0, 0), entry.name
        assert entry.mode & 0o7777 in (
            {0o755} if entry.isdir() or entry.name.startswith("usr/bin/") else {0o644}
        )
    for name in ("lower", "upper", "out"):
        assert image.entries[name].isdir()
    programs = [image.entries[f"usr/bin/{name}"] for name in ("differ", "differ-apply")]
    assert {entry.isreg() or entry.islnk() for entry in programs} == {True}
    assert sum(entry.islnk() for entry in programs) == 1


def test_its_configuration(image: Image) -> None:
    config = image.config["config"]
    assert config["Entrypoint"] == ["/usr/bin/differ"]
    assert config["StopSignal"] == "SIGINT"
    assert not config.get("User")
    titles = ("title", "description", "version", "revision", "licenses", "source")
    assert {name for name in titles if config["Labels"].get(f"org.opencontainers.image.{name}")} == {*titles}


def test_scanners_see_what_is_linked_in(image: Image) -> None:
    assert b"\nID=debian\n" in image.texts["etc/os-release"]
    assert image.texts["etc/debian_version"]
    found = set()
    for name, text in image.texts.items():
        if name.startswith("var/lib/dpkg/status.d/"):
            fields = dict(line.split(": ", 1) for line in text.decode().splitlines() if ": " in line)
            assert fields["Package"] == Path(name).name
            assert fields["Version"]
            assert f"usr/share/doc/{fields['Package']}/copyright" in image.texts
            found.add(fields.get("Source", fields["Package"]).split()[0])
    assert {source.rstrip("0123456789.") for source in found} == {"python", "glibc", "zlib"}
    assert b"Apache License" in image.texts["usr/share/doc/differ/copyright"]


@pytest.fixture(scope="module")
def builder(bare_engine: Named, debian_tar: Path) -> Docker:
    """The oldest engine, with a Debian to build the image in."""
    engine = bare_engine(DOCKERS[0])
    assert isinstance(engine, Docker)
    engine.import_tree("debian", debian_tar)
    return engine


def build(builder: Docker, tmp_path: Path, **options: Any) -> None:
    context = tmp_path / "context"
    copy_sources(context)
    dockerfile = (context / "container" / "Dockerfile").read_text()
    builder.build(dockerfile, context, args={"BASE": "debian"}, network="host", **options)


def test_two_builds_make_the_same_layer(builder: Docker, image: Image, tmp_path: Path) -> None:
    build(builder, tmp_path, tag="again", no_cache=True)
    builder.save("again", tmp_path / "again.tar")
    again = Image(tmp_path / "again.tar")
    assert again.config["rootfs"]["diff_ids"] == image.config["rootfs"]["diff_ids"]


def test_the_bare_program(builder: Docker, image: Image, tmp_path: Path) -> None:
    build(builder, tmp_path, target="bin", output=f"type=local,dest={tmp_path / 'bin'}")
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["differ", "differ-apply"]
    size = max(image.entries[f"usr/bin/{name}"].size for name in ("differ", "differ-apply"))
    for name in ("differ", "differ-apply"):
        assert (tmp_path / "bin" / name).stat().st_size == size
        told = subprocess.run([tmp_path / "bin" / name, "--version"], env={}, capture_output=True, check=True)
        assert told.stdout.split()[0] == name.encode()


def test_a_misspelt_import_fails_the_build(tmp_path: Path) -> None:
    """One inside a function as well: nothing else would find it before the option is used."""
    needed = REPOSITORY / "dist" / "bin" / "differ"
    copy_sources(tmp_path / "context")
    source = tmp_path / "context" / "differ" / "run.py"
    source.write_text(source.read_text() + "\ndef _late() -> None:\n    import argparse, differ.nothing\n")
    done = subprocess.run(
        ["sh", tmp_path / "context/container/build.sh", tmp_path / "program"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "differ.run imports argparse; differ.run imports differ.nothing" in done.stderr, needed
    assert not (tmp_path / "program").exists()


def test_the_readme_shows_what_its_dockerfile_does(
    builder: Docker, runner_archive: Path, debian_tar: Path, tmp_path: Path
) -> None:
    text = (REPOSITORY / "README.md").read_text()
    dockerfile, said, found = re.findall(
        r"```dockerfile\n(.*?)```.*?\n\n    (differ: .*?)\n.*?\n\n((?:    out\S*\n)+)", text, re.DOTALL
    )[0]
    assert dockerfile.count("\n") == 6
    builder.import_tree("debian:bookworm-slim", debian_tar)
    builder.load("differ", runner_archive)
    out = tmp_path / "out"
    log = builder.build(dockerfile, output=f"type=local,dest={out}")
    # How large a Debian is changes with each of its releases.
    assert re.search(re.sub(r"\\ [0-9]+\\ MB", " [0-9]+ MB", re.escape(said)), log), log
    paths = [out, *sorted(out.rglob("*"))]
    assert [str(path.relative_to(tmp_path)) for path in paths] == found.split()


@needs_program("qemu-aarch64")
def test_another_machine(builder: Docker, tmp_path: Path, debian_pair: tuple[Path, Path]) -> None:
    """Cross-compiled and run by an emulator, it says and writes what ours does."""
    results = []
    for platform, emulator in (("linux/amd64", []), ("linux/arm64", ["qemu-aarch64"])):
        place = tmp_path / platform.replace("/", "-")
        build(builder, place, target="bin", output=f"type=local,dest={place / 'bin'}", platform=platform)
        command = (*emulator, str(place / "bin/differ"))
        options = ("--progress=none", "--verify", "--report", "-")
        words = [*command, *options, *map(str, (*debian_pair, place / "out"))]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        results.append((done.stdout, done.stderr, place / "out"))
    (ours, our_summary, our_out), (theirs, their_summary, their_out) = results
    assert ours.count("\n") > 100
    assert (theirs, their_summary) == (ours, our_summary)
    for out in (our_out, their_out):
        os.utime(out, ns=(1, 1))  # OUT's own time is when it was written
    done = subprocess.run(
        ["rsync", "-aHAXn", "--delete", "--checksum", "--itemize-changes", f"{our_out}/", f"{their_out}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
