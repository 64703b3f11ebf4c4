"""Changes told to programs, one JSON object each.

docs/report.md describes the JSON; :data:`SCHEMA` is its version.  Directories that are in a changeset
only because they stand above a change are not changes and are not told.
"""

from __future__ import annotations

from stat import S_IFMT, S_IMODE, S_ISREG

from ..model import TYPE_NAMES, ChangeKind, Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Change, Entry

    Json = dict[str, object]
    Digests = Callable[[Change], tuple[str | None, str | None]]

SCHEMA = 1


def json_line(change: Change, digests: Digests | None = None) -> str:
    """A change as one line of JSON, without the newline (docs/report.md).

    ``digests``: gives the SHA-256 of the content of both sides, None to leave them out.
    """
    # Imported here because only a run with --report should pay 9 ms for it.
    import json

    entry = change.upper or change.lower
    line: Json = {"v": SCHEMA, "kind": change.kind, **_text("path", change.path)}
    if entry is not None:
        line["type"] = _type(entry)
        if S_ISREG(entry.stat.st_mode):
            line["bytes"] = entry.stat.st_size
        if change.upper is not None and change.upper.target is not None:
            line.update(_text("target", change.upper.target))
    if change.link is not None:
        line.update(_text("link", change.link))
    sums = (None, None) if digests is None else digests(change)
    if change.kind == ChangeKind.MODIFIED:
        line["fields"] = {field: _values(field, change) for field in change.fields}
    if sums != (None, None):
        line["sha256"] = list(sums)
    return json.dumps(line, separators=(",", ":"))


def _values(field: str, change: Change) -> list[object]:
    """Both values of a field, LOWER's first; null for one that is not known."""
    if field == Field.LINKS:
        if change.names is None:
            return [None, None]
        return [[_text("path", name) for name in names] for names in change.names]
    if field == Field.XATTRS and change.lower is not None and change.upper is not None:
        lower, upper = change.lower.xattrs, change.upper.xattrs
        differ = sorted(name for name in {*lower, *upper} if lower.get(name) != upper.get(name))
        # Bytes of a name that are no text are lone surrogates, which JSON escapes without loss.
        return [{name: base64(side[name]) for name in differ if name in side} for side in (lower, upper)]
    if field == Field.TARGET:
        return [
            None if entry is None or entry.target is None else _text("target", entry.target)
            for entry in (change.lower, change.upper)
        ]
    values = VALUES.get(field)
    if values is None:
        return [None, None]
    return [None if entry is None else values(entry) for entry in (change.lower, change.upper)]


def _type(entry: Entry) -> str:
    return TYPE_NAMES.get(S_IFMT(entry.stat.st_mode), "unknown")


def _mtime(entry: Entry) -> str:
    # A string, because no JSON number holds nanoseconds since 1970 exactly.
    time = entry.stat.st_mtime_ns
    seconds, ns = divmod(abs(time), 1_000_000_000)
    return f"{'-' if time < 0 else ''}{seconds}.{ns:09d}"


def _device(entry: Entry) -> str:
    # The layout of makedev(3) in glibc; os.major would bring os into a module that does no I/O.
    number = entry.stat.st_rdev
    major = (number >> 8 & 0xFFF) | (number >> 32 & ~0xFFF)
    minor = (number & 0xFF) | (number >> 12 & ~0xFF)
    return f"{major}:{minor & 0xFFFFFFFF}"


VALUES: dict[str, Callable[[Entry], object]] = {
    Field.TYPE: _type,
    Field.MODE: lambda entry: f"{S_IMODE(entry.stat.st_mode):04o}",
    Field.UID: lambda entry: entry.stat.st_uid,
    Field.GID: lambda entry: entry.stat.st_gid,
    Field.SIZE: lambda entry: entry.stat.st_size,
    Field.MTIME: _mtime,
    Field.DEVICE: _device,
}
"""The fields whose values are told as they are."""


def _text(key: str, name: bytes) -> Json:
    """A name for a program: the text, and all its bytes in base64 if they are not UTF-8."""
    try:
        return {key: name.decode("utf-8")}
    except UnicodeDecodeError:
        return {key: name.decode("utf-8", "replace"), f"{key}_base64": base64(name)}


def base64(value: bytes) -> str:
    """Bytes as text for JSON and for a page."""
    from binascii import b2a_base64

    return b2a_base64(value, newline=False).decode("ascii")
