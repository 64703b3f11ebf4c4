"""What an image and a new base have both changed, rule by rule, on trees that were never on a disk."""

from __future__ import annotations

import pytest

from differ.model import Change, ChangeKind
from differ.threeway import Bases

from .memory import Children, MemoryTree, T, directory, file, plan, symlink

LATER = T + 1


def changes(lower: MemoryTree, upper: MemoryTree) -> list[Change]:
    for tree in (lower, upper):
        tree.seek([])
    return [*plan(lower, upper, all_fields=True).changes()]


def decided(old: Children, image: Children, new: Children) -> tuple[list[str], list[str]]:
    """The names that are in conflict, and those that stay as the new base has them."""
    # Once for each side: a tree counts the names of its inodes.
    before, ours, theirs = map(MemoryTree, (old, image, new))
    own = changes(before, ours)
    bases = Bases(changes(before, theirs), changes(theirs, ours), own)
    named = [change for change in own if change.kind != ChangeKind.UNMODIFIED]
    staying = [change for change in named if bases.stays(change)]
    return (
        [change.path.decode() for change in named if change not in staying and bases.conflicts(change)],
        [change.path.decode() for change in staying],
    )


def linked(*names: bytes, data: bytes = b"1", mtime_ns: int = T) -> Children:
    node = file(data, mtime_ns=mtime_ns)
    return dict.fromkeys(names, node)


def some(data: bytes = b"1", mtime_ns: int = T, **facts: int) -> Children:
    return {b"f": file(data, mtime_ns=mtime_ns, **facts)}


def below(children: Children | None = None, **facts: int) -> Children:
    return {b"d": directory(children or {}, **facts)}


NOTHING: tuple[list[str], list[str]] = ([], [])


@pytest.mark.parametrize(
    ("old", "image", "new", "conflicts"),
    [
        # Both have changed it, and not to the same.
        (some(), some(b"2"), some(b"3"), ["f"]),
        (some(), some(uid=1), some(gid=1), ["f"]),
        (some(), {}, some(b"3"), ["f"]),
        (some(), some(b"2"), {}, ["f"]),
        ({}, some(b"2"), some(b"3"), ["f"]),
        (some(), {b"f": symlink(b"x")}, {b"f": directory()}, ["f"]),
        (below(), below(mode=0o700), below(mode=0o750), ["d"]),
        ({}, below(mode=0o700), below(), ["d"]),
        # The image has it below something that is no directory any more.
        (below(some()), below({**some(), b"g": file()}), {}, ["d/g"]),
        (below(some()), below(some(b"2")), {b"d": symlink(b"x")}, ["d/f"]),
        (below(below(some())), below(below(some(uid=1))), {}, ["d/d/f"]),
        # The image has no directory any more where the new base has changed something.
        (below(some()), {}, below(some(b"2")), ["d"]),
        (below(some()), {}, below({**some(), b"g": file()}), ["d"]),
        (below(some()), {b"d": file()}, below(below(some())), ["d"]),
        # Another name of the inode counts too.
        (some(), linked(b"f", b"g"), some(b"2"), ["f"]),
        (linked(b"f", b"g"), linked(b"f", b"g", data=b"2"), {**some(), b"g": file(b"3")}, ["f", "g"]),
    ],
)
def test_a_conflict(old: Children, image: Children, new: Children, conflicts: list[str]) -> None:
    assert decided(old, image, new) == (conflicts, [])


@pytest.mark.parametrize(
    ("old", "image", "new"),
    [
        (some(), some(b"2"), some()),
        (some(), some(b"2"), {**some(), b"g": file()}),
        # Both to the same.
        (some(), some(b"2"), some(b"2")),
        (some(), {}, {}),
        ({}, some(), some()),
        ({}, below(some()), below(some())),
        ({}, below({b"f": file()}), below({b"g": file()})),
        # What is below a directory is another name.
        (below(some()), below(some(b"2")), below(some(), mode=0o700)),
        (below(some()), below(some(), mode=0o700), below(some(b"2"))),
        (below(some()), below({}), {}),
        (below(some()), {}, below({})),
        (below(some()), {}, {}),
        # The new base has only another time.
        (some(), some(b"2"), some(mtime_ns=LATER)),
        (some(), {}, some(mtime_ns=LATER)),
        (below(some()), {}, below(some(mtime_ns=LATER))),
        (
            linked(b"f", b"g"),
            linked(b"f", b"g", data=b"2"),
            linked(b"f", b"g", mtime_ns=LATER),
        ),
        # Both have only another time: the image's.
        (some(), some(mtime_ns=T + 2), some(mtime_ns=LATER)),
    ],
)
def test_no_conflict(old: Children, image: Children, new: Children) -> None:
    assert decided(old, image, new) == NOTHING


@pytest.mark.parametrize(
    ("old", "image", "new", "stay"),
    [
        (some(), some(mtime_ns=LATER), some(b"2"), ["f"]),
        (some(), some(mtime_ns=LATER), {}, ["f"]),
        (below(some()), below(some(mtime_ns=LATER)), {}, ["d/f"]),
        (below(some()), below(some(mtime_ns=LATER)), {b"d": file()}, ["d/f"]),
        (linked(b"f", b"g"), linked(b"f", b"g", mtime_ns=LATER), linked(b"f", b"g", data=b"2"), ["f", "g"]),
    ],
)
def test_a_name_of_which_the_image_has_only_another_time(
    old: Children, image: Children, new: Children, stay: list[str]
) -> None:
    assert decided(old, image, new) == ([], stay)


@pytest.mark.parametrize(
    ("old", "image"),
    [
        (some(), linked(b"f", b"g", mtime_ns=LATER)),
        (linked(b"f", b"g"), {**some(mtime_ns=LATER), b"g": file(b"1", mtime_ns=LATER)}),
        (linked(b"f", b"g", b"h"), linked(b"f", b"g", mtime_ns=LATER)),
        ({**some(), b"g": file(b"1")}, linked(b"f", b"g", mtime_ns=LATER)),
    ],
)
def test_other_links_are_more_than_another_time(old: Children, image: Children) -> None:
    """A name that another is linked to cannot be left out."""
    new = {name: file(b"2") for name in old}
    conflicts, staying = decided(old, image, new)
    assert staying == []
    assert conflicts
