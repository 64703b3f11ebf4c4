"""The proof that LOWER with a result applied is UPPER.

Two trees are walked side by side and every fact of every name is held against its counterpart.
This shares no decision with compare.py and plan.py, on purpose: it has its own walk, its own idea of
equality and its own reading of files, so that a mistake there does not excuse itself here.

Left out, because no changeset carries them (semantics.md section 4): the facts of the root, the
times of directories that were not written, sockets where the style has none, and names that only
LOWER has where the style cannot remove them.
"""

from __future__ import annotations

import os
from stat import S_IFMT, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG, S_ISSOCK

from .content import LAST, check_unchanged
from .linux import close_all, next_data
from .model import TYPE_NAMES, DifferError, os_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .apply import MergedTree
    from .model import Stat, Tally, Tree
    from .whiteout import Style

    Inode = tuple[int, int]

_BLOCK = 1024 * 1024  # bytes


class Proof:
    """One comparison of a merged view with the tree that it should be.

    ``merged``: LOWER with the changes on top.  ``view``: the same, less what --ignore takes.
    ``upper``: what it should be, less what --ignore takes.
    ``style``: the one the changes are written in.  ``tally``: counts the bytes compared.
    ``unmapped``: the ids that are read of owners who are not known (:func:`.linux.unmapped_ids`).
    """

    def __init__(
        self,
        merged: MergedTree,
        view: Tree,
        upper: Tree,
        style: Style,
        tally: Tally,
        unmapped: tuple[int, int] = (-1, -1),
    ) -> None:
        self._unmapped = unmapped
        self._merged = merged
        self._view = view
        self._upper = upper
        self._style = style
        self._tally = tally
        self._upper_of: dict[Inode, Inode] = {}
        self._merged_of: dict[Inode, Inode] = {}

    def failures(self) -> Iterator[tuple[bytes, str]]:
        """Every path that is not what it should be, with the reason.  None, and the proof holds.

        Raises :class:`DifferError` when a tree cannot be read.
        """
        standing: list[bytes] = []
        pending = [self._here()]
        while pending:
            if not pending[-1]:
                pending.pop()
                if pending:
                    self._view.leave()
                    self._upper.leave()
                    standing.pop()
                continue
            name, in_view, in_upper = pending[-1].pop()
            self._tally.entries += 1
            path = b"/".join([*standing, name])
            if not in_upper:
                if self._removable(name):
                    yield path, "should not be there"
                continue
            upper = self._upper.stat(name)
            if not in_view:
                if self._style.sockets or not S_ISSOCK(upper.st_mode):
                    yield path, "is missing"
                continue
            view = self._view.stat(name)
            if not self._style.sockets and S_ISSOCK(upper.st_mode) and S_ISSOCK(view.st_mode):
                continue
            reasons = self._unequal(name, view, upper)
            if reasons:
                yield path, ", ".join(reasons)
            if S_ISDIR(view.st_mode) and S_ISDIR(upper.st_mode):
                self._tally.tick()
                self._view.enter(name, view)
                self._upper.enter(name, upper)
                standing.append(name)
                pending.append(self._here())

    def _here(self) -> list[tuple[bytes, bool, bool]]:
        """The names in the current directory as (name, in the view, in UPPER), the last one first."""
        view = set(self._view.names())
        upper = set(self._upper.names())
        return [(name, name in view, name in upper) for name in sorted(view | upper, reverse=True)]

    def _removable(self, name: bytes) -> bool:
        """Whether a name that UPPER has not could have been kept out of the view."""
        return self._merged.in_changes(name) or self._style.marker(name) is not None

    def _unequal(self, name: bytes, view: Stat, upper: Stat) -> list[str]:
        """What is not equal about one name."""
        if S_IFMT(view.st_mode) != S_IFMT(upper.st_mode):
            kinds = [TYPE_NAMES.get(S_IFMT(facts.st_mode), "unknown") for facts in (view, upper)]
            return [f"is a {kinds[0]} and should be a {kinds[1]}"]
        is_dir = S_ISDIR(upper.st_mode)
        facts = [
            ("mode", f"{S_IMODE(view.st_mode):04o}", f"{S_IMODE(upper.st_mode):04o}"),
            ("owner", f"{view.st_uid}:{view.st_gid}", f"{upper.st_uid}:{upper.st_gid}"),
        ]
        if not is_dir:
            facts.append(("size", f"{view.st_size}", f"{upper.st_size}"))
        if not is_dir or self._merged.in_changes(name):
            facts.append(("mtime", f"{view.st_mtime_ns} ns", f"{upper.st_mtime_ns} ns"))
        if S_ISCHR(upper.st_mode) or S_ISBLK(upper.st_mode):
            facts.append(("device", f"{view.st_rdev:#x}", f"{upper.st_rdev:#x}"))
        reasons = [f"{fact} is {is_} and should be {should}" for fact, is_, should in facts if is_ != should]
        if self._merged.in_changes(name) and upper.st_dev >= 0:
            if upper.st_uid == self._unmapped[0] or upper.st_gid == self._unmapped[1]:
                reasons.append("owner is one of those that this user namespace does not map")
        if not is_dir and not self._linked_alike(view, upper):
            reasons.append("its hard links are not the ones they should be")
        if S_ISLNK(upper.st_mode) and self._view.target(name) != self._upper.target(name):
            reasons.append("target differs")
        if self._view.xattrs(name, view) != self._upper.xattrs(name, upper):
            reasons.append("extended attributes differ")
        if (
            S_ISREG(upper.st_mode)
            and view.st_size == upper.st_size
            and not self._same_bytes(name, view, upper)
        ):
            reasons.append("content differs")
        return reasons

    def _linked_alike(self, view: Stat, upper: Stat) -> bool:
        """Whether the inodes on the two sides have stood for each other so far."""
        if view.st_nlink == 1 and upper.st_nlink == 1:
            return True
        here, there = (view.st_dev, view.st_ino), (upper.st_dev, upper.st_ino)
        return (
            self._upper_of.setdefault(here, there) == there
            and self._merged_of.setdefault(there, here) == here
        )

    def _same_bytes(self, name: bytes, view: Stat, upper: Stat) -> bool:
        if (view.st_dev, view.st_ino) == (upper.st_dev, upper.st_ino):
            return True
        left = self._view.open(name, view)
        try:
            right = self._upper.open(name, upper)
            try:
                offset = 0
                while True:
                    # What is a hole on both sides is equal.
                    offset = min(next_data(fd, offset, upper.st_size) for fd in (left, right))
                    if offset == LAST:
                        break
                    one = os.pread(left, min(_BLOCK, LAST - offset), offset)
                    if one != _read(right, len(one), offset):
                        return False
                    self._tally.tick()
                    if not one:
                        break
                    offset += len(one)
                check_unchanged(right, upper, self._upper.path(name))
            except OSError as error:
                # Which of the two could not be read is not known.
                reason = f"cannot be compared: {os_reason(error)}"
                raise DifferError(reason, self._upper.path(name)) from error
            finally:
                close_all(right)
        finally:
            close_all(left)
        return True


def _read(fd: int, count: int, offset: int) -> bytes:
    """As many bytes as the other side gave, or one more than none to see that this side ends too."""
    data = os.pread(fd, count or 1, offset)
    while data and len(data) < count:
        more = os.pread(fd, count - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
