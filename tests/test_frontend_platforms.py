"""Platforms: one name for each, and what FROM knows of them."""

from __future__ import annotations

import pytest

from differ.frontend.platforms import arguments, name_of, normal, own_platform, wanted

NORMAL = [
    ("linux/amd64", "linux/amd64"),
    ("linux/amd64/v1", "linux/amd64"),
    ("linux/amd64/v2", "linux/amd64/v2"),
    ("linux/x86_64", "linux/amd64"),
    ("linux/x86-64", "linux/amd64"),
    ("Linux/AMD64", "linux/amd64"),
    (" linux/arm64 ", "linux/arm64"),
    ("linux/arm64/v8", "linux/arm64"),
    ("linux/aarch64", "linux/arm64"),
    ("linux/arm", "linux/arm/v7"),
    ("linux/arm/v6", "linux/arm/v6"),
    ("linux/armhf", "linux/arm/v7"),
    ("linux/armel", "linux/arm/v6"),
    ("linux/i386", "linux/386"),
    ("linux/386", "linux/386"),
    ("linux/riscv64", "linux/riscv64"),
    ("windows/amd64", "windows/amd64"),
]


@pytest.mark.parametrize(("platform", "name"), NORMAL)
def test_normal(platform: str, name: str) -> None:
    assert normal(platform) == name
    assert normal(name) == name


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ({"architecture": "amd64", "os": "linux"}, "linux/amd64"),
        ({"architecture": "arm", "os": "linux", "variant": "v7"}, "linux/arm/v7"),
        ({"architecture": "arm64", "os": "linux", "variant": "v8"}, "linux/arm64"),
    ],
)
def test_the_name_of_a_message(platform: dict[str, str], name: str) -> None:
    assert name_of(platform) == name


def test_the_first_platform_of_the_first_worker_is_the_machine_s() -> None:
    arm, amd = ({"architecture": name, "os": "linux"} for name in ("arm64", "amd64"))
    assert own_platform({"workers": [{"platforms": [arm, amd]}, {"platforms": [amd]}]}) == "linux/arm64"
    assert own_platform({"workers": [{}, {"platforms": [arm]}]}) == "linux/arm64"
    # Docker 20.10 does not tell.
    assert own_platform({}) == "linux/amd64"


@pytest.mark.parametrize(
    ("asked", "platforms"),
    [
        (None, ["linux/arm64"]),
        ("", ["linux/arm64"]),
        ("linux/amd64", ["linux/amd64"]),
        ("linux/amd64,linux/arm64/v8", ["linux/amd64", "linux/arm64"]),
        ("linux/amd64, linux/arm ,", ["linux/amd64", "linux/arm/v7"]),
        ("local", ["linux/arm64"]),
        ("linux/386,local", ["linux/386", "linux/arm64"]),
        # An architecture alone is that of the machine's system.
        ("amd64", ["linux/amd64"]),
        ("aarch64", ["linux/arm64"]),
        ("arm", ["linux/arm/v7"]),
    ],
)
def test_wanted(asked: str | None, platforms: list[str]) -> None:
    options = {} if asked is None else {"platform": asked}
    assert wanted(options, "linux/arm64") == platforms


def test_arguments() -> None:
    assert arguments("linux/amd64", "linux/arm/v7", "final") == {
        "TARGETSTAGE": "final",
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
    }
    assert arguments("linux/amd64", "linux/amd64", "")["TARGETSTAGE"] == "default"
