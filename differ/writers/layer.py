"""Changes written as an OCI layer: a tar (image-spec layer.md), as the builders of images write it.

Nothing is made on a disk, so a layer may hold what this user could not make: owners, devices, capabilities, the
whiteout of a name that is too long for one in a directory.
"""

from __future__ import annotations

import os
from stat import S_IFMT, S_IFREG, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR

from ..compare import CAPABILITY
from ..content import changed, check_unchanged, unreadable
from ..linux import close_all
from ..model import ChangeKind, DifferError, printable
from ..whiteout import PREFIX
from .facts import SET_ID, UNMAPPED, is_unmapped
from .tar import END, LINK, TYPES, Header, packed, padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..model import Change, Entry, Losses, Tally, Tree
    from ..whiteout import Style
    from .blob import Blob
    from .image import AppendedImage
    from .output import OutputFile

_READ = 256 * 1024  # bytes
_NS = 1_000_000_000
_V3 = 24  # bytes of a capability with the id of such a root
_DIGITS = 19  # of a time (s) that is none any more
_LOSS = "a layer has capabilities only (--layer-xattrs all)"


class LayerWriter:
    """Writes changes as a tar.

    ``put``: takes its bytes.
    ``source``: UPPER, for the content of files; the writer moves in it as it likes.
    ``style``: how removals are written.
    ``losses``: told what is not carried.  ``tally``: counts the bytes of files.
    ``all_xattrs``: whether all attributes are carried, and not only capabilities.
    ``owners``: what becomes of a uid and of a gid, which raise ``LookupError`` for one that there is none for; None
    for nothing.
    ``unmapped``: as for :func:`.facts.is_unmapped`.
    ``twice``: whether one name may be written as an entry and as a whiteout, as BuildKit does it.
    ``latest``: seconds since 1970 after which no time is; None for any (SOURCE_DATE_EPOCH,
    https://reproducible-builds.org/specs/source-date-epoch/).
    """

    def __init__(
        self,
        put: Callable[[bytes], object],
        source: Tree,
        style: Style,
        losses: Losses,
        tally: Tally,
        *,
        all_xattrs: bool,
        owners: tuple[Callable[[int], int], Callable[[int], int]] | None,
        unmapped: tuple[int, int],
        twice: bool,
        latest: int | None,
    ) -> None:
        self._put = put
        self._owners = owners
        self._unmapped = unmapped
        # Names that stand for something else too, as far as they may meet.
        self._taken: set[bytes] | None = None if twice else set()
        self._source = source
        self._style = style
        self._losses = losses
        self._tally = tally
        self._all_xattrs = all_xattrs
        self._latest = latest

    def write(self, change: Change) -> None:
        """Write one change; raises :class:`DifferError`, which names the path."""
        above, slash, name = change.path.rpartition(b"/")
        if change.upper is not None and change.kind != ChangeKind.REMOVED:
            if name.startswith(PREFIX):
                self._take(change.path, change.path)
            self._entry(change, change.upper)
            return
        marker = self._style.marker(name)
        if marker is not None:
            path = above + slash + marker.name
            self._take(path, change.path)
            self._put(packed(Header(path, TYPES[marker.type], mtime=self._time(0))))

    def _take(self, name: bytes, path: bytes) -> None:
        """Note that a name is written, for the sake of ``path``; it may have been already."""
        if self._taken is None:
            return
        if name in self._taken:
            raise DifferError(
                f"is, or would have as its whiteout, the entry {printable(name)}, which is there already",
                path,
            )
        self._taken.add(name)

    def finish(self) -> None:
        """Write the end."""
        self._put(END)

    def close(self) -> None:
        """Nothing is open."""

    def _entry(self, change: Change, entry: Entry) -> None:
        facts = entry.stat
        kind = S_IFMT(facts.st_mode)
        mode = S_IMODE(facts.st_mode)
        if is_unmapped(facts, self._unmapped):
            self._losses.add("owners", change.path, UNMAPPED)
            if not S_ISDIR(facts.st_mode):
                mode &= ~SET_ID
        is_device = S_ISCHR(facts.st_mode) or S_ISBLK(facts.st_mode)
        uid, gid = facts.st_uid, facts.st_gid
        try:
            if self._owners is not None:
                uid, gid = self._owners[0](uid), self._owners[1](gid)
        except LookupError as error:
            raise DifferError(f"its {error.args[0]} is in no map; add one for it", change.path) from None
        header = Header(
            change.path + b"/" if S_ISDIR(facts.st_mode) else change.path,
            TYPES[kind],
            mode,
            uid,
            gid,
            mtime=self._time(facts.st_mtime_ns),
            target=entry.target or b"",
            device=(os.major(facts.st_rdev), os.minor(facts.st_rdev)) if is_device else (0, 0),
            records=self._records(change.path, entry),
        )
        if change.link is not None:
            header.type, header.target = LINK, change.link
            self._put(packed(header))
        elif kind == S_IFREG:
            header.size = facts.st_size
            self._file(change.path, entry, header)
        else:
            self._put(packed(header))

    def _time(self, ns: int) -> int:
        seconds = ns // _NS
        return seconds if self._latest is None else min(seconds, self._latest)

    def _records(self, path: bytes, entry: Entry) -> dict[bytes, bytes]:
        """The attributes of an entry as pax records."""
        records = {}
        for name, value in entry.xattrs.items():
            if not (self._all_xattrs or name == CAPABILITY):
                self._losses.add(f"{name} attributes", path, _LOSS)
            elif self._owners is not None and _holds_ids(name, value):
                self._losses.add(f"{name} attributes", path, "the ids in it are not mapped")
            elif "=" in name:
                self._losses.add(f"{name} attributes", path, "no name with = has a place in a tar")
            else:
                records[b"SCHILY.xattr." + os.fsencode(name)] = value
        return records

    def _file(self, path: bytes, entry: Entry, header: Header) -> None:
        facts, source = entry.stat, self._source
        *parents, name = path.split(b"/")
        source.seek(parents)
        fd = source.open(name, facts)
        try:
            self._put(packed(header))
            left = facts.st_size
            while left:
                data = os.read(fd, min(left, _READ))
                if not data:
                    raise changed(source.path(name))
                self._put(data)
                left -= len(data)
                self._tally.written += len(data)
                self._tally.tick()
            self._put(padding(facts.st_size))
            check_unchanged(fd, facts, source.path(name))
        except OSError as error:
            raise unreadable(error, source.path(name)) from error
        finally:
            close_all(fd)


def _holds_ids(name: str, value: bytes) -> bool:
    """Whether an attribute names users: an ACL, or a capability for the root of a user namespace (capabilities(7))."""
    return name.startswith("system.posix_acl_") or (name == CAPABILITY and len(value) == _V3)


class Layer:
    """A layer in a file, on stdout or in an image, and what describes it.

    ``file``: where it goes; None for stdout, or for the image.
    ``image``: what it becomes a part of; None for nothing.
    ``metadata``: where its descriptor goes; None for nowhere.
    ``blob``: its bytes.  ``writer``: what makes them.
    """

    def __init__(
        self,
        file: OutputFile | None,
        image: AppendedImage | None,
        metadata: OutputFile | None,
        blob: Blob,
        writer: LayerWriter,
    ) -> None:
        self._image = image
        self._metadata = metadata
        self._file = file
        self._files = [one for one in (metadata, file) if one is not None]
        self._blob = blob
        self._writer = writer
        self.write = writer.write

    def open(self, inputs: list[tuple[int, bytes]], others: list[OutputFile]) -> list[int]:
        """Make the files ready; the directories in which they are made.

        ``inputs``: as for :meth:`.output.OutputFile.open`.  ``others``: open results that are no part of it.
        """
        ready = [*others]
        for file in self._files:
            file.open(inputs)
            if any(file.same_as(other) for other in ready):
                raise DifferError("is the path of two results; name another", file.path)
            ready.append(file)
        directories = [file.directory() for file in self._files]
        return directories if self._image is None else [*directories, *self._image.open(inputs)]

    def is_mixed(self, others: int) -> bool:
        """Whether it would be on stdout together with something else.

        ``others``: how much else is there that is no part of it.
        """
        if self._image is not None or (self._file is not None and not self._file.is_stdout):
            return False
        return others > 0 or (self._metadata is not None and self._metadata.is_stdout)

    def finish(self, counts: dict[str, int]) -> None:
        """Write the end, and the metadata.

        ``counts``: of changes, by their kinds.
        """
        import json

        self._writer.finish()
        self._blob.finish()
        described = {**self._blob.descriptor(), "diffID": self._blob.diff_id, "changes": counts}
        if self._image is not None:
            self._image.finish(self._blob)
            described["manifest"] = self._image.descriptor
        if self._metadata is not None:
            self._metadata.write(json.dumps(described, indent=2))
        for file in self._files:
            file.finish()

    def publish(self) -> None:
        """Give the files their names."""
        if self._image is not None:
            self._image.publish()
        for file in reversed(self._files):
            file.publish()

    def discard(self) -> None:
        """Remove what was not published; raises :class:`DifferError`."""
        try:
            if self._image is not None:
                self._image.discard()
        finally:
            for file in self._files:
                file.discard()


def mapped(kind: str, maps: list[tuple[int, int, int]]) -> Callable[[int], int]:
    """What ``maps``, each (inside, outside, count), make of an id; without any they make nothing of it.

    ``kind``: what to call the id that a ``LookupError`` is about.
    """
    ranges = [(inside - outside, range(outside, outside + count)) for inside, outside, count in maps]

    def of(number: int) -> int:
        for shift, outside in ranges:
            if number in outside:
                return number + shift
        if ranges:
            raise LookupError(f"{kind} {number}")
        return number

    return of


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """What SOURCE_DATE_EPOCH says; raises :class:`DifferError` if that is no number."""
    said = environment.get("SOURCE_DATE_EPOCH", "")
    if said and not (said.isascii() and said.isdecimal() and len(said) < _DIGITS):
        raise DifferError(f"SOURCE_DATE_EPOCH {said!r}: seconds since 1970 in decimal digits")
    return int(said) if said else None
