"""An OCI image put together from layer tars by hand (image-spec image-layout.md, config.md, manifest.md)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

TAG = "latest"
_MEDIA = "application/vnd.oci.image."


def write_image(layout: Path, layers: list[Path]) -> None:
    """Make the directory ``layout`` an image layout with one image, tagged :data:`TAG`.

    ``layers``: tar files, uncompressed, the lowest first; moved into the layout.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    descriptors = []
    for layer in layers:
        digest = hashlib.sha256(layer.read_bytes()).hexdigest()
        descriptors.append(_descriptor("layer.v1.tar", digest, layer.stat().st_size))
        layer.rename(blobs / digest)
    # The digest of a layer that is not compressed is its diff id as well.
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in descriptors]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MEDIA + "manifest.v1+json",
        "config": _blob(blobs, "config.v1+json", config),
        "layers": descriptors,
    }
    described = _blob(blobs, "manifest.v1+json", manifest)
    described["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def _blob(blobs: Path, media: str, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return _descriptor(media, digest, len(data))


def _descriptor(media: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": _MEDIA + media, "digest": f"sha256:{digest}", "size": size}
