"""Which facts make two entries differ, profile by profile, and what is asked to find out.

The table of semantics.md section 2, on trees in memory.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

import pytest

from differ.compare import PROFILES
from differ.model import ChangeKind

from .memory import OTHER_DEVICE, MemoryTree, Node, T, directory, file, lines, plan, special, symlink, told

WHOLE = T // 10**9 * 10**9  # T with no fraction of a second
CAPABILITY = "security.capability"
Pair = Callable[[], "tuple[Node, Node]"]
ALL = ("exact", "native", "metadata")

FACTS: dict[str, tuple[Pair, str, tuple[str, ...]]] = {
    # what differs: the two entries, the fields told, the profiles that see it
    "nothing": (lambda: (file(b"1"), file(b"1")), "", ()),
    "type": (lambda: (file(), symlink(b"")), "type", ALL),
    "mode": (lambda: (file(mode=0o644), file(mode=0o640)), "mode", ALL),
    "setuid": (lambda: (file(mode=0o755), file(mode=0o4755)), "mode", ALL),
    "sticky directory": (lambda: (directory(), directory(mode=0o1755)), "mode", ALL),
    "uid": (lambda: (file(), file(uid=1)), "uid", ALL),
    "gid": (lambda: (directory(), directory(gid=1)), "gid", ALL),
    "device": (lambda: (special(stat.S_IFBLK, 1), special(stat.S_IFBLK, 2)), "device", ALL),
    "rdev of a file": (lambda: (special(stat.S_IFREG, 1), special(stat.S_IFREG, 2)), "", ()),
    "size": (lambda: (file(b"1"), file(b"22")), "size", ALL),
    "mtime, seconds": (lambda: (file(), file(mtime_ns=T + 10**9)), "mtime", ALL),
    "mtime, nanoseconds": (lambda: (file(), file(mtime_ns=T + 1)), "mtime", ALL),
    "mtime, one-sided zero": (lambda: (file(mtime_ns=T), file(mtime_ns=WHOLE)), "mtime", ALL),
    "mtime of a symlink": (lambda: (symlink(b"a"), symlink(b"a", mtime_ns=T + 1)), "mtime", ALL),
    "mtime and size of a directory": (
        lambda: (directory(mtime_ns=1, size=1), directory(mtime_ns=2, size=2)),
        "",
        (),
    ),
    "target": (lambda: (symlink(b"a"), symlink(b"b")), "target", ("exact", "metadata")),
    "target, whole seconds": (
        lambda: (symlink(b"a", mtime_ns=WHOLE), symlink(b"b", mtime_ns=WHOLE)),
        "target",
        ALL,
    ),
    "content": (lambda: (file(b"1"), file(b"2")), "content", ("exact",)),
    "content, whole seconds": (
        lambda: (file(b"1", mtime_ns=WHOLE), file(b"2", mtime_ns=WHOLE)),
        "content",
        ("exact", "native"),
    ),
    "attribute added": (lambda: (file(), file(xattrs={"user.a": b""})), "xattrs", ("exact", "metadata")),
    "attribute changed": (
        lambda: (directory(xattrs={"user.a": b"1"}), directory(xattrs={"user.a": b"2"})),
        "xattrs",
        ("exact", "metadata"),
    ),
    "attribute removed": (lambda: (file(xattrs={"user.a": b""}), file()), "xattrs", ("exact", "metadata")),
    "ACL": (
        lambda: (file(), file(xattrs={"system.posix_acl_access": b"1"})),
        "xattrs",
        ("exact", "metadata"),
    ),
    "capability": (lambda: (file(xattrs={CAPABILITY: b"1"}), file(xattrs={CAPABILITY: b"2"})), "xattrs", ALL),
    "capability of a directory": (lambda: (directory(), directory(xattrs={CAPABILITY: b"1"})), "xattrs", ALL),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("fact", FACTS)
def test_what_each_profile_sees(fact: str, profile: str) -> None:
    make, fields, seen_by = FACTS[fact]
    lower, upper = make()
    wanted = [f"M x {fields}"] if profile in seen_by else []
    assert lines({b"x": lower}, {b"x": upper}, profile, "none") == wanted


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact not in ("nothing", "type")])
def test_a_type_change_hides_every_other_reason(fact: str) -> None:
    lower, upper = FACTS[fact][0]()
    lower.st_mode = stat.S_IFIFO | 0o600
    assert lines({b"x": lower}, {b"x": upper}, style="none") == ["M x type"]


def test_all_fields_are_every_reason_in_the_order_of_their_cost() -> None:
    lower = file(b"1", mode=0o600)
    upper = file(b"2", uid=1, gid=2, mtime_ns=1, xattrs={"user.a": b""})
    (change,) = plan({b"x": lower}, {b"x": upper}, all_fields=True).changes()
    assert change.fields == ("mode", "uid", "gid", "mtime", "xattrs", "content")
    (change,) = plan({b"x": lower}, {b"x": upper}).changes()
    assert change.fields == ("mode", "uid", "gid", "mtime")


# ---------------------------------------------------------------- costly facts are asked for last

QUESTIONS: dict[str, tuple[Pair, dict[str, list[str]]]] = {
    # what is compared: the two entries, and what each side is asked, by profile
    "equal files": (
        lambda: (file(b"1"), file(b"1")),
        {"exact": ["xattrs", "content"], "native": ["xattrs"], "metadata": ["xattrs"]},
    ),
    "equal files, whole seconds": (
        lambda: (file(b"1", mtime_ns=WHOLE), file(b"1", mtime_ns=WHOLE)),
        {"exact": ["xattrs", "content"], "native": ["xattrs", "content"], "metadata": ["xattrs"]},
    ),
    "empty files": (
        lambda: (file(mtime_ns=WHOLE), file(mtime_ns=WHOLE)),
        # On some file systems a size of 0 is no promise.
        {"exact": ["xattrs", "content"], "native": ["xattrs", "content"], "metadata": ["xattrs"]},
    ),
    "equal symlinks": (
        lambda: (symlink(b"a"), symlink(b"a")),
        {"exact": ["target", "xattrs"], "native": ["xattrs"], "metadata": ["target", "xattrs"]},
    ),
    "equal devices": (
        lambda: (special(stat.S_IFCHR, 1), special(stat.S_IFCHR, 1)),
        {profile: ["xattrs"] for profile in ALL},
    ),
}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("case", QUESTIONS)
def test_what_is_asked_to_prove_two_entries_equal(case: str, profile: str) -> None:
    make, questions = QUESTIONS[case]
    lower, upper = (MemoryTree({b"x": node}) for node in make())
    assert list(plan(lower, upper, profile, "none").changes()) == []
    assert [question for question, _ in lower.asked] == questions[profile]
    assert upper.asked == lower.asked


@pytest.mark.parametrize("all_fields", [False, True])
@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_asked_of_one_inode(profile: str, all_fields: bool) -> None:
    for node in (file(b"1"), symlink(b"a"), special(stat.S_IFIFO)):
        lower, upper = MemoryTree({b"x": node}), MemoryTree({b"x": node})
        assert list(plan(lower, upper, profile, "none", all_fields=all_fields).changes()) == []
        assert lower.asked == upper.asked == []


def test_an_inode_number_on_another_device_proves_nothing() -> None:
    lower, upper = file(b"1"), file(b"2", dev=OTHER_DEVICE)
    upper.st_ino = lower.st_ino
    assert lines({b"x": lower}, {b"x": upper}) == ["M x content"]


@pytest.mark.parametrize("fact", ["mode", "uid", "size", "mtime, nanoseconds", "type"])
def test_a_cheap_difference_ends_the_comparison(fact: str) -> None:
    sides = FACTS[fact][0]()
    lower, upper = (MemoryTree({b"x": node}) for node in sides)
    (change,) = plan(lower, upper, style="none").changes()
    assert change.kind == ChangeKind.MODIFIED
    assert lower.asked == []
    # UPPER's attributes and target are written, so they are read, once.
    wanted = [("xattrs", b"x"), *([("target", b"x")] if stat.S_ISLNK(sides[1].st_mode) else [])]
    assert upper.asked == wanted


def test_files_of_two_sizes_are_never_read() -> None:
    lower, upper = MemoryTree({b"x": file(b"1")}), MemoryTree({b"x": file(b"22")})
    (change,) = plan(lower, upper, all_fields=True).changes()
    assert change.fields == ("size", "content")
    assert lower.asked == upper.asked == [("xattrs", b"x")]


def test_other_attributes_end_the_comparison_before_content() -> None:
    lower, upper = MemoryTree({b"x": file(b"1")}), MemoryTree({b"x": file(b"2", xattrs={"user.a": b""})})
    (change,) = plan(lower, upper).changes()
    assert change.fields == ("xattrs",)
    assert lower.asked == upper.asked == [("xattrs", b"x")]


def test_another_target_ends_the_comparison_before_attributes() -> None:
    lower, upper = MemoryTree({b"x": symlink(b"a")}), MemoryTree({b"x": symlink(b"b")})
    (change,) = plan(lower, upper).changes()
    assert change.fields == ("target",)
    assert lower.asked == [("target", b"x")]


def test_native_reads_nothing_for_a_time_that_is_whole_on_one_side() -> None:
    lower, upper = MemoryTree({b"x": file(b"1")}), MemoryTree({b"x": file(b"2", mtime_ns=WHOLE)})
    (change,) = plan(lower, upper, "native", all_fields=True).changes()
    assert change.fields == ("mtime",)
    assert lower.asked == upper.asked == [("xattrs", b"x")]


def test_an_added_entry_is_asked_once_and_its_content_never() -> None:
    upper = MemoryTree({b"d": directory({b"f": file(b"1"), b"l": symlink(b"f")})})
    assert len(list(plan({}, upper).changes())) == 3
    assert sorted(upper.asked) == [
        ("target", b"d/l"),
        ("xattrs", b"d"),
        ("xattrs", b"d/f"),
        ("xattrs", b"d/l"),
    ]


def test_below_a_removed_directory_only_links_are_looked_for() -> None:
    def gone() -> MemoryTree:
        return MemoryTree({b"d": directory({b"e": directory({b"f": file(b"1"), b"l": symlink(b"f")})})})

    for profile, listed in (("exact", [b"", b"d", b"d/e"]), ("native", [b""])):
        lower = gone()
        assert [told(change) for change in plan(lower, {}, profile).changes()] == ["D d"]
        assert lower.asked == []
        assert lower.listed == listed
