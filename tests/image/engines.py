"""Container engines of this machine, each with a place of its own, behind one interface.

Nothing of the machine's own engines is used but their programs: no store, no socket, no network, no
configuration.  Nothing is pulled; every image is made here or loaded from a file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from ..command import REPOSITORY

UNPACKED = Path(os.environ.get("DIFFER_ENGINES") or REPOSITORY / ".venv" / "engines")
"""Where install-engines.sh has put the engines that are not installed."""

BUILDX = UNPACKED / "docker26" / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx"
CLIENT = "/usr/bin/docker"  # by its path: another one may come first in PATH
LONGEST = 300  # seconds for one command; the longest installs a compiler
TO_START = 60


class EngineError(Exception):
    """A command that failed, with what it said."""


class MissingError(Exception):
    """An engine that is not on this machine, and why."""


def call(
    *words: str | Path, text: str = "", env: dict[str, str] | None = None, stdin: IO[bytes] | None = None
) -> str:
    """Run a command that must succeed; what it said on both streams.

    ``stdin``: a file to read in the place of ``text``.
    """
    done = subprocess.run(
        words,
        **({"input": text} if stdin is None else {"stdin": stdin}),
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LONGEST,
        check=False,
    )
    if done.returncode:
        command = " ".join(map(str, words))
        raise EngineError(f"{command}: status {done.returncode}\n{done.stdout[-6000:]}\n{text}")
    return done.stdout


class Engine:
    """One engine.

    ``name``: how tests call it.
    ``place``: a directory for everything it writes.
    """

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.place = place
        self._empty = place / "empty"
        self._empty.mkdir()

    def import_tree(self, tag: str, tar: Path) -> None:
        """Make an image with one layer of a tar of a tree."""
        raise NotImplementedError

    def load(self, tag: str, archive: Path) -> None:
        """Take an image from what ``docker save`` wrote."""
        raise NotImplementedError

    def save(self, tag: str, archive: Path) -> None:
        """Write an image as ``docker save`` does."""
        raise NotImplementedError

    def build(
        self,
        dockerfile: str,
        context: Path | None = None,
        *,
        tag: str | None = None,
        target: str | None = None,
        output: str | None = None,
        args: dict[str, str] | None = None,
        no_cache: bool = False,
        network: str = "none",
        platform: str | None = None,
        contexts: dict[str, str] | None = None,
        more: tuple[str, ...] = (),
    ) -> str:
        """Build a Dockerfile; the log.

        ``output``: as for ``--output``.  ``contexts``: for ``--build-context``.  ``more``: further options.
        The rest is named as the options are.
        """
        words: list[str | Path] = [*self._build_words(network, bool(contexts)), "-f", "-"]
        for name, value in (contexts or {}).items():
            words += ["--build-context", f"{name}={value}"]
        words += more
        if tag is not None:
            words += ["-t", tag]
        if target is not None:
            words += ["--target", target]
        if output is not None:
            words += ["--output", output]
        if platform is not None:
            words += ["--platform", platform]
        for name, value in (args or {}).items():
            words += ["--build-arg", f"{name}={value}"]
        if no_cache:
            words.append("--no-cache")
        return call(*words, context or self._empty, text=dockerfile, env=self._env())

    def _build_words(self, network: str, contexts: bool) -> list[str | Path]:
        raise NotImplementedError

    def _env(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        """Stop what runs; the place is removed by whoever made it."""


class Docker(Engine):
    """A daemon of its own.

    ``program``: dockerd.
    ``features``: of its configuration.
    """

    def __init__(self, name: str, place: Path, program: Path, features: dict[str, bool]) -> None:
        super().__init__(name, place)
        self._socket = place / "s"
        plugins = place / "client" / "cli-plugins"
        plugins.mkdir(parents=True)
        if BUILDX.exists():
            (plugins / BUILDX.name).symlink_to(BUILDX)
        self._log = place / "log"
        config = place / "daemon.json"
        config.write_text(json.dumps({"features": features}))
        words: list[str | Path] = [
            *("setpriv", "--pdeathsig", "TERM"),  # it does not outlive us, even if we are killed
            program,
            *("--config-file", config),
            *("--data-root", place / "data"),
            *("--exec-root", place / "exec"),
            *("--pidfile", place / "pid"),
            *("--host", f"unix://{self._socket}"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
        ]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C is for us, who stop it in order.
            self._daemon = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + TO_START
        while True:
            try:
                self.docker("version")
                return
            except EngineError as error:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    log = self._log.read_text(errors="replace")
                    raise EngineError(f"{self.name} did not start: {error}\n{log}") from error
            time.sleep(0.1)

    def docker(self, *words: str | Path, stdin: IO[bytes] | None = None) -> str:
        """Run a command of the client that must succeed; what it said."""
        return call(CLIENT, *words, env=self._env(), stdin=stdin)

    def import_tree(self, tag: str, tar: Path) -> None:
        self.docker("import", tar, tag)

    def load(self, tag: str, archive: Path) -> None:
        assert tag in self.docker("load", "-i", archive)

    def save(self, tag: str, archive: Path) -> None:
        self.docker("save", "-o", archive, tag)

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        """``docker run`` without a network, to the end; its status and what it wrote on its streams."""
        done = subprocess.run(
            [CLIENT, "run", "--network", "none", *words],
            env={**os.environ, **self._env()},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def _build_words(self, network: str, contexts: bool) -> list[str | Path]:
        # The client of 20.10 needs its plugin for named contexts.
        build = ("buildx", "build") if contexts else ("build",)
        return [CLIENT, *build, "--progress=plain", "--pull=false", f"--network={network}"]

    def _env(self) -> dict[str, str]:
        return {
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.place / "client"),
        }

    def close(self) -> None:
        """Stop the daemon, and whatever it leaves."""
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()


class Buildah(Engine):
    """buildah, which has no daemon."""

    def __init__(self, name: str, place: Path, program: Path) -> None:
        super().__init__(name, place)
        self._program = program

    def _words(self) -> list[str | Path]:
        store = ("--root", self.place / "data", "--runroot", self.place / "run")
        return [self._program, *store, "--storage-driver", "overlay"]

    def import_tree(self, tag: str, tar: Path) -> None:
        context = self.place / "context"
        context.mkdir()
        shutil.copyfile(tar, context / "layer.tar")
        self.build("FROM scratch\nADD layer.tar /\n", context, tag=tag)
        shutil.rmtree(context)

    def load(self, tag: str, archive: Path) -> None:
        words = ("pull", "--quiet", f"docker-archive:{archive}")
        *_, image = call(*self._words(), *words, env=self._env()).split()
        call(*self._words(), "tag", image, f"localhost/{tag}", env=self._env())

    def save(self, tag: str, archive: Path) -> None:
        words = ("push", "--quiet", f"localhost/{tag}", f"docker-archive:{archive}:{tag}")
        call(*self._words(), *words, env=self._env())

    def _build_words(self, network: str, contexts: bool) -> list[str | Path]:
        # This isolation has the host's network or none at all; layers are not kept, because the keys of
        # that cache do not know what is behind a mount.
        isolation = ("--isolation", "chroot", "--network", "host", "--pull-never", "--layers=false")
        return [*self._words(), "bud", *isolation]

    def _env(self) -> dict[str, str]:
        return {"TMPDIR": str(self.place), "BUILDAH_RUNTIME": "runc"}


def _docker(program: Path, version: str, **features: bool) -> Callable[[str, Path], Engine]:
    def make(name: str, place: Path) -> Engine:
        if not program.exists():
            raise MissingError(f"{name} needs {program}: tests/image/install-engines.sh {UNPACKED}")
        if f"version {version}." not in call(program, "--version"):
            raise MissingError(f"{name} needs Docker {version}, {program} is another")
        return Docker(name, place, program, features)

    return make


def _buildah(name: str, place: Path) -> Engine:
    program = Path("/usr/bin/buildah")
    if not program.exists():
        raise MissingError(f"{name} needs {program}: tests/image/install-engines.sh {UNPACKED}")
    return Buildah(name, place, program)


_INSTALLED = Path("/usr/sbin/dockerd")
_UNPACKED_26 = UNPACKED / "docker26" / "usr" / "sbin" / "dockerd"
_DOCKER_26 = _UNPACKED_26 if _UNPACKED_26.exists() else _INSTALLED

_KINDS: dict[str, Callable[[str, Path], Engine]] = {
    # BuildKit without DiffOp and without named contexts
    "docker20": _docker(_INSTALLED, "20.10"),
    # BuildKit whose DiffOp is switched off, and the same with it
    "docker26-graph": _docker(_DOCKER_26, "26.1", **{"containerd-snapshotter": False}),
    "docker26-containerd": _docker(_DOCKER_26, "26.1", **{"containerd-snapshotter": True}),
    "buildah": _buildah,
}
ENGINES = tuple(_KINDS)
DOCKERS = ENGINES[:3]


def started(name: str) -> Iterator[Engine]:
    """An engine that runs until the iterator is closed, and leaves nothing; raises :class:`MissingError`.

    For ``contextlib.contextmanager``.
    """
    # A socket's path may have 108 bytes, so not below pytest's directory.
    place = Path(tempfile.mkdtemp(prefix="differ-engine-"))
    try:
        engine = _KINDS[name](name, place)
        try:
            yield engine
        finally:
            engine.close()
    finally:
        _end_processes(place)
        _unmount(place)
        shutil.rmtree(place)


def _end_processes(place: Path) -> None:
    """End what an engine has started and left: nothing else has this new directory in its arguments."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if os.fsencode(place) in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended meanwhile


def _unmount(place: Path) -> None:
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if point.startswith(f"{place}/"):
            points.append(point)
    for point in reversed(points):
        subprocess.run(["umount", "--lazy", point], check=False)
