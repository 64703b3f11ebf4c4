"""Warnings about the user's Dockerfile (frontend/subrequests/lint of BuildKit).

An engine's frontend shows lines of the file that it was given.  So it is kept quiet in the build itself, asked for
its warnings on the side, and they are told here, with the user's lines.
"""

from __future__ import annotations

import json
import re

from .calls import CallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .bridge import Bridge
    from .original import Original
    from .protobuf import Value

REQUEST = "frontend.lint"
CHECKS = "build-arg:BUILDKIT_DOCKERFILE_CHECK"
QUIET = "skip=all"
_MOST = 200
_ERRORS = re.compile(r"error\s*=\s*true", re.IGNORECASE)
_DIRECTIVE = re.compile(rb"^\s*(?:#|//)\s*check\s*=.*error\s*=\s*true", re.IGNORECASE | re.MULTILINE)


def is_fatal(options: Mapping[str, str], data: bytes) -> bool:
    """Whether a warning is to fail the build: then it is the engine's frontend that must have it.

    ``data``: the Dockerfile's bytes.
    """
    return _ERRORS.search(options.get(CHECKS, "")) is not None or _DIRECTIVE.search(data) is not None


def tell(bridge: Bridge, answer: Callable[[], Value], original: Original, vertex: str) -> None:
    """Wait for warnings and tell them; nothing if the frontend has no lint, or the file no meaning.

    ``vertex``: the digest of the vertex that they are shown with.
    """
    try:
        found = json.loads(original.metadata(answer().get("metadata", {})).get("result.json", b"{}"))
    except CallError:
        return
    info, _ = original.place(0, 0)
    waiting = []
    warnings = found.get("warnings") or []
    # Each has the whole Dockerfile with it.
    for warning in warnings[:_MOST]:
        ranges = (warning.get("location") or {}).get("ranges") or []
        line = ranges[0].get("start", {}).get("line", 0) if ranges else 0
        text = f"{warning.get('ruleName', '')}: {warning.get('detail', '')}" + (
            f" (line {line})" if line else ""
        )
        waiting.append(
            bridge.warn(
                {
                    "digest": vertex,
                    "level": 1,
                    "short": text.encode(),
                    "detail": [str(warning.get("description", "")).encode()],
                    "url": warning.get("url", ""),
                    "info": info,
                    "ranges": [_range(held) for held in ranges],
                }
            )
        )
    for done in waiting:
        done()


def _range(held: Value) -> Value:
    return {
        end: {key: held[end][key] for key in ("line", "character") if key in held[end]}
        for end in ("start", "end")
        if held.get(end)
    }
