"""Tars and image layouts put together by hand, so that they may be anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)
_WHEN = 1_600_000_000


def number(value: int, size: int) -> bytes:
    """A field with a number: octal, or base 256 where that has no place."""
    if 0 <= value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    values: int = 256 ** (size - 1)
    return (b"\xff" if value < 0 else b"\x80") + (value % values).to_bytes(size - 1, "big")


def entry(
    name: bytes,
    kind: bytes = b"0",
    data: bytes = b"",
    *,
    target: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    size: int | None = None,
    mtime: int = _WHEN,
    device: tuple[int, int] = (0, 0),
    tail: bytes = b"",
) -> bytes:
    """A header in the format ustar and the data.

    ``size``: what the header says of the data if that is not true.
    ``tail``: what stands at byte 345 in the place of the prefix (the old GNU format).
    """
    fields = (
        name[:100].ljust(100, b"\0"),
        number(mode, 8) + number(uid, 8) + number(0, 8),
        number(len(data) if size is None else size, 12) + number(mtime, 12),
        b" " * 8 + kind + target[:100].ljust(100, b"\0"),
        b"ustar\x0000" if not tail else b"ustar  \0",
        bytes(64) + number(device[0], 8) + number(device[1], 8) + tail,
    )
    header = b"".join(fields).ljust(BLOCK, b"\0")
    checksum = b"%06o\0 " % sum(header)
    return header[:148] + checksum + header[156:] + padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """A pax record, whose length counts its own digits."""
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax(records: dict[bytes, bytes], kind: bytes = b"x") -> bytes:
    """The header with these records, for the entry that follows; ``g`` for all that follow."""
    return entry(b"PaxHeaders.0/x", kind, b"".join(record(key, value) for key, value in records.items()))


def descriptor(media: str, data: bytes, **more: Any) -> dict[str, Any]:
    """What describes a blob."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return {"mediaType": f"application/vnd.oci.image.{media}", "digest": digest, "size": len(data), **more}


class LayoutFiles:
    """An image layout that is still to be written, each part of which may be changed before.

    ``layers``: tars, stored as they are.
    """

    def __init__(self, layers: list[bytes], tag: str = "latest") -> None:
        self.blobs: dict[str, bytes] = {}
        self.config: dict[str, Any] = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=b"]},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
            },
        }
        self.manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": [self.blob("layer.v1.tar", layer) for layer in layers],
        }
        self.tag = tag
        self.version: Any = {"imageLayoutVersion": "1.0.0"}
        self.index: Any = None

    def blob(self, media: str, data: bytes, **more: Any) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        described = descriptor(media, data, **more)
        self.blobs[described["digest"].partition(":")[2]] = data
        return described

    def described(self) -> dict[str, Any]:
        """The image's descriptor, with its tag; adds its documents."""
        if "config" not in self.manifest:
            self.manifest["config"] = self.blob("config.v1+json", json.dumps(self.config).encode())
        name = {"org.opencontainers.image.ref.name": self.tag}
        return self.blob("manifest.v1+json", json.dumps(self.manifest).encode(), annotations=name)

    def write(self, place: Path) -> None:
        """Make the layout; the index has this image only, if it was not set."""
        if self.index is None:
            self.index = {"schemaVersion": 2, "manifests": [self.described()]}
        blobs = place / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for name, data in self.blobs.items():
            (blobs / name).write_bytes(data)
        for name, document in (("index.json", self.index), ("oci-layout", self.version)):
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            (place / name).write_bytes(data)
