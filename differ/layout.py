"""Images in a directory: the OCI image layout (image-spec image-layout.md).

A layout may come from anybody.  Nothing in it is believed: every blob is looked up by its digest in the two
directories that the specification names, without following a symbolic link, and must have the size and the hash
that its descriptor says.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from . import linux
from .content import new_sha256, unreadable
from .model import DifferError, os_reason, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

OCI = b"oci:"
INDEX, VERSION_FILE = b"index.json", b"oci-layout"
BLOBS = (b"blobs", b"sha256")
REF_NAME = "org.opencontainers.image.ref.name"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# What Docker called them before there was a specification (distribution, manifest-v2-2.md).
_INDEX_TYPES = (INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
_ALGORITHM = "sha256:"
_HEX = frozenset("0123456789abcdef")
_LARGEST = 4 * 1024 * 1024  # bytes of a document, as registries have it
_DEEPEST = 4  # indexes in indexes
# What the kernel calls a machine, and what Go does.
_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}


class Reference:
    """``oci:DIR[:TAG]``, as skopeo has it: DIR has no colon, TAG may have some.

    ``word``: all of it, for messages.  ``tag``: None where none is given.
    Raises :class:`DifferError` if the word says no such thing.
    """

    def __init__(self, word: bytes) -> None:
        directory, colon, tag = word.removeprefix(OCI).partition(b":")
        if not word.startswith(OCI) or not directory or (colon and not tag):
            raise DifferError("expected oci:DIR[:TAG]", word)
        self.word = word
        self.directory = directory
        self.tag = tag.decode("utf-8", "surrogateescape") if colon else None


class Layout:
    """An image layout.

    ``path``: its directory.  ``fd``: the same, once it is open; -1 after :meth:`close`.
    Raises :class:`DifferError` if it is none.
    """

    def __init__(self, path: bytes, fd: int = -1) -> None:
        self.path = path
        self.fd = self._blobs = -1
        try:
            self.fd = fd if fd >= 0 else linux.open_root(path)
            version = self.document(VERSION_FILE).get("imageLayoutVersion")
            if not isinstance(version, str) or not version.startswith("1."):
                raise DifferError("is an image layout of a version that is not known here; 1.0.0 is", path)
            above = linux.open_directory(BLOBS[0], self.fd)
            try:
                self._blobs = linux.open_directory(BLOBS[1], above)
            finally:
                linux.close_all(above)
        except FileNotFoundError as error:
            self.close()
            raise DifferError(
                "is no OCI image layout (oci-layout, index.json, blobs/sha256)", path
            ) from error
        except OSError as error:
            self.close()
            raise DifferError(f"cannot be opened as an image layout: {os_reason(error)}", path) from error
        except DifferError:
            self.close()
            raise

    def close(self) -> None:
        """Close the directories."""
        linux.close_all(self.fd, self._blobs)
        self.fd = self._blobs = -1

    def document(self, name: bytes) -> Json:
        """A JSON object in the layout's own directory; raises ``OSError`` and :class:`DifferError`."""
        fd = linux.open_file(name, self.fd)
        try:
            return parsed(_content(fd, self.path + b"/" + name), self.path + b"/" + name)
        finally:
            linux.close_all(fd)

    def blob_path(self, digest: str) -> bytes:
        """How a message should call a blob."""
        return b"/".join((self.path, *BLOBS, digest.removeprefix(_ALGORITHM).encode("ascii", "replace")))

    def open_blob(self, descriptor: Json) -> int:
        """A descriptor to read the blob with; it has its size, its hash is not looked at.

        ``descriptor``: what describes it (image-spec descriptor.md).  Raises :class:`DifferError`.
        """
        digest, size = _identity(descriptor, self.path)
        path = self.blob_path(digest)
        try:
            fd = linux.open_file(digest.removeprefix(_ALGORITHM).encode(), self._blobs)
        except OSError as error:
            raise DifferError(f"a blob of the image cannot be opened: {os_reason(error)}", path) from error
        try:
            facts = os.fstat(fd)
        except OSError as error:
            linux.close_all(fd)
            raise unreadable(error, path) from error
        if not S_ISREG(facts.st_mode) or facts.st_size != size:
            linux.close_all(fd)
            raise DifferError(f"is not the blob of {size} bytes that the image wants; fetch it again", path)
        return fd

    def read(self, descriptor: Json) -> bytes:
        """A document, whole and verified; raises :class:`DifferError`."""
        fd = self.open_blob(descriptor)
        try:
            path = self.blob_path(descriptor["digest"])
            content = _content(fd, path)
        except OSError as error:
            raise unreadable(error, path) from error
        finally:
            linux.close_all(fd)
        if digest_of(content) != descriptor["digest"]:
            raise DifferError("is not what its name says: its SHA-256 is another; fetch it again", path)
        return content

    def index(self) -> Json:
        """What ``index.json`` says; raises :class:`DifferError`."""
        try:
            return self.document(INDEX)
        except OSError as error:
            raise unreadable(error, self.path + b"/" + INDEX) from error

    def entries(self) -> list[Json]:
        """The descriptors in the index; raises :class:`DifferError`."""
        return _objects(self.index(), "manifests", self.path + b"/" + INDEX)

    def find(self, tag: str | None) -> Json:
        """The descriptor of the manifest that ``tag`` names in the index: by its name or by its digest, or the only
        one there is if ``tag`` is None.  Raises :class:`DifferError`."""
        entries = self.entries()
        named = [entry for entry in entries if tag in (None, ref_name(entry))]
        if not named and tag is not None and _is_digest(tag):
            named = [entry for entry in self._all(entries) if entry.get("digest") == tag]
        if len({str(entry.get("digest")) for entry in named}) == 1:
            return named[0]
        names = sorted({name for name in map(ref_name, entries) if name is not None})
        shown = ", ".join(printable(encoded(name)) for name in names[:10])
        what = (
            "holds no image"
            if not entries
            else "has no such tag"
            if tag is not None
            else "holds several images"
        )
        raise DifferError(f"{what}{f'; its tags are {shown}' if shown else ''}", self._shown(tag))

    def _all(self, entries: list[Json]) -> Iterator[Json]:
        """The descriptors in an index, and those in the indexes that they describe."""
        yield from entries
        for entry in entries:
            if entry.get("mediaType") in _INDEX_TYPES:
                path = self.blob_path(_identity(entry, self.path)[0])
                yield from _objects(parsed(self.read(entry), path), "manifests", path)

    def _shown(self, tag: str | None) -> bytes:
        return OCI + self.path + (b"" if tag is None else b":" + encoded(tag))

    def image(self, tag: str | None) -> Image:
        """The image that ``tag`` names, for this machine where there are several; raises :class:`DifferError`."""
        found = descriptor = self.find(tag)
        for _ in range(_DEEPEST):
            path = self.blob_path(_identity(descriptor, self.path)[0])
            document = parsed(self.read(descriptor), path)
            kind = document.get("mediaType", descriptor.get("mediaType"))
            if kind in _MANIFEST_TYPES:
                return Image(self, found, descriptor, document)
            if kind not in _INDEX_TYPES:
                raise DifferError(f"is a {kind!r}, and no manifest of an image", path)
            descriptor = _for_this_machine(_objects(document, "manifests", path), path)
        raise DifferError(
            "is an index in an index in an index; name the image by its digest", self._shown(tag)
        )


class Image:
    """An image of a layout.

    ``found``: its descriptor in ``index.json``.  ``descriptor``: that of ``manifest``; another one if the tag names
    an index.  ``config``: the configuration.  ``layers``: descriptor and diffID of each, the lowest first.
    Raises :class:`DifferError` if the parts do not fit together.
    """

    def __init__(self, layout: Layout, found: Json, descriptor: Json, manifest: Json) -> None:
        self.layout = layout
        self.found = found
        self.descriptor = descriptor
        self.manifest = manifest
        path = layout.blob_path(descriptor["digest"])
        config = manifest.get("config")
        if not isinstance(config, dict):
            raise DifferError("names no configuration, so it is no image", path)
        config_path = layout.blob_path(_identity(config, path)[0])
        self.config = parsed(layout.read(config), config_path)
        rootfs = self.config.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not all(map(_is_digest, diff_ids)):
            raise DifferError("lists no layers (rootfs.diff_ids), so it is no image's", config_path)
        layers = _objects(manifest, "layers", path)
        if len(layers) != len(diff_ids):
            raise DifferError(f"has {len(layers)} layers, and its configuration {len(diff_ids)}", path)
        self.layers: list[tuple[Json, str]] = list(zip(layers, diff_ids))


def ref_name(descriptor: Json) -> str | None:
    """The tag that an entry of ``index.json`` has (image-spec annotations.md)."""
    annotations = descriptor.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def encoded(text: str) -> bytes:
    """A word of a document or of the command line as bytes; JSON may have half a character."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def parsed(content: bytes, path: bytes) -> Json:
    """The JSON object that ``content`` is; raises :class:`DifferError`, which names ``path``."""
    import json

    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DifferError("is no JSON", path) from error
    if not isinstance(value, dict):
        raise DifferError("is no JSON object", path)
    return value


def digest_of(content: bytes) -> str:
    """The digest of a blob."""
    digest = new_sha256()
    digest.update(content)
    return _ALGORITHM + digest.hexdigest()


def architecture() -> str:
    """What an image calls this machine (GOARCH)."""
    machine = os.uname().machine
    return _MACHINES.get(machine, machine)


def _content(fd: int, path: bytes) -> bytes:
    facts = os.fstat(fd)
    if not S_ISREG(facts.st_mode) or facts.st_size > _LARGEST:
        raise DifferError(f"is no file of at most {_LARGEST} bytes", path)
    parts = []
    while data := os.read(fd, _LARGEST):
        parts.append(data)
    return b"".join(parts)


def _objects(document: Json, key: str, path: bytes) -> list[Json]:
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DifferError(f"has no list of {key}", path)
    return found


def _is_digest(digest: object) -> bool:
    if not isinstance(digest, str) or not digest.startswith(_ALGORITHM):
        return False
    name = digest.removeprefix(_ALGORITHM)
    return len(name) == 64 and _HEX.issuperset(name)


def _identity(descriptor: Json, path: bytes) -> tuple[str, int]:
    """Digest and size of what is described; raises :class:`DifferError`, which names ``path``."""
    digest, size = descriptor.get("digest"), descriptor.get("size")
    if not isinstance(digest, str) or not _is_digest(digest):
        raise DifferError(f"names a blob by {digest!r}, which is no SHA-256 digest", path)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise DifferError(f"names a blob of {size!r} bytes", path)
    return digest, size


def _for_this_machine(entries: list[Json], path: bytes) -> Json:
    """The one of an index's entries that runs here, or the only one."""
    platforms = []
    for entry in entries:
        platform = entry.get("platform")
        here = platform if isinstance(platform, dict) else {}
        platforms.append(f"{here.get('os')}/{here.get('architecture')}")
    wanted = f"linux/{architecture()}"
    for entry, platform in zip(entries, platforms):
        # BuildKit's attestations have a platform that no machine is.
        if platform == wanted or len(entries) == 1:
            return entry
    shown = printable(encoded(", ".join(platforms[:10])))
    raise DifferError(f"has no image for {wanted}: it has {shown or 'none'}; name one by its digest", path)
