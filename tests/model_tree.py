"""A tree in memory: what the kernel makes of an edit, and what the difference of two such trees is.

Nothing here is the product's, and nothing is read from a disk: a tree is told what is done to it.
"""

from __future__ import annotations

import copy
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from .trees import NOW_NS, Row

NOW = ["now"]
"""The time in a row that nobody has set."""

Rows = dict[bytes, Row]
"""Rows by their paths, without the root."""
Differences = dict[bytes, tuple[str, frozenset[str]]]
"""For each path A, M or D, and of what is modified the fields."""


class Node:
    """An inode.

    ``value``: a file's bytes, a symbolic link's target, the number of a device.
    ``mtime``: in ns; None for the time of a change that nobody has set another one after.
    ``entries``: what a directory has.
    ``below``: on overlayfs, in the lower layer only: what changes it makes a copy, for one name.
    ``origin``: on overlayfs, a directory that the lower layer has.
    """

    def __init__(self, type: str, mode: int, value: Any = None, mtime: int | None = None) -> None:
        self.type = type
        self.mode = mode
        self.uid = self.gid = 0
        self.mtime = mtime
        self.value = value
        self.xattrs: dict[str, bytes] = {}
        self.entries: dict[bytes, Node] = {}
        self.below = self.origin = False

    def fields(self, other: Node) -> frozenset[str]:
        """How two entries of one name differ, but for their other names."""
        if self.type != other.type:
            return frozenset(["type"])
        found = {
            name for name in ("mode", "uid", "gid", "xattrs") if getattr(self, name) != getattr(other, name)
        }
        if self.type != "dir" and self.mtime != other.mtime:
            found.add("mtime")
        if self.value != other.value:
            found.add({"file": "content", "symlink": "target"}.get(self.type, "device"))
            if self.type in ("file", "symlink") and len(self.value) != len(other.value):
                found.add("size")
        return frozenset(found)

    def row(self, path: bytes) -> Row:
        """As :func:`.trees.read_tree` tells it."""
        row: Row = {
            "path": os.fsdecode(path),
            "type": self.type,
            "mode": f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "mtime": NOW if self.mtime is None else list(divmod(self.mtime, 10**9)),
        }
        if self.type == "file":
            row["size"] = len(self.value)
            row["sha256"] = hashlib.sha256(self.value).hexdigest()
        elif self.type == "symlink":
            row["target"] = os.fsdecode(self.value)
        elif self.type in ("chr", "blk"):
            row["rdev"] = list(self.value)
        if self.xattrs:
            row["xattrs"] = {name: self.xattrs[name].hex() for name in sorted(self.xattrs)}
        return row


class ModelTree:
    """A tree that takes edits as a file system does, for root and with the umask 022.

    ``redirects``: on overlayfs, whether directories of the lower layer can be renamed.
    """

    def __init__(self) -> None:
        self.root = Node("dir", 0o755)
        self.redirects = True

    def copied(self, overlay: bool = False) -> ModelTree:
        """A copy; ``overlay``: as the mount of an empty layer on top of this one shows it."""
        other = copy.deepcopy(self)
        if overlay:
            for node in [other.root, *other.nodes().values()]:
                node.below, node.origin = node.type != "dir", node.type == "dir"
        return other

    def nodes(self) -> dict[bytes, Node]:
        """Every path and what is there, directories before what is in them."""
        return dict(_below(b"", self.root))

    def at(self, path: bytes) -> Node:
        """What is at a path; the root is the empty one."""
        node = self.root
        for name in path.split(b"/") if path else []:
            node = node.entries[name]
        return node

    def names(self) -> dict[int, frozenset[bytes]]:
        """For every inode that is no directory, by ``id()``, its names."""
        found: dict[int, set[bytes]] = {}
        for path, node in self.nodes().items():
            if node.type != "dir":
                found.setdefault(id(node), set()).add(path)
        return {number: frozenset(names) for number, names in found.items()}

    def rows(self) -> Rows:
        """As :func:`canonical` gives them of a tree that was read."""
        names = self.names()
        rows = {}
        for path, node in self.nodes().items():
            rows[path] = node.row(path)
            if len(names.get(id(node), ())) > 1:
                rows[path]["linkgroup"] = os.fsdecode(min(names[id(node)]))
        return rows

    # ------------------------------------------------------------ edits
    def make(self, path: bytes, type: str, value: Any = None) -> None:
        """A new entry where nothing is."""
        above, name = self._place(path)
        node = Node(type, {"dir": 0o755, "symlink": 0o777}.get(type, 0o644), value)
        if above.mode & stat.S_ISGID:
            node.gid = above.gid
            node.mode |= stat.S_ISGID if type == "dir" else 0
        above.entries[name] = node

    def link(self, source: bytes, path: bytes) -> None:
        node = self._own(source)
        above, name = self._place(path)
        above.entries[name] = node

    def remove(self, path: bytes) -> None:
        """An entry, and all that is below it."""
        above, name = self._place(path)
        del above.entries[name]

    def can_rename(self, path: bytes) -> bool:
        return self.redirects or not self.at(path).origin

    def rename(self, source: bytes, path: bytes) -> None:
        """To a name that is free, or that something has which can be replaced."""
        old, there = self.at(source), self._there(path)
        # Overlayfs does not know two names in a lower layer for one file.
        if old is there and not old.below:
            return
        node = self._own(source)
        above, name = self._place(source)
        del above.entries[name]
        above, name = self._place(path)
        above.entries[name] = node

    def chmod(self, path: bytes, mode: int) -> None:
        self._own(path).mode = mode

    def chown(self, path: bytes, uid: int, gid: int) -> None:
        node = self._own(path)
        node.uid, node.gid = uid, gid
        if node.type != "dir":
            node.mode &= ~stat.S_ISUID
            node.mode &= ~stat.S_ISGID if node.mode & stat.S_IXGRP else -1
            node.xattrs.pop("security.capability", None)

    def utime(self, path: bytes, mtime: int) -> None:
        self._own(path).mtime = mtime

    def write(self, path: bytes, data: bytes) -> None:
        """Other bytes in the place of all that a file has."""
        self._written(path, data)

    def patch(self, path: bytes, at: int, data: bytes) -> None:
        """Other bytes in the place of some."""
        old = self.at(path).value
        self._written(path, old[:at] + data + old[at + len(data) :])

    def truncate(self, path: bytes, size: int) -> None:
        """To a size that it has not."""
        self._written(path, self.at(path).value[:size].ljust(size, b"\0"))

    def setxattr(self, path: bytes, name: str, value: bytes) -> None:
        self._own(path).xattrs[name] = value

    def removexattr(self, path: bytes, name: str) -> None:
        del self._own(path).xattrs[name]

    def _written(self, path: bytes, data: bytes) -> None:
        node = self._own(path)
        node.value, node.mtime = data, None
        node.xattrs.pop("security.capability", None)

    def _place(self, path: bytes) -> tuple[Node, bytes]:
        """The directory whose entries are about to change, and the name in it."""
        above, _, name = path.rpartition(b"/")
        directory = self.at(above)
        directory.mtime = None
        return directory, name

    def _there(self, path: bytes) -> Node | None:
        above, _, name = path.rpartition(b"/")
        return self.at(above).entries.get(name)

    def _own(self, path: bytes) -> Node:
        """What is at a path, to be changed: on overlayfs no longer what is below."""
        node = self.at(path)
        if node.below:
            node = copy.copy(node)
            node.xattrs, node.below = dict(node.xattrs), False
            above, _, name = path.rpartition(b"/")
            self.at(above).entries[name] = node
        return node


def _below(above: bytes, node: Node) -> Iterator[tuple[bytes, Node]]:
    for name in sorted(node.entries):
        path = above + b"/" + name if above else name
        yield path, node.entries[name]
        yield from _below(path, node.entries[name])


def canonical(rows: list[Row]) -> Rows:
    """What was read, by paths; a time that nobody has set is :data:`NOW`."""
    found = {}
    for row in rows:
        if row["path"] != ".":
            if row["mtime"][0] * 10**9 in NOW_NS:
                row["mtime"] = NOW
            found[os.fsencode(row["path"])] = row
    return found


# ---------------------------------------------------------------- what must come out
def subtract(lower: ModelTree, upper: ModelTree) -> Differences:
    """What must be reported, semantics.md sections 2 and 3."""
    found: Differences = {}
    were, are = lower.names(), upper.names()

    def added(path: bytes, node: Node) -> None:
        for inner, _ in _below(path, node):
            found[inner] = ("A", frozenset())

    def compare(above: bytes, old: Node, new: Node) -> None:
        for name in sorted(old.entries.keys() | new.entries.keys()):
            path = above + b"/" + name if above else name
            before, after = old.entries.get(name), new.entries.get(name)
            if after is None:
                found[path] = ("D", frozenset())
                continue
            if before is None:
                found[path] = ("A", frozenset())
                added(path, after)
                continue
            fields = before.fields(after)
            is_same_type = before.type == after.type
            # That names are others is told where it is the only reason: all names are known at the end only.
            if not fields and after.type != "dir" and were[id(before)] != are[id(after)]:
                fields = frozenset(["links"])
            if fields:
                found[path] = ("M", fields)
            if is_same_type:
                compare(path, before, after)
            else:
                added(path, after)

    compare(b"", lower.root, upper.root)
    return found


def parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def changeset(upper: ModelTree, differences: Differences, style: str) -> Rows:
    """What OUT must hold."""
    there = {path for path, (kind, _) in differences.items() if kind != "D"}
    for path in differences:
        there.update(parents(path))
    rows = {path: row for path, row in upper.rows().items() if path in there}
    for names in upper.names().values():
        for path in names & there:
            rows[path].pop("linkgroup", None)
            if len(names & there) > 1:
                rows[path]["linkgroup"] = os.fsdecode(min(names & there))
    for path, (kind, _) in differences.items():
        if kind == "D" and style != "none":
            above, slash, name = path.rpartition(b"/")
            marker = Node("file", 0, b"", 0) if style == "oci" else Node("chr", 0, (0, 0), 0)
            where = above + slash + (b".wh." if style == "oci" else b"") + name
            rows[where] = marker.row(where)
    return rows


def laid_over(lower: Rows, out: Rows, style: str) -> Rows:
    """What LOWER is with OUT on top."""
    result = {path: dict(row, linkgroup=("lower", row.get("linkgroup"))) for path, row in lower.items()}

    def drop(path: bytes) -> None:
        for inner in [inner for inner in result if inner.startswith(path + b"/")]:
            del result[inner]

    for path, row in out.items():
        above, slash, name = path.rpartition(b"/")
        if style == "oci" and name.startswith(b".wh."):
            gone = above + slash + name[4:]
        elif style == "overlay" and row["type"] == "chr" and row["rdev"] == [0, 0]:
            gone = path
        else:
            if row["type"] != "dir":
                drop(path)
            result[path] = dict(row, linkgroup=("out", row.get("linkgroup")))
            continue
        assert gone in result, f"a marker for {gone!r}, which is not there"
        drop(gone)
        del result[gone]
    groups: dict[tuple[str, str | None], list[bytes]] = {}
    for path, row in result.items():
        groups.setdefault(row.pop("linkgroup"), []).append(path)
    for (_, group), paths in groups.items():
        if group is not None and len(paths) > 1:
            for path in paths:
                result[path]["linkgroup"] = os.fsdecode(min(paths))
    return result


def carried(rows: Rows, out: Rows) -> Rows:
    """Without the times of directories that are not in OUT."""
    return {
        path: {key: row[key] for key in row if key != "mtime"}
        if row["type"] == "dir" and path not in out
        else row
        for path, row in rows.items()
    }
