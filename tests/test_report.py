"""What changed, told to programs (docs/report.md)."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.model import Change, ChangeKind, Entry, Field
from differ.writers.report import json_line

from .memory import Node, directory, file, special, symlink

names = st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & set(b"/\0"))
real_names = names.filter(lambda name: name not in (b".", b".."))
paths = st.lists(names, min_size=1, max_size=3).map(b"/".join)


def entry(node: Node, target: bytes | None = None) -> Entry:
    if stat.S_ISLNK(node.st_mode):
        target = node.data
    return Entry(node, node.xattrs, target)


def added(path: bytes, node: Node, link: bytes | None = None) -> Change:
    return Change(ChangeKind.ADDED, path, None, entry(node), link=link)


def modified(lower: Node, upper: Node, *fields: str) -> Change:
    return Change(ChangeKind.MODIFIED, b"x", entry(lower), entry(upper), fields)


def read(line: str) -> dict[str, Any]:
    assert line.isascii()
    assert line.isprintable()
    told: dict[str, Any] = json.loads(line)
    return told


def name(told: dict[str, Any], key: str) -> bytes:
    """The bytes of a name in a line: lossless for every name, and text where it is text."""
    text: str = told[key]
    if f"{key}_base64" not in told:
        return text.encode()
    exact = base64.b64decode(told[f"{key}_base64"], validate=True)
    with pytest.raises(UnicodeDecodeError):
        exact.decode()
    assert text == exact.decode("utf-8", "replace")
    return exact


def unescaped(text: str) -> bytes:
    """The bytes of a name in a line of text."""
    short = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"\\": b"\\"}
    return re.sub(
        rb"\\(?:x([0-9a-f]{2})|([ntr\\]))",
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else short[found[2]],
        text.encode(),
    )


# ---------------------------------------------------------------- lines of JSON


@given(path=paths, target=names, link=paths)
def test_any_name_is_told_losslessly(path: bytes, target: bytes, link: bytes) -> None:
    told = read(json_line(added(path, symlink(target), link)))
    assert (name(told, "path"), name(told, "target"), name(told, "link")) == (path, target, link)
    told = read(json_line(modified(symlink(target), symlink(link), Field.TARGET)))
    assert [name(side, "target") for side in told["fields"]["target"]] == [target, link]
    links = Change(
        ChangeKind.MODIFIED, path, None, entry(file()), (Field.LINKS,), None, ([path, link], [link])
    )
    lower, upper = read(json_line(links))["fields"]["links"]
    assert [[name(place, "path") for place in side] for side in (lower, upper)] == [[path, link], [link]]


@given(attribute=names, lower=st.binary(), upper=st.binary())
def test_any_attribute_is_told_losslessly(attribute: bytes, lower: bytes, upper: bytes) -> None:
    text = "user." + os.fsdecode(attribute)
    change = modified(
        file(xattrs={text: lower, "user.same": b"1"}),
        file(xattrs={text: upper, "user.same": b"1"}),
        Field.XATTRS,
    )
    values = read(json_line(change))["fields"]["xattrs"]
    if text == "user.same" or lower == upper:
        assert values == [{}, {}]
    else:
        assert [base64.b64decode(side[text], validate=True) for side in values] == [lower, upper]


def test_an_attribute_of_one_side() -> None:
    change = modified(file(xattrs={"user.a": b""}), file(xattrs={"user.b": b"\0"}), Field.XATTRS)
    assert read(json_line(change))["fields"] == {"xattrs": [{"user.a": ""}, {"user.b": "AA=="}]}


@given(
    lower=st.integers(-(2**62), 2**62),
    upper=st.one_of(st.integers(-(2**62), 2**62), st.integers(-(2**31), 2**31)),
)
def test_times_are_exact_decimals(lower: int, upper: int) -> None:
    values = read(json_line(modified(file(mtime_ns=lower), file(mtime_ns=upper), Field.MTIME)))["fields"][
        "mtime"
    ]
    assert [int(Decimal(value) * 10**9) for value in values] == [lower, upper]
    assert all(re.fullmatch(r"-?\d+\.\d{9}", value) for value in values)


@given(major=st.integers(0, 2**31 - 1), minor=st.integers(0, 2**31 - 1))
def test_device_numbers(major: int, minor: int) -> None:
    upper = special(stat.S_IFBLK, os.makedev(major, minor))
    told = read(json_line(modified(special(stat.S_IFBLK, os.makedev(8, 1)), upper, Field.DEVICE)))
    assert told["fields"] == {"device": ["8:1", f"{major}:{minor}"]}


def test_what_a_line_of_json_says() -> None:
    gone = Change(ChangeKind.REMOVED, b"x", entry(file(b"123")), None)
    settled = Change(ChangeKind.MODIFIED, b"x", None, entry(file()), (Field.LINKS,), b"a")
    lines = [
        added(b"x", directory()),
        added(b"x", file(b"12")),
        added(b"x", special(stat.S_IFSOCK)),
        gone,
        modified(
            directory(mode=0o700), directory(mode=0o1777, uid=5, gid=6), Field.MODE, Field.UID, Field.GID
        ),
        modified(file(b"1"), special(stat.S_IFIFO), Field.TYPE),
        modified(file(b"1"), file(b"22"), Field.SIZE, Field.CONTENT),
        settled,
    ]
    assert [read(json_line(change)) for change in lines] == [
        {"v": 1, "kind": "added", "path": "x", "type": "dir"},
        {"v": 1, "kind": "added", "path": "x", "type": "file", "bytes": 2},
        {"v": 1, "kind": "added", "path": "x", "type": "socket"},
        {"v": 1, "kind": "removed", "path": "x", "type": "file", "bytes": 3},
        {
            "v": 1,
            "kind": "modified",
            "path": "x",
            "type": "dir",
            "fields": {"mode": ["0700", "1777"], "uid": [0, 5], "gid": [0, 6]},
        },
        {"v": 1, "kind": "modified", "path": "x", "type": "fifo", "fields": {"type": ["file", "fifo"]}},
        {
            "v": 1,
            "kind": "modified",
            "path": "x",
            "type": "file",
            "bytes": 2,
            "fields": {"size": [1, 2], "content": [None, None]},
        },
        {
            "v": 1,
            "kind": "modified",
            "path": "x",
            "type": "file",
            "bytes": 0,
            "link": "a",
            "fields": {"links": [None, None]},
        },
    ]
