"""The values that flow through the program.

Nothing here touches a disk.  Values are small classes with ``__slots__`` because ``dataclasses``,
``enum`` and ``typing`` each cost more start-up time than a small difference takes to compute.
"""

from __future__ import annotations

import stat as _stat

TYPE_CHECKING = False  # typing.TYPE_CHECKING without the 16 ms that importing typing costs
if TYPE_CHECKING:
    from typing import Protocol

    class Stat(Protocol):
        """The facts of one inode that one ``lstat`` gives (``os.stat_result`` is one).

        In an archive, ``st_dev`` is negative, and no device's (layered.py).
        """

        @property
        def st_mode(self) -> int: ...
        @property
        def st_uid(self) -> int: ...
        @property
        def st_gid(self) -> int: ...
        @property
        def st_size(self) -> int: ...
        @property
        def st_mtime_ns(self) -> int: ...
        @property
        def st_rdev(self) -> int: ...
        @property
        def st_dev(self) -> int: ...
        @property
        def st_ino(self) -> int: ...
        @property
        def st_nlink(self) -> int: ...

    class Tree(Protocol):
        """A directory tree with a place where one stands, the current directory.

        Every method raises :class:`DifferError`, which names the path, when the tree cannot be
        read or has changed since it was looked at.
        """

        def names(self) -> list[bytes]:
            """The names in the current directory, in byte order."""

        def stat(self, name: bytes) -> Stat:
            """The facts of ``name`` in the current directory; a symbolic link is not followed."""

        def enter(self, name: bytes, seen: Stat | None = None) -> None:
            """Step into the directory ``name``, which must still be the one that was ``seen``."""

        def leave(self) -> None:
            """Step back into the parent of the current directory."""

        def xattrs(self, name: bytes, facts: Stat) -> dict[str, bytes]:
            """The extended attributes of ``name``, less the private ones."""

        def target(self, name: bytes) -> bytes:
            """Where the symbolic link ``name`` points."""

        def open(self, name: bytes, facts: Stat) -> int:
            """A descriptor to read the regular file ``name``, which must still have ``facts``."""

        def path(self, name: bytes = b"") -> bytes:
            """How a message should call ``name`` in the current directory."""

        def depth(self) -> int:
            """How many directories lie between the root and the current one."""

        def seek(self, parents: list[bytes]) -> None:
            """Go to the directory with this path below the root."""

        def close(self) -> None:
            """Give back what the tree holds open."""


class DifferError(Exception):
    """Why a run cannot go on, in one line for the user.

    ``reason``: what is wrong and, where there is something, what to do.
    ``path``: the path it is about, as the user knows it; printed before the reason.
    """

    def __init__(self, reason: str, path: bytes | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        # One line, whatever words and names the reason repeats.
        reason = "".join(c if c.isprintable() else _printable_character(c) for c in self.reason)
        return reason if self.path is None else f"{printable(self.path)}: {reason}"


def os_reason(error: OSError) -> str:
    """The kernel's reason, without Python's ``[Errno 2]`` and the path around it."""
    return error.strerror or type(error).__name__


class Entry:
    """All that is known of one name in one tree.

    ``stat``: the facts of its inode.
    ``xattrs``: its extended attributes, name to value, less the private ones (compare.py).
    ``target``: where it points, for a symbolic link; else None.
    """

    __slots__ = ("stat", "target", "xattrs")

    def __init__(self, stat: Stat, xattrs: dict[str, bytes], target: bytes | None = None) -> None:
        self.stat = stat
        self.xattrs = xattrs
        self.target = target


class ChangeKind:
    """What became of a name between LOWER and UPPER."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    UNMODIFIED = "unmodified"
    """Not a change.  It is in the stream because a change needs it: a directory above one, or
    another name of an inode that is written."""


KINDS = (ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED)
"""What counts as a change."""


class Field:
    """The facts that can differ between two entries, cheapest first: the order they are asked in."""

    TYPE = "type"
    MODE = "mode"
    UID = "uid"
    GID = "gid"
    DEVICE = "device"
    SIZE = "size"
    MTIME = "mtime"
    TARGET = "target"
    XATTRS = "xattrs"
    CONTENT = "content"
    LINKS = "links"


class Change:
    """One element of a changeset.

    ``kind``: a :class:`ChangeKind`.
    ``path``: below the root, components joined by ``/``, no leading slash; bytes, as the kernel has it.
    ``lower``, ``upper``: the entry on either side, None where the name is absent or was not looked at.
    ``fields``: for a modified name the :class:`Field` values that were found to differ.
    ``link``: the path of an earlier change whose inode this name shares; the name is then a hard
    link to it and has no content of its own.
    ``names``: for :attr:`Field.LINKS`, the names that shared the inode in LOWER and in UPPER.
    """

    __slots__ = ("fields", "kind", "link", "lower", "names", "path", "upper")

    def __init__(
        self,
        kind: str,
        path: bytes,
        lower: Entry | None,
        upper: Entry | None,
        fields: tuple[str, ...] = (),
        link: bytes | None = None,
        names: tuple[list[bytes], list[bytes]] | None = None,
    ) -> None:
        self.kind = kind
        self.path = path
        self.lower = lower
        self.upper = upper
        self.fields = fields
        self.link = link
        self.names = names


class Tally:
    """What a run has done so far, for the summary and the progress line.

    ``entries``: names looked at.  ``written``, ``compared``, ``identical``: bytes of file content
    written, read for comparison (counted once for a pair), and proven equal without reading.
    ``tick`` is called often, at least once a directory and once a mebibyte of content.
    """

    __slots__ = ("compared", "entries", "identical", "tick", "written")

    def __init__(self) -> None:
        self.entries = 0
        self.written = 0
        self.compared = 0
        self.identical = 0
        self.tick = _no_tick


def _no_tick() -> None:
    pass


class Losses:
    """What a writer could not carry, counted by kind (semantics.md section 5).

    ``strict``: raise :class:`DifferError` at the first loss.
    ``told``: called with every loss as (kind, path, reason).
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.kinds: dict[str, tuple[int, bytes, str]] = {}
        self.told = _not_told

    def add(self, kind: str, path: bytes, reason: str) -> None:
        """Count one loss.

        ``kind``: what was lost, as a plural a person reads: ``owners``.
        ``path``: where.  ``reason``: the kernel's words.
        """
        if self.strict:
            raise DifferError(f"cannot carry {kind}: {reason} (--strict is given)", path)
        count, first, first_reason = self.kinds.get(kind, (0, path, reason))
        if path < first:  # things are not written in the order of names
            first, first_reason = path, reason
        self.kinds[kind] = (count + 1, first, first_reason)
        self.told(kind, path, reason)


def _not_told(kind: str, path: bytes, reason: str) -> None:
    pass


TYPE_NAMES = {
    _stat.S_IFREG: "file",
    _stat.S_IFDIR: "dir",
    _stat.S_IFLNK: "symlink",
    _stat.S_IFIFO: "fifo",
    _stat.S_IFSOCK: "socket",
    _stat.S_IFCHR: "char",
    _stat.S_IFBLK: "block",
}
"""What reports and messages call a type."""


def printable(name: bytes) -> str:
    r"""``name`` on one line of a terminal, unambiguously.

    Control characters, backslashes and bytes that are not UTF-8 become ``\n``, ``\\``, ``\xff``: a
    name can neither forge a line nor steer a terminal, and two names never look the same.
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def size(count: int) -> str:
    """Bytes for people: ``999 B``, ``1.5 kB``, ``20 MB`` (powers of 1000, as docker shows them)."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):
        amount /= 1000
        if amount < 999.5 or unit == "EB":
            break
    return f"{amount:.3g} {unit}"
