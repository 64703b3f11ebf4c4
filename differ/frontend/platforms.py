"""Platforms, and the arguments that FROM knows of them (containerd/platforms, Dockerfile reference)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protobuf import Value

_ARCHITECTURES = {
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm/v7",
    "armel": "arm/v6",
}
_SYSTEMS = ("darwin", "freebsd", "linux", "windows")
_IMPLIED = {"arm64": "v8", "amd64": "v1"}


def name_of(platform: Value) -> str:
    """What a platform of a message is called: ``linux/arm/v7``."""
    parts = [platform.get(key, "") for key in ("os", "architecture", "variant")]
    return normal("/".join(part for part in parts if part))


def normal(platform: str) -> str:
    """A platform as results name it."""
    os, slash, rest = platform.strip().lower().partition("/")
    if os and not slash and os not in _SYSTEMS:
        os, rest = "linux", os
    architecture, _, variant = rest.partition("/")
    known, _, implied = _ARCHITECTURES.get(architecture, architecture).partition("/")
    variant = variant or implied
    if known == "arm" and not variant:
        variant = "v7"
    if _IMPLIED.get(known) == variant:
        variant = ""
    return "/".join(part for part in (os, known, variant) if part)


def own_platform(pong: Value) -> str:
    """The platform of the machine that builds."""
    for worker in pong.get("workers", []):
        for platform in worker.get("platforms", []):
            return name_of(platform)
    return "linux/amd64"


def wanted(options: Mapping[str, str], own: str) -> list[str]:
    """The platforms that are built for.

    ``own``: the one of the machine that builds.
    """
    asked = [name.strip() for name in options.get("platform", "").split(",") if name.strip()]
    return [own if name == "local" else normal(name) for name in asked] or [own]


def arguments(build: str, target: str, stage: str) -> dict[str, str]:
    """The arguments that need no ARG before a FROM.

    ``build``, ``target``: platforms.
    ``stage``: the target stage.
    """
    values = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        os, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        values[f"{prefix}PLATFORM"] = platform
        values[f"{prefix}OS"] = os
        values[f"{prefix}ARCH"] = architecture
        values[f"{prefix}VARIANT"] = variant
    return values
