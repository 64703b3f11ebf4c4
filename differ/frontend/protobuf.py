"""Protocol buffers: messages as tables of fields, values as dicts.

The rules are those of the encoding of proto3.  BuildKit names a vertex by the digest of its bytes and writes
each one again when it loads it (solver/llbsolver/vertex.go), so that bytes which Go would have written in
another way lose their name.  Its versions put the members of a ``oneof`` in different places: so a message
is written in the order in which its dict has the fields, which is the one in which they were read, and what
a table does not know is kept among them.  Zeros are not written; a map's entries always have key and value.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Value = dict[Any, Any]

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}


class ProtobufError(ValueError):
    """Bytes that are no message."""


class Scalar:
    """A type of one value.

    ``wire``: how its bytes are delimited.
    ``default``: what an absent one means.
    ``explicit``: whether that is written when it is there.
    """

    wire = VARINT
    default: Any = 0
    explicit = False

    def pack(self, value: Any) -> bytes:
        """The bytes of a value, without tag and length."""
        return varint(value)

    def unpack(self, raw: Any) -> Any:
        """The value of what was read: an int for VARINT, bytes for LENGTH."""
        return raw


class Int(Scalar):
    """int32, int64 and enums: negative numbers are 64 bits wide."""

    def unpack(self, raw: Any) -> Any:
        return raw - (1 << 64) if raw >> 63 else raw


class Bool(Scalar):
    """bool."""

    default = False

    def unpack(self, raw: Any) -> Any:
        return bool(raw)


class Bytes(Scalar):
    """bytes."""

    wire = LENGTH
    default: Any = b""

    def pack(self, value: Any) -> bytes:
        return bytes(value)


class Text(Scalar):
    """string; what is not UTF-8 is carried as surrogates."""

    wire = LENGTH
    default: Any = ""

    def pack(self, value: Any) -> bytes:
        return str(value).encode("utf-8", "surrogateescape")

    def unpack(self, raw: Any) -> Any:
        return raw.decode("utf-8", "surrogateescape")


INT, BOOL, BYTES, TEXT = Int(), Bool(), Bytes(), Text()


class Field:
    """A row of a table.

    ``number``: the field's number.
    ``type``: a scalar or a message.
    ``many``: whether its value is a list.
    """

    __slots__ = ("many", "name", "number", "tag", "type")

    def __init__(self, number: int, type: Scalar, *, many: bool = False) -> None:
        self.type = type
        self.many = many
        self.tag = varint(number << 3 | type.wire)
        self.number = number
        self.name = ""  # set by the message

    def written(self, value: Any) -> bytes:
        """The bytes of one value with its tag."""
        data = self.type.pack(value)
        return self.tag + varint(len(data)) + data if self.type.wire == LENGTH else self.tag + data


class Message(Scalar):
    """A message.

    ``fields``: its rows by name.  An absent message is absent from the dict too; one that is there is
    written even if it is empty.  The keys of unknown fields are their numbers.
    """

    wire = LENGTH
    explicit = True

    def __init__(self, **fields: Field) -> None:
        for name, field in fields.items():
            field.name = name
        self.default = {}
        self._by_number = {field.number: field for field in fields.values()}
        self._by_name = fields

    def decode(self, data: bytes) -> Value:
        """Read a message; raises :class:`ProtobufError`."""
        value: Value = {}
        for number, wire, raw, start, end in _records(data):
            field = self._by_number.get(number)
            if field is None or field.type.wire != wire:
                value[number] = value.get(number, b"") + data[start:end]
            elif isinstance(field.type, Map):
                key, item = field.type.entry(raw)
                value.setdefault(field.name, {})[key] = item
            elif field.many:
                value.setdefault(field.name, []).append(field.type.unpack(raw))
            else:
                value[field.name] = field.type.unpack(raw)
        return value

    def encode(self, value: Value) -> bytes:
        """The bytes of a message; raises KeyError for a name that the table has not."""
        written: list[bytes] = []
        for name, held in value.items():
            if isinstance(name, int):
                written.append(held)
                continue
            field = self._by_name[name]
            if isinstance(field.type, Map):
                # Entries are delimited like bytes.
                entries = [field.type.pack_entry(key, item) for key, item in held.items()]
                written += [field.tag + varint(len(entry)) + entry for entry in entries]
            elif field.many:
                written += [field.written(item) for item in held]
            elif held != field.type.default or field.type.explicit:
                written.append(field.written(held))
        return b"".join(written)

    def pack(self, value: Any) -> bytes:
        return self.encode(value)

    def unpack(self, raw: Any) -> Any:
        return self.decode(raw)


class Map(Scalar):
    """A map from strings.

    ``of``: the type of its values.
    """

    wire = LENGTH

    def __init__(self, of: Scalar) -> None:
        self.of = of
        self._key, self._value = Field(1, TEXT), Field(2, of)
        self._message = Message(key=self._key, value=self._value)

    def entry(self, raw: bytes) -> tuple[str, Any]:
        """The key and the value of what was read."""
        row = self._message.decode(raw)
        return row.get("key", ""), row.get("value", self.of.default)

    def pack_entry(self, key: str, item: Any) -> bytes:
        """The bytes of one entry."""
        return self._key.written(key) + self._value.written(item)


def varint(value: int) -> bytes:
    """An integer in groups of seven bits."""
    value &= (1 << 64) - 1
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _records(data: bytes) -> Iterator[tuple[int, int, Any, int, int]]:
    """Number, wire type, raw value, start and end of each field."""
    at, size = 0, len(data)
    while at < size:
        start = at
        tag, at = _read_varint(data, at)
        wire = tag & 7
        raw: Any
        if wire == VARINT:
            raw, at = _read_varint(data, at)
        elif wire == LENGTH:
            length, at = _read_varint(data, at)
            raw = data[at : at + length]
            at += length
        elif wire in WIDTHS:
            raw = data[at : at + WIDTHS[wire]]
            at += WIDTHS[wire]
        else:
            raise ProtobufError(f"a field of the unknown wire type {wire}")
        if at > size:
            raise ProtobufError("a field is longer than its message")
        yield tag >> 3, wire, raw, start, at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("a number that does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
