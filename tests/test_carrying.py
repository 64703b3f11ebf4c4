"""Every fact of every kind of entry arrives in OUT, as root."""
# mypy: disable-error-code="func-returns-value"
# An entry of the table is a tuple of calls made for what they do.

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xattr

from .conftest import RunDiffer, needs_root
from .trees import (
    ACL_644,
    ACL_755,
    CAP_NET_BIND,
    CAP_NET_RAW,
    A,
    B,
    Builder,
    Z,
    acl,
    read_tree,
    without,
)

pytestmark = [needs_root, pytest.mark.cli]

CAPABILITY = "security.capability"
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
ALL = ("oci", "overlay", "none")
BINARY = bytes(range(256))
ODD_ATTRIBUTE = os.fsdecode(b"user.\xff\n =")


def directory(t: Builder, path: str, make: Callable[[Builder], Any], **meta: Any) -> None:
    """A directory whose facts are set after ``make`` has filled it."""
    t.dir(path)
    make(t)
    t.meta(path, **meta)


KINDS: dict[str, tuple[Callable[[Builder], Any], tuple[str, ...]]] = {
    # what is carried: how it is made, and the styles that have it
    "setuid": (lambda t: t.file("x", "1", mode=0o4755), ALL),
    "setgid": (lambda t: t.file("x", "1", mode=0o2711), ALL),
    "all twelve bits": (lambda t: t.file("x", "1", mode=0o7777), ALL),
    "setuid, another owner": (lambda t: t.file("x", "1", uid=5, gid=6, mode=0o6755), ALL),
    "setgid without execution": (lambda t: t.file("x", "1", uid=5, gid=6, mode=0o2644), ALL),
    "sticky directory": (lambda t: t.dir("x", mode=0o1777), ALL),
    "setgid directory": (
        lambda t: directory(t, "x", lambda t: (t.file("x/f"), t.dir("x/d")), gid=6, mode=0o2775, mtime=A),
        ALL,
    ),
    "no bits": (lambda t: t.file("x", "1", mode=0), ALL),
    "a directory nobody may read": (
        lambda t: directory(t, "x", lambda t: t.file("x/f", "1", mode=0), mode=0, mtime=A),
        ALL,
    ),
    "a directory nobody may write": (
        lambda t: directory(t, "x", lambda t: t.symlink("x/l", "f"), mode=0o555, mtime=A),
        ALL,
    ),
    "owners": (lambda t: t.file("x", "1", uid=1000, gid=2000), ALL),
    "the greatest owner": (lambda t: t.dir("x", uid=2**32 - 2, gid=2**32 - 2), ALL),
    "owner and time of a symlink": (lambda t: t.symlink("x", "gone", uid=3, gid=4, mtime=A), ALL),
    "owner of a fifo": (lambda t: t.fifo("x", uid=3, gid=4, mode=0o4601, mtime=B), ALL),
    "nanoseconds": (lambda t: t.file("x", mtime=(1, 999_999_999)), ALL),
    "a time of zero": (lambda t: t.file("x", "1", mtime=(0, 0)), ALL),
    "a time before 1970": (lambda t: t.file("x", "1", mtime=(-1000, 500_000_000)), ALL),
    "a time after 2038": (lambda t: t.symlink("x", "y", mtime=(2**32 + 5, 7)), ALL),
    "times of directories": (
        lambda t: directory(
            t, "x", lambda t: directory(t, "x/y", lambda t: t.file("x/y/z"), mtime=A), mtime=Z
        ),
        ALL,
    ),
    "a long target": (lambda t: t.symlink("x", "t" * 4095), ALL),
    "a target of any bytes": (lambda t: t.symlink("x", bytes(range(1, 256))), ALL),
    "an empty file": (lambda t: t.file("x", mode=0o600), ALL),
    "a large file": (lambda t: t.file("x", os.fsdecode(bytes(range(251)) * 80_000)), ALL),
    "hard links": (
        lambda t: (t.dirs("a", "b"), t.file("a/x", "1"), t.link("a/x", "b/y"), t.link("a/x", "a/z")),
        ALL,
    ),
    "a hard linked symlink": (lambda t: (t.symlink("x", "t"), t.link("x", "y")), ALL),
    "a hard linked fifo": (lambda t: (t.fifo("x"), t.link("x", "y")), ALL),
    "a hard linked device": (lambda t: (t.chr("x", (1, 5)), t.link("x", "y")), ALL),
    "a hard link to a setuid file": (
        lambda t: (t.file("x", "1", uid=5, mode=0o4755, xattrs={CAPABILITY: CAP_NET_RAW}), t.link("x", "y")),
        ALL,
    ),
    "a fifo": (lambda t: t.fifo("x", mode=0o640), ALL),
    "a socket": (lambda t: t.sock("x", mode=0o777, uid=9), ("overlay", "none")),
    "a character device": (lambda t: t.chr("x", (1, 3), mode=0o666), ALL),
    "a block device": (lambda t: t.blk("x", (7, 300), mode=0o660, gid=6), ALL),
    "the greatest device": (lambda t: t.blk("x", (4095, 2**20 - 1)), ALL),
    "the device 0:0": (lambda t: t.chr("x", (0, 0), mode=0o600), ("oci", "none")),
    "a capability": (lambda t: t.file("x", "1", mode=0o755, xattrs={CAPABILITY: CAP_NET_RAW}), ALL),
    "a capability, owner and setgid": (
        lambda t: t.file("x", "1", uid=5, gid=6, mode=0o2755, xattrs={CAPABILITY: CAP_NET_BIND}),
        ALL,
    ),
    "an ACL": (lambda t: t.file("x", "1", xattrs={ACCESS: ACL_644}), ALL),
    "an ACL with more than the mode": (
        lambda t: t.file(
            "x",
            "1",
            uid=7,
            xattrs={
                ACCESS: acl((1, 6, None), (2, 7, 5), (4, 0, None), (8, 2, 9), (16, 7, None), (32, 1, None))
            },
        ),
        ALL,
    ),
    "ACLs of a directory": (
        lambda t: directory(
            t,
            "x",
            lambda t: (t.file("x/f", mode=0o640), t.dir("x/d", mode=0o700), t.symlink("x/l", "f")),
            xattrs={ACCESS: ACL_755, DEFAULT: ACL_755},
            mtime=A,
        ),
        ALL,
    ),
    "attributes of a file": (
        lambda t: t.file(
            "x", "1", mode=0o444, xattrs={"user.a": BINARY, "user.empty": b"", ODD_ATTRIBUTE: b"\0"}
        ),
        ALL,
    ),
    "many attributes": (
        lambda t: t.dir("x", xattrs={f"user.{number}": b"%d" % number for number in range(60)}),
        ALL,
    ),
    "a long attribute": (lambda t: t.file("x", xattrs={"user." + "n" * 250: b"v" * 3000}), ALL),
    "attributes of a directory": (
        lambda t: directory(t, "x", lambda t: t.file("x/f"), mode=0, xattrs={"user.a": b"1"}, mtime=A),
        ALL,
    ),
    "trusted attributes": (
        lambda t: (
            t.file("f", xattrs={"trusted.a": BINARY}),
            t.dir("d", xattrs={"trusted.empty": b""}),
            t.symlink("l", "f", xattrs={"trusted.a": b"of the link"}, mtime=A),
            t.fifo("p", xattrs={"trusted.a": b"of the fifo"}, mtime=A),
            t.chr("c", (1, 3), xattrs={"trusted.a": b"of the device"}, mtime=A),
        ),
        ALL,
    ),
    "security attributes": (lambda t: t.file("x", xattrs={"security.test": b"\xff"}), ALL),
    "every byte in a name": (
        lambda t: [t.file(bytes([byte])) for byte in range(1, 256) if byte not in b"./"],
        ALL,
    ),
    "the longest name": (lambda t: t.file("n" * 255), ALL),
}


def pair(place: Path) -> tuple[Path, Path, Path]:
    for side in ("lower", "upper"):
        (place / side).mkdir()
    return place / "lower", place / "upper", place / "out"


@pytest.mark.parametrize("kind", KINDS)
def test_added(kind: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, _ = pair(tmp_path)
    make, styles = KINDS[kind]
    make(Builder(upper))
    for style in styles:
        out = tmp_path / style
        status, _, err = run_differ("--strict", "--verify", "--whiteout", style, lower, upper, out)
        assert status == 0, err
        assert read_tree(out)[1:] == read_tree(upper)[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_copied_by_apply(kind: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    KINDS[kind][0](Builder(upper))
    # What is in LOWER alone and what is in the changes alone take the same way out.
    for arguments in ((upper, lower), (lower, upper)):
        result = tmp_path / f"out-{arguments[0].name}"
        status, _, err = run_differ("--strict", "--whiteout", "none", *arguments, result, apply=True)
        assert status == 0, err
        assert read_tree(result)[1:] == read_tree(upper)[1:]
    assert not out.exists()


# ---------------------------------------------------------------- attributes, as another program sees them


def attributes(path: Path, symlink: bool = False) -> dict[str, bytes]:
    return {
        name: xattr.getxattr(path, name, symlink=symlink) for name in xattr.listxattr(path, symlink=symlink)
    }


def test_attributes_by_an_independent_writer_and_reader(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    (upper / "dir").mkdir()
    (upper / "file").touch()
    (upper / "link").symlink_to("file")
    wanted: dict[str, dict[str, bytes]] = {
        "dir": {"user.a": b"", "trusted.b": BINARY},
        "file": {"user.zeros": b"\0\0", "user.text": "é".encode(), "security.c": b"1"},
        "link": {"trusted.of.the.link": b"\xff"},
    }
    for path, values in wanted.items():
        for name, value in values.items():
            xattr.setxattr(upper / path, name, value, symlink=True)
    status, _, err = run_differ("--verify", lower, upper, out)
    assert status == 0, err
    assert {path: attributes(out / path, symlink=True) for path in wanted} == wanted


def test_default_acls_do_not_leak(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    (upper / "d/sub").mkdir(parents=True)
    (upper / "d/file").touch()
    (upper / "d/sub/file").touch()
    xattr.setxattr(upper / "d", DEFAULT, ACL_755)
    out.mkdir()
    for style in ALL:
        status, _, err = run_differ("--whiteout", style, lower, upper, out / style)
        assert status == 0, err
        assert attributes(out / style / "d") == {DEFAULT: ACL_755}
        for path in ("sub", "file", "sub/file"):
            assert attributes(out / style / "d" / path) == {}


PRIVATE = ("trusted.overlay.opaque", "trusted.overlay.origin", "user.overlay.redirect", "security.selinux")


def test_private_attributes_are_neither_compared_nor_copied(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    for side in (lower, upper):
        for path in (side / "same", side / "changed"):
            path.touch()
            os.utime(path, (1, 1))
    for name in PRIVATE:
        xattr.setxattr(upper / "same", name, b"y")
        xattr.setxattr(upper / "changed", name, b"y")
    xattr.setxattr(upper / "changed", "user.overlayer", b"1")
    status, _, err = run_differ("--verify", lower, upper, out)
    assert status == 0, err
    assert os.listdir(out) == ["changed"]
    assert attributes(out / "changed") == {"user.overlayer": b"1"}


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["user.*"], {"trusted.a"}),
        (["user.a", "trusted.?"], {"user.ab", "user.B"}),
        (["*.[aB]"], {"user.ab"}),
        (["USER.*", "user"], {"user.a", "user.ab", "user.B", "trusted.a"}),
        (["*"], set()),
    ],
)
def test_excluded_attributes(globs: list[str], left: set[str], tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    for side in (lower, upper):
        (side / "x").touch()
        os.utime(side / "x", (1, 1))
    for name in ("user.a", "user.ab", "user.B", "trusted.a"):
        xattr.setxattr(upper / "x", name, b"1")
    options = [f"--xattr-exclude={glob}" for glob in globs]
    status, _, err = run_differ("--verify", *options, lower, upper, out)
    assert status == 0, err
    assert os.listdir(out) == (["x"] if left else [])
    if left:
        assert set(attributes(out / "x")) == left
    status, _, err = run_differ(*options, lower, upper, tmp_path / "applied", apply=True)
    assert status == 0, err
    assert set(attributes(tmp_path / "applied/x")) == left


# ---------------------------------------------------------------- directories that are not the change itself


@pytest.mark.parametrize("style", ALL)
def test_parents_have_the_facts_of_upper(style: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    acls = {ACCESS: ACL_755, DEFAULT: ACL_755, "user.a": b"1"}
    for side, when in ((lower, A), (upper, B)):
        t = Builder(side)
        t.dirs("d", "d/e")
        t.file("d/e/f", str(side)[-5:], mtime=A)
        t.meta("d/e", mode=0o1555, uid=5, gid=6, xattrs=acls, mtime=when)
        t.meta("d", mode=0, xattrs={"trusted.b": b"2"}, mtime=when)
    status, _, err = run_differ("--verify", "--whiteout", style, lower, upper, out)
    assert status == 0, err
    assert read_tree(out)[1:] == read_tree(upper)[1:]


def test_a_directory_written_into_twice(tmp_path: Path, run_differ: RunDiffer) -> None:
    # The links are known only when the walk has ended, and d has its mode, ACLs and time by then.
    lower, upper, out = pair(tmp_path)
    for side in (lower, upper):
        t = Builder(side)
        t.dir("d")
        t.file("d/a", "1", mtime=A)
        t.file("d/b", "1", mtime=A)
        if side == upper:
            t.rm("d/b")
            t.link("d/a", "d/b")
            t.file("d/new", "2", mtime=A)
            t.file("e", "later", mtime=A)
        t.meta("d", mode=0, uid=5, xattrs={DEFAULT: ACL_755}, mtime=B)
    status, _, err = run_differ("--verify", lower, upper, out)
    assert status == 0, err
    assert read_tree(out)[1:] == read_tree(upper)[1:]


# ---------------------------------------------------------------- whiteouts


def test_the_facts_of_a_whiteout(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, _ = pair(tmp_path)
    Builder(lower).file("x", "1", uid=5, gid=6, mode=0o777, xattrs={"user.a": b"1"})
    os.umask(0)
    for style in ALL:
        out = tmp_path / style
        status, _, err = run_differ("--verify", "--whiteout", style, lower, upper, out)
        assert status == 0, err
    common = {"mode": "0000", "uid": 0, "gid": 0, "mtime": [0, 0]}
    (marker,) = read_tree(tmp_path / "oci")[1:]
    assert without([marker], "sha256") == [{"path": ".wh.x", "type": "file", "size": 0, **common}]
    assert read_tree(tmp_path / "overlay")[1:] == [{"path": "x", "type": "chr", "rdev": [0, 0], **common}]
    assert read_tree(tmp_path / "none")[1:] == []


def test_the_longest_name_that_has_a_whiteout(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    (lower / "d").mkdir()
    (lower / "d" / ("n" * 251)).touch()
    (upper / "d").mkdir()
    assert run_differ("--verify", lower, upper, out)[0] == 0
    (lower / "d" / ("m" * 252)).touch()
    status, _, err = run_differ(lower, upper, tmp_path / "none")
    assert status == 2
    assert err.startswith(f"differ: d/{'m' * 252}: was removed, and no directory can hold the whiteout of ")
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()
    for style in ("overlay", "none"):
        status, _, err = run_differ("--verify", "--whiteout", style, lower, upper, tmp_path / style)
        assert status == 0, err


def test_wh_names(tmp_path: Path, run_differ: RunDiffer) -> None:
    lower, upper, out = pair(tmp_path)
    (upper / "d").mkdir()
    (upper / "d/.wh.a").touch()
    (upper / ".wh.b").mkdir()
    status, _, err = run_differ(lower, upper, out)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("differ: .wh.b: names that begin with .wh. cannot exist in an image ")
    assert err.endswith("; also d/.wh.a\n")
    assert not out.exists()
    for options in (
        ["--allow-wh-names"],
        ["--whiteout=none", "--verify"],
        ["--whiteout=overlay", "--verify"],
    ):
        result = tmp_path / options[0]
        assert run_differ(*options, lower, upper, result)[0] == 0
        assert read_tree(result)[1:] == read_tree(upper)[1:]
    assert stat.S_ISDIR((tmp_path / "--allow-wh-names/.wh.b").stat().st_mode)
