"""Where the Dockerfile comes from, by the rules of BuildKit's own frontend."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
from bz2 import compress as bzip2
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from differ.frontend.bridge import Bridge
from differ.frontend.calls import UNIMPLEMENTED, UNKNOWN, CallError
from differ.frontend.context import Dockerfile, _is_archive, read_dockerfile, remote_context, take_input
from differ.frontend.graph import definition_of
from differ.frontend.messages import OP

from .frontend_graphs import sha

if TYPE_CHECKING:
    from differ.frontend.protobuf import Value

TEXT = b"FROM a..b\n"
INPUT = definition_of({"source": {"identifier": "docker-image://files"}}, "an input", {})


class Files(Bridge):
    """An engine that has some files, wherever they are looked for.

    ``result``: what its own frontend says.
    """

    def __init__(self, files: Mapping[str, bytes], result: Value | CallError | None = None) -> None:
        self.files = files
        self.solved: list[Value] = []
        self.read: list[tuple[str, int]] = []
        self.built: list[tuple[str, Mapping[str, str], Mapping[str, Value]]] = []
        self._result = result

    def solve(self, definition: Value) -> Callable[[], str]:
        self.solved.append(definition)
        return lambda: f"ref {len(self.solved)}"

    def read_file(self, ref: str, path: str, length: int = 0) -> Callable[[], bytes]:
        assert ref == f"ref {len(self.solved)}"
        self.read.append((path, length))

        def wait() -> bytes:
            if path not in self.files:
                raise CallError(UNKNOWN, f"{path}: no such file or directory")
            return self.files[path][: length or None]

        return wait

    def build(
        self, frontend: str, options: Mapping[str, str], inputs: Mapping[str, Value]
    ) -> Callable[[], Value]:
        assert frontend == "dockerfile.v0"
        self.built.append(({**options}.pop("cmdline"), options, inputs))

        def wait() -> Value:
            if isinstance(self._result, CallError):
                raise self._result
            assert self._result is not None
            return self._result

        return wait


def read(
    bridge: Files,
    options: Mapping[str, str] | None = None,
    inputs: Mapping[str, Value] | None = None,
    caps: Mapping[str, bool] | None = None,
) -> Dockerfile:
    return read_dockerfile(bridge, options or {}, inputs or {}, caps or {}, "the session")


def the_source(definition: Value) -> tuple[str, dict[str, str]]:
    """Identifier and attributes of the only op."""
    assert len(definition["ops"]) == 2
    source = OP.decode(definition["ops"][0])["source"]
    return source["identifier"], source.get("attrs", {})


# With the client.


def test_the_client_s_directory() -> None:
    bridge = Files({"Dockerfile": TEXT})
    file = read(bridge, caps={"source.local.differ": True})
    assert (file.filename, file.data, file.ignore, file.context) == ("Dockerfile", TEXT, None, None)
    (definition,) = bridge.solved
    names = ["Dockerfile", "Dockerfile.dockerignore", "dockerfile"]
    assert the_source(definition) == (
        "local://dockerfile",
        {
            "local.differ": "none",
            "local.followpaths": json.dumps(names).replace(" ", ""),
            "local.session": "the session",
            "local.sharedkeyhint": "dockerfile",
        },
    )
    digest = sha(definition["ops"][0])
    assert file.vertex == digest
    metadata = definition["metadata"][digest]
    assert metadata["description"] == {"llb.customname": "[internal] load build definition from Dockerfile"}
    assert metadata["caps"]["source.local"] is True


def test_an_engine_that_compares_what_is_sent() -> None:
    bridge = Files({"Dockerfile": TEXT})
    read(bridge)
    assert "local.differ" not in the_source(bridge.solved[0])[1]


def test_names_that_the_client_has_given() -> None:
    bridge = Files({"docker/prod": TEXT})
    options = {"filename": "docker/prod", "dockerfilekey": "key", "local-sessionid:key": "another session"}
    # The name of the directory says that it is this one.
    file = read(bridge, options, {"key": INPUT, "dockerfile": INPUT})
    assert file.filename == "docker/prod"
    identifier, attrs = the_source(bridge.solved[0])
    assert identifier == "local://key"
    assert attrs["local.followpaths"] == '["docker/prod","docker/prod.dockerignore"]'
    assert (attrs["local.session"], attrs["local.sharedkeyhint"]) == ("another session", "key")


def test_the_file_and_its_ignore_file_are_read_at_the_same_time() -> None:
    bridge = Files({"Dockerfile": TEXT, "Dockerfile.dockerignore": b"*.o\n"})
    file = read(bridge)
    assert file.ignore == b"*.o\n"
    assert bridge.read == [("Dockerfile", 0), ("Dockerfile.dockerignore", 0)]


def test_an_empty_ignore_file_is_one() -> None:
    assert read(Files({"Dockerfile": TEXT, "Dockerfile.dockerignore": b""})).ignore == b""


@pytest.mark.parametrize("directory", ["", "sub/dir/"])
def test_the_name_in_small_letters(directory: str) -> None:
    bridge = Files({f"{directory}dockerfile": TEXT})
    file = read(bridge, {"filename": f"{directory}Dockerfile"})
    assert file.data == TEXT
    assert f"{directory}dockerfile" in json.loads(the_source(bridge.solved[0])[1]["local.followpaths"])


def test_the_ignore_file_of_a_name_in_small_letters() -> None:
    """The engine's frontend takes the one that belongs to the name it was given, and so does the client."""
    bridge = Files({"dockerfile": TEXT, "Dockerfile.dockerignore": b"*.o\n"})
    assert read(bridge).ignore == b"*.o\n"


def test_the_name_as_it_was_given_comes_first() -> None:
    assert read(Files({"Dockerfile": TEXT, "dockerfile": b"other"})).data == TEXT


@pytest.mark.parametrize("filename", ["Dockerfile", "sub/Dockerfile"])
def test_the_error_names_the_file_that_was_asked_for(filename: str) -> None:
    with pytest.raises(CallError, match=rf"^{filename}: no such file"):
        read(Files({}), {"filename": filename})


@pytest.mark.parametrize("filename", ["Dockerfile.prod", "dockerfile", "MyDockerfile"])
def test_no_other_name_is_tried_in_small_letters(filename: str) -> None:
    bridge = Files({filename.lower() + "x": TEXT, "dockerfile.prod": TEXT, "mydockerfile": TEXT})
    with pytest.raises(CallError, match=rf"^{filename}: no such file"):
        read(bridge, {"filename": filename})
    assert len(bridge.read) == 2


# Among the inputs.


def test_an_input() -> None:
    bridge = Files({"Dockerfile": TEXT, "Dockerfile.dockerignore": b"x"})
    file = read(bridge, inputs={"dockerfile": INPUT, "context": INPUT})
    assert bridge.solved == [INPUT]
    assert (file.data, file.ignore, file.context) == (TEXT, b"x", None)
    assert file.vertex == sha(INPUT["ops"][0])


def test_what_is_passed_on() -> None:
    assert take_input({"dockerfilekey": "key", "contextkey": "k", "target": "t"}) == (
        "dockerfile",
        {"contextkey": "k", "target": "t"},
    )


@pytest.mark.parametrize(("ignore", "names"), [(None, ["/F"]), (b"*.o", ["/F", "/F.dockerignore"])])
def test_the_definition_of_another_text(ignore: bytes | None, names: list[str]) -> None:
    definition = Dockerfile("F", TEXT, ignore, None, "sha256:x").input(b"FROM x\n", "a step")
    actions = OP.decode(definition["ops"][0])["file"]["actions"]
    assert [action["mkfile"]["path"] for action in actions] == names
    assert [action["mkfile"]["data"] for action in actions] == [b"FROM x\n", b"*.o"][: len(names)]
    description = definition["metadata"][sha(definition["ops"][0])]["description"]
    assert description == {"llb.customname": "[internal] a step"}


# Somewhere else: an archive or a file.


def _tar(format: int = tarfile.PAX_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=format) as archive:
        for name in ("Dockerfile", "other"):
            info = tarfile.TarInfo(name)
            info.size = len(TEXT)
            archive.addfile(info, io.BytesIO(TEXT))
    return held.getvalue()


def _old_tar() -> bytes:
    """As tar wrote it before there was a magic number: Go's reader looks at the sum."""
    data = bytearray(_tar(tarfile.USTAR_FORMAT))
    data[257:512] = bytes(255)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


ARCHIVES = {
    "pax": _tar(),
    "ustar": _tar(tarfile.USTAR_FORMAT),
    "gnu": _tar(tarfile.GNU_FORMAT),
    "v7": _old_tar(),
    "gzip": gzip.compress(_tar()),
    "bzip2": bzip2(_tar()),
    "xz": lzma.compress(_tar()),
}
NO_ARCHIVES = [
    b"",
    b"FROM a\n",
    b"# syntax=x\n" * 100,
    b"BZ",
    b"\x1f\x8b",
    bytes(512),
    b"PK\x03\x04" + bytes(508),
]


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name: str) -> None:
    assert _is_archive(ARCHIVES[name][:512])


@pytest.mark.parametrize("data", NO_ARCHIVES)
def test_no_archives(data: bytes) -> None:
    assert not _is_archive(data)


@pytest.mark.parametrize("address", ["http://host/context", "https://host/a.tar.gz?x=y"])
def test_an_archive_of_a_server(address: str) -> None:
    files = {"context": ARCHIVES["gzip"], "sub/dir/D": TEXT, "sub/dir/D.dockerignore": b"x"}
    bridge = Files(files)
    file = read(
        bridge, {"context": address, "filename": "D", "contextsubdir": "/sub/dir/"}, {"dockerfile": INPUT}
    )
    archive, unpacked = bridge.solved
    assert the_source(archive) == (address, {"http.filename": "context"})
    assert bridge.read == [("context", 512), ("sub/dir/D", 0), ("sub/dir/D.dockerignore", 0)]
    assert (file.filename, file.data, file.ignore) == ("D", TEXT, b"x")
    assert file.context == unpacked
    # It is unpacked in an empty file system.
    source, copy, last = unpacked["ops"]
    assert source == archive["ops"][0]
    op = OP.decode(copy)
    assert op["inputs"] == [{"digest": sha(source)}]
    (action,) = op["file"]["actions"]
    assert (action["input"], action.get("secondary_input", 0), action.get("output", 0)) == (-1, 0, 0)
    assert (action["copy"]["src"], action["copy"]["dest"], action["copy"]["unpack"]) == (
        "/context",
        "/",
        True,
    )
    assert OP.decode(last) == {"inputs": [{"digest": sha(copy)}]}
    assert file.vertex == sha(copy)


def test_a_dockerfile_of_a_server() -> None:
    bridge = Files({"context": TEXT})
    file = read(bridge, {"contextkey": "main", "main": "http://host/Dockerfile", "context": "ignored"})
    assert (file.filename, file.data, file.ignore) == ("context", TEXT, None)
    assert file.context == bridge.solved[-1]
    assert the_source(file.context) == ("http://host/Dockerfile", {"http.filename": "context"})


@pytest.mark.parametrize("address", ["", ".", "git", "input:x", "docker-image://a", "ftp://host/a.git"])
def test_a_context_that_is_the_client_s(address: str) -> None:
    assert remote_context(Files({}), address, {}) is None


# Somewhere else: git.

GIT = [
    # an address, and what it is for an engine that knows no named contexts
    ("https://host/repo.git", "git://host/repo.git", "https://host/repo.git"),
    ("http://host/repo.git#main", "git://host/repo.git#main", "http://host/repo.git"),
    ("https://host/repo.git#main:sub", "git://host/repo.git#main:sub", "https://host/repo.git"),
    ("git://host/repo", "git://host/repo", "git://host/repo"),
    ("git@host:me/repo.git#v1", "git://host/me/repo.git#v1", "git@host:me/repo.git"),
    ("github.com/me/repo", "git://github.com/me/repo", "https://github.com/me/repo"),
]


@pytest.mark.parametrize(("address", "identifier", "full"), GIT)
def test_git_of_an_engine_without_named_contexts(address: str, identifier: str, full: str) -> None:
    bridge = Files({"Dockerfile": TEXT}, CallError(UNIMPLEMENTED, "unsupported frontend capability"))
    file = read(bridge, {"context": address})
    assert file.context is not None
    held, attrs = the_source(file.context)
    assert (held, attrs["git.fullurl"]) == (identifier, full)
    assert bridge.solved == [file.context]


def test_git_by_ssh_uses_the_client_s_agent() -> None:
    """Without the attribute the engine gives git no socket (client/llb/source.go)."""
    bridge = Files({"Dockerfile": TEXT}, CallError(UNIMPLEMENTED, "unsupported frontend capability"))
    context = read(bridge, {"context": "git@host:me/repo.git"}).context
    assert context is not None
    assert the_source(context)[1].get("git.mountsshsock") == "default"


@pytest.mark.parametrize(
    "address", [*(row[0] for row in GIT), "ssh://git@host/r", "https://h/r.git?ref=main"]
)
def test_git_is_the_business_of_the_engine_s_frontend(address: str) -> None:
    bridge = Files({"sub/Dockerfile": TEXT}, {"ref": {"id": "r", "definition": INPUT}})
    keep = {"build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}
    file = read(bridge, {"context": address, "contextsubdir": "sub", "build-arg:OTHER": "x", **keep})
    ((cmdline, options, inputs),) = bridge.built
    assert cmdline
    (named,) = (key for key in options if key.startswith("context:"))
    assert options[named] == address
    assert {key: value for key, value in options.items() if key.startswith("build-arg:")} == keep
    text = OP.decode(inputs["dockerfile"]["ops"][0])["file"]["actions"][-1]["mkfile"]["data"]
    assert text.decode() == f"FROM {named.removeprefix('context:')}\n"
    assert file.context == INPUT
    assert (file.filename, file.data) == ("Dockerfile", TEXT)
    assert bridge.solved == [INPUT]


def test_git_that_fails() -> None:
    with pytest.raises(CallError, match="no such repository"):
        read(Files({}, CallError(UNKNOWN, "no such repository")), {"context": "https://host/r.git"})


@pytest.mark.parametrize(
    "address", ["https://host/repo", "https://host/repo.git/archive", "http://host/x.gitx"]
)
def test_what_is_no_git(address: str) -> None:
    bridge = Files({"context": TEXT})
    read(bridge, {"context": address})
    assert bridge.built == []
