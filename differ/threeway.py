"""What an image and a new base have both changed, against the old base (the fourth use of moby/buildkit#4239).

The image's difference to its old base is put on a new base.  That is what is wanted as long as nobody else has
touched the same names.  A conflict is a name that the image writes or removes and that the new base has changed as
well, to something else:

* both have changed it, and not to the same (an inode that is written because another of its names is counts too);
* the image has it below something that the new base has removed, or made into no directory;
* the image has removed it, or made it into no directory, and the new base has changed something below.

A time alone is no change that anybody made on purpose: a base that was built again has many.  If only one side has
changed more than the time, or has removed it, that side's version is the result.
"""

from __future__ import annotations

from stat import S_ISDIR

from .model import ChangeKind, Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Change


class Bases:
    """What lies between two bases, and between the new one and the image.

    ``changes``: from the old base to the new one, with all their fields.
    ``apart``: from the new base to the image; of these only the paths matter.
    ``image``: from the old base to the image, with all their fields.
    Memory grows with their number.
    """

    def __init__(self, changes: list[Change], apart: Iterable[Change], image: list[Change]) -> None:
        self._apart = {change.path for change in apart if is_written(change)}
        self._touched = _touched(image)
        self._changed: set[bytes] = set()
        self._gone: set[bytes] = set()
        # Directories that something was changed or added below.
        self._above: set[bytes] = set()
        touched = _touched(changes)
        for change in changes:
            if change.kind == ChangeKind.UNMODIFIED or change.path in touched:
                continue
            self._changed.add(change.path)
            if _ends_a_directory(change):
                self._gone.add(change.path)
            if change.kind != ChangeKind.REMOVED:
                self._above.update(above(change.path))

    def stays(self, change: Change) -> bool:
        """Whether the new base's version of a name is the result, though the image has written it."""
        return change.path in self._touched and (
            change.path in self._changed or self._is_below_nothing(change.path)
        )

    def conflicts(self, change: Change) -> bool:
        """Whether a change of the image is in the way of one of the new base.

        ``change``: one that does not stay.
        """
        if not is_written(change):
            return False
        path = change.path
        if path in self._changed and path in self._apart:
            return True
        if change.kind != ChangeKind.REMOVED and self._is_below_nothing(path):
            return True
        return _ends_a_directory(change) and path in self._above

    def _is_below_nothing(self, path: bytes) -> bool:
        """Whether the new base has no directory any more that is above."""
        return any(parent in self._gone for parent in above(path))


def _touched(changes: list[Change]) -> set[bytes]:
    """The paths of names of which nothing but the time has changed.

    The time is the inode's: all its names are among them, or none.
    """
    groups: dict[bytes, list[Change]] = {}
    for change in changes:
        if change.fields == (Field.MTIME,):
            groups.setdefault(change.link or change.path, []).append(change)
    return {change.path for group in groups.values() if _is_whole(group) for change in group}


def _is_whole(group: list[Change]) -> bool:
    """Whether names that are linked with each other are all that their inode has, and had."""
    inodes = set()
    for change in group:
        for entry in (change.lower, change.upper):
            if entry is None or entry.stat.st_nlink != len(group):
                return False
            inodes.add((entry is change.lower, entry.stat.st_dev, entry.stat.st_ino))
    return len(inodes) == 2  # one on each side


def is_written(change: Change) -> bool:
    """Whether a change is more than a directory that stands above one."""
    return (
        change.kind != ChangeKind.UNMODIFIED or change.upper is None or not S_ISDIR(change.upper.stat.st_mode)
    )


def _ends_a_directory(change: Change) -> bool:
    """Whether nothing can be below a name any more."""
    if change.kind == ChangeKind.REMOVED:
        return True
    return (
        change.lower is not None
        and S_ISDIR(change.lower.stat.st_mode)
        and change.upper is not None
        and not S_ISDIR(change.upper.stat.st_mode)
    )


def above(path: bytes) -> Iterable[bytes]:
    """The directories above a path, the lowest first."""
    end = path.rfind(b"/")
    while end > 0:
        yield path[:end]
        end = path.rfind(b"/", 0, end)
