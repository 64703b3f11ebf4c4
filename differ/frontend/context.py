"""The user's Dockerfile, wherever it is: with the client, among the inputs, or in a remote context.

The rules are those of BuildKit's frontend/dockerui.
"""

from __future__ import annotations

import json
import re

from .calls import UNIMPLEMENTED, CallError
from .graph import Graph, Inputs, Substitute, definition_of, files, head_of
from .messages import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bridge import Bridge
    from .graph import Make
    from .protobuf import Value

CONTEXTS = "moby.buildkit.frontend.contexts"
"""The capability of a Dockerfile frontend that takes named contexts."""
_HTTP = re.compile(r"https?://")
_GIT = re.compile(r"git://|git@|ssh://|github\.com/|https?://.*\.git(?:[#?].*)?$")
_KEEP_GIT_DIR = "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR"
_GIT_DIR = "git.keepgitdir"
_FILE = "context"
_HEADER = 512  # bytes of a tar's first block
_REMOTE = "differ-remote"
_DIRECTORY = "dockerfilekey"  # names the client's directory, and takes it even if there is an input


class Dockerfile:
    """What was read.

    ``filename``, ``data``: of the Dockerfile.
    ``ignore``: the bytes of its own ignore file, or None.
    ``context``: the definition of a remote context, which must be given instead of its address.
    ``vertex``: the digest of the vertex that it came from.
    """

    __slots__ = ("context", "data", "filename", "ignore", "vertex")

    def __init__(
        self, filename: str, data: bytes, ignore: bytes | None, context: Value | None, vertex: str
    ) -> None:
        self.vertex = vertex
        self.filename = filename
        self.data = data
        self.ignore = ignore
        self.context = context

    def input(self, data: bytes, step: str) -> Value:
        """A definition that holds another text under the same name.

        ``step``: what people are shown.
        """
        entries = [(f"/{self.filename}", data)]
        if self.ignore is not None:
            entries.append((f"/{self.filename}.dockerignore", self.ignore))
        return files(entries, f"[internal] {step}")


def take_input(options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The name under which a frontend takes its Dockerfile as an input, and options that let it."""
    return "dockerfile", {key: value for key, value in options.items() if key != _DIRECTORY}


def local_names(options: Mapping[str, str]) -> tuple[str, str]:
    """What the client calls the directory of the Dockerfile and the context."""
    return options.get(_DIRECTORY, "dockerfile"), options.get("contextkey", "context")


def read_dockerfile(
    bridge: Bridge,
    options: Mapping[str, str],
    inputs: Mapping[str, Value],
    caps: Mapping[str, bool],
    session: str,
) -> Dockerfile:
    """Read the Dockerfile; raises :class:`.calls.CallError`.

    ``caps``: the ops that the engine has.
    ``session``: of the client, who has the local directories.
    """
    filename = options.get("filename") or "Dockerfile"
    directory, context_name = local_names(options)
    context = remote_context(bridge, options.get(context_name, ""), options)
    if context is not None:
        definition, changed = context
        filename = changed or filename
        sub = options.get("contextsubdir", "")
        prefix = f"{sub.strip('/')}/" if sub else ""
    elif directory in inputs and _DIRECTORY not in options:
        definition, prefix = inputs[directory], ""
    else:
        definition, prefix = _local(directory, filename, options, caps, session), ""
    ref = bridge.solve(definition)()
    waiting = bridge.read_file(ref, prefix + filename)
    ignore_waiting = bridge.read_file(ref, f"{prefix}{filename}.dockerignore")
    try:
        data = waiting()
    except CallError as error:
        # Dockerfiles have been called "dockerfile" too (moby/moby#10858).
        head, _, name = filename.rpartition("/")
        if name != "Dockerfile":
            raise
        lower = f"{head}/dockerfile" if head else "dockerfile"
        try:
            data = bridge.read_file(ref, prefix + lower)()
        except CallError:
            raise error from None
    try:
        ignore = ignore_waiting()
    except CallError:
        ignore = None
    result = head_of(definition)
    return Dockerfile(filename, data, ignore, context and context[0], result[0] if result else "")


def _local(
    directory: str, filename: str, options: Mapping[str, str], caps: Mapping[str, bool], session: str
) -> Value:
    """The files of the client that may be the Dockerfile and its ignore file."""
    names = [filename, f"{filename}.dockerignore"]
    if filename.rpartition("/")[2] == "Dockerfile":
        names.append(filename[: -len("Dockerfile")] + "dockerfile")
    attrs = {
        "local.followpaths": json.dumps(names, separators=(",", ":")),
        "local.session": options.get(f"local-sessionid:{directory}", session),
        "local.sharedkeyhint": directory,
    }
    used = {"source.local": True, "source.local.followpaths": True, "source.local.sessionid": True}
    used["source.local.sharedkeyhint"] = True
    if "source.local.differ" in caps:
        # All of it is wanted each time: nothing is gained by comparing.
        attrs["local.differ"] = "none"
        used["source.local.differ"] = True
    source = {"identifier": f"local://{directory}", "attrs": dict(sorted(attrs.items()))}
    name = f"[internal] load build definition from {filename}"
    # The engine has loaded it to find "# syntax=", with this very op: nothing is transferred again.
    return definition_of({"source": source, "constraints": {}}, name, used)


def remote_context(bridge: Bridge, address: str, options: Mapping[str, str]) -> tuple[Value, str] | None:
    """The definition of a context that is not the client's, and the Dockerfile's name if it gives one."""
    if _GIT.match(address):
        return _git(bridge, address, options), ""
    if not _HTTP.match(address):
        return None
    source = {"identifier": address, "attrs": {"http.filename": _FILE}}
    name = "[internal] load remote build context"
    # As in _local: what a client sends can be had only once.
    definition = definition_of({"source": source, "constraints": {}}, name, {"source.http": True})
    data = bridge.read_file(bridge.solve(definition)(), _FILE, _HEADER)()
    if not _is_archive(data):
        return definition, _FILE
    return _unpacked(definition), ""


def _is_archive(data: bytes) -> bool:
    magics = (b"\x42\x5a\x68", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
    if data.startswith(magics):
        return True
    # A tar of any age: the sum of its first header, in which the sum itself counts as spaces.
    head, noted, tail = data[:148], data[148:156].strip(b" \0"), data[156:_HEADER]
    return noted.isdigit() and f"{sum(head) + 8 * 32 + sum(tail):o}" == noted.decode().lstrip("0")


def _unpacked(definition: Value) -> Value:
    """The file system that an archive holds."""
    inside = {
        "src": f"/{_FILE}",
        "dest": "/",
        "mode": -1,
        "unpack": True,
        "timestamp": -1,
    }
    inputs = Inputs()
    action = {"input": EMPTY, "secondary_input": inputs.add(head_of(definition)), "copy": inside}
    op = {"inputs": inputs.value(), "file": {"actions": [action]}}
    name = "[internal] unpack remote build context"
    return definition_of(op, name, {"file.base": True}, definition)


def _git(bridge: Bridge, address: str, options: Mapping[str, str]) -> Value:
    """The definition of a git repository.  The engine's frontend knows best what its addresses mean."""
    inner = {key: options[key] for key in (_KEEP_GIT_DIR,) if key in options}
    inner.update({f"context:{_REMOTE}": address, "frontend.caps": CONTEXTS, "cmdline": "differ"})
    text = files([("/Dockerfile", f"FROM {_REMOTE}\n".encode())], "[internal] resolve the build context")
    try:
        # There is no local context to look for an ignore file in.
        result = bridge.build("dockerfile.v0", inner, {"dockerfile": text, "context": text})()
    except CallError as error:
        if error.code != UNIMPLEMENTED:
            raise
        return _plain_git(address, options)
    definition: Value = result.get("ref", {}).get("definition", {})
    return definition if _keeps_git_dir(options) else _without_git_dir(definition)


def _keeps_git_dir(options: Mapping[str, str]) -> bool:
    return options.get(_KEEP_GIT_DIR, "").lower() in ("1", "t", "true")


def _without_git_dir(definition: Value) -> Value:
    """A repository as a build context has it: as a named context it has the directory .git as well."""
    graph = Graph(lambda info, ranges: (info, ranges))
    head = graph.load(definition)
    substitutes = {}
    for digest in graph.vertices(head):
        op = graph.op(digest)
        attrs = op.get("source", {}).get("attrs", {})
        if _GIT_DIR in attrs:
            attrs = {key: value for key, value in attrs.items() if key != _GIT_DIR}
            made = {**op, "source": {**op["source"], "attrs": attrs}}
            substitutes[digest] = Substitute([], _instead(made, definition["metadata"].get(digest, {})))
    if not substitutes:
        return definition
    return graph.definition(graph.replace(head, substitutes), lambda text: text)


def _instead(op: Value, metadata: Value) -> Make:
    return lambda _: (op, metadata, [])


def _plain_git(address: str, options: Mapping[str, str]) -> Value:
    """The same for an engine without named contexts, whose addresses have no more than a branch."""
    remote, _, branch = address.partition("#")
    path = re.sub(r"^(?:https?://|git://|ssh://|git@)", "", remote)
    if address.startswith("git@"):
        path = path.replace(":", "/", 1)
    identifier = f"git://{path}" + (f"#{branch}" if branch else "")
    full = f"https://{remote}" if remote.startswith("github.com/") else remote
    # The names of the client's secrets, if it has any.
    attrs = {
        "git.authheadersecret": "GIT_AUTH_HEADER",
        "git.authtokensecret": "GIT_AUTH_TOKEN",
        "git.fullurl": full,
    }
    caps = {"source.git": True, "source.git.fullurl": True}
    if _keeps_git_dir(options):
        attrs[_GIT_DIR] = "true"
        caps["source.git.keepgitdir"] = True
    if remote.startswith(("git@", "ssh://")):
        attrs["git.mountsshsock"] = "default"
        caps["source.git.mountsshsock"] = True
    name = f"[internal] load git source {address}"
    return definition_of({"source": {"identifier": identifier, "attrs": attrs}}, name, caps)
