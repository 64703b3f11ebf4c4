"""What the engine says of the Dockerfile it was given, told in terms of the one that the user wrote."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .protobuf import Value

    Lines = list[int]
    """For each line of a rewritten file, the number of the user's line, from 1."""

PLACEHOLDER = "differ-placeholder"
"""Every name that is made up begins so; none is ever shown."""
# An image reference is shown in its long form.
_NAME = re.compile(rf"(?:docker\.io/library/)?({PLACEHOLDER}-[a-z]*\d*)(?::latest)?")
# In the history of an image, where a name is a stage with one RUN.
_RUN = re.compile(rf"RUN {PLACEHOLDER} ({PLACEHOLDER}-\d+) # buildkit")
_LINE = re.compile(r"(dockerfile parse error (?:on )?line )(\d+)")
_STAGE = re.compile(r"\[stage-(\d+)\b")

SOURCE_DETAIL = "github.com/moby/buildkit/errdefs.Source+json"


class Original:
    """The user's Dockerfile.

    ``filename``: as the engine calls it.
    ``data``: its bytes.
    """

    def __init__(self, filename: str, data: bytes) -> None:
        self.filename = filename
        self.data = data
        self._names: dict[str, str] = {}
        self._versions: dict[bytes, Lines] = {}
        self._numbers: dict[int, int] = {}

    def name(self, placeholder: str, text: str) -> None:
        """Note the user's text for a name that was made up."""
        self._names[placeholder] = printable(text)

    def version(self, data: bytes, lines: Lines) -> None:
        """Note a file that was made of the user's."""
        self._versions[data] = lines

    def moved(self, now: dict[int, int]) -> None:
        """Note which numbers the user's stages have in the version that is built."""
        self._numbers = {new: old for old, new in now.items()}

    def text(self, text: str) -> str:
        """A text for people, with the user's names and numbers in it."""
        if self._numbers:
            text = _STAGE.sub(self._numbered, text)
        if PLACEHOLDER not in text:
            return text
        text = _RUN.sub(lambda match: f"{self._named(match)} # differ", text)
        return _NAME.sub(self._named, text)

    def _numbered(self, match: re.Match[str]) -> str:
        number = int(match[1])
        return f"[stage-{self._numbers.get(number, number)}"

    def _named(self, match: re.Match[str]) -> str:
        return self._names.get(match[1], match[0])

    def place(self, line: int, last: int) -> tuple[Value, list[Value]]:
        """Lines of the user's file, for a graph."""
        info = {"filename": self.filename, "data": self.data, "language": "Dockerfile"}
        return info, [{"start": {"line": line}, "end": {"line": last}}]

    def restore(self, info: Value, ranges: list[Value]) -> tuple[Value, list[Value]]:
        """The user's file and the ranges in it, for those of a version; others as they are."""
        lines = self._versions.get(info.get("data", b""))
        if lines is None:
            return info, ranges
        # The definition behind the file would be the one that holds the version.
        kept = {key: value for key, value in info.items() if key != "definition"}
        return {**kept, "data": self.data}, [self._moved(held, lines) for held in ranges]

    @staticmethod
    def _moved(held: Value, lines: Lines) -> Value:
        moved = dict(held)
        for end in ("start", "end"):
            line = held.get(end, {}).get("line", 0)
            if 0 < line <= len(lines):
                moved[end] = {**held[end], "line": lines[line - 1]}
        return moved

    def details(self, details: list[Value]) -> list[Value]:
        """The details of an error."""
        return [self._detail(detail) for detail in details]

    def _detail(self, detail: Value) -> Value:
        if detail.get("type_url") != SOURCE_DETAIL:
            return detail
        try:
            source = json.loads(detail["value"])
            info = source.get("info") or {}
            data = b64decode(info.get("data") or "")
        except (AttributeError, KeyError, TypeError, ValueError):
            return detail  # the error is worth more than the lines
        restored, ranges = self.restore({**info, "data": data}, source.get("ranges") or [])
        return _source_detail(source, restored, ranges)

    def counted_back(self, message: str, lines: Lines) -> str:
        """A message about a version, with the numbers of the user's lines.

        ``lines``: as for :meth:`version`.
        """

        def number(match: re.Match[str]) -> str:
            line = int(match[2])
            return match[1] + str(lines[line - 1] if 0 < line <= len(lines) else line)

        return _LINE.sub(number, message)

    def error_at(self, line: int, last: int) -> Value:
        """The detail that makes clients show lines of the user's file."""
        return _source_detail({}, *self.place(line, last))

    def metadata(self, metadata: dict[str, bytes]) -> dict[str, bytes]:
        """The metadata of a result: configs and the answers of subrequests."""
        return {key: self._metadata(data) for key, data in metadata.items()}

    def _metadata(self, data: bytes) -> bytes:
        name = PLACEHOLDER.encode()
        versions = [b64encode(version) for version in self._versions]
        if not any(text in data for text in (name, *versions)):
            return data
        # One may begin like another: the longest first.
        for version in sorted(versions, key=len, reverse=True):
            data = data.replace(version, b64encode(self.data))
        try:
            value = json.loads(data)
        except ValueError:
            return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return json.dumps(self._within(value)).encode()

    def _within(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._within(item) for item in value]
        if isinstance(value, dict):
            return {key: self._within(item) for key, item in value.items()}
        return value


def has_place(detail: Value) -> bool:
    """Whether a detail of an error, as :meth:`Original.details` gives it, shows lines."""
    if detail.get("type_url") != SOURCE_DETAIL:
        return False
    try:
        return bool(json.loads(detail["value"]).get("ranges"))
    except (AttributeError, KeyError, ValueError):
        return False


def printable(text: str) -> str:
    """A text for a message: what is not UTF-8 in a Dockerfile cannot be in one."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _source_detail(source: Value, info: Value, ranges: list[Value]) -> Value:
    """A detail that shows ranges of a file.

    ``source``: what else there is to say.
    """
    info = {**info, "data": b64encode(info["data"]).decode()}
    value = {**source, "info": info, "ranges": ranges}
    return {"type_url": SOURCE_DETAIL, "value": json.dumps(value).encode()}
