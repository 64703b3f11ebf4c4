"""``differ-frontend``: what BuildKit starts for ``# syntax=``.  It speaks gRPC on stdin and stdout."""

from __future__ import annotations

import json
import os
import sys

from .bridge import Bridge
from .build import Build, BuildError
from .calls import UNKNOWN, CallError, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protobuf import Value

_OPTION = "BUILDKIT_FRONTEND_OPT_"
_SESSION = "BUILDKIT_SESSION_ID"
_TROUBLE = 2


def main() -> int:
    """Serve one build; the exit status.  An error that could be told to the engine is no failure here."""
    if _SESSION not in os.environ:
        sys.stderr.write(
            "differ-frontend: this is a frontend of BuildKit, which starts it for a Dockerfile whose first"
            " line is '# syntax=IMAGE'; to rewrite a Dockerfile by hand use differ-dockerfile\n"
        )
        return _TROUBLE
    # Whatever prints must not get into the stream.
    sink = os.dup(1)
    os.dup2(2, 1)
    options = read_options(os.environ)
    try:
        bridge = Bridge(Connection(0, sink), cache_imports(options))
        try:
            bridge.give(Build(bridge, options, os.environ[_SESSION], read).result())
        except BuildError as error:
            bridge.fail(UNKNOWN, error.message, error.details)
        except CallError as error:
            # Any other code would get its name put in front of the message at each hop.
            bridge.fail(UNKNOWN, error.message, error.details)
        except Exception as error:
            # What is written to stderr ends in the engine's log, where the user does not look.
            bridge.fail(UNKNOWN, f"differ-frontend: a fault of its own: {type(error).__name__}: {error}", [])
            raise
    except CallError as error:
        sys.stderr.write(f"differ-frontend: {error}\n")
        return _TROUBLE
    return 0


def read(path: str) -> bytes:
    """The bytes of a file of this machine."""
    with open(path, "rb") as file:
        return file.read()


def read_options(environment: Mapping[str, str]) -> dict[str, str]:
    """The options, each of which is a variable of the environment that holds ``KEY=VALUE``."""
    options = {}
    for name, held in environment.items():
        if name.startswith(_OPTION):
            key, _, value = held.partition("=")
            options[key] = value
    return options


def cache_imports(options: Mapping[str, str]) -> list[Value]:
    """The caches that the user named, in either of the two ways that clients have had."""
    held = options.get("cache-imports")
    if held:
        return [{"type": row["Type"], "attrs": row.get("Attrs") or {}} for row in json.loads(held)]
    names = options.get("cache-from", "")
    return [{"type": "registry", "attrs": {"ref": name}} for name in names.split(",") if name]
