"""Overlay mounts of layers that a test makes, on disks of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .disks import disk
from .editor import Editor
from .trees import T_LOWER

libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MNT_DETACH = 0x1000, 2


def mount(source: object, where: object, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2): mount(8) reads commas its own way and takes longer than a comparison here."""
    words = (os.fsencode(str(word)) for word in (source, where, kind))
    if libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), data)


def unmount(where: object) -> None:
    """umount2(2); what a run has left open there is an error, and is not in the way of the next case."""
    if libc.umount2(os.fsencode(str(where)), 0):
        number = ctypes.get_errno()
        libc.umount2(os.fsencode(str(where)), MNT_DETACH)
        raise OSError(number, os.strerror(number), str(where))


class Disks:
    """File systems for layers, made when they are asked for and kept for all cases."""

    def __init__(self, place: Path, tasks: contextlib.ExitStack) -> None:
        self._place = place
        self._tasks = tasks
        self._made: dict[tuple[str, int], Path] = {}

    def get(self, kind: str, number: int = 1) -> Path:
        """The ``number``th disk of a kind."""
        if (kind, number) not in self._made:
            place = self._place / f"{kind}-{number}"
            place.mkdir()
            self._made[kind, number] = self._tasks.enter_context(disk(place, kind))
        return self._made[kind, number]

    def place(self, tasks: contextlib.ExitStack) -> Path:
        """An empty directory beside the disks."""
        path = tempfile.mkdtemp(dir=self._place)
        tasks.callback(shutil.rmtree, path)
        return Path(path)


class Scene:
    """Layers on one disk or several, their mounts, and which of these are LOWER and UPPER."""

    def __init__(self, disks: Disks, kind: str, tasks: contextlib.ExitStack) -> None:
        self.disks = disks
        self.kind = kind
        self.tasks = tasks
        self.home = self.room()
        self.layers: list[Path] = []
        self.lower = self.upper = self.home

    def room(self, number: int = 1, kind: str | None = None) -> Path:
        """An empty directory on a disk."""
        path = tempfile.mkdtemp(dir=self.disks.get(kind or self.kind, number))
        self.tasks.callback(shutil.rmtree, path)
        return Path(path)

    def fresh(self, kind: str | None = None) -> Path:
        """The root of a disk on which nothing was before."""
        place = self.disks.place(self.tasks)
        self.layers.append(self.tasks.enter_context(disk(place, kind or self.kind)))
        return self.layers[-1]

    def layer(self, name: str, room: Path | None = None) -> Editor:
        """An empty layer."""
        path = (room or self.home) / name
        path.mkdir(parents=True)
        self.layers.append(path)
        return Editor(path)

    def hide(self) -> None:
        """Cover the layers, as for a program in a container: their names lead to something else."""
        for path in self.layers:
            if path.is_dir() and not self.lower.resolve().is_relative_to(path):
                self.tmpfs(path)

    def overlay(
        self,
        name: str,
        lowers: Sequence[Editor | str],
        upper: Editor | None = None,
        options: str = "",
        cwd: Path | None = None,
    ) -> Editor:
        """A mount of layers, the topmost first; a string is a path as the mount is to be told it."""
        where = self.home / name
        where.mkdir(exist_ok=True)
        told = [layer if isinstance(layer, str) else os.fsdecode(layer.root) for layer in lowers]
        words = ["lowerdir=" + ":".join(told)]
        if upper is not None:
            work = os.fsdecode(upper.root) + ".work"
            os.makedirs(work, exist_ok=True)
            # What a volatile mount leaves to say that its upper directory may be torn.
            shutil.rmtree(work + "/work/incompat", ignore_errors=True)
            words += [f"upperdir={os.fsdecode(upper.root)}", f"workdir={work}"]
        with contextlib.chdir(cwd or self.home):
            mount("overlay", where, "overlay", 0, ",".join([*words, options] if options else words))
        self.unmount_later(where)
        return Editor(where)

    def unmount_later(self, where: Path) -> None:
        """Whatever is mounted there goes when the scene does."""
        self.tasks.callback(unmount, where)

    def bind(self, source: Path, where: Path) -> Path:
        """Show a directory or file at a second place, made if it is not there."""
        if not os.path.lexists(where):
            where.mkdir()
        mount(source, where, "none", MS_BIND)
        self.unmount_later(where)
        return where

    def tmpfs(self, where: Path) -> Editor:
        """An empty file system at ``where``."""
        mount("differ-test", where, "tmpfs")
        self.unmount_later(where)
        return Editor(where)

    def changed(
        self,
        name: str,
        lowers: Sequence[Editor],
        act: Callable[[Editor], None],
        options: str = "",
        room: Path | None = None,
    ) -> Editor:
        """A layer with what ``act`` does to a mount of the layers below it."""
        layer = self.layer(name, room)
        with contextlib.ExitStack() as tasks:
            held, self.tasks = self.tasks, tasks
            try:
                changing(self.overlay("changing", lowers, layer, options), act)
            finally:
                self.tasks = held
        return layer

    def show(self, lower: Editor | Path, upper: Editor | Path, below: str = "") -> None:
        """Say which are LOWER and UPPER."""
        self.lower, self.upper = (
            (Path(os.fsdecode(side.root)) if isinstance(side, Editor) else side) / below
            for side in (lower, upper)
        )


def path_of(layer: Editor) -> Path:
    return Path(os.fsdecode(layer.root))


def changing(t: Editor, act: Callable[[Editor], None]) -> None:
    """Change a tree, and leave no trace of it in any time that can be set."""
    act(t)
    t.settle(T_LOWER)


def look(root: Path) -> None:
    """Look every name up in byte order, as a comparison does: overlayfs numbers what it has no number
    for in this order."""
    for name in sorted(os.listdir(os.fsencode(root))):
        path = Path(os.fsdecode(os.path.join(os.fsencode(root), name)))
        with contextlib.suppress(OSError):  # what the kernel refuses, the comparison will meet
            os.lstat(path)
            if path.is_dir() and not path.is_symlink():
                look(path)


def write_raw(path: object, data: bytes) -> None:
    """A new file, written without a question for its facts, which would set a finer clock going."""
    fd = os.open(os.fsencode(str(path)), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, data)
    os.close(fd)


@contextlib.contextmanager
def scene(disks: Disks, kind: str) -> Iterator[Scene]:
    """A scene that is gone afterwards."""
    with contextlib.ExitStack() as tasks:
        here = os.getcwd()
        try:
            yield Scene(disks, kind, tasks)
        finally:
            os.chdir(here)  # a run that failed may have left it in a mount


def run(*words: object) -> None:
    """A program that must succeed."""
    subprocess.run([*map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def mount_copy(s: Scene, where: Path) -> Path:
    """A copy, block by block, of a fresh disk."""
    run("sync", "-f", where)
    place = s.disks.place(s.tasks)
    (image,) = where.parent.glob("*-image")
    shutil.copyfile(image, place / "image")
    (place / "disk").mkdir()
    run("mount", "-o", "loop", place / "image", place / "disk")
    s.tasks.callback(run, "umount", place / "disk")
    return place / "disk"
