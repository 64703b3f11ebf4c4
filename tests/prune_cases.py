"""What is changed in a stack of overlay layers, and how the stack is then seen.

A change is made through a mount of the stack and then seen in several forms (how LOWER and UPPER are
mounted).  Everything that a change has not reached may be proven untouched, and nothing that it has.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .editor import Editor
from .overlays import Scene, changing, look
from .trees import ACL_644, ACL_755, T_LOWER, A, Z


# ---------------------------------------------------------------- the tree
def fill(t: Editor) -> None:
    """Two directories that are alike but for what is in them, hard links, and much that stays."""
    t.dirs("still", "still/deep", "still/deep/er", "p", "p/stay", "p/d", "p/d/e", "q", "q/d", "q/d/e")
    for path in ("still/f", "still/deep/f", "still/deep/er/f", "p/stay/f"):
        t.file(path, "still")
    for side in ("p", "q"):
        t.file(f"{side}/d/f", side)
        t.file(f"{side}/d/e/f", side)
        t.symlink(f"{side}/d/s", side)
    t.fifo("still/deep/fifo")
    t.dirs("links", "links/x", "links/y", "links/z", "links/w")
    t.file("links/x/f", "linked")
    for path in ("links/x/g", "links/y/f", "links/z/f"):
        t.link("links/x/f", path)
    t.file("links/w/f", "apart")
    t.link("links/w/f", "links/w/g")
    t.dirs("gone", "gone/d", "again", "again/d", "old", "old/d")
    for path in ("gone/d/f", "again/d/f", "old/d/f", "f"):
        t.file(path, "first")
    t.settle(T_LOWER)


def middle(t: Editor) -> None:
    """What the second layer has: removed, made again, moved, added, with new facts."""
    t.rm("gone/d")
    t.rm("again")
    t.dirs("again", "again/d")
    t.file("again/d/g", "second")
    t.mv("old", "young")
    t.dirs("more", "more/d")
    t.file("more/d/f", "more")
    t.file("links/w/f", "again")
    t.meta("f", mode=0o600)


def base(s: Scene, name: str = "base", room: Path | None = None) -> Editor:
    """A layer with that tree."""
    layer = s.layer(name, room)
    fill(layer)
    return layer


def bases(s: Scene, options: str = "") -> list[Editor]:
    """Two layers, the upper one with something of everything that a layer can hold.

    ``options``: those of the mounts that will show them.
    """
    bottom = base(s, "bottom")
    redirects = "nofollow" not in options
    return [s.changed("middle", [bottom], middle, "redirect_dir=on" if redirects else ""), bottom]


# ---------------------------------------------------------------- what may be done to it
class Change(NamedTuple):
    """``act``: what is done.  ``options``: of every mount that has an upper directory.
    ``proven``: whether anything may be proven untouched; None where that is a matter of taste."""

    name: str
    act: Callable[[Editor], None]
    options: str
    proven: bool | None

    def view_options(self) -> str:
        """Those for a mount without an upper directory."""
        dropped = ("volatile", "index", "nfs_export")
        return ",".join(word for word in self.options.split(",") if not word.startswith(dropped))


CHANGES: list[Change] = []
Act = Callable[[Editor], None]


def change(options: str = "", proven: bool | None = True, name: str = "") -> Callable[[Act], Act]:
    def add(act: Act) -> Act:
        CHANGES.append(Change(name or act.__name__, act, options, proven))
        return act

    return add


@change()
def nothing(t: Editor) -> None:
    pass


@change("metacopy=on", name="content_metacopy")
@change("userxattr", name="content_userxattr")
@change("volatile", name="content_volatile")
@change("xino=on", proven=None, name="content_xino_on")
@change("xino=off", name="content_xino_off")
@change("xino=auto", proven=None, name="content_xino_auto")
@change()
def content(t: Editor) -> None:
    t.file("p/d/e/f", "P", mode=None)


@change()
def mapped(t: Editor) -> None:
    with open(t.p("p/d/e/f"), "r+b") as file, mmap.mmap(file.fileno(), 1) as pages:
        pages[0] = ord("P")


@change()
def appended_and_cut(t: Editor) -> None:
    with open(t.p("p/d/f"), "ab") as file:
        file.write(b"more")
    os.truncate(t.p("q/d/e/f"), 0)


@change("metacopy=on", name="facts_of_files_metacopy")
@change()
def facts_of_files(t: Editor) -> None:
    t.meta("p/d/e/f", mode=0o4711)
    t.meta("p/d/f", uid=5)
    t.meta("q/d/e/f", mtime=A)
    t.meta("q/d/f", xattrs={"trusted.t": b"1", "system.posix_acl_access": ACL_644})
    t.meta("p/d/s", gid=7)


@change()
def facts_of_directories(t: Editor) -> None:
    t.meta("p/d", mode=0o1777)
    t.meta("p/d/e", uid=5)
    t.meta("q/d/e", xattrs={"system.posix_acl_default": ACL_755})
    t.meta("q/d", mtime=Z)
    t.meta("links", gid=9)


@change()
def copied_up_and_the_same(t: Editor) -> None:
    t.meta("p/d/e/f", mode=0o644)
    t.meta("q/d/e", mode=0o755)
    os.close(os.open(t.p("q/d/f"), os.O_RDWR))


@change("userxattr", name="added_and_removed_userxattr")
@change()
def added_and_removed(t: Editor) -> None:
    t.file("p/d/e/new", "new")
    t.dirs("q/d/new", "q/d/new/er")
    t.rm("q/d/e/f")
    t.rm("p/d/s")


@change("redirect_dir=off", name="directory_removed_redirect_off")
@change()
def directory_removed(t: Editor) -> None:
    t.rm("p/d")
    t.rm("q")


@change("userxattr", name="opaque_userxattr")
@change("redirect_dir=nofollow", name="opaque_redirect_nofollow")
@change()
def opaque(t: Editor) -> None:
    t.rm("p/d")
    t.dirs("p/d", "p/d/e")
    t.file("p/d/e/f", "P")
    t.rm("q")
    t.dirs("q", "q/d", "q/d/e")


@change()
def types(t: Editor) -> None:
    t.rm("p/d/e")
    t.file("p/d/e", "a file now")
    t.rm("q/d/f")
    t.dir("q/d/f")
    t.rm("q/d/s")
    t.chr("q/d/s", (1, 3))


@change("redirect_dir=on", name="moved_redirected")
@change("redirect_dir=off", name="moved_copied")
def moved(t: Editor) -> None:
    t.mv("p", "r")
    t.mv("q/d", "links/d")


@change("redirect_dir=on,metacopy=on", name="swapped_metacopy")
@change("redirect_dir=on,xino=on", proven=None, name="swapped_xino")
@change("redirect_dir=on")
def swapped(t: Editor) -> None:
    t.swap("p", "q")


@change("redirect_dir=on")
def swapped_below(t: Editor) -> None:
    t.swap("p/d/e", "q/d/e")


@change("redirect_dir=on")
def swapped_and_back_below(t: Editor) -> None:
    t.swap("p", "q")
    t.swap("p/d", "q/d")


@change("redirect_dir=on")
def moved_away_and_back(t: Editor) -> None:
    t.mv("p", "r")
    t.file("r/d/e/f", "P")
    t.mv("r", "p")
    t.mv("q/d", "q/x")
    t.mv("q/x", "q/d")


@change("redirect_dir=on")
def moved_and_made_anew(t: Editor) -> None:
    t.mv("p", "q/p")
    t.dirs("p", "p/d")
    t.file("p/d/f", "P")
    t.mv("q/d/e", "p/d/e")


@change("redirect_dir=on,metacopy=on")
def files_moved_over_files(t: Editor) -> None:
    t.meta("p/d/e/f", mode=0o600)
    os.replace(t.p("p/d/e/f"), t.p("q/d/e/f"))
    os.replace(t.p("p/d/f"), t.p("p/d/e/f"))


# Which names share an inode is no matter of one directory: here one of an untouched directory.
@change("index=on,nfs_export=on", proven=False, name="link_written_nfs_export")
@change("index=on", proven=False, name="link_written_index")
@change("metacopy=on", name="link_written_metacopy")
@change()
def link_written(t: Editor) -> None:
    with open(t.p("links/x/f"), "r+b") as file:
        file.write(b"LINKED")


@change("index=on", proven=False, name="link_facts_index")
@change()
def link_facts(t: Editor) -> None:
    t.meta("links/x/f", mode=0o600)


@change("index=on", proven=False, name="link_removed_index")
@change()
def link_removed(t: Editor) -> None:
    t.rm("links/y/f")


@change()
def link_replaced(t: Editor) -> None:
    t.again("links/x/f")
    t.again("links/x/g")


@change("index=on", proven=False, name="link_added_index")
@change()
def link_added(t: Editor) -> None:
    t.link("links/y/f", "p/d/new")


@change()
def link_joined(t: Editor) -> None:
    t.join("links/x/f", "p/d/f")
    t.join("p/d/e/f", "links/w/g")


@change()
def linked_directory_removed(t: Editor) -> None:
    t.rm("links/x")


@change("redirect_dir=on")
def linked_directory_moved(t: Editor) -> None:
    t.mv("links/x", "a")
    t.mv("links/w", "zz")


# ---------------------------------------------------------------- how the stack is seen
Form = Callable[[Scene, Change], None]


def live(s: Scene, its: Change) -> None:
    """The change was made in UPPER's own mount, while LOWER was mounted."""
    lowers = bases(s, its.options)
    lower = s.overlay("lower", lowers, options=its.view_options())
    look(Path(os.fsdecode(lower.root)))
    upper = s.overlay("upper", lowers, s.layer("top"), its.options)
    changing(upper, its.act)
    s.show(lower, upper)


def upper_directory(s: Scene, its: Change) -> None:
    """UPPER is mounted anew with the upper directory that has the change."""
    lowers = bases(s, its.options)
    top = s.changed("top", lowers, its.act, its.options)
    s.show(
        s.overlay("lower", lowers, options=its.view_options()), s.overlay("upper", lowers, top, its.options)
    )


def view(s: Scene, its: Change) -> None:
    """BuildKit's: both are views of committed layers."""
    lowers = bases(s, its.options)
    lowers = [s.changed("second", lowers, lambda t: t.file("more/d/f", "MORE")), *lowers]
    top = s.changed("top", lowers, its.act, its.options)
    last = s.changed("last", [top, *lowers], lambda t: t.file("more/d/f", "more"), its.options)
    s.show(
        s.overlay("lower", lowers, options=its.view_options()),
        s.overlay("upper", [last, top, *lowers], options=its.view_options()),
    )


def bound(s: Scene, its: Change) -> None:
    """BuildKit's for one layer: LOWER is a bind mount of it."""
    lowest = base(s)
    top = s.changed("top", [lowest], its.act, its.options)
    s.show(
        s.bind(Path(os.fsdecode(lowest.root)), s.home / "lower"),
        s.overlay("upper", [lowest], top, its.options),
    )


def itself(s: Scene, its: Change) -> None:
    """LOWER is the lowest layer itself, UPPER a view."""
    lowest = base(s)
    top = s.changed("top", [lowest], its.act, its.options)
    s.show(lowest, s.overlay("upper", [top, lowest], options=its.view_options()))


def links(s: Scene, layers: list[Editor]) -> list[str]:
    """Docker's short names for layers."""
    names = s.home / "l"
    names.mkdir()
    for number, layer in enumerate(layers):
        (names / f"L{number}").symlink_to(os.path.relpath(os.fsdecode(layer.root), names))
    return [str(names / f"L{number}") for number in range(len(layers))]


def docker(s: Scene, its: Change) -> None:
    """Docker's: layers are named by short symbolic links."""
    lowers = bases(s, its.options)
    top = s.changed("top", lowers, its.act, its.options)
    named = links(s, lowers)
    s.show(s.overlay("lower", named, options=its.view_options()), s.overlay("upper", named, top, its.options))


def docker_container(s: Scene, its: Change) -> None:
    """The same where LOWER has an upper directory too, which has one name there and another in UPPER."""
    lowers = bases(s, its.options)
    first = s.changed("first", lowers, lambda t: t.file("more/d/f", "MORE"), its.view_options())
    top = s.changed("top", [first, *lowers], its.act, its.options)
    named = links(s, [first, *lowers])
    lower = s.overlay("lower", named[1:], first, its.view_options())
    # With an index a layer cannot be a part of two mounts.
    s.show(lower, s.overlay("upper", named, top, its.options if its.proven is not False else ""))


FORMS: list[Form] = [live, upper_directory, view, bound, itself, docker, docker_container]


def provable(its: Change, form: Form, kind: str) -> bool | None:
    """Whether something may be proven untouched; None where that is a matter of taste."""
    if form is docker_container:
        return None  # one layer has two names
    if kind == "btrfs" and its.proven:
        return None  # its directories have one link each, which is what a merged directory has
    if its.proven is False and form in (view, itself):
        return None  # the mounts that are compared have no index
    return its.proven
