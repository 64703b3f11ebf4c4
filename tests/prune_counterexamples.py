"""Mounts that look as if one stood on the other, or as if a directory were the same, and are not so.

Each is made to refute a proof that forgets one thing.  Next to them stand mounts that only look odd.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from .editor import Editor
from .overlays import Scene, mount_copy, path_of, run, write_raw
from .prune_cases import base, bases, fill
from .trees import T_LOWER

EVERY = ("ext4", "xfs", "btrfs", "tmpfs")


class Case(NamedTuple):
    """``proven``: whether anything may be proven untouched; None where that is a matter of taste."""

    name: str
    make: Callable[[Scene], None]
    proven: bool | None
    kinds: tuple[str, ...]
    fails: bool
    judged: bool


CASES: list[Case] = []
Make = Callable[[Scene], None]


def case(
    proven: bool | None, *kinds: str, fails: bool = False, judged: bool = True
) -> Callable[[Make], Make]:
    """``kinds``: the file systems that it can be made on; the first is enough in a quick run.
    ``fails``: the kernel shows nothing where it is asked, and neither may a comparison.
    ``judged``: whether what is right follows from the trees as they look; not where a mount shows an inode
    twice that has one name.
    """

    def add(make: Make) -> Make:
        CASES.append(Case(make.__name__, make, proven, kinds or EVERY, fails, judged))
        return make

    return add


def touch_p(t: Editor) -> None:
    t.file("p/d/e/f", "P", mode=None)


def swap(t: Editor) -> None:
    t.swap("p", "q")


def alike(*places: bytes) -> None:
    """A directory d in each of the places: no fact tells them apart, and each has another file in it."""
    ns = T_LOWER[0] * 10**9
    for number in range(200):
        for place in places:
            os.mkdir(place + b"/d")
        for letter, place in zip("abcd", places):
            write_raw(os.fsdecode(place + b"/d/f"), letter.encode())
        for place in places:
            os.utime(place + b"/d", ns=(ns, ns))
        if len({os.lstat(place + b"/d").st_ctime_ns for place in places}) == 1:
            break
        for place in places:
            shutil.rmtree(place + b"/d")
        time.sleep(0.001 * (number % 5))
    else:
        raise AssertionError("a machine too slow for two directories in one tick of its clock")
    for place in places:
        os.utime(place + b"/d/f", ns=(ns, ns))


def alike_on_disks(*layers: Editor) -> None:
    """The same with a disk for each, and with one inode number."""
    for layer in layers:
        layer.dir("p")
        layer.settle(T_LOWER)
    alike(*(layer.p("p") for layer in layers))
    assert len({os.lstat(layer.p("p/d")).st_ino for layer in layers}) == 1


# ---------------------------------------------------------------- layers on different file systems
def two_alike(layer: Editor) -> None:
    """p/d and q/d."""
    layer.dirs("p", "q")
    layer.settle(T_LOWER)
    alike(layer.p("p"), layer.p("q"))


def other(s: Scene) -> str:
    return "ext4" if s.kind == "tmpfs" else "tmpfs"


@case(False)
def numbers_of_the_mount(s: Scene) -> None:
    """Layers on two file systems: inode numbers of directories count lookups, and p and q swapped."""
    options = "xino=off,redirect_dir=on"
    lowers = [s.layer("second", s.room(kind=other(s))), s.layer("first")]
    two_alike(lowers[1])
    lowers[0].dir("more")
    top = s.changed("top", lowers, swap, options)
    s.show(s.overlay("lower", lowers, options="xino=off"), s.overlay("upper", lowers, top, options))


@case(False)
def numbers_of_a_view(s: Scene) -> None:
    options = "xino=off,redirect_dir=on"
    lowers = [s.layer("second", s.room(kind=other(s))), s.layer("first")]
    two_alike(lowers[1])
    lowers[0].dir("more")
    top = s.changed("top", lowers, swap, options)
    s.show(
        s.overlay("lower", lowers, options="xino=off"),
        s.overlay("upper", [top, *lowers], options="xino=off"),
    )


@case(False, "tmpfs", "ext4")
def numbers_of_a_disk_and_of_the_mount(s: Scene) -> None:
    """LOWER is a fresh disk, whose inode numbers are as small as those that count UPPER's lookups."""
    first = Editor(s.fresh())
    if s.kind == "ext4":
        first.rm("lost+found")
    two_alike(first)
    options = "xino=off,redirect_dir=on"
    top = s.changed("top", [first], swap, options, s.room(kind=other(s)))
    s.show(s.bind(path_of(first), s.home / "lower"), s.overlay("upper", [first], top, options))


@case(False, "tmpfs", "ext4", "xfs")
def numbers_of_two_disks(s: Scene) -> None:
    """xino=on puts a file system's number into an inode's; which it has depends on the mount.

    Directories and files have one device then, as on one file system.
    """
    layers = [Editor(s.fresh()) for _ in range(3)]
    alike_on_disks(*layers)
    s.show(s.overlay("lower", layers[1:], options="xino=on"), s.overlay("upper", layers, options="xino=on"))


@case(False, "tmpfs", "ext4", "xfs")
def numbers_of_two_disks_with_an_upper_directory(s: Scene) -> None:
    """The upper directory's file system has the number 0, which leaves inode numbers as they are."""
    layers = [Editor(s.fresh() / "layer") for _ in range(2)]
    for layer in layers:
        os.mkdir(layer.root)
    alike_on_disks(*layers)
    bottom = s.layer("bottom", path_of(layers[1]).parent)
    bottom.dirs("p", "p/d")
    s.show(
        s.overlay("lower", [layers[1], bottom]),
        s.overlay("upper", [layers[1], bottom], layers[0], "xino=on"),
    )


@case(False, "ext4")
def a_copy_of_the_disk(s: Scene) -> None:
    """A layer store copied block by block: every fact the same, and then a file is written in place."""
    copied(s, "xino=off")


@case(False, "ext4")
def a_copy_of_the_disk_with_its_number(s: Scene) -> None:
    copied(s, "xino=on")


def copied(s: Scene, options: str) -> None:
    first, second = Editor(s.fresh("ext4")), s.layer("second")
    fill(first)
    fill(second)
    copy = Editor(mount_copy(s, path_of(first)))
    rewrite(copy)
    s.show(
        s.overlay("lower", [first, second], options=options),
        s.overlay("upper", [copy, first, second], options=options),
    )


def rewrite(t: Editor) -> None:
    """Other bytes in a file, and no trace in its directory."""
    with open(t.p("p/d/f"), "r+b") as file:
        file.write(b"P")
    t.settle(T_LOWER)


@case(None, "btrfs")
def a_snapshot_of_the_layer(s: Scene) -> None:
    """Subvolumes are one file system to overlayfs, and a snapshot has the inode numbers of its origin.

    A file written in place leaves its directory as it is: nothing but the bytes tells them apart.
    """
    snapshot, first, second = subvolumes(s)
    s.show(s.overlay("lower", [first, second]), s.overlay("upper", [snapshot, first, second]))


@case(None, "btrfs")
def a_snapshot_as_the_upper_directory(s: Scene) -> None:
    snapshot, first, second = subvolumes(s)
    s.show(s.overlay("lower", [first, second]), s.overlay("upper", [first, second], snapshot))


@case(None, "btrfs")
def a_snapshot_over_its_origin(s: Scene) -> None:
    """LOWER is the layer itself."""
    snapshot, first, _ = subvolumes(s)
    s.show(first, s.overlay("upper", [snapshot, first]))


def subvolumes(s: Scene) -> tuple[Editor, Editor, Editor]:
    first, snapshot = s.home / "first", s.home / "snapshot"
    run("btrfs", "subvolume", "create", first)
    s.tasks.callback(run, "btrfs", "subvolume", "delete", first)
    fill(Editor(first))
    run("btrfs", "subvolume", "snapshot", first, snapshot)
    s.tasks.callback(run, "btrfs", "subvolume", "delete", snapshot)
    rewrite(Editor(snapshot))
    s.layers += [first, snapshot]
    return Editor(snapshot), Editor(first), base(s, "second")


# ---------------------------------------------------------------- the clock
@case(None)
def changed_in_one_tick(s: Scene) -> None:
    """Directories changed through the mount as soon after they were made as can be."""
    lower, top = s.layer("base"), s.layer("top")
    lower.dir("still")
    lower.dir("still/f")
    names = [f"d{number}" for number in range(30)]
    upper = None
    for name in names:
        os.mkdir(lower.p(name))
        os.mkdir(lower.p(f"{name}/a"))
        if upper is None:
            upper = s.overlay("upper", [lower], top)
    for name in names:
        os.mkdir(upper.p(f"{name}/b")) if upper is not None else None
        os.rmdir(upper.p(f"{name}/a")) if upper is not None else None
    s.show(s.bind(path_of(lower), s.home / "lower"), upper or top)


@case(True)
def made_and_changed_at_once(s: Scene) -> None:
    """The same with the whole of it between two mounts: layer, mount, change."""
    bottom = base(s)
    layers = [s.layer("second"), bottom]
    second, top = layers[0], s.layer("top")
    for number in range(20):
        os.mkdir(second.p(f"d{number}"))
        write_raw(os.fsdecode(second.p(f"d{number}/f")), b"1")
    upper = s.overlay("upper", layers, top)
    for number in range(20):
        write_raw(os.fsdecode(upper.p(f"d{number}/g")), b"2")
        os.rename(upper.p(f"d{number}/g"), upper.p(f"d{number}/f"))
    s.show(s.overlay("lower", layers), upper)


# ---------------------------------------------------------------- stacks that are not one on the other
def three(s: Scene) -> tuple[Editor, Editor, Editor, Editor]:
    """A topmost layer without p, one with p, and two that go below it."""
    top, shared, left, right = (s.layer(name) for name in ("top", "shared", "left", "right"))
    top.file("new", "new")
    shared.dirs("p", "p/d")
    shared.file("p/d/f", "shared")
    for layer, name in ((left, "left"), (right, "right")):
        layer.dirs("p", "p/d")
        layer.file(f"p/d/{name}", name)
        layer.file("p/d/g", name)
    for layer in (top, shared, left, right):
        layer.settle(T_LOWER)
    return top, shared, left, right


@case(False)
def another_bottom(s: Scene) -> None:
    top, shared, left, right = three(s)
    s.show(s.overlay("lower", [shared, left]), s.overlay("upper", [top, shared, right]))


@case(False)
def a_layer_between(s: Scene) -> None:
    top, shared, left, right = three(s)
    s.show(s.overlay("lower", [shared, left]), s.overlay("upper", [top, shared, right, left]))


@case(False)
def a_layer_below(s: Scene) -> None:
    top, shared, left, right = three(s)
    s.show(s.overlay("lower", [shared, left]), s.overlay("upper", [top, shared, left, right]))


@case(False)
def a_single_layer_that_is_not_the_last(s: Scene) -> None:
    top, shared, left, _ = three(s)
    s.show(shared, s.overlay("upper", [top, shared, left]))


@case(False)
def fewer_layers(s: Scene) -> None:
    top, shared, left, right = three(s)
    s.show(s.overlay("lower", [top, shared, left, right]), s.overlay("upper", [top, shared, left]))


@case(None)
def upper_and_lower_exchanged(s: Scene) -> None:
    lowers = bases(s)
    top = s.changed("top", lowers, touch_p)
    s.show(s.overlay("lower", lowers, top), s.overlay("upper", lowers))


@case(None)
def one_mount_twice(s: Scene) -> None:
    lowers = bases(s)
    upper = s.overlay("upper", lowers, s.changed("top", lowers, touch_p))
    s.show(upper, upper)


@case(None)
def two_upper_directories_on_one_stack(s: Scene) -> None:
    lowers = bases(s)
    tops = [s.changed(name, lowers, act) for name, act in (("one", touch_p), ("two", swap))]
    s.show(s.overlay("lower", lowers, tops[0]), s.overlay("upper", lowers, tops[1]))


# ---------------------------------------------------------------- paths that lead elsewhere by now
@case(None)
def another_middle_layer(s: Scene) -> None:
    lowers = bases(s)
    middle, top, other = s.changed("between", lowers, touch_p), s.layer("above"), s.layer("other")
    top.file("new", "new")
    upper = s.overlay("upper", [top, middle, *lowers])
    s.bind(path_of(other), path_of(middle))
    s.show(s.overlay("lower", lowers), upper)


@case(None)
def another_middle_layer_over_a_bind_mount(s: Scene) -> None:
    lowest = base(s)
    middle, top, other = s.changed("between", [lowest], touch_p), s.layer("above"), s.layer("other")
    top.file("new", "new")
    upper = s.overlay("upper", [top, middle, lowest])
    s.bind(path_of(other), path_of(middle))
    s.show(s.bind(path_of(lowest), s.home / "lower"), upper)
