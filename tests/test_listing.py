"""The list of changes: what a line says of every field, what a name cannot do to it, and its colours."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from differ.model import Change, ChangeKind, Field
from differ.writers.listing import text_line

from .command import REPOSITORY
from .conftest import RunDiffer, needs_root
from .memory import Node, directory, file, special, symlink
from .terminal import on_a_terminal
from .test_report import added, entry, modified, names, paths, unescaped
from .trees import ACL_644, ACL_755, CAP_NET_BIND, CAP_NET_RAW, Builder

NS = 10**9
DAY = 86400 * NS


def removed(path: bytes, node: Node) -> Change:
    return Change(ChangeKind.REMOVED, path, entry(node), None)


def xattrs(lower: dict[str, bytes], upper: dict[str, bytes]) -> str:
    return text_line(modified(file(xattrs=lower), file(xattrs=upper), Field.XATTRS))


def times(lower: int, upper: int) -> str:
    return text_line(modified(file(mtime_ns=lower), file(mtime_ns=upper), Field.MTIME)).removeprefix(
        "M x  mtime "
    )


# ---------------------------------------------------------------- what a line says


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (added(b"d/f", file()), "A d/f"),
        (added(b"d", directory()), "A d/"),
        (added(b"l", symlink(b"d")), "A l"),
        (added(b"d/g", file(), link=b"d/f"), "A d/g  hard link to d/f"),
        (removed(b"d", directory()), "D d/"),
        (removed(b"f", file()), "D f"),
        (modified(file(), symlink(b"a"), Field.TYPE), "M x  type file→symlink"),
        (modified(file(), directory(), Field.TYPE), "M x/  type file→dir"),
        (modified(directory(), special(stat.S_IFIFO), Field.TYPE), "M x  type dir→fifo"),
        (modified(file(mode=0o755), file(mode=0o4755), Field.MODE), "M x  mode 0755→4755"),
        (
            modified(directory(), directory(uid=1, gid=70000), Field.UID, Field.GID),
            "M x/  uid 0→1, gid 0→70000",
        ),
        (
            modified(special(stat.S_IFCHR, os.makedev(1, 3)), special(stat.S_IFCHR, 0), Field.DEVICE),
            "M x  device 1:3→0:0",
        ),
        (modified(file(b"1"), file(b"22"), Field.SIZE, Field.CONTENT), "M x  size 1→2, content"),
        (modified(symlink(b"a"), symlink(b"../b"), Field.TARGET), "M x  target a→../b"),
        (modified(symlink(b"\x1b[2J"), symlink(b"\xff\n"), Field.TARGET), "M x  target \\x1b[2J→\\xff\\n"),
        (
            Change(ChangeKind.MODIFIED, b"b", None, entry(file()), (Field.LINKS,), b"a"),
            "M b  links, hard link to a",
        ),
        (Change(ChangeKind.MODIFIED, b"b", entry(file()), entry(file()), (Field.LINKS,)), "M b  links"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_line_says(change: Change, line: str) -> None:
    assert text_line(change) == line


def test_attributes_have_a_reason_each() -> None:
    acl, default = "system.posix_acl_access", "system.posix_acl_default"
    assert xattrs({}, {"security.capability": CAP_NET_RAW}) == "M x  capability added"
    assert xattrs({"security.capability": CAP_NET_RAW}, {}) == "M x  capability removed"
    assert (
        xattrs({"security.capability": CAP_NET_RAW}, {"security.capability": CAP_NET_BIND})
        == "M x  capability changed"
    )
    assert (
        xattrs({acl: ACL_644, default: ACL_755}, {default: ACL_644})
        == "M x  ACL removed, default ACL changed"
    )
    # An empty value is one; what is the same has no reason.
    assert (
        xattrs({"user.b": b"1", "user.same": b""}, {"user.a": b"", "user.b": b"2", "user.same": b""})
        == "M x  user.a added, user.b changed"
    )
    hostile = "user." + os.fsdecode(b"\x1b[2J\n\xff")
    assert xattrs({}, {hostile: b""}) == "M x  user.\\x1b[2J\\n\\xff added"


@pytest.mark.parametrize(
    ("lower", "upper", "told"),
    [
        (0, DAY, "1970-01-01T00:00:00Z→1970-01-02T00:00:00Z"),
        (1706745600 * NS, 1709251200 * NS + 5, "2024-02-01T00:00:00Z→2024-03-01T00:00:00Z"),
        (0, 1, "1970-01-01T00:00:00.000000000Z→1970-01-01T00:00:00.000000001Z"),
        (NS // 10, NS // 5, "1970-01-01T00:00:00.1Z→1970-01-01T00:00:00.2Z"),
        (120_000_000, 123_456_789, "1970-01-01T00:00:00.120Z→1970-01-01T00:00:00.123Z"),
        (NS, NS - 1, "1970-01-01T00:00:01Z→1970-01-01T00:00:00Z"),
        (-1, 0, "1969-12-31T23:59:59Z→1970-01-01T00:00:00Z"),
        (-DAY + 5, -DAY + 6, "1969-12-31T00:00:00.000000005Z→1969-12-31T00:00:00.000000006Z"),
        (951782400 * NS, 253402300800 * NS, "2000-02-29T00:00:00Z→10000-01-01T00:00:00Z"),
        ((2**62 * NS), (2**62 * NS) + NS // 2, f"@{2**62}.0Z→@{2**62}.5Z".replace("Z", "")),
    ],
)
def test_times_are_told_as_far_as_they_differ(lower: int, upper: int, told: str) -> None:
    assert times(lower, upper) == told


@given(lower=st.integers(-(10**19), 10**19), upper=st.integers(-(10**19), 10**19), close=st.booleans())
@example(lower=0, upper=10, close=True)
def test_two_times_are_never_told_alike(lower: int, upper: int, close: bool) -> None:
    if close:
        upper = lower + upper % (2 * NS)
    first, _, second = times(lower, upper).partition("→")
    assert (first == second) == (lower == upper)
    # With as few digits as that takes: without the last they would be alike.
    digits = len(first.removesuffix("Z").partition(".")[2])
    assert digits == len(second.removesuffix("Z").partition(".")[2])
    if digits and lower != upper:
        assert first[: -2 if first.endswith("Z") else -1] == second[: -2 if second.endswith("Z") else -1]


# ---------------------------------------------------------------- what a name cannot do


@given(path=paths, link=paths)
def test_no_name_forges_a_line_or_steers_a_terminal(path: bytes, link: bytes) -> None:
    line = text_line(added(path, file(), link))
    assert line.isprintable()
    head, _, tail = line.rpartition("  hard link to ")
    assert unescaped(head) == b"A " + path
    assert unescaped(tail) == link


@given(lower=names, upper=names, attribute=names)
def test_nor_does_a_target_or_an_attribute(lower: bytes, upper: bytes, attribute: bytes) -> None:
    line = text_line(modified(symlink(lower), symlink(upper), Field.TARGET))
    assert line.isprintable()
    assert unescaped(line) == b"M x  target " + lower + "→".encode() + upper
    line = xattrs({}, {"user." + os.fsdecode(attribute): b""})
    assert line.isprintable()
    assert unescaped(line) == b"M x  user." + attribute + b" added"


@given(path=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text))
def test_printable_text_stays_as_it_is(path: str) -> None:
    wanted = path.encode("utf-8", "surrogatepass")
    line = text_line(added(wanted, file()))
    assert unescaped(line) == b"A " + wanted
    if path.isprintable() and "\\" not in path:
        assert line == f"A {path}"


# ---------------------------------------------------------------- colours


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (added(b"a", file(), link=b"b"), "\x1b[32mA a\x1b[m  hard link to b"),
        (modified(file(), file(mode=0), Field.MODE), "\x1b[33mM x\x1b[m  mode 0644→0000"),
        (removed(b"\x1b[32m", directory()), "\x1b[31mD \\x1b[32m/\x1b[m"),
    ],
    ids=["added", "modified", "removed"],
)
def test_the_colour_of_a_kind(change: Change, line: str) -> None:
    assert text_line(change, coloured=True) == line


@given(path=paths, kind=st.sampled_from([ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED]))
def test_colours_add_nothing_but_themselves(path: bytes, kind: str) -> None:
    change = Change(kind, path, entry(file()), entry(file(mode=0)))
    coloured = text_line(change, coloured=True)
    assert re.sub(r"\x1b\[\d*m", "", coloured) == text_line(change)
    assert re.findall(r"\x1b\[\d*m", coloured)[1:] == ["\x1b[m"]


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    (tmp_path / "lower/gone").touch()
    (tmp_path / "upper/new").write_text("new")
    return tmp_path / "lower", tmp_path / "upper"


PLAIN = "D gone\nA new\n"
COLOURED = "\x1b[31mD gone\x1b[m\n\x1b[32mA new\x1b[m\n"


@pytest.mark.cli
@pytest.mark.parametrize(
    ("environment", "options", "coloured"),
    [
        ({"TERM": "xterm-256color"}, [], True),
        ({"TERM": "xterm", "NO_COLOR": ""}, ["--color=auto"], True),
        ({"TERM": "xterm", "NO_COLOR": "0"}, [], False),
        ({"TERM": "dumb"}, [], False),
        ({}, [], False),
        ({"TERM": "xterm"}, ["--color", "never"], False),
        ({"TERM": "dumb", "NO_COLOR": "1"}, ["--color=always"], True),
    ],
)
def test_colours_on_a_terminal(
    trees: tuple[Path, Path], environment: dict[str, str], options: list[str], coloured: bool
) -> None:
    status, out = on_a_terminal(*options, *trees, environment=environment)
    assert (status, out) == (0, COLOURED if coloured else PLAIN)


@pytest.mark.cli
def test_colours_elsewhere(
    trees: tuple[Path, Path], run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for how, out in (("auto", PLAIN), ("never", PLAIN), ("always", COLOURED)):
        assert run_differ("-q", "--color", how, *trees)[:2] == (0, ""), "-q has no list"
        assert run_differ("--color", how, *trees)[:2] == (0, out)


# ---------------------------------------------------------------- on a disk


@pytest.mark.cli
@needs_root
def test_every_reason_on_a_disk(tmp_path: Path, run_differ: RunDiffer) -> None:
    sides = []
    for side, other in ((False, "a"), (True, "b")):
        tree = tmp_path / other
        tree.mkdir()
        made = Builder(tree)
        at = (1700000000, 250_000_000 if side else 0)
        made.file("acl", "", mtime=(1, 0))
        made.meta(
            "acl", mode=0o644, mtime=(1, 0), xattrs={"system.posix_acl_access": ACL_644} if side else {}
        )
        made.chr("device", (1, 5 if side else 3), mtime=(1, 0))
        made.dir("dir", mode=0o700 if side else 0o755)
        made.file("file", "22" if side else "1", mtime=at)
        made.symlink("link", "there" if side else "hère", mtime=(1, 0))
        made.file("owner", "", uid=1000 if side else 0, gid=1000 if side else 0, mtime=(1, 0))
        made.file("tool", "tool", mode=0o4755 if side else 0o755, mtime=(1, 0))
        made.meta(
            "tool", mtime=(1, 0), xattrs={"security.capability": CAP_NET_RAW} if side else {"user.k": b""}
        )
        if side:
            made.fifo("type", mtime=(1, 0))
        else:
            made.dir("type", mtime=(1, 0))
        sides.append(tree)
    status, out, err = run_differ(*sides)
    assert status == 0, err
    assert out.splitlines() == [
        "M acl  ACL added",
        "M device  device 1:3→1:5",
        "M dir/  mode 0755→0700",
        "M file  size 1→2, mtime 2023-11-14T22:13:20.0Z→2023-11-14T22:13:20.2Z, content",
        "M link  target hère→there",
        "M owner  uid 0→1000, gid 0→1000",
        "M tool  mode 0755→4755, capability added, user.k removed",
        "M type  type dir→fifo",
    ]


@pytest.mark.parametrize(
    ("options", "out", "loaded"),
    [
        ([], [], {"listing", "report"}),
        ([], ["out"], set()),
        (["--layer", "layer"], [], set()),
        (["-v"], ["out"], {"listing", "report"}),
        (["--summary"], [], {"totals"}),
        (["--stat"], ["out"], {"listing", "report", "table", "totals"}),
    ],
    ids=str,
)
def test_a_run_loads_what_it_tells(
    trees: tuple[Path, Path], options: list[str], out: list[str], loaded: set[str]
) -> None:
    """Start-up is part of the product."""
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from differ.cli import main
assert main({[*options, *map(str, trees), *out]!r}) == 0
print(*sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=trees[0].parent, capture_output=True, text=True, check=True
    )
    modules = result.stdout.splitlines()[-1].split()
    told = {name for name in ("listing", "report", "table", "totals") if f"differ.writers.{name}" in modules}
    assert told == loaded
    if "--layer" not in options:  # which describes itself in JSON
        assert not {"json", "re", "typing", "shutil", "datetime", "unicodedata", "argparse"}.intersection(
            modules
        )
