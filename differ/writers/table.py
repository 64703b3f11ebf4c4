"""The totals of directories as a table that is no wider than a terminal.

A row counts everything below its directory.  A directory with nothing but one other directory in it shares that
one's row.  The biggest come first: by bytes, then by names.
"""

from __future__ import annotations

from ..model import KINDS, ChangeKind, printable, size
from .listing import painted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .totals import Sum

    Row = tuple[int, str, Sum]  # how deep, what to call it, what it amounts to

_HEADS = ("A", "M", "D", "new", "old")
_GAP = "  "
_NAME = 12  # cells that a name has at least, before columns are left out for it
_BAR = 10  # cells that a bar has at least, before it is left out
# fmt: off
_WIDE = (
    (0x1100, 0x115F), (0x231A, 0x231B), (0x2329, 0x232A), (0x23E9, 0x23F3), (0x25FD, 0x25FE), (0x2614, 0x27BF),
    (0x2B1B, 0x2B1C), (0x2B50, 0x2B55), (0x2E80, 0x303E), (0x3041, 0xA4CF), (0xA960, 0xA97F), (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF), (0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFF00, 0xFF60), (0xFFE0, 0xFFE6), (0x16FE0, 0x1B2FF),
    (0x1D300, 0x1D376), (0x1F000, 0x1FAFF), (0x20000, 0x3FFFF),
)
# fmt: on
"""Characters that take two cells, mostly in whole blocks: unicodedata would make the static program a megabyte
bigger.  Some that take one are among them, so a row may end early; none takes more than is thought."""


def table(root: Sum, width: int, limit: int, coloured: bool = False) -> Iterator[str]:
    """The rows of a table, its heads first, without newlines; nothing if there is no change.

    ``root``: the sum of the changeset.
    ``width``: the most cells of a terminal that a row takes.
    ``limit``: the number of directories; a last line says how many are left out.
    ``coloured``: with escape sequences in the bars.
    """
    if not any(root.names.values()):
        return
    found = list(_rows(root))
    # A directory is always bigger than one in it, so none is shown without those above it.
    biggest = sorted(range(len(found)), key=lambda at: _order(found[at][2]))[:limit]
    shown = [found[at] for at in sorted(biggest)]
    cells = [_HEADS, *map(_cells, (row[2] for row in shown))]
    columns = [max(map(len, column)) for column in zip(*cells)]
    wanted = max(_width(name) + len(_GAP) * depth for depth, name, _ in shown)
    # Of a terminal that is too narrow first the bars go, then how many names, then how many bytes.
    for first in (0, 3, 5):
        numbers = sum(columns[first:]) + len(_GAP) * len(columns[first:])
        if numbers + min(wanted, _NAME) <= width:
            break
    rest = width - numbers
    names = min(wanted, rest - _BAR - len(_GAP))
    bar = rest - names - len(_GAP)
    if names < min(wanted, _NAME):
        names, bar = min(wanted, rest), 0

    def line(name: str, numbers: tuple[str, ...]) -> str:
        aligned = [f"{number:>{column}}" for number, column in zip(numbers, columns)][first:]
        return _GAP.join([name + " " * (names - _width(name)), *aligned])

    if first < len(_HEADS):
        yield line("", _HEADS).rstrip()
    for (depth, name, total), numbers_of in zip(shown, cells[1:]):
        # What is so deep that its name has no room is indented by half of the column.
        indent = min(depth * len(_GAP), max(names // 2, names - _width(name)))
        text = line(" " * indent + cut(name, names - indent), numbers_of)
        new, old = _bar(total, root.new + root.old, bar)
        if coloured:
            text += _GAP + painted("+" * new, ChangeKind.ADDED) + painted("-" * old, ChangeKind.REMOVED)
        else:
            text += _GAP + "+" * new + "-" * old
        yield text.rstrip()
    hidden = len(found) - len(shown)
    if hidden:
        yield cut(
            f"{hidden} more {'directory' if hidden == 1 else 'directories'}; --stat-rows {len(found)} shows all",
            width,
        )


def _rows(root: Sum) -> Iterator[Row]:
    """Every row, depth first."""
    stack: list[Row] = [(0, ".", root)]
    while stack:
        depth, name, total = stack.pop()
        yield depth, name, total
        below = sorted(
            (_joined(one) for one in total.children.items()), key=lambda row: (_order(row[1]), row[0])
        )
        stack += [(depth + 1, printable(path) + "/", one) for path, one in reversed(below)]


def _joined(child: tuple[bytes, Sum]) -> tuple[bytes, Sum]:
    """A directory, or the one below it that has all that it has."""
    path, total = child
    while len(total.children) == 1:
        ((name, only),) = total.children.items()
        if only.names != total.names:
            break
        path, total = path + b"/" + name, only
    return path, total


def _order(total: Sum) -> tuple[int, int]:
    return -(total.new + total.old), -sum(total.names.values())


def _cells(total: Sum) -> tuple[str, ...]:
    return (*(str(total.names[kind]) for kind in KINDS), size(total.new), size(total.old))


def _bar(total: Sum, most: int, width: int) -> tuple[int, int]:
    """How many ``+`` and ``-`` stand for the bytes of a directory; one at least for what is not nothing.

    ``most``: the bytes that a bar of ``width`` stands for.
    """
    both = total.new + total.old
    if not both or not width:
        return 0, 0
    length = max((both * width + most // 2) // most, bool(total.new) + bool(total.old))
    new = (length * total.new + both // 2) // both
    new = min(max(new, bool(total.new)), length - bool(total.old))
    return new, length - new


def cut(text: str, width: int) -> str:
    """``text``, or both its ends with ``…`` between them, in no more than ``width`` cells of a terminal."""
    if _width(text) <= width:
        return text
    if width < 1:
        return ""
    head = _fitting(text, width // 2)
    tail = _fitting(text[::-1], width - 1 - _width(head))[::-1]
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    """As many characters as fit, from the start."""
    for end, character in enumerate(text):
        width -= _width(character)
        if width < 0:
            return text[:end]
    return text


def _width(text: str) -> int:
    """The cells of a terminal that printable text takes."""
    if text.isascii():
        return len(text)
    return len(text) + sum(_extra(ord(character)) for character in text)


def _extra(code: int) -> int:
    """What a character takes beyond one cell; what is put on top of another takes none."""
    if 0x300 <= code <= 0x36F:
        return -1
    return int(any(first <= code <= last for first, last in _WIDE))
