"""Vertices that engines gave (Docker 20.10.24, 26.1.5 and 28.5.2; BuildKit has put the members of a oneof in two
places in its time) are written again as they were: BuildKit knows them by the digest of their bytes."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest

from differ.frontend.messages import OP

PLACE = Path(__file__).parent / "frontend_ops"
ENGINES = ("docker20", "docker26", "docker28")


def ops(engine: str) -> list[bytes]:
    return [b64decode(line) for line in (PLACE / f"{engine}.txt").read_text().splitlines()]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_vertex_is_written_as_it_was(engine: str) -> None:
    for data in ops(engine):
        assert OP.encode(OP.decode(data)) == data


@pytest.mark.parametrize("engine", ENGINES)
def test_a_digest_takes_another_ones_place_and_nothing_else_changes(engine: str) -> None:
    changed = 0
    for data in ops(engine):
        op = OP.decode(data)
        for number, item in enumerate(op.get("inputs", [])):
            old, new = item["digest"], f"sha256:{number:064x}"
            again = {**op, "inputs": [*op["inputs"]]}
            again["inputs"][number] = {**item, "digest": new}
            assert OP.encode(again) == data.replace(old.encode(), new.encode(), 1)
            changed += 1
    assert changed > 10


@pytest.mark.parametrize("engine", ENGINES)
def test_the_vertices_are_of_many_kinds(engine: str) -> None:
    kinds = {key for data in ops(engine) for key in OP.decode(data)}
    assert kinds >= {"inputs", "exec", "source", "file", "platform", "constraints"}
