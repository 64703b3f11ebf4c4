"""The op that makes a difference: the engine's own, or a run of this image (docs/runner.md)."""

from __future__ import annotations

from .calls import CallError
from .graph import Inputs, definition_of
from .messages import CONTENT_CACHE_OFF, DEFINITION, EMPTY, NETWORK_NONE, OP
from .stages import long_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .bridge import Bridge
    from .graph import Edge, Graph
    from .protobuf import Value

PROGRAM = "/usr/bin/differ"
OWN_ROOT = "/run/config/buildkit/metadata/frontend.bin"
"""Where BuildKit (not Docker 20.10's) leaves the definition of a frontend's own file system."""
_NO_CONTENT_CACHE = "exec.mount.cache.content"
_EXEC_CAPS = {"exec.meta.base": True, "exec.meta.network": True, "exec.mount.bind": True}

COMPARE = ("exact", "native", "metadata")
WHITEOUTS = ("none", "oci")


class OptionError(Exception):
    """A build argument with a value that it cannot have."""


class Choice:
    """What the build arguments ask for.

    ``runner``: whether the engine's own DiffOp must not be used.
    ``words``: for the command line of the runner.
    """

    __slots__ = ("runner", "words")

    def __init__(self, options: Mapping[str, str]) -> None:
        """Read the frontend's options; raises :class:`OptionError`."""
        compare = _one_of(options, "DIFFER_COMPARE", COMPARE)
        whiteout = _one_of(options, "DIFFER_WHITEOUT", WHITEOUTS)
        fallback = _one_of(options, "DIFFER_FALLBACK", ("0", "1"))
        # DiffOp has no choice of either, so whoever asks for one asks for the runner.
        self.runner = fallback == "1" or bool(compare or whiteout)
        self.words = ["--compare", compare or COMPARE[0], "--whiteout", whiteout or WHITEOUTS[0]]


def _one_of(options: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    value = options.get(f"build-arg:{name}", "")
    if value and value not in values:
        raise OptionError(f"--build-arg {name}={value}: the value is one of {', '.join(values)}")
    return value


class Native:
    """BuildKit's DiffOp."""

    verb = "DIFF"

    def edges(self, lower: Edge | None, upper: Edge | None) -> list[Edge | None]:
        """The inputs."""
        return [lower, upper]

    def op(self, edges: list[Edge | None]) -> tuple[Value, dict[str, bool]]:
        """The op and the capabilities that it needs."""
        lower, upper = edges
        # An input is a number of its own even if both sides are the same.
        inputs = [{"digest": edge[0], "index": edge[1]} for edge in edges if edge]
        sides = {
            "lower": {"input": 0 if lower else EMPTY},
            "upper": {"input": len(inputs) - 1 if upper else EMPTY},
        }
        return {"inputs": inputs, "diff": sides}, {"diffop": True}


class Runner:
    """A run of the image that this frontend is in.

    ``root``: its file system, in the graph.
    ``words``: options of the command.
    ``content_cache``: whether the engine can be told not to look for the result by the content of the sides.
    """

    verb = "RUN differ"

    def __init__(self, root: Edge | None, words: list[str], *, content_cache: bool) -> None:
        self._root = root
        self._words = words
        self._content_cache = content_cache

    def edges(self, lower: Edge | None, upper: Edge | None) -> list[Edge | None]:
        """The inputs."""
        return [self._root, lower, upper]

    def op(self, edges: list[Edge | None]) -> tuple[Value, dict[str, bool]]:
        """The op and the capabilities that it needs.

        The key under which an engine keeps a run knows the content behind a mount and not its times, links and
        ACLs.  Where it cannot be told to leave that way alone, it does so by itself for a mount that it keeps as
        a result: with one, each side goes into the key by what it is made from.
        """
        inputs = Inputs()
        root, lower, upper = (inputs.add(edge) for edge in edges)
        # Results are numbered in the order of the mounts.
        mounts: list[Value] = [
            {"input": root, "dest": "/", "output": EMPTY, "readonly": True},
            {"input": EMPTY, "dest": "/out", "output": 0},
        ]
        for number, side, dest in ((1, lower, "/lower"), (2, upper, "/upper")):
            if self._content_cache:
                more = {"output": EMPTY, "readonly": True, "content_cache": CONTENT_CACHE_OFF}
            else:
                more = {"output": number}
            mounts.append({"input": side, "dest": dest, **more})
        meta: Value = {"args": [PROGRAM, *self._words, "/lower", "/upper", "/out"], "cwd": "/"}
        caps = dict(_EXEC_CAPS)
        if self._content_cache:
            caps[_NO_CONTENT_CACHE] = True
        op = {"inputs": inputs.value(), "exec": {"meta": meta, "mounts": mounts, "network": NETWORK_NONE}}
        return op, caps


def choose(
    bridge: Bridge,
    caps: Mapping[str, bool],
    options: Mapping[str, str],
    graph: Graph,
    read: Callable[[str], bytes],
) -> Native | Runner:
    """What this engine can do, or what was asked for.

    ``caps``: the ops that the engine has, and whether they are enabled.
    ``read``: gives the bytes of a file of this machine; raises FileNotFoundError.
    """
    choice = Choice(options)
    if caps.get("diffop") and not choice.runner:
        return Native()
    try:
        own = _apart(DEFINITION.decode(read(OWN_ROOT)))
    except FileNotFoundError:
        own = _image(bridge, options.get("source", ""), options.get("image-resolve-mode", ""))
    return Runner(graph.load(own), choice.words, content_cache=caps.get(_NO_CONTENT_CACHE, False))


def _apart(own: Value) -> Value:
    """The same image as a vertex of its own.

    The one that this frontend was started from is done, without a look at the caches that the user imports, and
    what is built on it would not be found there.
    """
    source = OP.decode(own["ops"][0]).get("source", {})
    if len(own["ops"]) != 2 or not source.get("identifier", "").startswith("docker-image://"):
        return own
    return _root(source)


def _root(source: Value) -> Value:
    """The definition of an image's file system."""
    return definition_of({"source": source}, "[differ] the image of this frontend", {"source.image": True})


def _image(bridge: Bridge, name: str, mode: str) -> Value:
    """The file system of the image that this frontend was started from."""
    if not name:
        raise CallError(2, "this engine does not say which image this frontend is: name it with # syntax=")
    reference = long_name(name)
    digest = bridge.resolve(reference, mode)().get("digest", "")
    identifier = f"docker-image://{reference}" + (f"@{digest}" if digest and "@" not in reference else "")
    attrs = {"image.resolvemode": mode} if mode else {}
    return _root({"identifier": identifier, "attrs": attrs})
