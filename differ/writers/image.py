"""Changes written as the topmost layer of an image (image-spec manifest.md, config.md)."""

from __future__ import annotations

import time

from ..layout import CONFIG_TYPE, MANIFEST_TYPE, architecture, encoded, ref_name
from ..model import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..layout import Image, Json
    from .blob import Blob
    from .store import StagedBlob, Store

_BASE_DIGEST = "org.opencontainers.image.base.digest"
_BASE_NAME = "org.opencontainers.image.base.name"
_CREATED = "org.opencontainers.image.created"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


class AppendedImage:
    """An image with one layer more.

    ``base``: what the layer is put on; None for nothing.
    ``to``: where the image goes; its tag must be given.
    ``store``: that layout.
    ``config``: what is to be kept of another image's configuration in place of the base's; None for none.
    ``said``: what the history says of how the layer was made.
    ``latest``: seconds since 1970, which the image then says it was made at; None for now (SOURCE_DATE_EPOCH).
    """

    is_stdout = False

    def __init__(
        self,
        base: Image | None,
        store: Store,
        tag: str,
        said: str,
        latest: int | None,
        config: Json | None = None,
    ) -> None:
        self._base = base
        self._store = store
        self._tag = tag
        self._said = said
        seconds = int(time.time()) if latest is None else latest
        self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
        self._config = config
        self._layer: StagedBlob | None = None
        self.path = store.path
        self.descriptor: Json = {}

    def open(self, inputs: list[tuple[int, bytes]]) -> list[int]:
        """Make it ready; the directories that are written into.

        ``inputs`` and errors: those of :meth:`Store.open`.
        """
        directories = self._store.open(inputs)
        self._layer = self._store.new("layer")
        return directories

    def put(self, data: bytes) -> None:
        """Add bytes of the layer; raises :class:`DifferError`."""
        if self._layer is None:
            raise AssertionError("a layer that is not open")
        self._layer.put(data)

    def finish(self, blob: Blob) -> None:
        """Write all but the name of the image; raises :class:`DifferError`.

        ``blob``: what described the bytes.
        """
        layer = blob.descriptor()
        if self._layer is not None:
            self._layer.finish(str(layer["digest"]))
        layers = [] if self._base is None else [_modern(descriptor) for descriptor, _ in self._base.layers]
        if self._base is not None:
            for descriptor in layers:
                self._store.take(self._base, descriptor)
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._store.document(CONFIG_TYPE, self._configured(blob.diff_id)),
            "layers": [*layers, layer],
        }
        annotations = self._annotations()
        if annotations:
            manifest["annotations"] = annotations
        self.descriptor = self._store.document(MANIFEST_TYPE, manifest)

    def _configured(self, diff_id: str) -> Json:
        """The configuration of the image (image-spec config.md)."""
        base: Json = {} if self._base is None else self._base.config
        config = {"architecture": architecture(), "os": "linux", "config": {}, **base, **(self._config or {})}
        diff_ids = [] if self._base is None else [one for _, one in self._base.layers]
        history = base.get("history") or []
        config["created"] = self._now
        config["rootfs"] = {"type": "layers", "diff_ids": [*diff_ids, diff_id]}
        config.pop("history", None)
        # A history tells of every layer or of none.
        if isinstance(history, list) and len(diff_ids) == sum(
            isinstance(one, dict) and not one.get("empty_layer") for one in history
        ):
            config["history"] = [*history, {"created": self._now, "created_by": self._said}]
        return config

    def _annotations(self) -> Json:
        """What the manifest says (image-spec annotations.md)."""
        if self._base is None:
            return {}
        annotations = self._base.manifest.get("annotations")
        kept = dict(annotations) if isinstance(annotations, dict) else {}
        kept.pop(_CREATED, None)
        kept.pop(_BASE_NAME, None)
        name = ref_name(self._base.found)
        # A tag alone is no name that anybody else knows the image by.
        if name is not None and "/" in name:
            kept[_BASE_NAME] = name
        kept[_BASE_DIGEST] = self._base.found["digest"]
        return kept

    @property
    def told(self) -> str:
        """What the image is, for people."""
        name = b"oci:" + self._store.path + b":" + encoded(self._tag)
        return f"{printable(name)} is {self.descriptor['digest']}"

    def publish(self) -> None:
        """Let the tag be this image; raises :class:`DifferError`."""
        self._store.publish(self._tag, self.descriptor)

    def discard(self) -> None:
        """Remove what was not published; raises :class:`DifferError`."""
        if self._layer is not None:
            self._layer.__exit__()
        self._store.discard()


def _modern(descriptor: Json) -> Json:
    """A layer's descriptor as the OCI has it."""
    kind = str(descriptor.get("mediaType"))
    if kind.startswith(_DOCKER_LAYER):
        kind = _OCI_LAYER + kind.removeprefix(_DOCKER_LAYER).replace(".gzip", "+gzip").replace(
            ".zstd", "+zstd"
        )
    return {**descriptor, "mediaType": kind}
