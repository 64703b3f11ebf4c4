"""The short forms of the campaigns on random edits and beside other programs (docs/reliability.md)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.peers import go_program

from .campaigns import differential, edits
from .command import REPOSITORY
from .conftest import needs_program, needs_root

pytestmark = needs_root


@pytest.mark.inside
@pytest.mark.parametrize("kind", ["tmpfs", "overlayfs"])
def test_after_each_edit_the_difference_is_what_the_model_says(tmp_path: Path, kind: str) -> None:
    counts: Counter[str] = Counter()
    edits.try_scripts(kind, tmp_path, 15, 1, counts)
    assert counts["proofs"] >= 15
    assert counts["right"] == counts["runs that exit 0"] > 50


@pytest.mark.inside
@needs_program("go")
@needs_program("rsync")
@needs_program("umoci")
def test_each_disagreement_with_another_program_has_a_rule(tmp_path: Path) -> None:
    build = REPOSITORY / "build"  # to compile it takes longer than this test
    build.mkdir(exist_ok=True)
    program = Path(go_program(build, "changes"))
    counts: Counter[str] = Counter()
    differential.try_pairs(tmp_path, 20, 1, program, counts)
    assert counts["pairs"] >= 20
    assert all(counts[f"{peer}: told by both"] for peer in differential.PEERS)


def test_what_no_rule_explains_is_told() -> None:
    old = {
        "path": "f",
        "type": "file",
        "mode": "0644",
        "uid": 0,
        "gid": 0,
        "mtime": [1, 2],
        "size": 1,
        "sha256": "a",
    }
    new = {**old, "mode": "0600"}
    case = differential.Case("f", {"f": old}, {"f": new})
    for peer in differential.PEERS:
        for extra in (False, True):
            assert differential.explain(peer, case, extra) is None
