"""The messages of BuildKit, as far as they are read or written here.

Sources: solver/pb/ops.proto (the graph: LLB), frontend/gateway/pb/gateway.proto (the bridge),
util/apicaps/pb/caps.proto, api/types/worker.proto, and google/rpc/status.proto.
"""

from __future__ import annotations

from .protobuf import BOOL, BYTES, INT, TEXT, Field, Map, Message, Scalar


def _many(number: int, type: Scalar) -> Field:
    return Field(number, type, many=True)


# The graph.  An input of -1 is an empty file system, an output of -1 none.
EMPTY = -1
NETWORK_NONE = 2
CONTENT_CACHE_OFF = 2

PLATFORM = Message(
    architecture=Field(1, TEXT),
    os=Field(2, TEXT),
    variant=Field(3, TEXT),
    os_version=Field(4, TEXT),
)
_INPUT = Message(digest=Field(1, TEXT), index=Field(2, INT))
_META = Message(args=_many(1, TEXT), env=_many(2, TEXT), cwd=Field(3, TEXT))
_MOUNT = Message(
    input=Field(1, INT),
    selector=Field(2, TEXT),
    dest=Field(3, TEXT),
    output=Field(4, INT),
    readonly=Field(5, BOOL),
    content_cache=Field(24, INT),
)
_EXEC = Message(meta=Field(1, _META), mounts=_many(2, _MOUNT), network=Field(3, INT))
_SOURCE = Message(identifier=Field(1, TEXT), attrs=Field(2, Map(TEXT)))
_MKFILE = Message(path=Field(1, TEXT), mode=Field(2, INT), data=Field(3, BYTES), timestamp=Field(5, INT))
_MKDIR = Message(path=Field(1, TEXT), mode=Field(2, INT), make_parents=Field(3, BOOL))
_COPY = Message(
    src=Field(1, TEXT),
    dest=Field(2, TEXT),
    mode=Field(4, INT),
    dir_copy_contents=Field(6, BOOL),
    unpack=Field(7, BOOL),
    create_dest_path=Field(8, BOOL),
    timestamp=Field(11, INT),
)
_ACTION = Message(
    input=Field(1, INT),
    secondary_input=Field(2, INT),
    output=Field(3, INT),
    copy=Field(4, _COPY),
    mkfile=Field(5, _MKFILE),
    mkdir=Field(6, _MKDIR),
)
_FILE = Message(actions=_many(2, _ACTION))
_DIFF_INPUT = Message(input=Field(1, INT))
_DIFF = Message(lower=Field(1, _DIFF_INPUT), upper=Field(2, _DIFF_INPUT))
OP = Message(
    inputs=_many(1, _INPUT),
    exec=Field(2, _EXEC),
    source=Field(3, _SOURCE),
    file=Field(4, _FILE),
    diff=Field(7, _DIFF),
    platform=Field(10, PLATFORM),
    constraints=Field(11, Message()),
)

_PROGRESS_GROUP = Message(id=Field(1, TEXT), name=Field(2, TEXT), weak=Field(3, BOOL))
OP_METADATA = Message(
    ignore_cache=Field(1, BOOL),
    description=Field(2, Map(TEXT)),
    caps=Field(5, Map(BOOL)),
    progress_group=Field(6, _PROGRESS_GROUP),
)
_POSITION = Message(line=Field(1, INT), character=Field(2, INT))
RANGE = Message(start=Field(1, _POSITION), end=Field(2, _POSITION))
_LOCATION = Message(source_index=Field(1, INT), ranges=_many(2, RANGE))
_LOCATIONS = Message(locations=_many(1, _LOCATION))
# What a file's text was made from is a definition of its own, and carried as it is.
SOURCE_INFO = Message(
    filename=Field(1, TEXT), data=Field(2, BYTES), definition=Field(3, BYTES), language=Field(4, TEXT)
)
_SOURCE_MAP = Message(locations=Field(1, Map(_LOCATIONS)), infos=_many(2, SOURCE_INFO))
DEFINITION = Message(ops=_many(1, BYTES), metadata=Field(2, Map(OP_METADATA)), source=Field(3, _SOURCE_MAP))

# The bridge.
_CAP = Message(id=Field(1, TEXT), enabled=Field(2, BOOL), reason=Field(5, TEXT))
_WORKER = Message(platforms=_many(3, PLATFORM))
PONG = Message(frontend_caps=_many(1, _CAP), llb_caps=_many(2, _CAP), workers=_many(3, _WORKER))
REF = Message(id=Field(1, TEXT), definition=Field(2, DEFINITION))
_REFS = Message(refs=Field(1, Map(REF)))
_ATTESTATION = Message(ref=Field(3, REF))
_ATTESTATIONS = Message(attestation=_many(1, _ATTESTATION))
RESULT = Message(
    ref=Field(3, REF),
    refs=Field(4, _REFS),
    metadata=Field(10, Map(BYTES)),
    attestations=Field(12, Map(_ATTESTATIONS)),
)
_CACHE = Message(type=Field(1, TEXT), attrs=Field(2, Map(TEXT)))
SOLVE = Message(
    definition=Field(1, DEFINITION),
    frontend=Field(2, TEXT),
    options=Field(3, Map(TEXT)),
    allow_result_return=Field(5, BOOL),
    allow_result_array_ref=Field(6, BOOL),
    cache_imports=_many(12, _CACHE),
    inputs=Field(13, Map(DEFINITION)),
)
SOLVED = Message(result=Field(3, RESULT))
_FILE_RANGE = Message(offset=Field(1, INT), length=Field(2, INT))
READ_FILE = Message(ref=Field(1, TEXT), path=Field(2, TEXT), range=Field(3, _FILE_RANGE))
FILE = Message(data=Field(1, BYTES))
INPUTS = Message(definitions=Field(1, Map(DEFINITION)))
RESOLVE = Message(
    ref=Field(1, TEXT), platform=Field(2, PLATFORM), resolve_mode=Field(3, TEXT), log_name=Field(4, TEXT)
)
RESOLVED = Message(digest=Field(1, TEXT), config=Field(2, BYTES), ref=Field(3, TEXT))
WARN = Message(
    digest=Field(1, TEXT),
    level=Field(2, INT),
    short=Field(3, BYTES),
    detail=_many(4, BYTES),
    url=Field(5, TEXT),
    info=Field(6, SOURCE_INFO),
    ranges=_many(7, RANGE),
)
_ANY = Message(type_url=Field(1, TEXT), value=Field(2, BYTES))
STATUS = Message(code=Field(1, INT), message=Field(2, TEXT), details=_many(3, _ANY))
RETURN = Message(result=Field(1, RESULT), error=Field(2, STATUS))
NOTHING = Message()
