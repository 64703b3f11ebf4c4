"""Trees that were never on a disk, and that remember what they were asked."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Mapping
from typing import Any

from differ.compare import PROFILES
from differ.model import Change, ChangeKind, Tally
from differ.plan import Plan
from differ.whiteout import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from differ.model import Stat, Tree

Children = Mapping[bytes, "Node"]
OTHER_DEVICE = 2
T = 1_600_000_000_123_456_789
"""An mtime in ns whose fraction of a second is not zero."""

_inodes = itertools.count(1)


class Node:
    """An inode and its facts.  Placed under two names it is hard linked; in two trees, shared by them."""

    def __init__(
        self,
        type: int,
        mode: int = 0o644,
        *,
        uid: int = 0,
        gid: int = 0,
        mtime_ns: int = T,
        data: bytes = b"",
        size: int | None = None,
        rdev: int = 0,
        xattrs: dict[str, bytes] | None = None,
        children: Mapping[bytes, Node] | None = None,
        dev: int = 1,
    ) -> None:
        self.st_mode = type | mode
        self.st_uid = uid
        self.st_gid = gid
        self.st_size = len(data) if size is None else size
        self.st_mtime_ns = mtime_ns
        self.st_rdev = rdev
        self.st_dev = dev
        self.st_ino = next(_inodes)
        self.st_nlink = 0
        self.data = data
        self.xattrs = xattrs or {}
        self.children = dict(children or {})
        for child in self.children.values():
            child.st_nlink += 1


def file(data: bytes = b"", mode: int = 0o644, **facts: Any) -> Node:
    return Node(stat.S_IFREG, mode, data=data, **facts)


def directory(children: Mapping[bytes, Node] | None = None, mode: int = 0o755, **facts: Any) -> Node:
    return Node(stat.S_IFDIR, mode, children=children, **facts)


def symlink(target: bytes, **facts: Any) -> Node:
    return Node(stat.S_IFLNK, 0o777, data=target, **facts)


def special(type: int, rdev: int = 0, **facts: Any) -> Node:
    return Node(type, rdev=rdev, **facts)


class MemoryTree:
    """Implements ``differ.model.Tree``.

    ``asked``: every costly question, as (question, path), in order.  ``listed``: the directories
    whose names were wanted.
    """

    def __init__(self, children: Mapping[bytes, Node]) -> None:
        self._nodes = [directory(children)]
        self._names: list[bytes] = []
        self.asked: list[tuple[str, bytes]] = []
        self.listed: list[bytes] = []

    def _at(self, name: bytes) -> Node:
        return self._nodes[-1].children[name]

    def names(self) -> list[bytes]:
        self.listed.append(self.path())
        return sorted(self._nodes[-1].children)

    def stat(self, name: bytes) -> Stat:
        return self._at(name)

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        node = self._at(name)
        assert stat.S_ISDIR(node.st_mode)
        assert seen is None or seen is node
        self._nodes.append(node)
        self._names.append(name)

    def leave(self) -> None:
        self._nodes.pop()
        self._names.pop()

    def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
        self.asked.append(("xattrs", self.path(name)))
        return self._at(name).xattrs

    def target(self, name: bytes) -> bytes:
        node = self._at(name)
        assert stat.S_ISLNK(node.st_mode)
        self.asked.append(("target", self.path(name)))
        return node.data

    def open(self, name: bytes, facts: Stat) -> int:
        raise AssertionError("a tree in memory has no descriptors")

    def content(self, name: bytes, facts: Stat) -> bytes:
        node = self._at(name)
        assert stat.S_ISREG(node.st_mode)
        assert facts is node
        self.asked.append(("content", self.path(name)))
        return node.data

    def path(self, name: bytes = b"") -> bytes:
        return b"/".join([*self._names, name] if name else self._names)

    def depth(self) -> int:
        return len(self._names)

    def seek(self, parents: list[bytes]) -> None:
        while self._names != parents[: len(self._names)]:
            self.leave()
        for name in parents[len(self._names) :]:
            self.enter(name)

    def close(self) -> None:
        pass


LETTERS = {
    ChangeKind.ADDED: "A",
    ChangeKind.MODIFIED: "M",
    ChangeKind.REMOVED: "D",
    ChangeKind.UNMODIFIED: "=",
}


def same_content(lower: Tree, upper: Tree, name: bytes, lower_facts: Stat, upper_facts: Stat) -> bool:
    assert isinstance(lower, MemoryTree)
    assert isinstance(upper, MemoryTree)
    return lower.content(name, lower_facts) == upper.content(name, upper_facts)


def plan(
    lower: Children | MemoryTree,
    upper: Children | MemoryTree,
    profile: str = "exact",
    style: str = "oci",
    tally: Tally | None = None,
    **options: bool,
) -> Plan:
    trees = [side if isinstance(side, MemoryTree) else MemoryTree(side) for side in (lower, upper)]
    return Plan(
        trees[0], trees[1], same_content, PROFILES[profile], STYLES[style], tally or Tally(), **options
    )


def told(change: Change) -> str:
    """``M a/b mode,uid``, ``A c -> a``: one change in a line."""
    words = [LETTERS[change.kind], change.path.decode(), ",".join(change.fields)]
    if change.link is not None:
        words.append(f"-> {change.link.decode()}")
    return " ".join(word for word in words if word)


def lines(lower: Children, upper: Children, profile: str = "exact", style: str = "oci") -> list[str]:
    return [told(change) for change in plan(lower, upper, profile, style).changes()]
