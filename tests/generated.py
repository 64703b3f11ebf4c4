"""Pairs of trees, drawn by hypothesis as plain values.

A script is a list of steps; a step is the name of an :class:`Editor` method and its arguments.  LOWER is
what one script makes of an empty directory.  UPPER is made by the same script, or as a copy that shares
its inodes with LOWER, and then edited by a second script.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from .editor import Editor, link_copy
from .trees import ACL_644, ACL_755, CAP_NET_BIND, CAP_NET_RAW, T_LOWER, T_UPPER, A, B, Time, Z


class Step(NamedTuple):
    """One call of an :class:`Editor`."""

    call: str
    args: tuple[Any, ...]
    facts: dict[str, Any]


class Pair(NamedTuple):
    """Two trees that are still to be made.

    ``shared``: UPPER starts with LOWER's own inodes, as ``cp -al`` gives them, and not with new ones.
    """

    lower: list[Step]
    edits: list[Step]
    shared: bool

    def without_zero_device(self) -> Pair:
        """The same with another device in the place of the one that overlayfs takes for a whiteout."""

        def other(step: Step) -> Step:
            is_zero = step.call == "chr" and step.args[1] == (0, 0)
            return step._replace(args=(step.args[0], DEVICES[0])) if is_zero else step

        return Pair(list(map(other, self.lower)), list(map(other, self.edits)), self.shared)


def make(pair: Pair, lower: Path, upper: Path) -> None:
    """Make both trees in two empty directories; the same pair always gives the same trees."""
    perform(pair.lower, lower, T_LOWER)
    if pair.shared:
        link_copy(os.fsencode(lower), os.fsencode(upper))
    else:
        perform(pair.lower, upper, T_LOWER)
    perform(pair.edits, upper, T_UPPER)
    if pair.shared:
        # An inode that was written through UPPER, and then replaced there, is LOWER's alone by now.
        Editor(lower).settle(T_UPPER)


def perform(script: list[Step], root: Path, when: Time) -> None:
    """Take the steps; what they leave with the time "now" gets the time ``when``."""
    editor = Editor(root)
    for step in script:
        getattr(editor, step.call)(*step.args, **step.facts)
    editor.settle(when)


# ---------------------------------------------------------------- what trees are made of
NAMES = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"d-",  # sorts before "d/", as "d0" sorts behind it
    b"d0",
    b"-rf",
    b"sp ace",
    b"new\nline",
    b"bad\xff",
    b"back\\slash",
    b".wh",
    b".whx",
    b"x.wh.y",
    b"...",
    b"*?[x]",
    b"\xc3\xa9t\xc3\xa9",
    b"n" * 200,
]
TIMES: list[Time] = [A, B, Z, (Z[0] + 1, 0), (0, 0), (0, 1), (Z[0], 999_999_999), (-86400, 5), (2**33, 7)]
MODES = [0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o7777, 0]
OWNERS = [0, 1000, 65534, 3_000_000_000]
DATA = [b"", b"x", b"y", b"data", b"dat4", b"z" * 5000]
TARGETS = [b"a", b"b", b"../d", b"/nowhere", b"bad\xff", b"t" * 300]
DEVICES = [(1, 3), (1, 5), (7, 9), (259, 300)]
HOLES = [(40_000, 20_000, b"island"), (65_536, 65_535, b"e"), (65_536, 65_535, b"f"), (50_000, 0, b"")]
VALUES = [b"v", b"w", b"", b"\x00\n=\xff"]

_trusted = {"trusted.k": st.sampled_from(VALUES)}
_acl = {"system.posix_acl_access": st.sampled_from([ACL_644, ACL_755])}
_user = {"user.k": st.sampled_from(VALUES), "user.k\udce9": st.sampled_from(VALUES)}
_capability = {"security.capability": st.sampled_from([CAP_NET_RAW, CAP_NET_BIND])}
_default_acl = {"system.posix_acl_default": st.sampled_from([ACL_644, ACL_755])}
XATTRS = {
    "file": _user | _trusted | _capability | _acl,
    "dir": _user | _trusted | _acl | _default_acl,
    "symlink": _trusted,
    "other": _trusted | _acl,
}
"""The attributes that the kernel lets each kind of entry have."""


def _metas(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    attributes = XATTRS.get(kind, XATTRS["other"])
    some = st.fixed_dictionaries({}, optional=attributes)
    return st.fixed_dictionaries(
        {"mtime": st.sampled_from(TIMES)},
        optional={
            "mode": st.sampled_from(MODES),
            "uid": st.sampled_from(OWNERS),
            "gid": st.sampled_from(OWNERS),
            "xattrs": st.just({}) | some,
        },
    )


KINDS = ["file", "dir", "symlink", "link", "sparse", "fifo", "sock", "chr", "blk"]
METAS = {kind: _metas(kind) for kind in ("file", "dir", "symlink", "fifo", "sock", "chr", "blk")}
# Asked before each step, so that a failing example can lose any one of them.
_more = st.sampled_from([False] + [True] * 15)
_kinds = st.sampled_from(["file", "file", "dir", "dir", "link", *KINDS])
_arguments: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "file": st.tuples(st.sampled_from(DATA)),
    "sparse": st.sampled_from(HOLES),
    "symlink": st.tuples(st.sampled_from(TARGETS)),
}


class Model:
    """What a script has made so far: every path and its kind."""

    def __init__(self, kinds: dict[bytes, str] | None = None) -> None:
        self.kinds = dict(kinds or {})

    def every(self) -> list[bytes]:
        return list(self.kinds)

    def of(self, kind: str) -> list[bytes]:
        return [path for path, its in self.kinds.items() if its == kind]

    def linkable(self) -> list[bytes]:
        return [path for path, its in self.kinds.items() if its != "dir"]

    def below(self, path: bytes) -> list[bytes]:
        return [inner for inner in self.kinds if inner.startswith(path + b"/")]

    def remove(self, path: bytes) -> None:
        for gone in [path, *self.below(path)]:
            del self.kinds[gone]

    def move(self, path: bytes, to: bytes) -> None:
        moved = {inner: self.kinds.pop(inner) for inner in [path, *self.below(path)]}
        self.kinds.update({to + inner[len(path) :]: kind for inner, kind in moved.items()})


class Writer:
    """Draws steps that can be taken one after the other."""

    def __init__(self, draw: st.DrawFn, devices: list[tuple[int, int]], model: Model) -> None:
        self._draw = draw
        self._devices = devices
        self.model = model
        self.steps: list[Step] = []

    def add(self, inside: list[bytes] | None = None) -> None:
        """An entry of any kind where nothing is."""
        self._entry(self._free([b"", *self.model.of("dir")] if inside is None else inside))

    def edit(self, small: bool = False) -> None:
        """A change of any kind, or none if the tree has nothing that it could change.

        ``small``: one that no name is added or removed by.
        """
        edits = SMALL_EDITS if small else EDITS
        edit = self._draw(st.sampled_from(edits)) if self.model.kinds else Writer.add
        edit(self)

    def _step(self, call: str, *args: Any, **facts: Any) -> None:
        self.steps.append(Step(call, args, facts))

    def _one_of(self, paths: list[bytes]) -> bytes:
        return self._draw(st.sampled_from(paths))

    def _free(self, directories: list[bytes]) -> bytes:
        above = self._one_of(directories)
        name = self._one_of(NAMES)
        path = above + b"/" + name if above else name
        while path in self.model.kinds:
            path += b"+"
        return path

    def _entry(self, path: bytes) -> None:
        kind = self._draw(_kinds)
        if kind == "link" and self.model.linkable():
            self._link(self._one_of(self.model.linkable()), path, "link")
            return
        kind = "file" if kind == "link" else kind
        arguments: tuple[Any, ...] = ()
        if kind in ("chr", "blk"):
            arguments = (self._draw(st.sampled_from(self._devices)),)
        elif kind in _arguments:
            arguments = self._draw(_arguments[kind])
        self.model.kinds[path] = "file" if kind == "sparse" else kind
        self._step(kind, path, *arguments, **self._draw(METAS[self.model.kinds[path]]))

    def _link(self, source: bytes, path: bytes, call: str) -> None:
        self._step(call, source, path)
        self.model.kinds[path] = self.model.kinds[source]

    def _remove(self) -> None:
        path = self._one_of(self.model.every())
        self._step("rm", path)
        self.model.remove(path)

    def _content(self) -> None:
        if self.model.of("file"):
            facts = self._draw(st.fixed_dictionaries({}, optional={"mtime": st.sampled_from(TIMES)}))
            path = self._one_of(self.model.of("file"))
            self._step("file", path, self._draw(st.sampled_from(DATA)), mode=None, **facts)

    def _flip(self) -> None:
        if self.model.of("file"):
            self._step("flip", self._one_of(self.model.of("file")))

    def _fact(self) -> None:
        path = self._one_of(self.model.every())
        facts = self._draw(METAS[self.model.kinds[path]])
        fact = self._draw(st.sampled_from(sorted(facts)))
        self._step("meta", path, **{fact: facts[fact]})

    def _strip(self) -> None:
        self._step("strip", self._one_of(self.model.every()))

    def _replace(self) -> None:
        path = self._one_of(self.model.every())
        self._step("rm", path)
        self.model.remove(path)
        self._entry(path)
        if self.model.kinds[path] == "dir":
            for _ in range(self._draw(st.integers(0, 2))):
                self.add([path])

    def _recreate(self) -> None:
        if self.model.of("dir"):
            path = self._one_of(self.model.of("dir"))
            children = [inner for inner in self.model.below(path) if b"/" not in inner[len(path) + 1 :]]
            kept = [child for child in children if self._draw(st.booleans())]
            self._step("recreate", path, [child[len(path) + 1 :] for child in kept])
            for child in children:
                if child not in kept:
                    self.model.remove(child)

    def _rename(self) -> None:
        path = self._one_of(self.model.every())
        inside = [path, *self.model.below(path)]
        to = self._free([b"", *(above for above in self.model.of("dir") if above not in inside)])
        self._step("mv", path, to)
        self.model.move(path, to)

    def _swap(self) -> None:
        path, other = self._one_of(self.model.every()), self._one_of(self.model.every())
        if not (path + b"/").startswith(other + b"/") and not (other + b"/").startswith(path + b"/"):
            self._step("swap", path, other)
            self.model.move(path, b"~old")
            self.model.move(other, path)
            self.model.move(b"~old", other)

    def _more_links(self) -> None:
        if self.model.linkable():
            path = self._free([b"", *self.model.of("dir")])
            self._link(self._one_of(self.model.linkable()), path, "link")

    def _join(self) -> None:
        if self.model.linkable():
            source, path = self._one_of(self.model.linkable()), self._one_of(self.model.linkable())
            if source != path:
                self._link(source, path, "join")

    def _again(self) -> None:
        if self.model.linkable():
            self._step("again", self._one_of(self.model.linkable()))


SMALL_EDITS: list[Callable[[Writer], None]] = [
    Writer._fact,
    Writer._content,
    Writer._flip,
    Writer._strip,
    Writer._join,
    Writer._again,
]
EDITS = [
    *SMALL_EDITS,
    Writer.add,
    Writer._remove,
    Writer._replace,
    Writer._recreate,
    Writer._rename,
    Writer._swap,
    Writer._more_links,
]


@st.composite
def pairs(draw: st.DrawFn, zero_device: bool = True) -> Pair:
    """LOWER and UPPER.

    ``zero_device``: there may be character devices 0:0.
    """
    devices = [*DEVICES, (0, 0)] if zero_device else DEVICES
    lower = Writer(draw, devices, Model())
    while len(lower.steps) < 12 and draw(_more):
        lower.add()
    upper = Writer(draw, devices, Model(lower.model.kinds))
    upper.edit()
    while len(upper.steps) < 8 and draw(_more):
        upper.edit()
    upper.edit(small=True)
    return Pair(lower.steps, upper.steps, draw(st.booleans()))
