"""Any stack of overlay layers, changed in any way: what is proven untouched is the same in both trees.

``DIFFER_LAWS=deep`` as in test_laws.py.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ import layers, workers
from differ.cli import main

from .conftest import needs_program, needs_root
from .editor import Editor
from .generated import DEVICES, Model, Step, Writer
from .overlays import Disks, Scene, look, path_of, scene
from .profiles import law, tell_seed
from .room import _run
from .trees import T_LOWER, Row, read_tree

pytestmark = [needs_root, needs_program("mkfs.ext4")]

KINDS = ("tmpfs", "ext4")
OPTIONS = (["--compare=native"], ["--whiteout=overlay"])


class Layer(NamedTuple):
    """``steps``: what is done to the layers below.  ``options``: of the mount that it is done in.
    ``elsewhere``: whether the layer is on another file system than most."""

    steps: list[Step]
    options: str
    elsewhere: bool


class Stack(NamedTuple):
    """``layers``: the lowest first.  ``lowers``: how many of them LOWER has.
    ``view``: whether the last one is seen as a layer like the others, and not as the upper directory.
    ``options``: of LOWER and of UPPER.  ``itself``: LOWER is the only layer that it has, without a mount.
    ``below``: the part of the trees that is compared, if it is in both.
    """

    kind: str
    layers: list[Layer]
    lowers: int
    view: bool
    options: tuple[str, str]
    itself: bool
    below: str


# A few directories to start with, or most trees are too small to have an untouched one.
START = [
    *(Step("dir", (path,), {}) for path in (b"a", b"a/b", b"a/b/c", b"d", b"d/b", b"d/b/c", b"x", b"x/y")),
    *(Step("file", (path, path[:1]), {}) for path in (b"a/b/f", b"a/b/c/f", b"d/b/f", b"d/b/c/f", b"x/y/f")),
    Step("link", (b"a/b/f", b"x/y/l"), {}),
    Step("link", (b"a/b/f", b"d/l"), {}),
]
START_KINDS = {step.args[-1] if step.call == "link" else step.args[0]: step.call for step in START}

_options = st.fixed_dictionaries(
    {},
    optional={
        "redirect_dir": st.sampled_from(["on", "on", "off", "follow", "nofollow"]),
        "metacopy": st.sampled_from(["on", "off"]),
        "index": st.sampled_from(["on", "off"]),
        "nfs_export": st.sampled_from(["on", "off"]),
        "xino": st.sampled_from(["on", "off", "auto"]),
        "userxattr": st.just(""),
        "volatile": st.just(""),
    },
)


def _words(chosen: dict[str, str]) -> str:
    """Options that go together, as the kernel sees it."""
    if "userxattr" in chosen:
        chosen = {key: value for key, value in chosen.items() if key not in ("redirect_dir", "metacopy")}
    if chosen.get("metacopy") == "on":
        chosen = {**chosen, "redirect_dir": "on", "nfs_export": "off"}
    if chosen.get("nfs_export") == "on":
        chosen = {**chosen, "index": "on"}
    return ",".join(f"{key}={value}" if value else key for key, value in chosen.items())


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    count = draw(st.integers(1, 4))
    more = draw(st.integers(1, 2))
    model = Model({path: "file" if kind == "link" else kind for path, kind in START_KINDS.items()})
    common = _words(draw(_options))
    layers = []
    for number in range(count + more):
        writer = Writer(draw, DEVICES, model)
        for _ in range(draw(st.integers(1, 4))):
            writer.edit()
        steps = [*START, *writer.steps] if number == 0 else writer.steps
        # Mostly a stack's mounts are told the same.
        options = common if draw(st.integers(0, 4)) else _words(draw(_options))
        layers.append(Layer(steps, options, draw(st.integers(0, 9)) == 9))
    sides = [common if draw(st.integers(0, 7)) else _words(draw(_options)) for _ in range(2)]
    below = draw(st.sampled_from(["", "", "", "", "a", "d", "a/b"]))
    return Stack(
        draw(st.sampled_from(KINDS)),
        layers,
        count,
        draw(st.booleans()),
        (sides[0], sides[1]),
        draw(st.booleans()),
        below,
    )


def act(t: Editor, steps: list[Step]) -> None:
    """Take the steps that can be taken: overlayfs refuses some, and what builds on them is refused too."""
    for step in steps:
        with contextlib.suppress(OSError, shutil.Error):
            getattr(t, step.call)(*step.args, **step.facts)


def view_options(options: str) -> str:
    dropped = ("volatile", "index", "nfs_export")
    return ",".join(word for word in options.split(",") if not word.startswith(dropped))


def mounted(s: Scene, name: str, lowers: list[Editor], upper: Editor | None, options: str) -> Editor:
    """A mount, with fewer options if the kernel takes no more."""
    for words in (options, view_options(options), "userxattr" if "userxattr" in options else "", ""):
        try:
            return s.overlay(name, lowers, upper, words)
        except OSError as error:
            last = error
    raise last


def build(s: Scene, stack: Stack) -> None:
    """Make the layers and mount them."""
    other = KINDS[stack.kind == KINDS[0]]
    made: list[Editor] = []
    for number, layer in enumerate(stack.layers):
        name = f"layer{number}"
        new = s.layer(name, s.room(kind=other) if layer.elsewhere else None)
        if made:
            with contextlib.ExitStack() as tasks:
                held, s.tasks = s.tasks, tasks
                try:
                    t = mounted(s, f"mount{number}", made, new, layer.options)
                    act(t, layer.steps)
                    with contextlib.suppress(OSError):
                        t.settle(T_LOWER)
                finally:
                    s.tasks = held
        else:
            act(new, layer.steps)
            new.settle(T_LOWER)
        made.insert(0, new)
    lowers = made[-stack.lowers :]
    lower_options, upper_options = stack.options
    if len(lowers) > 1:
        lower = mounted(s, "lower", lowers, None, view_options(lower_options))
    elif stack.itself:
        lower = lowers[0]
    else:
        s.bind(path_of(lowers[0]), s.home / "lower")
        lower = Editor(s.home / "lower")
    if stack.view:
        upper = mounted(s, "upper", made, None, view_options(upper_options))
    else:
        upper = mounted(s, "upper", made[1:], made[0], upper_options)
    below = stack.below
    if not all(
        not (path_of(side) / below).is_symlink() and (path_of(side) / below).is_dir()
        for side in (lower, upper)
    ):
        below = ""
    s.show(lower, upper, below)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Disks]:
    tell_seed(pytestconfig)
    with contextlib.ExitStack() as tasks:
        yield Disks(tmp_path_factory.mktemp("disks"), tasks)


@law
@given(stack=stacks())
def test_with_and_without_the_proof_the_result_is_one(disks: Disks, stack: Stack) -> None:
    with scene(disks, stack.kind) as s:
        build(s, stack)
        for side in (s.lower, s.upper):
            look(side)
        out = s.disks.place(s.tasks) / "out"

        def results(overlay: str, jobs: int) -> tuple[int, str, list[Row]]:
            words = ["--overlay", overlay, "--jobs", str(jobs), "--report=-"]
            status, text, _ = _run(main, [*words, *map(str, (s.lower, s.upper, out))])
            written = read_tree(out)[1:] if out.exists() else []
            shutil.rmtree(out, ignore_errors=True)
            return status, text, written

        def listings(overlay: str) -> list[tuple[int, str]]:
            words = ["--overlay", overlay, "--report=-", str(s.lower), str(s.upper)]
            return [_run(main, [*option, *words])[:2] for option in OPTIONS]

        first, listed = results("off", 1), listings("off")
        if first[0] != 0:
            return  # the kernel does not let itself be asked for every name
        assert results("auto", 1) == first
        with pytest.MonkeyPatch.context() as patch:
            # As a layer is looked at that is larger than all of these are.
            patch.setattr(workers, "_ALONE", 0)
            for limit in ("_MANY", "_DEEP", "_KNOWN"):
                patch.setattr(layers, limit, 2)
            assert results("auto", 1) == first
            assert results("auto", 2) == first
        assert listings("auto") == listed
        s.hide()
        assert results("auto", 1) == first
        assert listings("auto") == listed
