"""SHA-256, which names vertices."""

from __future__ import annotations

try:
    from _sha256 import sha256 as _sha256
except ImportError:
    from hashlib import sha256 as _sha256


def sha256(data: bytes) -> str:
    """A digest as images and graphs have it."""
    return f"sha256:{_sha256(data).hexdigest()}"
