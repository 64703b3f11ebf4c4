"""What is proven untouched is untouched: with and without the proof a comparison says and writes the same.

A quick run takes each case on one file system or two; ``DIFFER_LAWS=deep`` takes every form of every change on
every file system.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import prune_counterexamples, prune_forms
from .conftest import RunDiffer, needs_program, needs_root
from .expected import Rows, by_path, difference
from .overlays import Disks, Scene, look, scene
from .profiles import DEEP
from .prune_cases import CHANGES, FORMS, Change, Form, bound, provable
from .prune_counterexamples import CASES, EVERY, Case
from .trees import Row, read_tree

pytestmark = [pytest.mark.cli, needs_root, needs_program("mkfs.xfs"), needs_program("mkfs.btrfs")]
assert prune_counterexamples
assert prune_forms  # both fill CASES

PRIVATE = ("trusted.overlay.", "user.overlay.", "trusted.SGI_ACL_")
LISTINGS = (["--compare=native"], ["--compare=metadata"], ["--whiteout=overlay"], ["--ignore=p/d/e"])
"""Other ways to look, compared by the listing alone."""


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    with contextlib.ExitStack() as tasks:
        yield Disks(tmp_path_factory.mktemp("disks"), tasks)


def proves(err: str) -> bool:
    """Whether the summary tells of directories that were proven untouched."""
    return "untouched" in err


def rows(root: Path) -> Rows:
    """A tree without what a mount or a disk adds to it."""

    def own(row: Row) -> Row:
        xattrs = {
            name: value for name, value in row.pop("xattrs", {}).items() if not name.startswith(PRIVATE)
        }
        return row | ({"xattrs": xattrs} if xattrs else {})

    return by_path(map(own, read_tree(root)))


def judge(
    s: Scene,
    run_differ: RunDiffer,
    out: Path,
    proven: bool | None,
    covered: bool | None,
    fails: bool = False,
    judged: bool = True,
) -> None:
    """Compare LOWER with UPPER in every way; the results must be one.

    ``proven``, ``covered``: whether something may be proven while the layers can be reached, and when they
    cannot.  ``fails``, ``judged``: as in a case.
    """
    for side in (s.lower, s.upper):
        look(side)

    def results(overlay: str, jobs: int, expected: bool | None) -> tuple[int, str, list[Row]]:
        words = ["--overlay", overlay, "--jobs", jobs, "--report=-", "--strict"]
        status, text, err = run_differ(*words, *([] if fails else ["--verify"]), s.lower, s.upper, out)
        assert (status == 2) == fails, err
        if fails:
            return status, text, []
        assert expected is None or proves(err) == expected, err
        written = read_tree(out)[1:]
        shutil.rmtree(out)
        return status, text, written

    def listings(overlay: str) -> list[tuple[int, str]]:
        words = ["--overlay", overlay, "--report=-"]
        return [run_differ(*words, *options, s.lower, s.upper)[:2] for options in LISTINGS]

    first, listed = results("off", 1, False), listings("off")
    assert results("off", 2, False) == first
    if judged and not fails:
        assert first[2] == difference(rows(s.lower), rows(s.upper), "oci")
    for hidden in (False, True):
        if hidden:
            s.hide()
        for jobs in (1, 2):
            assert results("auto", jobs, covered if hidden else proven) == first, (hidden, jobs)
        assert listings("auto") == listed, hidden


def changes_in_forms() -> Iterator[tuple[Change, Form, str]]:
    """Every change in two forms and on two file systems, so that all of these meet; deep: all of them."""
    for number, its in enumerate(CHANGES):
        for at, form in enumerate(FORMS):
            for where, kind in enumerate(EVERY):
                if DEEP or ((number + at) % 3 == 0 and (number + at + at // 3) % len(EVERY) == where):
                    yield its, form, kind


@pytest.mark.parametrize(
    ("its", "form", "kind"),
    [
        pytest.param(its, form, kind, id=f"{its.name}-{form.__name__}-{kind}")
        for its, form, kind in changes_in_forms()
    ],
)
def test_a_change_is_found_and_the_rest_is_proven_untouched(
    disks: Disks, tmp_path: Path, run_differ: RunDiffer, its: Change, form: Form, kind: str
) -> None:
    with scene(disks, kind) as s:
        form(s, its)
        proven = provable(its, form, kind)
        # Whether a mount shows a layer is told by the layer alone.
        judge(s, run_differ, tmp_path / "out", proven, None if form is bound and proven else proven)


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        pytest.param(case, kind, id=f"{case.name}-{kind}")
        for number, case in enumerate(CASES)
        for where, kind in enumerate(case.kinds)
        if DEEP or where == number % len(case.kinds) or (where == 0 and case.proven is False)
    ],
)
def test_what_only_looks_untouched_is_compared(
    disks: Disks, tmp_path: Path, run_differ: RunDiffer, case: Case, kind: str
) -> None:
    with scene(disks, kind) as s:
        case.make(s)
        proven = None if case.proven and kind == "btrfs" else case.proven
        judge(s, run_differ, tmp_path / "out", proven, proven, case.fails, case.judged)
    assert not os.path.lexists(tmp_path / "out")
