"""What is fuzzed: functions of bytes that must end, and raise nothing but the error that a user sees.

Each is run by a fuzzer that watches which code is reached (``make fuzz``), and on the kept cases by the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

from differ import mounts
from differ.frontend import plain
from differ.frontend.stages import differences, global_variables
from differ.frontend.syntax import DockerfileError, scan
from differ.frontend.words import WordError
from differ.layered import LayeredTree, Layers
from differ.layout import Layout
from differ.model import DifferError
from differ.tarball import Tarball
from differ.writers.tar import BLOCK

_OVERLAYS = (
    b"40 1 0:41 / /lower ro,relatime - overlay overlay rw,lowerdir=/a\n"
    b"41 1 0:42 / /upper rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/u,workdir=/w\n"
)
_LARGEST = 1 << 20  # bytes of a file that is read back


def mountinfo(data: bytes) -> None:
    """The mounts of proc(5), and the options of an overlay in them."""
    lower, upper = mounts.Root(b"/lower", (0, 41)), mounts.Root(b"/upper", (0, 42))
    for text in (
        data,
        _OVERLAYS + data,
        _OVERLAYS.replace(b"lowerdir=/a", b"lowerdir=" + data.split(b"\n")[0]),
    ):
        for mount in mounts.parse(text):
            mounts.unescaped(mount.point)
        try:
            mounts.stacked(lower, upper, text, lambda name: b"N")
        except mounts.NotStackedError:
            pass


def dockerfile(data: bytes) -> None:
    """A Dockerfile: found, resolved, rewritten."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        found = scan(text)
        list(differences(found, global_variables(found, {}, {"TARGETOS": "linux"})))
        for style in ("copy", "mount"):
            plain.rewrite(found, style=style, drop_link=False, image="differ")
    except (DockerfileError, WordError):
        pass


def tar(data: bytes) -> None:
    """A tar: taken apart, applied as a layer, and read back."""
    fd = os.memfd_create("fuzz")
    os.write(fd, _with_checksums(data) if data[:1] == b"\1" else data[1:])
    try:
        source = Tarball(b"fuzz.tar", fd)
    except DifferError:
        return
    try:
        layers = Layers()
        layers.apply(source, -2)
        _read_all(LayeredTree(b"fuzz.tar", layers.finish()))
    except DifferError:
        pass
    finally:
        source.close()


def _with_checksums(data: bytes) -> bytes:
    """The same with a true checksum in each block that says it is a header: no fuzzer would guess one."""
    blocks = []
    for start in range(1, len(data), BLOCK):
        block = data[start : start + BLOCK].ljust(BLOCK, b"\0")
        if block[257:262] == b"ustar":
            blank = block[:148] + b" " * 8 + block[156:]
            block = blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]
        blocks.append(block)
    return b"".join(blocks)


def _read_all(tree: LayeredTree) -> None:
    pending: list[Iterator[bytes]] = [iter(tree.names())]
    while pending:
        for name in pending[-1]:
            facts = tree.stat(name)
            tree.xattrs(name, facts)
            tree.target(name)
            kind = facts.st_mode & 0o170000
            if kind == 0o040000:
                tree.enter(name)
                pending.append(iter(tree.names()))
                break
            if kind == 0o100000 and facts.st_size <= _LARGEST:
                fd = tree.open(name, facts)
                assert os.fstat(fd).st_size == facts.st_size
                os.close(fd)
        else:
            pending.pop()
            if pending:
                tree.leave()


def layout(data: bytes) -> None:
    """The documents of an image layout: its index, a manifest, a configuration."""
    parts = [*data.split(b"\0\0"), b"", b"", b""][:3]
    root = tempfile.mkdtemp(prefix="differ-fuzz-", dir="/dev/shm")
    try:
        blobs = os.path.join(root, "blobs", "sha256")
        os.makedirs(blobs)
        files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": parts[0]}
        descriptors = []
        from differ.layout import digest_of

        for content in parts[1:]:
            digest = digest_of(content)
            files[f"blobs/sha256/{digest.partition(':')[2]}"] = content
            descriptors.append({"digest": digest, "size": len(content)})
        if data[:1] == b"{" and parts[1]:
            # What names the second by its digest, which no fuzzer would guess.
            kind = "application/vnd.oci.image.manifest.v1+json"
            files["index.json"] = json.dumps({"manifests": [{"mediaType": kind, **descriptors[0]}]}).encode()
        for name, content in files.items():
            with open(os.path.join(root, name), "wb") as file:
                file.write(content)
        try:
            found = Layout(os.fsencode(root))
        except DifferError:
            return
        try:
            found.image(None)
        except DifferError:
            pass
        finally:
            found.close()
    finally:
        shutil.rmtree(root)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "mountinfo": mountinfo,
    "dockerfile": dockerfile,
    "tar": tar,
    "layout": layout,
}
