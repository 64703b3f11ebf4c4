"""Runs that must be refused, with nothing written anywhere; and the tar that hostile ones begin with."""

from __future__ import annotations

from pathlib import Path

from .conftest import RunDiffer
from .raw_tar import END, entry
from .trees import Row, read_tree

D = entry(b"d/", b"5", mode=0o755)
BASE = [
    D,
    entry(b"d/f", data=b"data"),
    entry(b"d/g", data=b"x" * 600),
    entry(b"d/hard", b"1", target=b"d/f"),
    entry(b"d/l", b"2", target=b"f", mode=0o777),
    entry(b"d/in", b"2", target=b"../d", mode=0o777),
    entry(b"p", b"6"),
]
"""What every tar of the table begins with; it is accepted."""
AFTER = entry(b"z", data=b"after")


def hostile_place(tmp_path: Path) -> Path:
    """A directory of its own, with files beside it that nobody may touch."""
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "canary").write_text("alive")
    (place / "canary").write_text("alive")
    return place


def everything(root: Path) -> list[Row]:
    """What is there, less the times of directories, in which something may have been for a while."""
    return [row | {"mtime": None} if row["type"] == "dir" else row for row in read_tree(root)]


def refused(run_differ: RunDiffer, place: Path, named: Path, *words: object, apply: bool = False) -> str:
    """The run fails with one line about a file, and nothing has changed; what it says of the file."""
    before = everything(place.parent)
    status, out, err = run_differ(*words, place / "out", apply=apply)
    assert (status, out) == (2, ""), err
    command = "differ-apply" if apply else "differ"
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith(f"{command}: "), err
    assert str(named) in err
    assert len(err) < 2000 + 5 * len(str(named))
    assert everything(place.parent) == before
    return err.partition(": ")[2].partition(str(named))[2]


def tar_of(place: Path, *parts: bytes, end: bytes = AFTER + END) -> Path:
    file = place / "file.tar"
    file.write_bytes(b"".join(parts) + end)
    return file
