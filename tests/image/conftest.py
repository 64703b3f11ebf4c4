"""Engines that start when a test first asks for them, and the images that all tests use."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from ..command import REPOSITORY
from ..debian import change_debian
from .bases import make_base, make_builder, pack
from .engines import DOCKERS, ENGINES, Docker, Engine, MissingError, started

SOURCES = ("differ", "container", "LICENSE", "README.md", "setup.cfg", "pyproject.toml", ".dockerignore")
PREBUILT = os.environ.get("DIFFER_IMAGE")
"""An archive of the image, made by ``docker save``, that is to be tested instead of building one."""

Named = Callable[[str], Engine]


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for trees and archives, which are too large to be kept."""
    path = tmp_path_factory.mktemp("image")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def bare_engine() -> Iterator[Named]:
    """An engine by its name, without images; each is started once and stopped at the end."""
    running: dict[str, Engine] = {}
    handler = signal.signal(signal.SIGTERM, _terminated)
    with contextlib.ExitStack() as stack:
        # Whatever ends the session, the engines are stopped first.
        stack.callback(signal.signal, signal.SIGTERM, handler)

        def get(name: str) -> Engine:
            if name not in running:
                try:
                    running[name] = stack.enter_context(contextlib.contextmanager(started)(name))
                except MissingError as missing:
                    pytest.skip(str(missing))
            return running[name]

        yield get


@pytest.fixture(scope="session")
def oldest_docker(bare_engine: Named) -> Docker:
    """The oldest engine with a daemon that is on this machine, without images."""
    for name in DOCKERS:
        with contextlib.suppress(pytest.skip.Exception):
            engine = bare_engine(name)
            assert isinstance(engine, Docker)
            return engine
    pytest.skip("no Docker")


@pytest.fixture(scope="session")
def base_tree(place: Path) -> Path:
    """What is in the image ``base``."""
    root = place / "base"
    root.mkdir()
    make_base(root)
    return root


@pytest.fixture(scope="session")
def base_tar(place: Path, base_tree: Path) -> Path:
    tar = place / "base.tar"
    pack(base_tree, tar)
    return tar


@pytest.fixture(scope="session")
def debian_root(place: Path) -> Path:
    """A Debian with apt."""
    root = place / "debian"
    root.mkdir()
    make_builder(root)
    return root


@pytest.fixture(scope="session")
def debian_tar(place: Path, debian_root: Path) -> Path:
    """The same, for building the image in."""
    tar = place / "debian.tar"
    pack(debian_root, tar)
    return tar


@pytest.fixture(scope="session")
def debian_pair(place: Path, debian_root: Path) -> tuple[Path, Path]:
    """The same as it was and after packages came, went and were upgraded."""
    changed = place / "debian-changed"
    change_debian(debian_root, changed)
    return debian_root, changed


def copy_sources(context: Path) -> None:
    """What the image is built from: the working tree's files, not the ones that are committed."""
    context.mkdir(parents=True)
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, context)


@pytest.fixture(scope="session")
def runner_archive(place: Path, oldest_docker: Docker, request: pytest.FixtureRequest) -> Path:
    """The image, built from the working tree."""
    if PREBUILT is not None:
        return Path(PREBUILT)
    engine = oldest_docker
    engine.import_tree("debian", request.getfixturevalue("debian_tar"))
    context, archive = place / "context", place / "differ.tar"
    copy_sources(context)
    dockerfile = (context / "container" / "Dockerfile").read_text()
    # With a network: it installs a compiler.
    engine.build(dockerfile, context, tag="differ", args={"BASE": "debian"}, network="host")
    shutil.rmtree(context)
    engine.save("differ", archive)
    return archive


@pytest.fixture(scope="session")
def ready_engine(bare_engine: Named, base_tar: Path, runner_archive: Path) -> Named:
    """An engine by its name, which has the images ``differ`` and ``base``."""
    ready = set()

    def get(name: str) -> Engine:
        engine = bare_engine(name)
        if name not in ready:
            engine.load("differ", runner_archive)
            engine.import_tree("base", base_tar)
            ready.add(name)
        return engine

    return get


@pytest.fixture(scope="session", params=ENGINES)
def engine(ready_engine: Named, request: pytest.FixtureRequest) -> Engine:
    """Each engine."""
    return ready_engine(request.param)


@pytest.fixture(scope="session", params=DOCKERS)
def docker(ready_engine: Named, request: pytest.FixtureRequest) -> Docker:
    """Each engine with a daemon."""
    found = ready_engine(request.param)
    assert isinstance(found, Docker)
    return found
