"""Random edits of a tree on a disk and of its model, and after each what differ makes of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.model_disk import Disk
from tests.model_tree import (
    Differences,
    ModelTree,
    canonical,
    carried,
    changeset,
    laid_over,
    subtract,
)
from tests.overlays import MS_BIND, mount, unmount
from tests.room import command
from tests.trees import CAP_NET_BIND, CAP_NET_RAW, A, B, Z, read_tree

from .shards import examples

STEPS = 8

_NAMES = [b"a", b"b", b"c", b"d", b"d-", b"new\nline", b"bad\xff", b".whx"]
_TYPES = ["file", "file", "dir", "dir", "symlink", "fifo", "chr", "blk"]
_DATA = [b"", b"x", b"y", b"data", b"dat4", b"z" * 5000]
_TARGETS = [b"a", b"b", b"../d", b"/nowhere"]
_DEVICES = [(1, 3), (1, 5), (7, 9)]
_TIMES = [second * 10**9 + ns for second, ns in (A, B, Z, (Z[0] + 1, 0))]
_MODES = [0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0o2711, 0]
_OWNERS = [0, 1000, 3_000_000_000]
_VALUES = [b"v", b"w", b""]
_LETTERS = {"added": "A", "modified": "M", "removed": "D"}
_WAY = re.compile(r"overlay ([a-z ]+)\)|(all compared \(.*\))")

_any = st.integers(0, 2**16 - 1)
_name = st.sampled_from(_NAMES)
_type = st.sampled_from(_TYPES)
_time = st.sampled_from(_TIMES)
_mode = st.sampled_from(_MODES)
_owner = st.sampled_from(_OWNERS)
_data = st.sampled_from(_DATA)
_entry = st.tuples(_any, _name, _type, _any, _mode, _owner, _time)


class Edits(RuleBasedStateMachine):
    """LOWER is drawn at the start; every rule is an edit of UPPER, and differ is asked after each."""

    base: Path
    is_overlay = False
    counts: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.tasks, self.shown = contextlib.ExitStack(), contextlib.ExitStack()
        self.place = Path(tempfile.mkdtemp(dir=self.base))
        self.tasks.callback(shutil.rmtree, self.place)
        self.layers = self.place / "layers"
        self.is_checked = True
        self.is_built = False

    # ------------------------------------------------------------ the trees at the beginning
    @initialize(
        entries=st.lists(_entry, min_size=2, max_size=12),
        links=st.lists(st.tuples(_any, _any, _name), max_size=3),
        style=st.sampled_from(["oci", "overlay", "none"]),
        redirects=st.booleans(),
        hidden=st.booleans(),
    )
    def begin(
        self,
        entries: list[tuple[int, bytes, str, int, int, int, int]],
        links: list[tuple[int, int, bytes]],
        style: str,
        redirects: bool,
        hidden: bool,
    ) -> None:
        self.style, self.hidden = style, hidden
        lower = ModelTree()
        for path in (b"c", b"d", b"d/c"):  # what two mounts prove is not asked of a tree with less
            lower.make(path, "dir")
            lower.make(path + b"/a", "file", b"kept")
        for where, name, kind, value, mode, owner, _ in entries:
            path = self._free(lower, where, name)
            lower.make(path, kind, _value(kind, value))
            node = lower.at(path)
            node.uid = node.gid = owner
            if kind != "symlink":
                node.mode = mode
            if value % 3 == 0:
                node.xattrs["trusted.k"] = _VALUES[value % 2]
        for source, where, name in links:
            sources = [path for path, node in lower.nodes().items() if node.type != "dir"]
            if sources:
                lower.link(sources[source % len(sources)], self._free(lower, where, name))
        for index, node in enumerate([lower.root, *lower.nodes().values()]):
            node.mtime = entries[index % len(entries)][-1]
        self.lower = lower
        self.upper = lower.copied(self.is_overlay)
        self.upper.redirects = redirects
        self._build("on" if redirects else "off")
        self.disk = Disk(os.fsencode(self.place / "upper"))
        self.is_checked, self.is_built = False, True
        self.counts["scripts"] += 1

    def _free(self, tree: ModelTree, where: int, name: bytes) -> bytes:
        directories = [b"", *(path for path, node in tree.nodes().items() if node.type == "dir")]
        above = directories[where % len(directories)]
        path = above + b"/" + name if above else name
        while path in tree.nodes():
            path += b"+"
        return path

    def _build(self, redirect: str) -> None:
        for name in ("lower", "upper"):
            (self.place / name).mkdir()
        if not self.is_overlay:
            for name in ("lower", "upper"):
                Disk(os.fsencode(self.place / name)).fill(self.lower)
            return
        for name in ("low", "top", "work"):
            (self.layers / name).mkdir(parents=True)
        Disk(os.fsencode(self.layers / "low")).fill(self.lower)
        mount(self.layers / "low", self.place / "lower", "none", MS_BIND)
        self.tasks.callback(unmount, self.place / "lower")
        layers = f"lowerdir={self.layers}/low,upperdir={self.layers}/top,workdir={self.layers}/work"
        self._show(f"{layers},redirect_dir={redirect}")

    def _show(self, options: str, flags: int = 0) -> None:
        """Mount the layers."""
        mount("overlay", self.place / "upper", "overlay", flags, options)
        self.shown.callback(unmount, self.place / "upper")
        if self.hidden:  # as in a container, where the paths of layers lead nowhere
            mount("differ-test", self.layers, "tmpfs")
            self.shown.callback(unmount, self.layers)

    # ------------------------------------------------------------ edits
    def _do(self, edit: str, *words: Any) -> None:
        """The same to the model and to the disk."""
        getattr(self.upper, edit)(*words)
        getattr(self.disk, edit)(*words)
        self.counts["edits"] += 1
        self.is_checked = False

    def _pick(self, which: int, *types: str) -> bytes | None:
        """A path of UPPER, of one of these types if there are any."""
        paths = [path for path, node in self.upper.nodes().items() if not types or node.type in types]
        return paths[which % len(paths)] if paths else None

    def _target(self, where: int, name: bytes, not_in: bytes | None = None) -> bytes | None:
        """A path that is or is not there, in a directory of UPPER."""
        directories = [b"", *(path for path, node in self.upper.nodes().items() if node.type == "dir")]
        if not_in is not None:
            directories = [one for one in directories if not (one + b"/").startswith(not_in + b"/")]
        above = directories[where % len(directories)]
        path = above + b"/" + name if above else name
        return None if not_in is not None and (not_in + b"/").startswith(path + b"/") else path

    def _make_way(self, path: bytes) -> None:
        if path in self.upper.nodes():
            self._do("remove", path)

    @rule(where=_any, name=_name, type=_type, value=_any)
    def create(self, where: int, name: bytes, type: str, value: int) -> None:
        """Where nothing is, or in the place of what is there."""
        path = self._target(where, name)
        assert path is not None
        self._make_way(path)
        self._do("make", path, type, _value(type, value))

    @rule(which=_any, type=_type, value=_any, time=_time)
    def replace(self, which: int, type: str, value: int, time: int) -> None:
        if path := self._pick(which):
            self._do("remove", path)
            self._do("make", path, type, _value(type, value))
            self._do("utime", path, time)

    @rule(which=_any)
    def remove(self, which: int) -> None:
        if path := self._pick(which):
            self._do("remove", path)

    @rule(which=_any, data=_data)
    def write(self, which: int, data: bytes) -> None:
        if path := self._pick(which, "file"):
            self._do("write", path, data)

    @rule(which=_any, at=_any, time=st.none() | _time)
    def patch(self, which: int, at: int, time: int | None) -> None:
        """A byte of a file, perhaps with a time that tells nothing of it."""
        if path := self._pick(which, "file"):
            node = self.upper.at(path)
            if node.value:
                at %= len(node.value)
                time = node.mtime if time is None else time
                self._do("patch", path, at, bytes([node.value[at] ^ 1]))
                if time is not None:
                    self._do("utime", path, time)

    @rule(which=_any, size=st.sampled_from([0, 1, 4, 5000, 70_000]))
    def truncate(self, which: int, size: int) -> None:
        path = self._pick(which, "file")
        if path and len(self.upper.at(path).value) != size:
            self._do("truncate", path, size)

    @rule(which=_any, mode=_mode)
    def chmod(self, which: int, mode: int) -> None:
        if path := self._pick(which, "file", "dir", "fifo", "chr", "blk"):
            self._do("chmod", path, mode)

    @rule(which=_any, uid=_owner, gid=_owner)
    def chown(self, which: int, uid: int, gid: int) -> None:
        if path := self._pick(which):
            self._do("chown", path, uid, gid)

    @rule(which=_any, time=_time)
    def utime(self, which: int, time: int) -> None:
        if path := self._pick(which):
            self._do("utime", path, time)

    @rule(which=_any, name=st.sampled_from(["trusted.k", "user.k", "security.capability"]), value=_any)
    def attribute(self, which: int, name: str, value: int) -> None:
        """Set one, or take it."""
        types = {"user.k": ("file", "dir"), "security.capability": ("file",)}.get(name, ())
        if path := self._pick(which, *types):
            has = name in self.upper.at(path).xattrs
            if has and value % 2:
                self._do("removexattr", path, name)
            elif name == "security.capability":
                self._do("setxattr", path, name, (CAP_NET_RAW, CAP_NET_BIND)[value % 2])
            else:
                self._do("setxattr", path, name, _VALUES[value % len(_VALUES)])

    @rule(which=_any, where=_any, name=_name)
    def link(self, which: int, where: int, name: bytes) -> None:
        """One more name, in the place of what is there."""
        source = self._pick(which, "file", "symlink", "fifo", "chr", "blk")
        path = source and self._target(where, name)
        if source and path and not (source + b"/").startswith(path + b"/"):
            self._make_way(path)
            self._do("link", source, path)

    @rule(which=_any, where=_any, name=_name)
    def rename(self, which: int, where: int, name: bytes) -> None:
        """Within a directory and between two, to a free name and over another."""
        source = self._pick(which)
        path = source and self._target(where, name, source)
        if not source or not path or path == source:
            return
        if not self.upper.can_rename(source):
            try:
                self.disk.rename(source, path)
            except OSError:
                self.counts["renames that overlayfs refuses"] += 1
                return
            raise AssertionError(f"{source!r} could be renamed")
        there = self.upper.nodes().get(path)
        if there is not None and (there.type == "dir" or self.upper.at(source).type == "dir"):
            if there.type != self.upper.at(source).type or there.entries:
                self._do("remove", path)
        self._do("rename", source, path)

    # ------------------------------------------------------------ what must be so
    @invariant()
    def the_difference_is_right(self) -> None:
        if self.is_checked:
            return
        self.is_checked = True
        self.counts["checks"] += 1
        upper = self.upper.rows()
        agree("the model of UPPER", canonical(read_tree(self.place / "upper")), upper)
        self._check()

    def _check(self) -> None:
        out = self.place / "out"
        differences = subtract(self.lower, self.upper)
        words = ["--strict", "--whiteout", self.style, "--report", "-"]
        status, told, err = command("differ", *words, self.place / "lower", self.place / "upper", out)
        assert (status, "warning" in err) == (0, False), err
        self.counts["runs that exit 0"] += 1
        if self.is_overlay:
            way = _WAY.search(err)
            assert way is not None, err
            self.counts[f"way: {way[1] or way[2]}"] += 1
        agree("the report", reported(told), differences)
        written = canonical(read_tree(out))
        agree("OUT", written, changeset(self.upper, differences, self.style))
        for kind, _ in differences.values():
            self.counts[kind] += 1
        self.counts["entries of OUT"] += len(written)
        if self.style != "none":
            applied = laid_over(self.lower.rows(), written, self.style)
            agree("LOWER with OUT", carried(applied, written), carried(self.upper.rows(), written))
        self.counts["right"] += 1
        shutil.rmtree(out)

    def teardown(self) -> None:
        try:
            if self.is_built and sys.exc_info()[0] is None:
                self._end()
        finally:
            self.shown.close()
            self.tasks.close()

    def _end(self) -> None:
        """Once a script: LOWER is as it was, the proof and differ-apply agree.  An overlay is looked at as a view too."""
        agree("LOWER", canonical(read_tree(self.place / "lower")), self.lower.rows())
        if self.is_overlay:
            self.shown.close()
            self._show(f"lowerdir={self.layers}/top:{self.layers}/low,redirect_dir=follow")
            self._check()
        self._prove()

    def _prove(self) -> None:
        trees = [self.place / name for name in ("lower", "upper", "out", "applied")]
        status, _, err = command("differ", "--verify", "--strict", "--whiteout", self.style, *trees[:3])
        assert status == 0, err
        if self.style != "none":
            words = ["--strict", "--whiteout", self.style, trees[0], trees[2], trees[3]]
            status, _, err = command("differ-apply", *words)
            assert status == 0, err
            applied = canonical(read_tree(trees[3]))
            out = canonical(read_tree(trees[2]))
            agree("differ-apply", carried(applied, out), carried(self.upper.rows(), out))
        self.counts["proofs"] += 1
        for tree in trees[2:]:
            shutil.rmtree(tree, ignore_errors=True)


def _value(type: str, value: int) -> Any:
    """What a new entry of a type has."""
    values: dict[str, list[Any]] = {"file": _DATA, "symlink": _TARGETS, "chr": _DEVICES, "blk": _DEVICES}
    return values[type][value % len(values[type])] if type in values else None


def agree(what: str, found: Mapping[bytes, Any], wanted: Mapping[bytes, Any]) -> None:
    """Fail with what is not the same."""
    if found != wanted:
        paths = [path for path in sorted({*found, *wanted}) if found.get(path) != wanted.get(path)]
        lines = [f"{path!r}: {found.get(path)}, not {wanted.get(path)}" for path in paths]
        raise AssertionError("\n".join([f"{what}:", *lines]))


def reported(lines: str) -> Differences:
    """What a report tells."""
    found: Differences = {}
    for line in lines.splitlines():
        told = json.loads(line)
        path = base64.b64decode(told["path_base64"]) if "path_base64" in told else os.fsencode(told["path"])
        assert path not in found, f"{path!r} is told of twice"
        found[path] = (_LETTERS[told["kind"]], frozenset(told.get("fields", ())))
    return found


def try_scripts(kind: str, place: Path, count: int, number: int, counts: Counter[str]) -> None:
    """Take ``count`` scripts; the first that is wrong is raised, as small as it can be made."""

    class Machine(Edits):
        base = place
        is_overlay = kind == "overlayfs"

    Machine.counts = counts
    seed(number)(Machine)
    run_state_machine_as_test(Machine, settings=settings(examples(count), stateful_step_count=STEPS))
