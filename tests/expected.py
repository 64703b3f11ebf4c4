"""What must come out, worked out from the rows of two trees and by nothing of the product.

This is the slow and simple way to say it: every name of both trees in a dictionary, no walk, no stream.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from .trees import Row

Rows = dict[str, Row]
"""Rows by their paths, without the root."""

EMPTY = hashlib.sha256(b"").hexdigest()
CAPABILITY = "security.capability"
MARKER: Row = {"mode": "0000", "uid": 0, "gid": 0, "mtime": [0, 0]}


def by_path(rows: Iterable[Row]) -> Rows:
    """The rows as a dictionary."""
    return {row["path"]: row for row in rows if row["path"] != "."}


def in_order(rows: Rows) -> list[Row]:
    """The rows in the order of a changeset."""
    return [rows[path] for path in sorted(rows, key=components)]


def components(path: str) -> list[bytes]:
    return os.fsencode(path).split(b"/")


def above(path: str) -> list[str]:
    """The directories above a path, the topmost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def chosen(rows: Rows, paths: Iterable[str]) -> Rows:
    """Some of the rows; a link group is what is left of it among them."""
    kept = {path: dict(rows[path]) for path in paths}
    groups: dict[str, list[str]] = {}
    for path, row in kept.items():
        if "linkgroup" in row:
            groups.setdefault(row.pop("linkgroup"), []).append(path)
    for names in groups.values():
        if len(names) > 1:
            for name in names:
                kept[name]["linkgroup"] = min(names, key=os.fsencode)
    return kept


def names_of_inodes(rows: Rows) -> dict[str, frozenset[str]]:
    """For every path the set of names that share its inode."""
    groups: dict[str, set[str]] = {}
    for path, row in rows.items():
        groups.setdefault(row.get("linkgroup", path), set()).add(path)
    return {path: frozenset(groups[row.get("linkgroup", path)]) for path, row in rows.items()}


def _same(profile: str, lower: Row, upper: Row) -> bool:
    """The table of semantics.md section 2, but for inodes and their names."""

    def facts(row: Row) -> Row:
        left_out = {"linkgroup"}
        if row["type"] == "dir":
            left_out |= {"mtime"}
        both_whole = lower["mtime"][1] == upper["mtime"][1] == 0
        if profile == "metadata" or (profile == "native" and not both_whole):
            left_out |= {"sha256"}
        if profile == "native" and not both_whole:
            left_out |= {"target"}
        told = {key: value for key, value in row.items() if key not in left_out}
        if profile == "native":
            told["xattrs"] = row.get("xattrs", {}).get(CAPABILITY)
        return told

    return facts(lower) == facts(upper)


def changed(lower: Rows, upper: Rows, profile: str = "exact") -> set[str]:
    """The paths of UPPER that are added or modified."""
    result = {path for path in upper if path not in lower or not _same(profile, lower[path], upper[path])}
    if profile != "native":
        were, are = names_of_inodes(lower), names_of_inodes(upper)
        result |= {path for path in upper if upper[path]["type"] != "dir" and were.get(path) != are[path]}
    return result


def removed(lower: Rows, upper: Rows) -> set[str]:
    """The topmost paths of LOWER that UPPER has not, where they are gone by a removal."""
    gone = set()
    for path in lower:
        parents = above(path)
        if path not in upper and (not parents or upper.get(parents[-1], {}).get("type") == "dir"):
            gone.add(path)
    return gone


def marker(path: str, style: str) -> Row | None:
    """The row that tells of a removal."""
    if style == "overlay":
        return {"path": path, "type": "chr", "rdev": [0, 0], **MARKER}
    if style == "oci":
        head, slash, name = path.rpartition("/")
        return {"path": f"{head}{slash}.wh.{name}", "type": "file", "size": 0, "sha256": EMPTY, **MARKER}
    return None


def difference(lower: Rows, upper: Rows, style: str, profile: str = "exact") -> list[Row]:
    """The rows of OUT, without the root."""
    emitted = changed(lower, upper, profile)
    if profile == "native" and style != "none":
        are = names_of_inodes(upper)
        emitted |= {path for path in upper if upper[path]["type"] != "dir" and are[path] & emitted}
    gone = removed(lower, upper)
    if style == "oci":
        sockets = {path for path in upper if upper[path]["type"] == "socket"}
        emitted -= sockets
        if profile != "native":
            gone |= {path for path in sockets if path in lower and lower[path]["type"] != "socket"}
    markers = [row for path in gone if (row := marker(path, style)) is not None]
    # The directories above a removed name are there even if nothing tells of the name (section 1).
    for path in [*emitted, *gone]:
        emitted = emitted.union(above(path))
    return in_order(chosen(upper, emitted) | by_path(markers))


def result(lower: Rows, upper: Rows, out: Rows, style: str) -> list[Row]:
    """What LOWER with OUT on top must look like: UPPER, less what semantics.md section 4 leaves out."""
    rows = chosen(upper, upper)
    if style == "none":
        stay = {
            path
            for path in lower
            if path not in upper
            and all(upper.get(dir_, {"type": "dir"})["type"] == "dir" for dir_ in above(path))
        }
        rows |= chosen(lower, stay)
    return left_over(in_order(rows), out, style)


def left_over(rows: Iterable[Row], out: Rows, style: str) -> list[Row]:
    """The rows without what a changeset does not carry: the root, sockets in the layer face, the times
    of directories that it has not."""
    kept = []
    for row in rows:
        if row["path"] == "." or (style == "oci" and row["type"] == "socket"):
            continue
        if row["type"] == "dir" and row["path"] not in out:
            row = {key: value for key, value in row.items() if key != "mtime"}
        kept.append(row)
    return kept
