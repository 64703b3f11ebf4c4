"""Short forms of the campaign ``make hostile`` (docs/reliability.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differ import linux
from differ.model import DifferError
from differ.scan import DiskTree

from .campaigns import mounted, races, rootless, shapes
from .conftest import RunDiffer, needs_program, needs_root
from .trees import Builder

_KINDS = {name: kind for name, kind in shapes.KINDS.items() if "entries" not in name and "names" not in name}
_MOUNTS = {name: kind for name, kind in mounted.KINDS.items() if "themselves" not in name}


@needs_root
@needs_program("strace")
def test_links_race_against_a_run() -> None:
    found, wrong, counted = races.campaign(10, static=False, seconds=60, workers=1)
    assert wrong == []
    assert sum(sum(counts.values()) for counts in found.values()) == 10
    assert counted["exchanges"] > 10


@needs_root
@needs_program("strace")
@pytest.mark.parametrize("kind", _KINDS)
def test_a_shape(kind: str) -> None:
    tried = shapes.campaign(False, shapes.SHORT, ("tmpfs",), {kind: _KINDS[kind]})
    assert [why for row in tried for why in row[4]] == []


@needs_root
@pytest.mark.parametrize("kind", _MOUNTS)
def test_a_mount(kind: str) -> None:
    assert [row[4] for row in shapes.campaign(False, shapes.SHORT, ("here",), {kind: _MOUNTS[kind]})] == [[]]


@needs_root
def test_owners_that_are_not_mapped() -> None:
    found, wrong = rootless.campaign(("a range",))
    assert wrong == []
    assert all(counts["carried"] and counts["reported"] for counts in found.values())


# ---------------------------------------------------------------- what differ does about it


def test_every_file_that_hides_its_size_is_refused(tmp_path: Path, run_differ: RunDiffer) -> None:
    """Those of /proc have a size of 0, and are not taken for empty."""
    tree = DiskTree(b"/proc/self")
    try:
        facts = tree.stat(b"status")
        assert facts.st_size == 0
        with pytest.raises(DifferError, match="holds bytes though its size is 0"):
            os.close(tree.open(b"status", facts))
    finally:
        tree.close()
    Builder(tmp_path).file("empty")
    tree = DiskTree(os.fsencode(tmp_path))
    try:
        os.close(tree.open(b"empty", tree.stat(b"empty")))
    finally:
        tree.close()


def test_which_ids_stand_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        b"/proc/self/uid_map": b"         0      12345          1\n         1     100000      65535\n",
        b"/proc/self/gid_map": b"         0          0 4294967295\n",
        b"/proc/sys/kernel/overflowuid": b"65534\n",
    }
    monkeypatch.setattr(linux, "_whole", files.__getitem__)
    assert linux.unmapped_ids() == (65534, -1)

    def refuse(path: bytes) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(linux, "_whole", refuse)  # no /proc
    assert linux.unmapped_ids() == (-1, -1)


def test_an_answer_below_zero_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As btrfs gives it at the end of the largest file."""

    def lseek(*words: int) -> int:
        raise SystemError("returned a result with an exception set")

    monkeypatch.setattr(os, "lseek", lseek)
    assert linux.next_hole(0, 5, 100) == 100
