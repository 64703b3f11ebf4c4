"""Protocol buffers, by the rules of their encoding, and the tables of BuildKit's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.frontend import messages
from differ.frontend.messages import (
    DEFINITION,
    OP,
    OP_METADATA,
    PONG,
    READ_FILE,
    RESULT,
    RETURN,
    SOLVE,
    SOLVED,
    STATUS,
    WARN,
)
from differ.frontend.protobuf import (
    BOOL,
    BYTES,
    FIXED32,
    FIXED64,
    INT,
    LENGTH,
    TEXT,
    VARINT,
    Bool,
    Field,
    Int,
    Map,
    Message,
    ProtobufError,
    Scalar,
    Text,
    varint,
)

from .profiles import law

if TYPE_CHECKING:
    from differ.frontend.protobuf import Value

TABLES = {
    name: table for name, table in vars(messages).items() if isinstance(table, Message) and name[0] != "_"
}
INNER = Message(a=Field(1, INT))
ALL = Message(
    int=Field(1, INT),
    text=Field(2, TEXT),
    message=Field(3, INNER),
    numbers=Field(4, INT, many=True),
    bool=Field(5, BOOL),
    bytes=Field(6, BYTES),
    map=Field(7, Map(TEXT)),
    messages=Field(8, INNER, many=True),
    far=Field(2000, INT),
    parts=Field(9, Map(INNER)),
    flags=Field(10, Map(BOOL)),
    data=Field(11, Map(BYTES)),
)

VECTORS: list[tuple[Value, bytes]] = [
    # those of the document about the encoding
    ({"int": 150}, b"\x08\x96\x01"),
    ({"text": "testing"}, b"\x12\x07testing"),
    ({"message": {"a": 150}}, b"\x1a\x03\x08\x96\x01"),
    ({"numbers": [1, 2, 3]}, b"\x20\x01\x20\x02\x20\x03"),
    ({"int": -2}, b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    # integers
    ({"int": 1}, b"\x08\x01"),
    ({"int": 127}, b"\x08\x7f"),
    ({"int": 128}, b"\x08\x80\x01"),
    ({"int": 16384}, b"\x08\x80\x80\x01"),
    ({"int": 0x7FFFFFFF}, b"\x08\xff\xff\xff\xff\x07"),
    ({"int": 0x7FFFFFFFFFFFFFFF}, b"\x08" + b"\xff" * 8 + b"\x7f"),
    ({"int": -1}, b"\x08" + b"\xff" * 9 + b"\x01"),
    ({"int": -0x8000000000000000}, b"\x08" + b"\x80" * 9 + b"\x01"),
    ({"far": 1}, b"\x80\x7d\x01"),
    ({"numbers": [0, -1]}, b"\x20\x00\x20" + b"\xff" * 9 + b"\x01"),
    # the rest
    ({"bool": True}, b"\x28\x01"),
    ({"bytes": b"\x00\xff"}, b"\x32\x02\x00\xff"),
    ({"text": "é“"}, b"\x12\x05\xc3\xa9\xe2\x80\x9c"),
    ({"text": "x" * 200}, b"\x12\xc8\x01" + b"x" * 200),
    ({"message": {}}, b"\x1a\x00"),
    ({"messages": [{}, {"a": 1}]}, b"\x42\x00\x42\x02\x08\x01"),
    # maps: an entry has both its fields, whatever they are
    ({"map": {"k": "v"}}, b"\x3a\x06\x0a\x01k\x12\x01v"),
    ({"map": {"k": ""}}, b"\x3a\x05\x0a\x01k\x12\x00"),
    ({"map": {"": ""}}, b"\x3a\x04\x0a\x00\x12\x00"),
    ({"map": {"b": "1", "a": "2"}}, b"\x3a\x06\x0a\x01b\x12\x011\x3a\x06\x0a\x01a\x12\x012"),
    ({"parts": {"k": {}}}, b"\x4a\x05\x0a\x01k\x12\x00"),
    ({"parts": {"k": {"a": 1}}}, b"\x4a\x07\x0a\x01k\x12\x02\x08\x01"),
    ({"flags": {"k": True}}, b"\x52\x05\x0a\x01k\x10\x01"),
    ({"flags": {"k": False}}, b"\x52\x05\x0a\x01k\x10\x00"),
    ({"data": {"k": b""}}, b"\x5a\x05\x0a\x01k\x12\x00"),
    ({}, b""),
]


@pytest.mark.parametrize(("value", "data"), VECTORS)
def test_vectors(value: Value, data: bytes) -> None:
    assert ALL.encode(value) == data
    assert ALL.decode(data) == value


def test_zeros_are_not_written() -> None:
    zeros: Value = {
        "int": 0,
        "text": "",
        "bool": False,
        "bytes": b"",
        "numbers": [],
        "map": {},
        "messages": [],
    }
    assert ALL.encode(zeros) == b""


def test_values_that_a_map_s_entry_leaves_out() -> None:
    data = b"\x3a\x03\x0a\x01k" + b"\x3a\x03\x12\x01v" + b"\x4a\x03\x0a\x01k" + b"\x52\x03\x0a\x01k"
    assert ALL.decode(data) == {"map": {"k": "", "": "v"}, "parts": {"k": {}}, "flags": {"k": False}}


def test_the_last_of_two_counts() -> None:
    assert ALL.decode(b"\x08\x01\x08\x02\x3a\x06\x0a\x01k\x12\x01v\x3a\x06\x0a\x01k\x12\x01w") == {
        "int": 2,
        "map": {"k": "w"},
    }


def test_any_bytes_in_a_string_come_back() -> None:
    data = b"\x12\x03a\xffb"
    assert ALL.encode(ALL.decode(data)) == data


@pytest.mark.parametrize("name", ["inputs", "nonsense"])
def test_a_name_that_is_not_in_the_table(name: str) -> None:
    with pytest.raises(KeyError):
        ALL.encode({name: 1})


# BuildKit's messages.

EXEC = b"\x12\x0f\x0a\x0d\x0a\x06/bin/a\x1a\x03/ab"
PLATFORM = b"\x52\x0e\x0a\x05amd64\x12\x05linux"
INPUT = b"\x0a\x05\x0a\x03abc" + b"\x0a\x07\x0a\x03def\x10\x01"


@pytest.mark.parametrize(
    "data",
    [
        INPUT + PLATFORM + EXEC,
        INPUT + PLATFORM + b"\x5a\x00" + EXEC,
        INPUT + EXEC + PLATFORM + b"\x5a\x00",
        # an op of a kind that is not known, and one with a filter in its constraints
        INPUT + b"\x32\x04\x0a\x02\x08\x01" + PLATFORM,
        PLATFORM + b"\x5a\x03\x0a\x01x" + b"\x1a\x03\x0a\x01s",
    ],
)
def test_the_member_of_a_oneof_stays_where_it_was(data: bytes) -> None:
    """The versions of BuildKit differ here, and an op's name is the digest of its bytes."""
    op = OP.decode(data)
    assert OP.encode(op) == data
    assert OP.encode({**op}) == data


def test_an_op_is_written_in_the_order_of_its_dict() -> None:
    meta: Value = {"args": ["/bin/a"], "cwd": "/ab"}
    platform = {"architecture": "amd64", "os": "linux"}
    inputs = [{"digest": "abc"}, {"digest": "def", "index": 1}]
    assert (
        OP.encode({"inputs": inputs, "platform": platform, "exec": {"meta": meta}}) == INPUT + PLATFORM + EXEC
    )
    assert (
        OP.encode({"inputs": inputs, "exec": {"meta": meta}, "platform": platform}) == INPUT + EXEC + PLATFORM
    )


def test_a_new_input_stays_in_its_place() -> None:
    op = OP.decode(INPUT + PLATFORM + EXEC)
    op = {**op, "inputs": [{**item, "digest": "xyz"} for item in op["inputs"]]}
    now = b"\x0a\x05\x0a\x03xyz" + b"\x0a\x07\x0a\x03xyz\x10\x01"
    assert OP.encode(op) == now + PLATFORM + EXEC


def test_unknown_fields_stay_between_known_ones() -> None:
    known = [b"\x08\x01", b"\x12\x01t", b"\x1a\x02\x08\x05", b"\x80\x7d\x01"]
    unknown = [
        b"\xe0\x01\x96\x01",  # 28, a number
        b"\xe1\x01\x01\x02\x03\x04\x05\x06\x07\x08",  # 28 again, eight bytes
        b"\xea\x01\x03abc",  # 29, bytes
        b"\xf5\x01\x01\x02\x03\x04",  # 30, four bytes
        b"\xf5\x01\x05\x06\x07\x08",
    ]
    data = known[0] + known[1] + known[2] + b"".join(unknown) + known[3]
    value = ALL.decode(data)
    assert value == {
        "int": 1,
        "text": "t",
        "message": {"a": 5},
        28: unknown[0] + unknown[1],
        29: unknown[2],
        30: unknown[3] + unknown[4],
        "far": 1,
    }
    assert list(value) == ["int", "text", "message", 28, 29, 30, "far"]
    assert ALL.encode(value) == data


def test_a_known_number_of_another_type_is_carried() -> None:
    data = b"\x0a\x03abc\x12\x01t"
    assert ALL.decode(data) == {1: b"\x0a\x03abc", "text": "t"}
    assert ALL.encode(ALL.decode(data)) == data


def test_unknown_fields_deep_in_an_op() -> None:
    mount = b"\x12\x0e\x1a\x01/\x20\x01\xa2\x06\x02hi\x30\x02\x08\x01"
    data = b"\x12\x10" + mount
    assert OP.encode(OP.decode(data)) == data


def test_negative_inputs() -> None:
    below = b"\xff" * 9 + b"\x01"
    lower, upper = b"\x0a\x0b\x08" + below, b"\x12\x00"
    data = b"\x3a\x0f" + lower + upper
    assert OP.decode(data) == {"diff": {"lower": {"input": -1}, "upper": {}}}
    assert OP.encode(OP.decode(data)) == data
    assert OP.encode({"diff": {"lower": {"input": -1}, "upper": {"input": 0}}}) == data


# What is no message.


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # a tag and nothing
        b"\x80",  # half a tag
        b"\x08\x80",  # half a number
        b"\x08" + b"\xff" * 10 + b"\x01",  # a number of more than 64 bits
        b"\xff" * 11,  # a tag that does not end
        b"\x12\x05abc",  # shorter than it says
        b"\x12\xff\xff\xff\xff\x0f",
        b"\x12",
        b"\xe1\x01\x00",  # too short for eight bytes
        b"\xf5\x01\x00",  # and for four
        b"\x0b\x0c",  # groups
        b"\x0e\x00",  # wire types that do not exist
        b"\x0f\x00",
        b"\x1a\x01\x08",  # a message in it
        b"\x1a\x02\x12\x05",
        b"\x3a\x02\x0a\x05",  # an entry of a map
        b"\x3a\x01\x0f",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        ALL.decode(data)


@law
@given(st.binary(max_size=60), st.sampled_from(sorted(TABLES)))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        value = TABLES[name].decode(data)
    except ProtobufError:
        return
    # What has been read once is written so that it reads the same.
    assert TABLES[name].decode(TABLES[name].encode(value)) == value


@law
@given(st.sampled_from([data for _, data in VECTORS if data]), st.data())
def test_no_part_of_a_message_is_taken_for_the_whole(data: bytes, source: st.DataObject) -> None:
    cut = source.draw(st.integers(0, max(0, len(data) - 1)))
    try:
        value = ALL.decode(data[:cut])
    except ProtobufError:
        return
    assert ALL.encode(value) == data[:cut]
    assert value != ALL.decode(data)  # a field is missing


# Generated values of the real tables.


def _number(scalar: Scalar, *, zero: bool) -> st.SearchStrategy[Any]:
    """Values of a type; zeros only where they are written."""
    if isinstance(scalar, Bool):
        return st.booleans() if zero else st.just(True)
    if isinstance(scalar, Int):
        numbers = st.one_of(st.integers(-2, 300), st.integers(-(2**63), 2**63 - 1))
        return numbers if zero else numbers.filter(bool)
    if isinstance(scalar, Text):
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=0 if zero else 1, max_size=8)
    return st.binary(min_size=0 if zero else 1, max_size=8)


_SMALL = st.integers(0, 3)


@st.composite
def _values(draw: st.DrawFn, table: Message, depth: int = 0) -> Value:
    """A value of a table, in any order of its fields, with unknown ones among them."""
    fields = table._by_name
    keys_of_all: list[str | int] = [*fields, 900, 901]
    names = draw(st.lists(st.sampled_from(keys_of_all), unique=True)) if fields else []
    value: Value = {}
    for name in names:
        if isinstance(name, int):
            value[name] = varint(name << 3 | LENGTH) + b"\x02" + draw(st.binary(min_size=2, max_size=2))
            continue
        field = fields[str(name)]

        def one(of: Scalar, *, zero: bool) -> Any:
            if isinstance(of, Message):
                return draw(_values(of, depth + 1)) if depth < 3 else {}
            return draw(_number(of, zero=zero))

        if isinstance(field.type, Map):
            keys = draw(st.lists(st.text("abc", max_size=2), min_size=1, max_size=3, unique=True))
            value[name] = {key: one(field.type.of, zero=True) for key in keys}
        elif field.many:
            value[name] = [one(field.type, zero=True) for _ in range(1 + draw(_SMALL))]
        else:
            value[name] = one(field.type, zero=False)
    return value


def _ordered(value: object) -> object:
    """A value that is equal to another only if its dicts have the same order."""
    if isinstance(value, dict):
        return [(key, _ordered(item)) for key, item in value.items()]
    return [_ordered(item) for item in value] if isinstance(value, list) else value


LARGE = [DEFINITION, OP, OP_METADATA, PONG, READ_FILE, RESULT, RETURN, SOLVE, SOLVED, STATUS, WARN]


@law
@given(st.one_of([st.tuples(st.just(table), _values(table)) for table in LARGE]))
def test_values_come_back(given_: tuple[Message, Value]) -> None:
    table, value = given_
    data = table.encode(value)
    assert _ordered(table.decode(data)) == _ordered(value)
    assert table.encode(table.decode(data)) == data


# The same with an encoder that knows nothing of tables' names.


@st.composite
def _wire(draw: st.DrawFn, table: Message, depth: int = 0) -> bytes:
    """Bytes as Go writes a message: each field at one place, ascending or not, none with a zero."""
    known = {field.number: field for field in table._by_name.values()}
    numbers = draw(st.lists(st.sampled_from([*known, 17, 950]), unique=True, max_size=5))
    out = b""
    for number in numbers:
        field = known.get(number)
        if field is None:
            wire = draw(st.sampled_from([VARINT, FIXED64, LENGTH, FIXED32]))
            body = {VARINT: b"\xac\x02", FIXED64: b"12345678", LENGTH: b"\x03abc", FIXED32: b"1234"}[wire]
            out += varint(number << 3 | wire) + body
            continue
        for index in range(1 + (draw(_SMALL) if field.many or isinstance(field.type, Map) else 0)):
            if isinstance(field.type, Map):
                of = field.type.of
                entry = b"\x0a\x01" + b"%d" % index + varint(2 << 3 | of.wire) + _payload(draw, of, depth)
                body = varint(len(entry)) + entry
            else:
                body = _payload(draw, field.type, depth)
            out += varint(number << 3 | field.type.wire) + body
    return out


def _payload(draw: st.DrawFn, of: Scalar, depth: int) -> bytes:
    if of.wire == VARINT:
        small = b"\x01" if isinstance(of, Bool) else draw(st.sampled_from([b"\x05", b"\xac\x02"]))
        return small if isinstance(of, Bool) else draw(st.sampled_from([small, b"\xff" * 9 + b"\x01"]))
    if isinstance(of, Message):
        inner = draw(_wire(of, depth + 1)) if depth < 3 else b""
        return varint(len(inner)) + inner
    return draw(st.sampled_from([b"\x01x", b"\x02yz", b"\x03\xe2\x82\xac"]))


@law
@given(st.one_of([st.tuples(st.just(table), _wire(table)) for table in LARGE]))
def test_bytes_come_back(given_: tuple[Message, bytes]) -> None:
    table, data = given_
    assert table.encode(table.decode(data)) == data
