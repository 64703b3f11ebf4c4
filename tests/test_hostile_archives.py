"""Tars that are damaged or mean harm: refused in one line, with nothing written anywhere."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from .command import PROGRAMS
from .conftest import RunDiffer
from .raw_tar import BLOCK, END, entry, pax, record
from .refusals import AFTER, BASE, hostile_place, refused, tar_of

pytestmark = pytest.mark.cli


def gnu_sparse(parts: list[tuple[int, int]], size: int, data: bytes, more: bytes = b"\0") -> bytes:
    """A file with holes, in the old GNU format."""
    table = b"".join(b"%011o\0%011o\0" % part for part in parts).ljust(96, b"\0")
    return entry(b"holes", b"S", data, tail=bytes(41) + table + more + b"%011o\0" % size)


def pax_sparse(parts: list[tuple[int, int]], size: int, data: bytes) -> bytes:
    """A file with holes, in the format 0.1 of pax."""
    text = b",".join(b"%d,%d" % part for part in parts)
    return pax({b"GNU.sparse.size": b"%d" % size, b"GNU.sparse.map": text}) + entry(b"holes", data=data)


FINE: dict[str, bytes] = {
    # what is near to the hostile entries and must be taken
    "the base": b"",
    "a dot": entry(b"./", b"5") + entry(b"./d/./x"),
    "two dots in a name": entry(b"d/..x") + entry(b"...", data=b"1"),
    "through a link inside": entry(b"d/in/x", data=b"1"),
    "old sparse": gnu_sparse([(0, 5), (4096, 3)], 5000, b"helloabc"),
    "pax sparse": pax_sparse([(0, 5), (4096, 3)], 5000, b"helloabc"),
    "longest name": pax({b"path": b"n" * 255}) + entry(b"n"),
    "whiteout of the longest name": pax({b"path": b".wh." + b"n" * 255}) + entry(b"n"),
    "comment for all": pax({b"comment": b"git"}, b"g") + entry(b"x"),
    "largest ids": entry(b"x", uid=2**32 - 2),
    "largest device": entry(b"x", b"3", device=(4095, 2**20 - 1)),
}

LOOP = entry(b"a", b"2", target=b"b") + entry(b"b", b"2", target=b"a")
ENTRIES: dict[str, bytes] = {
    # what comes after the base
    "absolute": entry(b"/etc/canary", data=b"x"),
    "dots in front": entry(b"../canary", data=b"x"),
    "dots in the middle": entry(b"d/../../canary", data=b"x"),
    "dots at the end": entry(b"d/..", b"5"),
    "dots in a record": pax({b"path": b"../canary"}) + entry(b"x", data=b"x"),
    "absolute in a long name": entry(b"././@LongLink", b"L", b"/etc/canary\0") + entry(b"x"),
    "hard link to absolute": entry(b"x", b"1", target=b"/etc/passwd"),
    "hard link to dots": entry(b"x", b"1", target=b"../canary"),
    "hard link to nothing there": entry(b"x", b"1", target=b"d/none"),
    "hard link into nothing there": entry(b"x", b"1", target=b"none/none"),
    "hard link to a directory": entry(b"x", b"1", target=b"d"),
    "hard link to the root": entry(b"x", b"1", target=b"./"),
    "hard link to itself": entry(b"x", b"1", target=b"x"),
    "hard link through a link that leads out": entry(b"o", b"2", target=b"../..")
    + entry(b"x", b"1", target=b"o/canary"),
    "bare whiteout": entry(b"d/.wh."),
    "whiteout of a dot": entry(b"d/.wh.."),
    "whiteout of dots": entry(b".wh..."),
    "through a link that leads out": entry(b"o", b"2", target=b"../..") + entry(b"o/canary", data=b"x"),
    "through a link that leads out further down": entry(b"d/o", b"2", target=b"../../e")
    + entry(b"d/o/canary", data=b"x"),
    "through a loop": LOOP + entry(b"a/x", data=b"x"),
    "below a file": entry(b"d/f/x", data=b"x"),
    "below a link to a file": entry(b"d/l/x", data=b"x"),
    "below a FIFO": entry(b"p/x", data=b"x"),
    "NUL in a record's path": pax({b"path": b"x\0/../canary"}) + entry(b"x"),
    "NUL in a record's target": pax({b"linkpath": b"x\0"}) + entry(b"x", b"2"),
    "NUL in an attribute's name": pax({b"SCHILY.xattr.user.\0": b"v"}) + entry(b"x"),
    "no name": entry(b""),
    "no name for a link": entry(b"./", b"2", target=b"x"),
    "no target": entry(b"x", b"2"),
    "long target": pax({b"linkpath": b"t" * 4096}) + entry(b"x", b"2"),
    "long name": pax({b"path": b"n" * 256}) + entry(b"n"),
    "long name above": pax({b"path": b"n" * 256 + b"/x"}) + entry(b"n"),
    "holes that overlap": pax_sparse([(0, 5), (4, 3)], 5000, b"helloabc"),
    "holes that overlap, old": gnu_sparse([(0, 5), (4, 3)], 5000, b"helloabc"),
    "holes outside": pax_sparse([(0, 5), (4999, 3)], 5000, b"helloabc"),
    "holes outside, old": gnu_sparse([(0, 5), (4999, 3)], 5000, b"helloabc"),
    "holes of negative size": pax_sparse([(0, 5), (4096, -3)], 5000, b"helloabc"),
    "more between holes than there is": pax_sparse([(0, 5), (512, 100_000)], 200_000, b"helloabc"),
    "holes without end": gnu_sparse([(0, 5)], 5000, b"hello", more=b"\1").ljust(9 << 20, b"\1"),
    "holes cut off": gnu_sparse([(0, 5)], 5000, b"", more=b"\1"),
    "holes and a negative size": entry(b"x", b"S", size=-512, tail=bytes(137) + b"\1" + b"%011o\0" % 9)
    + bytes(BLOCK),
    "holes listed without end": pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0"})
    + entry(b"x", data=b"99999999\n" + b"1\n" * (9 << 19)),
    "negative size": entry(b"x", size=-1024),
    "negative owner": entry(b"x", uid=-1),
    "damaged checksum": (lambda bad: bad[:10] + b"?" + bad[11:])(entry(b"x" * 20)),
    "no header": b"not a tar".ljust(BLOCK, b"!"),
    "records for all": pax({b"path": b"same"}, b"g") + entry(b"x"),
    "size for all": pax({b"size": b"1"}, b"g") + entry(b"x", data=b"1"),
    "unknown type": entry(b"x", b"Z"),
    "volume": entry(b"x", b"V"),
    "rest of a file": entry(b"x", b"M", b"rest"),
    "many megabytes of records": pax({b"comment": b"c" * (8 << 20)}) + entry(b"x"),
    "a header of terabytes": entry(b"x", b"x", size=1 << 40),
    "records upon records": pax({b"comment": b"c"}) * 5000 + entry(b"x"),
    "a record that is too long": entry(b"x", b"x", b"30 path=x\n") + entry(b"x"),
    "a record that is too short": entry(b"x", b"x", b"7 path=x\n") + entry(b"x"),
    "a record of no length": entry(b"x", b"x", b"0 path=x\n") + entry(b"x"),
    "a record without end": entry(b"x", b"x", b"10 path=xx") + entry(b"x"),
    "a record of endless length": entry(b"x", b"x", b"9" * 5000 + b" path=x\n") + entry(b"x"),
    "size that is no number": pax({b"size": b"many"}) + entry(b"x", data=b"1"),
    "size that is negative": pax({b"size": b"-1"}) + entry(b"x", data=b"1"),
    "size that is endless": pax({b"size": b"9" * 30}) + entry(b"x", data=b"1"),
    "uid that is no number": pax({b"uid": b"root"}) + entry(b"x"),
    "time that is no number": pax({b"mtime": b"now"}) + entry(b"x"),
    "time that is no finite number": pax({b"mtime": b"1e999"}) + entry(b"x"),
    "time out of range": pax({b"mtime": b"9" * 20}) + entry(b"x"),
    "time of thousands of digits": pax({b"mtime": b"9" * 6000}) + entry(b"x"),
    "device out of range": entry(b"x", b"3", device=(4096, 1)),
    "minor out of range": entry(b"x", b"4", device=(1, 2**20)),
    "uid out of range": entry(b"x", uid=2**33),
    "the id that is none": entry(b"x", uid=2**32 - 1),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return hostile_place(tmp_path)


@pytest.mark.parametrize("case", FINE)
def test_a_tar_that_is_well_formed_is_taken(case: str, place: Path, run_differ: RunDiffer) -> None:
    file = tar_of(place, *BASE, FINE[case])
    status, out, err = run_differ("scratch", f"tar:{file}")
    assert status == 0, err
    assert {"A d/", "A d/f", "A z"} <= set(out.splitlines()), out
    lower = place / "lower"
    lower.mkdir()
    if os.geteuid() == 0 or "largest" not in case:
        status, _, err = run_differ(lower, f"tar:{file}", place / "applied", apply=True)
        assert status == 0, err
        assert (place / "applied/z").read_text() == "after"


@pytest.mark.parametrize("case", ENTRIES)
def test_a_hostile_tar_is_refused(case: str, place: Path, run_differ: RunDiffer) -> None:
    file = tar_of(place, *BASE, ENTRIES[case])
    refused(run_differ, place, file, "scratch", f"tar:{file}")
    assert not (place / "out").exists()
    lower = place / "lower"
    lower.mkdir()
    refused(run_differ, place, file, lower, f"tar:{file}", apply=True)


def test_the_reason_is_told(place: Path, run_differ: RunDiffer) -> None:
    for case, reason in (
        ("absolute", ": /etc/canary: leads out of the tree; refused\n"),
        ("below a file", ": d/f/x: stands below something that is no directory; refused\n"),
        ("through a loop", ": a/x: goes through too many symbolic links; refused\n"),
        ("damaged checksum", ": is damaged: there is something else where a header should be\n"),
        ("many megabytes of records", ": has a header of more than 1048576 bytes; refused\n"),
        ("bare whiteout", ": d/.wh.: a whiteout that names no file; remove it from the changes; refused\n"),
    ):
        file = tar_of(place, *BASE, ENTRIES[case])
        assert refused(run_differ, place, file, "scratch", f"tar:{file}") == reason


def _zstd(data: bytes) -> bytes:
    packed: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return packed


WHOLE = b"".join([*BASE, AFTER, END])
FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "records and nothing after": lambda: b"".join(BASE) + pax({b"path": b"x"}) + END,
    "text": lambda: b"hello\n",
    "data cut off": lambda: b"".join(BASE[:2])[:-100],
    "data cut off in the middle": lambda: b"".join(BASE[:3])[: -BLOCK - 1],
    "header cut off": lambda: b"".join([*BASE, AFTER])[: -BLOCK - 100],
    "gzip cut off": lambda: gzip.compress(WHOLE)[:-9],
    "gzip without its end": lambda: gzip.compress(WHOLE)[:-4],
    "gzip and more": lambda: gzip.compress(WHOLE) + b"more",
    "gzip with another checksum": lambda: gzip.compress(WHOLE)[:-8] + b"1234" + gzip.compress(WHOLE)[-4:],
    "gzip of nothing": lambda: b"\x1f\x8b",
    "zstd cut off": lambda: _zstd(WHOLE)[:-20],
    "zstd without its checksum": lambda: _zstd(WHOLE)[:-4],
    "zstd with another checksum": lambda: _zstd(WHOLE)[:-4] + b"1234",
    "zstd and more": lambda: _zstd(WHOLE) + b"more",
    "zstd and the start of more": lambda: _zstd(WHOLE) + _zstd(WHOLE)[:7],
    "zstd, its magic alone": lambda: _zstd(WHOLE)[:4],
    "xz": lambda: lzma.compress(WHOLE),
}


@pytest.mark.parametrize("case", FILES)
def test_a_damaged_file_is_refused(case: str, place: Path, run_differ: RunDiffer) -> None:
    file = place / "file.tar"
    file.write_bytes(FILES[case]())
    refused(run_differ, place, file, "scratch", f"tar:{file}")


def test_a_file_that_is_cut_off_anywhere_is_refused_or_shorter(place: Path, run_differ: RunDiffer) -> None:
    """Cut off between two members, a tar without an end is a tar (POSIX wants two blocks, few readers do)."""
    whole = b"".join(BASE)
    ends = {sum(map(len, BASE[:count])) for count in range(len(BASE) + 1)}
    for size in range(100, len(whole), 100):
        file = place / "file.tar"
        file.write_bytes(whole[:size])
        assert run_differ("-q", "scratch", f"tar:{file}")[0] == (0 if size in ends else 2), size


def test_compressed_files_that_are_whole_are_taken(place: Path, run_differ: RunDiffer) -> None:
    wanted = run_differ("scratch", f"tar:{tar_of(place, *BASE)}")[1]
    assert "A d/f\n" in wanted
    packed = {"gz": gzip.compress(WHOLE), "two.gz": gzip.compress(WHOLE[:700]) + gzip.compress(WHOLE[700:])}
    if PROGRAMS is None:
        skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
        large = b"".join([*BASE, AFTER, entry(b"large", data=os.urandom(300_000) + bytes(600_000)), END])
        packed |= {"zst": _zstd(WHOLE), "two.zst": _zstd(WHOLE[:700]) + skipped + _zstd(WHOLE[700:])}
        packed["large.zst"] = _zstd(large)
    else:
        file = place / "file.zst"
        file.write_bytes(_zstd(WHOLE))
        reason = "is compressed with zstd, which this Python has not; pip install zstandard, or make it gzip"
        assert refused(run_differ, place, file, "scratch", f"tar:{file}") == f": {reason}\n"
    for name, data in packed.items():
        file = place / name
        file.write_bytes(data)
        status, out, err = run_differ("scratch", f"tar:{file}")
        assert status == 0, err
        assert out.replace("A large\n", "") == wanted


def test_what_is_no_regular_file_is_refused(place: Path, run_differ: RunDiffer) -> None:
    os.mkfifo(place / "fifo")
    for name, reason in (
        ("fifo", ": is no regular file; write the tar into one\n"),
        (".", ": is no regular file; write the tar into one\n"),
        ("none", ": cannot be opened: No such file or directory\n"),
    ):
        assert refused(run_differ, place, place / name, "scratch", f"tar:{place / name}") == reason


@pytest.mark.parametrize("word", ["tar:", "tar::", "tar:a::b", "tar:a:", "oci:", "oci::tag", "oci:a:"])
def test_a_word_that_names_nothing(word: str, place: Path, run_differ: RunDiffer) -> None:
    expected = "tar:FILE[:FILE...]" if word.startswith("tar") else "oci:DIR[:TAG]"
    assert refused(run_differ, place, Path(word), word, "scratch") == f": expected {expected}\n"
    assert refused(run_differ, place, Path(word), "scratch", word) == f": expected {expected}\n"
    if word.startswith("tar"):
        (place / "lower").mkdir()
        refused(run_differ, place, Path(word), place / "lower", word, apply=True)


def test_changes_are_one_tar(place: Path, run_differ: RunDiffer) -> None:
    file = tar_of(place, *BASE)
    words = f"tar:{file}:{file}", f"oci:{place}"
    for word in words:
        refused(run_differ, place, Path(word), "scratch", word, apply=True)


@pytest.mark.inside
def test_what_is_unpacked_needs_room(
    place: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no directory for it a little is held in memory."""
    monkeypatch.setenv("TMPDIR", str(place / "none"))
    file = place / "file.tar"
    for size, status in ((1 << 20, 0), (17 << 20, 2)):
        file.write_bytes(gzip.compress(b"".join([*BASE, entry(b"large", data=bytes(size)), END]), 1))
        if status == 0:
            assert run_differ("-q", "scratch", f"tar:{file}", place / "fine")[0] == 0
        else:
            why = "No such file or directory; set TMPDIR to a directory with room"
            reason = refused(run_differ, place, place / "none", "scratch", f"tar:{file}")
            assert reason == f": cannot hold what is unpacked: {why}\n"


def test_records_that_end_where_the_header_ends(place: Path, run_differ: RunDiffer) -> None:
    """The longest records that are taken are those that fill what a header may have."""
    data = record(b"comment", b"c" * ((1 << 20) - 100))
    file = tar_of(place, *BASE, entry(b"x", b"x", data), entry(b"x"))
    status, out, err = run_differ("scratch", f"tar:{file}")
    assert (status, "A x\n" in out) == (0, True), err
