"""What the fuzzer has found once, and inputs to begin with: none may do more than be refused (``make fuzz``)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from .fuzz.targets import TARGETS

CASES = sorted((Path(__file__).parent / "fuzz" / "cases").glob("*-*"))


def tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


SEEDS = {
    "mountinfo": [
        b"",
        b"40 1 0:41 / /lower ro - overlay overlay rw,lowerdir=/a:/b\\072c\n",
        b"lowerdir=\\\\\\0",
        b"\xff" * 64,
    ],
    "dockerfile": [
        b"",
        b"FROM a..b AS c\nCOPY --from=c..a / /\n",
        b"FROM a\nRUN <<E\n",
        b"# escape=`\nFROM \xff..$x\n",
    ],
    "tar": [
        b"",
        b"\0" + tar("a", "a/b", ".wh.a"),
        b"\1" + tar("a").replace(b"a", b"b", 1),
        b"\0" + tar("a")[:700],
    ],
    "layout": [b"", b'{"manifests":[{}]}', b'{"a":1}\0\0{"config":{}}\0\0{}', b"[" * 5000],
}


@pytest.mark.parametrize(
    ("target", "seed"), [(name, seed) for name, seeds in SEEDS.items() for seed in seeds]
)
def test_inputs_to_begin_with(target: str, seed: bytes) -> None:
    TARGETS[target](seed)


def test_what_the_fuzzer_has_found() -> None:
    for case in CASES:
        TARGETS[case.name.partition("-")[0]](case.read_bytes())
