"""How mounts are told, what stands in them, and which part of them is compared."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from .editor import Editor
from .overlays import MS_BIND, Scene, changing, libc, mount, mount_copy, path_of
from .prune_cases import base, bases, content, fill
from .prune_counterexamples import case, swap, three, touch_p
from .trees import T_LOWER

METACOPY, REDIRECT, OPAQUE = (f"trusted.overlay.{name}" for name in ("metacopy", "redirect", "opaque"))


# ---------------------------------------------------------------- options that differ
def hidden(s: Scene, namespace: str) -> list[Editor]:
    """Layers of which one has, below a directory that nothing touches, an opaque directory."""
    lowers = bases(s)
    layer = s.layer("layer")
    layer.dirs("still", "still/deep")
    layer.file("still/deep/over", "over")
    layer.meta("still/deep", xattrs={f"{namespace}.overlay.opaque": b"y"})
    layer.settle(T_LOWER)
    return [layer, *lowers]


@case(False)
def attributes_of_another_name_in_upper(s: Scene) -> None:
    lowers = hidden(s, "trusted")
    top = s.changed("top", lowers, touch_p, "userxattr")
    s.show(s.overlay("lower", lowers), s.overlay("upper", lowers, top, "userxattr"))


@case(False)
def attributes_of_another_name_in_lower(s: Scene) -> None:
    lowers = hidden(s, "user")
    top = s.changed("top", lowers, touch_p)
    s.show(s.overlay("lower", lowers, options="userxattr"), s.overlay("upper", [top, *lowers]))


def redirected(s: Scene) -> list[Editor]:
    """Layers of which one has, in a directory that nothing touches, one that was moved."""
    bottom = base(s)
    return [
        s.changed("layer", [bottom], lambda t: t.mv("still/deep", "still/moved"), "redirect_dir=on"),
        bottom,
    ]


@case(False, fails=True)
def redirects_that_one_side_follows(s: Scene) -> None:
    lowers = redirected(s)
    top = s.changed("top", lowers, touch_p)
    s.show(s.overlay("lower", lowers), s.overlay("upper", lowers, top, "redirect_dir=nofollow"))


@case(False, fails=True)
def redirects_that_lower_does_not_follow(s: Scene) -> None:
    lowers = redirected(s)
    top = s.changed("top", lowers, touch_p)
    s.show(s.overlay("lower", lowers, options="redirect_dir=nofollow"), s.overlay("upper", lowers, top))


@case(False, fails=True)
def file_facts_that_one_side_does_not_look_for(s: Scene) -> None:
    bottom = base(s)
    layer = s.changed("layer", [bottom], lambda t: t.meta("still/f", mode=0o600), "metacopy=on")
    layer.dirs("other", "other/d")
    os.rename(layer.p("still/f"), layer.p("other/d/f"))  # a file of facts only, in a directory of one layer
    layer.meta("other/d/f", xattrs={REDIRECT: b"/still/f"})
    layer.settle(T_LOWER)
    lowers = [layer, bottom]
    top = s.changed("top", lowers, touch_p, "metacopy=on")
    s.show(s.overlay("lower", lowers), s.overlay("upper", lowers, top, "metacopy=on,redirect_dir=on"))


@case(False)
def other_bytes_below_the_same_facts(s: Scene) -> None:
    """Layers of data alone are told after ``::`` and hold what files of facts refer to."""
    layer, lefts, rights, top = (s.layer(name) for name in ("layer", "left", "right", "top"))
    layer.dirs("p", "p/d")
    layer.file("p/d/f")
    os.truncate(layer.p("p/d/f"), 4)
    layer.meta("p/d/f", xattrs={METACOPY: b"", REDIRECT: b"/data"})
    lefts.file("data", "left")
    rights.file("data", "rest")
    for each in (layer, lefts, rights):
        each.settle(T_LOWER)
    sides = [f"{path_of(layer)}::{path_of(data)}" for data in (lefts, rights)]
    options = "metacopy=on,redirect_dir=on"
    s.show(s.overlay("lower", [sides[0]], options=options), s.overlay("upper", [sides[1]], top, options))


@case(None)
def the_same_data_layer(s: Scene) -> None:
    layer, data, top = (s.layer(name) for name in ("layer", "data", "top"))
    layer.dirs("p", "p/d")
    layer.file("p/d/f")
    os.truncate(layer.p("p/d/f"), 4)
    layer.meta("p/d/f", xattrs={METACOPY: b"", REDIRECT: b"/data"})
    data.file("data", "data")
    told = [f"{path_of(layer)}::{path_of(data)}"]
    options = "metacopy=on,redirect_dir=on"
    upper = s.overlay("upper", told, top, options)
    changing(upper, lambda t: t.meta("p/d/f", mode=0o600))
    s.show(s.overlay("lower", told, options=options), upper)


# ---------------------------------------------------------------- how layers are named
def told(name: Path) -> str:
    """A path in an overlay mount's options."""
    text = str(name)
    for special in "\\,:":
        text = text.replace(special, "\\" + special)
    return text


@case(False)
def a_name_that_reads_like_two_layers(s: Scene) -> None:
    top, shared, left, right = three(s)
    odd = Path(f"{s.home}/w:{path_of(shared)}:{path_of(left)}")
    odd.parent.mkdir(parents=True)
    os.rename(path_of(right), odd)
    s.show(
        s.overlay("lower", [shared, left]),
        s.overlay("upper", [told(path_of(top)), told(path_of(shared)), told(odd)]),
    )


@case(False)
def a_name_that_reads_like_an_option(s: Scene) -> None:
    top, shared, left, right = three(s)
    odd = Path(f"{s.home}/w,lowerdir={path_of(top)}:{path_of(shared)}:{path_of(left)}")
    odd.parent.mkdir(parents=True)
    os.rename(path_of(right), odd)
    s.show(
        s.overlay("lower", [shared, left]),
        s.overlay("upper", [told(path_of(top)), told(path_of(shared)), told(odd)]),
    )


@case(True)
def names_with_every_character(s: Scene) -> None:
    names = [s.home / name for name in ("sp ace", "co:lon", "com,ma", "back\\slash", "new\nline", "é\\040#")]
    layers = [s.layer(name.name) for name in names]
    fill(layers[-1])
    touch_p(Editor(layers[-1].root))
    for number, layer in enumerate(layers):
        layer.file(f"f{number}", "f")
        layer.settle(T_LOWER)
    words = [told(name) for name in names]
    s.show(s.overlay("lo wer:1", words[1:]), s.overlay("up\\per,\n", words))


@case(True)
def many_layers(s: Scene) -> None:
    lowers = bases(s)
    for number in range(6):
        act = touch_p if number % 2 else (lambda t: t.file("more/d/f", "other", mode=None))
        lowers.insert(0, s.changed(f"layer{number}", lowers, act))
    s.show(s.overlay("lower", lowers[3:]), s.overlay("upper", lowers))


@case(None)
def paths_from_where_the_mounter_stood(s: Scene) -> None:
    """Docker's with many layers: names are relative to a directory that nothing tells of."""
    sides = []
    for side in ("one", "two"):
        room = s.home / side
        lowers = [s.layer("l/B", room), s.layer("l/A", room)]
        fill(lowers[1])
        lowers[0].dir("more")
        if side == "two":
            touch_p(lowers[1])
        for layer in lowers:
            layer.settle(T_LOWER)
        sides.append(room)
    (sides[1] / "top").mkdir()
    (sides[1] / "work").mkdir()
    s.show(
        s.overlay("lower", ["l/B", "l/A"], cwd=sides[0]),
        s.overlay("upper", ["l/B", "l/A"], options="upperdir=top,workdir=work", cwd=sides[1]),
    )


@case(False, "ext4")
def paths_from_where_the_mounter_stood_on_a_copy(s: Scene) -> None:
    """The same with a disk and its copy, which is then written to in place."""
    first = s.fresh("ext4")
    for name in ("l/A", "l/B", "top", "work"):
        (first / name).mkdir(parents=True)
    fill(Editor(first / "l/A"))
    Editor(first / "l/B").dir("more")
    second = mount_copy(s, first)
    with open(second / "l/A/p/d/f", "r+b") as file:
        file.write(b"P")
    Editor(second / "l").settle(T_LOWER)
    s.show(
        s.overlay("lower", ["l/B", "l/A"], cwd=first),
        s.overlay("upper", ["l/B", "l/A"], options="upperdir=top,workdir=work", cwd=second),
    )


FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT = 430, 431, 432, 429


@case(True)
def mounted_by_the_newer_calls(s: Scene) -> None:
    """fsconfig(2) takes layers one by one, and no source."""
    lowers = bases(s)
    top = s.changed("top", lowers, content)
    sides = []
    for name, layers in (("lower", lowers), ("upper", [top, *lowers])):
        where = s.home / name
        where.mkdir()
        fd = call(FSOPEN, b"overlay", 0)
        for layer in layers:
            call(FSCONFIG, fd, 1, b"lowerdir+", layer.root, 0)
        call(FSCONFIG, fd, 6, None, None, 0)
        mounted = call(FSMOUNT, fd, 0, 0)
        call(MOVE_MOUNT, mounted, b"", -100, os.fsencode(where), 4)
        s.unmount_later(where)
        os.close(fd)
        os.close(mounted)
        sides.append(where)
    s.show(sides[0], sides[1])


def call(number: int, *words: bytes | int | None) -> int:
    done = libc.syscall(ctypes.c_long(number), *words)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(done)


# ---------------------------------------------------------------- which part of the mounts
def pair(s: Scene, act: object = None) -> tuple[Editor, Editor]:
    lowers = bases(s)
    top = s.changed("top", lowers, swap if act is None else touch_p, "redirect_dir=on")
    return s.overlay("lower", lowers), s.overlay("upper", lowers, top, "redirect_dir=on")


@case(True)
def the_same_part(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.show(lower, upper, "p")


@case(None)
def the_same_part_where_another_was_moved_to(s: Scene) -> None:
    s.show(*pair(s), "p")


@case(None)
def parts_of_two_names(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.show(path_of(lower) / "p", path_of(upper) / "q")


@case(None)
def parts_of_two_names_that_are_one(s: Scene) -> None:
    lower, upper = pair(s)
    s.show(path_of(lower) / "p", path_of(upper) / "q")


@case(None)
def two_parts_of_one_mount(s: Scene) -> None:
    _, upper = pair(s)
    s.show(path_of(upper) / "p", path_of(upper) / "q")


@case(None)
def a_part_of_lower(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.show(path_of(lower) / "p", upper)


@case(True)
def a_part_by_a_bind_mount(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.show(s.bind(path_of(lower) / "p", s.home / "part"), path_of(upper) / "p")


@case(None)
def another_part_by_a_bind_mount(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.show(s.bind(path_of(lower) / "p", s.home / "a"), s.bind(path_of(upper) / "q", s.home / "b"))


@case(None)
def another_part_of_the_layer(s: Scene) -> None:
    bottom = base(s)
    top = s.changed("top", [bottom], swap, "redirect_dir=on")
    s.show(
        s.bind(path_of(bottom) / "p", s.home / "part"),
        path_of(s.overlay("upper", [bottom], top, "redirect_dir=on")) / "q",
    )


@case(True)
def by_a_symbolic_link(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    for name, side in (("to-lower", lower), ("to-upper", upper)):
        (s.home / name).symlink_to(os.path.relpath(path_of(side) / "p", s.home))
    s.show(s.home / "to-lower", s.home / "to-upper")


# ---------------------------------------------------------------- what is mounted in and on them
@case(None)
def a_file_system_in_upper(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.tmpfs(path_of(upper) / "still/deep/er").file("new", "new")
    s.show(lower, upper)


@case(None)
def a_file_system_in_lower(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.tmpfs(path_of(lower) / "still/deep/er").file("new", "new")
    s.show(lower, upper)


@case(None)
def a_file_system_in_both(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    for side in (lower, upper):
        mounted = s.tmpfs(path_of(side) / "still/deep")
        mounted.dirs("er", "more")
        mounted.file("er/f", os.path.basename(side.root))
        mounted.settle(T_LOWER)
    s.show(lower, upper)


@case(None, judged=False)
def a_directory_of_upper_in_upper(s: Scene) -> None:
    """The one shown at a second place has the mount's own device, and may be untouched itself."""
    lower, upper = pair(s, touch_p)
    s.bind(path_of(upper) / "links", path_of(upper) / "still/deep/er")
    s.show(lower, upper)


@case(None, judged=False)
def a_directory_of_lower_in_lower_by_a_part(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.bind(path_of(lower) / "links/y", path_of(lower) / "still/deep/er")
    s.show(lower, upper, "still")


@case(None)
def a_file_in_upper(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    other = s.layer("other")
    other.file("f", "other")
    s.bind(path_of(other) / "f", path_of(upper) / "still/deep/er/f")
    s.show(lower, upper)


@case(None, judged=False)
def a_file_of_lower_in_lower(s: Scene) -> None:
    lower, upper = pair(s, touch_p)
    s.bind(path_of(lower) / "f", path_of(lower) / "still/f")
    s.show(lower, upper)


@case(None)
def a_file_system_in_the_layer(s: Scene) -> None:
    """LOWER is the layer itself, with something mounted in it that overlayfs does not show."""
    bottom = base(s)
    top = s.changed("top", [bottom], touch_p)
    upper = s.overlay("upper", [bottom], top)
    s.tmpfs(path_of(bottom) / "still/deep/er").file("new", "new")
    s.show(bottom, upper)


@case(False)
def a_mount_over_the_mount(s: Scene) -> None:
    """Two mounts have one mount point, and the one that shows is not the first in the list."""
    top, shared, left, right = three(s)
    s.overlay("upper", [top, shared, left])
    s.show(s.overlay("lower", [shared, left]), s.overlay("upper", [top, shared, right]))


@case(True)
def a_mount_over_another(s: Scene) -> None:
    lowers = bases(s)
    mounted = s.home / "upper"
    mounted.mkdir()
    mount(path_of(lowers[1]), mounted, "none", MS_BIND)
    s.unmount_later(mounted)
    top = s.changed("top", lowers, touch_p)
    s.show(s.overlay("lower", lowers), s.overlay("upper", lowers, top))
