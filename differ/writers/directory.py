"""Changes written as a directory.

Directories, whiteouts, and names of inodes with several are written at once and in order.  Everything else
waits until there is much of it, and is then written together: by a process of its own, where there are
processors for it.  A directory gets its own facts when all that it holds has been written, so that
neither its times nor its default ACL know of what was written into it.
"""

from __future__ import annotations

import os
import time
from stat import S_IFMT, S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG

from .. import linux
from ..apply import UNFINISHED
from ..children import Child
from ..content import Copier
from ..model import ChangeKind, DifferError, os_reason
from ..scan import Descent, seek, steps
from ..whiteout import PREFIX, Marker
from .facts import OWNER_ALL, FactsWriter, reopen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..children import Tell
    from ..model import Change, Entry, Losses, Tally, Tree
    from ..whiteout import Style
    from .facts import Again, Loss

_LONGEST_NAME = 255  # bytes, NAME_MAX of every Linux file system that images are built on
_MANY = 1000  # entries that are written together
_MUCH = 32 * 1024 * 1024  # or bytes
_TELL_EVERY = 0.2  # s between two answers of how much has been written


class Batch:
    """What is written together.

    ``entries``: directory, name and facts of each that waits.
    ``left``: the directories that have been left meanwhile, and what they are given after that: a path, and how many
    of its names lead to the directory, so that those which are left together share it.
    ``lost``: what could not be carried.  ``size``: bytes of file content.
    """

    __slots__ = ("entries", "left", "lost", "size")

    def __init__(self) -> None:
        self.entries: list[tuple[list[bytes], bytes, Entry]] = []
        self.left: list[tuple[list[bytes], int, Entry | Again]] = []
        self.lost: list[Loss] = []
        self.size = 0


class DirectoryWriter:
    """Writes changes below a directory.

    ``root``: the directory's descriptor, which stays the caller's; its own facts are left alone.
    ``shown``: what to call it.
    ``source``: UPPER, for the content of files; the writer moves in it as it likes.
    ``style``: how removals are written.
    ``losses``: told what cannot be carried.  ``tally``: counts the bytes written.
    ``jobs``: processes that may write at a time, besides this one; 0 for as many as is good.
    ``unmapped``: as for :func:`.facts.is_unmapped`.
    """

    def __init__(
        self,
        root: int,
        shown: bytes,
        source: Tree,
        style: Style,
        losses: Losses,
        tally: Tally,
        jobs: int,
        unmapped: tuple[int, int],
    ) -> None:
        self._shown = shown
        self._source = source
        self._style = style
        self._losses = losses
        self._tally = tally
        self._copier = Copier(tally)
        self._facts = FactsWriter(shown, unmapped)
        self._descent = Descent(os.dup(root))
        self._elsewhere = Descent(os.dup(root))
        # What each open directory below the root is given when it is left.
        self._pending: list[Entry | Again] = []
        self._not_made: set[bytes] = set()
        self._batch = Batch()
        self._facts.lost = self._batch.lost
        # Those that processes write, in their order.
        self._given: list[tuple[Child, Batch]] = []
        self._jobs = jobs

    def write(self, change: Change) -> None:
        """Write one change; the stream's contract (plan.py) says what has been written before.

        Raises :class:`DifferError`, which names the path.
        """
        *parents, name = change.path.split(b"/")
        if change.path == UNFINISHED and change.kind != ChangeKind.REMOVED:
            raise DifferError(
                "is the name that marks an unfinished result, and cannot be in a whole one;"
                " it must be removed or left out",
                change.path,
            )
        try:
            if parents != self._descent.names:
                self._go(parents)
            if change.kind == ChangeKind.REMOVED:
                self._remove(name, change.path)
            elif change.link is not None:
                self._link(change.link, name, change.path)
            elif change.upper is not None:
                self._create(parents, name, change.path, change.upper)
        except OSError as error:
            raise self._failed(error, change.path) from error

    def finish(self) -> None:
        """Write what waits, and give the directories that are still open their facts.  Nothing may be
        written after."""
        self._go([])
        self._complete()

    def close(self) -> None:
        """End what still writes, and give back the descriptors."""
        for child, _ in self._given:
            child.end()
        self._descent.close()
        self._elsewhere.close()

    def _failed(self, error: OSError, path: bytes) -> DifferError:
        return DifferError(f"cannot be written: {os_reason(error)}", self._shown + b"/" + path)

    # ------------------------------------------------------------ at once

    def _go(self, parents: list[bytes]) -> None:
        up, down = steps(self._descent.names, parents)
        names = [*self._descent.names] if up else []
        for depth in range(len(names), len(names) - up, -1):
            self._batch.left.append((names, depth, self._pending.pop()))
            try:
                self._descent.leave()
            except OSError as error:
                raise self._failed(error, b"/".join(names[:depth])) from error
        if down:
            # A directory that has been left may still be waiting for its facts.
            self._complete()
        for name in down:
            self._descent.enter(name)
            self._pending.append(reopen(self._descent.fd))

    def _create(self, parents: list[bytes], name: bytes, path: bytes, entry: Entry) -> None:
        facts = entry.stat
        if S_ISDIR(facts.st_mode):
            os.mkdir(name, OWNER_ALL, dir_fd=self._descent.fd)
            self._descent.enter(name)
            self._pending.append(entry)
        elif facts.st_nlink > 1 or name.startswith(PREFIX):
            # Other names are linked to it; or it is where a whiteout may be wanted, and an error is.
            self._make(self._descent.fd, parents, name, entry)
        else:
            batch = self._batch
            batch.entries.append((parents, name, entry))
            if S_ISREG(facts.st_mode):
                batch.size += facts.st_size
            if len(batch.entries) >= _MANY or batch.size >= _MUCH:
                self._hand_on()

    def _make(self, dir_fd: int, parents: list[bytes], name: bytes, entry: Entry) -> None:
        """Make what is no directory."""
        facts = entry.stat
        path = b"/".join([*parents, name])
        if S_ISREG(facts.st_mode):
            self._source.seek(parents)
            source = self._source.open(name, facts)
            try:
                target = linux.create_file(name, dir_fd)
                try:
                    self._copier.copy(source, target, facts, self._source.path(name))
                    self._facts.file(target, entry, path)
                finally:
                    os.close(target)
            finally:
                linux.close_all(source)
            return
        if S_ISLNK(facts.st_mode):
            os.symlink(entry.target or b"", name, dir_fd=dir_fd)
        else:
            try:
                os.mknod(name, S_IFMT(facts.st_mode) | 0o600, facts.st_rdev, dir_fd=dir_fd)
            except OSError as error:
                if error.errno not in linux.NOT_CARRIED or not (
                    S_ISCHR(facts.st_mode) or S_ISBLK(facts.st_mode)
                ):
                    raise
                self._facts.lost.append(("devices", path, os_reason(error)))
                self._not_made.add(path)
                return
        self._facts.name(dir_fd, name, entry, path)

    def _link(self, source: bytes, name: bytes, path: bytes) -> None:
        if source in self._not_made:
            self._facts.lost.append(("devices", path, "is a hard link to a device that could not be made"))
            return
        *parents, source_name = source.split(b"/")
        descent = self._elsewhere
        seek(descent, descent.names, parents)
        os.link(source_name, name, src_dir_fd=descent.fd, dst_dir_fd=self._descent.fd, follow_symlinks=False)

    def _remove(self, name: bytes, path: bytes) -> None:
        marker = self._style.marker(name)
        if marker is None:
            return
        if len(marker.name) > _LONGEST_NAME:
            raise DifferError(
                "was removed, and no directory can hold the whiteout of a name longer than 251 bytes"
                " (--whiteout overlay and none can)",
                path,
            )
        try:
            self._write_marker(marker)
        except FileExistsError as error:
            raise DifferError(
                f"was removed, and its whiteout would take the place of the entry {marker.name!r}", path
            ) from error

    def _write_marker(self, marker: Marker) -> None:
        name = marker.name
        dir_fd = self._descent.fd
        if S_ISREG(marker.type):
            fd = linux.create_file(name, dir_fd)
            try:
                self._facts.own(fd, -1, 0, 0)
                os.fchmod(fd, 0)
                os.utime(fd, ns=(0, 0))
            finally:
                os.close(fd)
        else:
            # Anybody may make this one device: mknod(2), whiteouts are no device to the kernel.
            os.mknod(name, marker.type, 0, dir_fd=dir_fd)
            os.utime(name, ns=(0, 0), dir_fd=dir_fd, follow_symlinks=False)
            self._facts.own(name, dir_fd, 0, 0)

    # ------------------------------------------------------------ together

    def _begin(self) -> Batch:
        """Begin the next batch; the one before."""
        batch, self._batch = self._batch, Batch()
        self._facts.lost = self._batch.lost
        return batch

    def _hand_on(self) -> None:
        """Have what waits written by a process, or here if there can be none."""
        jobs = self._jobs or linux.processors()
        if jobs == 1:
            self._complete()
            return
        if len(self._given) >= jobs:
            self._complete_first()
        batch = self._begin()
        # Who is forked shares the root with this process, and how far it has been listed with it.
        self._source.seek([])
        self._source.names()
        if Child.start(
            lambda tell: self._fill_apart(batch, tell), lambda child: self._given.append((child, batch))
        ):
            batch.entries.clear()
        else:
            self._complete(batch)

    def _complete(self, batch: Batch | None = None) -> None:
        """Write ``batch``, or what waits, and wait for all that was given away."""
        batch = batch or self._begin()
        self._fill(batch)
        while self._given:
            self._complete_first()
        self._settle(batch)

    def _complete_first(self) -> None:
        """Wait for what was given away first."""
        child, batch = self._given[0]
        lost: list[Loss] | None = None
        while lost is None:
            try:
                answers = child.answers()
            except EOFError:
                reason = "cannot be written: a process that wrote into it has been ended"
                raise DifferError(reason, self._shown) from None
            for written, error, last in answers:
                self._tally.written += written
                if error is not None:
                    raise DifferError(*error)
                lost = last
            self._tally.tick()
        child.end()
        del self._given[0]
        batch.lost += lost
        self._settle(batch)

    def _fill_apart(self, batch: Batch, tell: Tell) -> None:
        """Write the entries of a batch in a process of its own."""
        tally = self._tally
        tally.written = 0
        told = time.monotonic()

        def tick() -> None:
            nonlocal told
            now = time.monotonic()
            if now > told + _TELL_EVERY:
                told = now
                tell((tally.written, None, None))
                tally.written = 0

        tally.tick = tick
        batch.lost.clear()  # the one that has started this has it
        try:
            self._fill(batch)
        except DifferError as error:
            tell((0, (error.reason, error.path), None))
        else:
            tell((tally.written, None, batch.lost))

    def _fill(self, batch: Batch) -> None:
        """Write the entries of a batch."""
        self._facts.lost = batch.lost
        descent = self._elsewhere
        for parents, name, entry in batch.entries:
            try:
                seek(descent, descent.names, parents)
                self._make(descent.fd, parents, name, entry)
            except OSError as error:
                raise self._failed(error, b"/".join([*parents, name])) from error
        self._facts.lost = self._batch.lost

    def _settle(self, batch: Batch) -> None:
        """Give the directories that were left meanwhile their facts, and tell of what was lost."""
        self._facts.lost = batch.lost
        descent = self._elsewhere
        for shared, depth, pending in batch.left:
            names = shared[:depth]
            path = b"/".join(names)
            try:
                seek(descent, descent.names, names)
                self._facts.directory(descent.fd, pending, path)
            except OSError as error:
                raise self._failed(error, path) from error
        self._facts.lost = self._batch.lost
        # In the order of names, whatever was written first.
        for loss in sorted(batch.lost, key=lambda loss: loss[1]):
            self._losses.add(*loss)


def remove_below(fd: int, names: list[bytes] | None = None) -> None:
    """Remove everything below the directory ``fd``, which stays; following nothing.

    ``names``: what to remove of it, with everything below; all by default.
    Raises ``OSError`` when something cannot be removed.
    """
    descent = Descent(os.dup(fd))
    try:
        pending = [linux.list_names(fd) if names is None else names]
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                facts = os.stat(name, dir_fd=descent.fd, follow_symlinks=False)
                if not S_ISDIR(facts.st_mode):
                    os.unlink(name, dir_fd=descent.fd)
                    continue
                if facts.st_mode & OWNER_ALL != OWNER_ALL and os.geteuid() != 0:
                    os.chmod(name, OWNER_ALL, dir_fd=descent.fd)
                descent.enter(name, facts)
                pending.append(linux.list_names(descent.fd))
            elif len(pending) > 1:
                pending.pop()
                name = descent.names[-1]
                descent.leave()
                os.rmdir(name, dir_fd=descent.fd)
            else:
                return
    finally:
        descent.close()
