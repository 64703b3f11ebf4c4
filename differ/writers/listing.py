"""Changes told to people, one line each: letter, path, and why.

As ``git status --short`` and ``ls`` have it: one letter, a slash behind a directory, colours for a terminal.
Everything of a tree that is in a line is escaped (:func:`..model.printable`).
"""

from __future__ import annotations

from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISREG
from time import gmtime

from ..model import ChangeKind, Field, printable
from .report import VALUES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import Change, Entry

_LETTERS = {ChangeKind.ADDED: "A", ChangeKind.MODIFIED: "M", ChangeKind.REMOVED: "D"}
_COLOURS = {ChangeKind.ADDED: "\x1b[32m", ChangeKind.MODIFIED: "\x1b[33m", ChangeKind.REMOVED: "\x1b[31m"}
_RESET = "\x1b[m"
_BILLION = 1_000_000_000
_ATTRIBUTES = {
    "security.capability": "capability",
    "system.posix_acl_access": "ACL",
    "system.posix_acl_default": "default ACL",
}
"""What people call an attribute that has a name of its own."""


def text_line(change: Change, coloured: bool = False) -> str:
    """A change as a line for people, without the newline.

    ``coloured``: with the escape sequences that give letter and path the colour of the change's kind.
    """
    entry = change.upper or change.lower
    slash = "/" if entry is not None and S_ISDIR(entry.stat.st_mode) else ""
    line = f"{_LETTERS[change.kind]} {printable(change.path)}{slash}"
    if coloured:
        line = painted(line, change.kind)
    reasons = [reason for field in change.fields for reason in _reasons(field, change)]
    if change.link is not None:
        reasons.append(f"hard link to {printable(change.link)}")
    return f"{line}  {', '.join(reasons)}" if reasons else line


def painted(text: str, kind: str) -> str:
    """``text`` in the colour of a :class:`.ChangeKind`, and the terminal's own behind it."""
    return f"{_COLOURS[kind]}{text}{_RESET}" if text else ""


def _reasons(field: str, change: Change) -> Iterator[str]:
    """Why a name counts as modified, as far as one field goes; attributes have a reason each."""
    lower, upper = change.lower, change.upper
    if lower is None or upper is None:
        yield field
    elif field == Field.XATTRS:
        yield from _attributes(lower, upper)
    elif field == Field.MTIME:
        yield f"{field} {'→'.join(_times(lower.stat.st_mtime_ns, upper.stat.st_mtime_ns))}"
    elif field == Field.TARGET:
        yield f"{field} {printable(lower.target or b'')}→{printable(upper.target or b'')}"
    elif field in VALUES:
        yield f"{field} {VALUES[field](lower)}→{VALUES[field](upper)}"
    else:
        yield field


def facts(entry: Entry) -> str:
    """What an entry is, for people: type, mode, owner and what its type has of size, device, target and time."""
    stat = entry.stat
    told = [str(VALUES[field](entry)) for field in (Field.TYPE, Field.MODE)]
    told.append(f"{stat.st_uid}:{stat.st_gid}")
    if S_ISREG(stat.st_mode):
        told.append(f"{stat.st_size} bytes")
    if S_ISCHR(stat.st_mode) or S_ISBLK(stat.st_mode):
        told.append(str(VALUES[Field.DEVICE](entry)))
    if entry.target is not None:
        told.append(f"-> {printable(entry.target)}")
    if not S_ISDIR(stat.st_mode):
        told.append(_time(*divmod(stat.st_mtime_ns, _BILLION), 0))
    return ", ".join([" ".join(told), *map(_called, sorted(entry.xattrs))])


def _called(xattr: str) -> str:
    return _ATTRIBUTES.get(xattr) or printable(xattr.encode("utf-8", "surrogateescape"))


def _attributes(lower: Entry, upper: Entry) -> Iterator[str]:
    for name in sorted({*lower.xattrs, *upper.xattrs}):
        before, after = lower.xattrs.get(name), upper.xattrs.get(name)
        if before != after:
            what = "added" if before is None else "removed" if after is None else "changed"
            yield f"{_called(name)} {what}"


def _times(*times: int) -> list[str]:
    """Two different times in ns since 1970, in UTC, with the digits of a second that tell them apart."""
    digits = 0
    while len({time // 10 ** (9 - digits) for time in times}) == 1 and digits < 9:
        digits += 1
    return [_time(*divmod(time, _BILLION), digits) for time in times]


def _time(seconds: int, ns: int, digits: int) -> str:
    fraction = f".{ns:09}"[: digits + 1] if digits else ""
    try:
        year, month, day, hour, minute, second = gmtime(seconds)[:6]
    except (OverflowError, OSError):
        # A year of more than 32 bits, which some file systems hold: as date(1) reads it.
        return f"@{seconds}{fraction}"
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
