"""The image itself: what is in it, how large it is, and that the same sources make the same layer."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ..command import REPOSITORY
from ..conftest import needs_program, needs_root
from .conftest import Named, copy_sources
from .engines import DOCKERS, Docker
from .saved import layers, put_together

pytestmark = [pytest.mark.image, needs_root]

LARGEST = 3_500_000  # bytes of the compressed layer
MOST_FILES = 21
NAMES = ("differ", "differ-apply", "differ-dockerfile", "differ-frontend", "differ-rebase")


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
    programs = [image.entries[f"usr/bin/{name}"] for name in NAMES]
    assert sorted(entry.type for entry in programs) == [
        tarfile.REGTYPE,
        *[tarfile.LNKTYPE] * (len(NAMES) - 1),
    ]


def test_its_configuration(image: Image) -> None:
    config = image.config["config"]
    assert config["Entrypoint"] == ["/usr/bin/differ"]
    assert config["StopSignal"] == "SIGINT"
    assert not config.get("User")
    titles = ("title", "description", "version", "revision", "licenses", "source")
    labels = config["Labels"]
    assert {name for name in titles if labels.get(f"org.opencontainers.image.{name}")} == {*titles}
    assert "MIT" in labels["org.opencontainers.image.licenses"].split(" AND ")


def test_buildkit_is_told_that_it_is_a_frontend(image: Image) -> None:
    labels = image.config["config"]["Labels"]
    start = "moby.buildkit.frontend."
    assert labels[f"{start}network.none"] == "true"
    assert labels[f"{start}caps"].split(",") == [
        f"{start}{cap}" for cap in ("inputs", "subrequests", "contexts")
    ]


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
    linked = {"glibc", "python", "python-h2", "python-hpack", "python-hyperframe", "zlib"}
    assert {re.sub(r"^python[0-9.]+$", "python", source) for source in found} == linked
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
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == [*NAMES]
    size = max(image.entries[f"usr/bin/{name}"].size for name in NAMES)
    for name in NAMES:
        assert (tmp_path / "bin" / name).stat().st_size == size
    for name in ("differ", "differ-apply"):
        told = subprocess.run([tmp_path / "bin" / name, "--version"], env={}, capture_output=True, check=True)
        assert told.stdout.split()[0] == name.encode()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # how a connection begins
SESSION = {"BUILDKIT_SESSION_ID": "1"}


def start(words: list[object], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A program of the image, with pipes for its streams."""
    pipe = subprocess.PIPE
    return subprocess.Popen([*map(str, words)], env=environment, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.fixture(scope="module")
def programs(runner_archive: Path, place: Path) -> Path:
    """The directory of the image's programs."""
    where = place / "programs"
    where.mkdir()
    return put_together(layers(runner_archive, where), where) / "usr/bin"


@pytest.mark.parametrize("name", ["differ", "differ-frontend"])
def test_started_by_buildkit_it_is_the_frontend(programs: Path, name: str) -> None:
    with start([programs / name], SESSION) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out.startswith(PREFACE)
    assert err.startswith(b"differ-frontend: ")
    assert err.count(b"\n") == 1


def test_in_a_run_it_is_differ(programs: Path, tmp_path: Path) -> None:
    """A RUN may have the session in its environment; without one nothing is a frontend."""
    with start([programs / "differ", tmp_path, tmp_path], SESSION) as process:
        assert process.wait(60) == 0
    with start([programs / "differ"], {}) as process:
        assert b"expected LOWER UPPER" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    with start([programs / "differ-frontend"], {}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count(b"\n")) == (2, b"", 1)


def test_the_rewriter_is_in_it(programs: Path) -> None:
    with start([programs / "differ-dockerfile"], {}) as process:
        out, err = process.communicate(b"FROM scratch\n", timeout=60)
    assert (process.returncode, out, err) == (0, b"FROM scratch\n", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_frontend_ends_at_a_signal(programs: Path, number: signal.Signals) -> None:
    with start([programs / "differ-frontend"], SESSION) as process:
        assert process.stdout is not None
        process.stdout.read(len(PREFACE))
        process.send_signal(number)
        assert process.wait(60) == -number


def build_fails(tmp_path: Path) -> str:
    """What is said when the program is built from changed sources."""
    done = subprocess.run(
        ["sh", tmp_path / "context/container/build.sh", tmp_path / "program"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert not (tmp_path / "program").exists()
    return done.stderr


@pytest.mark.parametrize("module", ["run", "frontend.main"])
def test_a_misspelt_import_fails_the_build(tmp_path: Path, module: str) -> None:
    """One inside a function as well: nothing else would find it before the option is used."""
    copy_sources(tmp_path / "context")
    source = tmp_path / "context/differ" / (module.replace(".", "/") + ".py")
    source.write_text(source.read_text() + "\ndef _late() -> None:\n    import argparse, differ.nothing\n")
    told = f"differ.{module} imports argparse; differ.{module} imports differ.nothing"
    assert told in build_fails(tmp_path)


def test_a_package_without_a_file_of_its_own_fails_the_build(tmp_path: Path) -> None:
    """Python itself would import from it, the program would not."""
    copy_sources(tmp_path / "context")
    (tmp_path / "context/differ/frontend/__init__.py").unlink()
    assert "differ.frontend has no __init__.py" in build_fails(tmp_path)


def test_the_readme_shows_what_its_dockerfile_does(
    builder: Docker, runner_archive: Path, debian_tar: Path, tmp_path: Path
) -> None:
    text = (REPOSITORY / "README.md").read_text()
    first, dockerfile = re.findall(r"```dockerfile\n(.*?)```", text, re.DOTALL)
    assert first.count("\n") == dockerfile.count("\n") == 6
    ((said, found),) = re.findall(r"\n    (differ: .*?)\n.*?\n\n((?:    out\S*\n)+)", text, re.DOTALL)
    builder.import_tree("debian:bookworm-slim", debian_tar)
    builder.load("differ", runner_archive)
    out = tmp_path / "out"
    log = builder.build(dockerfile, output=f"type=local,dest={out}")
    assert said in log, log
    paths = [out, *sorted(out.rglob("*"))]
    assert [str(path.relative_to(tmp_path)) for path in paths] == found.split()
    # The one on the first screen installs a package: only what is below /usr gets into the new layer.
    builder.build(first, tag="first", network="host")
    archive = tmp_path / "first.tar"
    builder.save("first", archive)
    *_, layer = layers(archive, tmp_path)
    with tarfile.open(layer) as tar:
        names = {name.removesuffix("/") for name in tar.getnames()}
    assert "usr/bin/hello" in names
    assert {name for name in names if not f"{name}/".startswith("usr/")} == set()
    assert not [name for name in names if name.startswith("usr/lib/x86_64-linux-gnu/libc.so")]


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
