"""Changes told to people with a browser: one page that holds all it needs (docs/report.md).

The changes stand in it as the JSON lines of report.py, written as they come, inside a ``script`` element
that is only data.  In JSON ``<`` and ``&`` can stand only in strings, where an escape says the same, so no
name ends that element.  The totals come after them, when they are known.

The same trees give the same bytes: neither a time nor the place of a run is in the page.
"""

from __future__ import annotations

from stat import S_ISDIR, S_ISREG

from .. import __version__
from ..model import KINDS, ChangeKind, DifferError, printable
from ..walk import walk
from .page import HEADER, START, STYLE, TOOLS, TOTAL
from .report import SCHEMA, base64, json_line
from .script import SCRIPT
from .treemap import TREEMAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model import Change, Entry, Stat, Tree
    from .report import Digests


class HtmlReport:
    """One page about a changeset.

    ``write``: takes the bytes of the page, in order; what it raises ends the report.
    ``lower``, ``upper``: how the user has named the trees.
    ``held``: what a directory of LOWER that is gone held (:class:`Held`).
    ``sha256``: gives the raw SHA-256 of bytes; the page's policy names its one script by it.
    ``digests``: as for :func:`~.report.json_line`.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        lower: bytes,
        upper: bytes,
        held: Held,
        sha256: Callable[[bytes], bytes],
        digests: Digests | None = None,
    ) -> None:
        self._write = write
        self._held = held
        self._digests = digests
        self._counts = dict.fromkeys(KINDS, 0)
        self._bytes = dict.fromkeys(KINDS, 0)
        self._between = "\n"
        self._script = f'"use strict";{TREEMAP}{SCRIPT}'
        names = {"lower": _escaped(printable(lower)), "upper": _escaped(printable(upper))}
        sums = {"script": base64(sha256(self._script.encode())), "style": base64(sha256(STYLE.encode()))}
        self._put(START.format(version=__version__, **names, **sums))
        self._put(f"<style>{STYLE}</style>\n")
        self._put(HEADER.format(**names))
        self._put('<script type="application/json" id="changes">[')

    def add(self, change: Change) -> None:
        """Tell one change, in the order of the changeset; raises what ``write`` and reading raise."""
        line = json_line(change, self._digests)
        held = self._held.of(change)
        if held is not None:
            names, count = held
            told = "null" if names is None else f'{{"names":{names},"bytes":{count}}}'
            line = f'{line[:-1]},"held":{told}}}'
        self._counts[change.kind] += 1
        self._add_bytes(change, None if held is None else held[1])
        line = line.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        self._put(self._between + line)
        self._between = ",\n"

    def _add_bytes(self, change: Change, held: int | None) -> None:
        """Count as the page does (script.py, ``bytes``)."""
        if change.kind == ChangeKind.REMOVED:
            self._bytes[ChangeKind.REMOVED] += _size(change.lower) if held is None else held
            return
        self._bytes[ChangeKind.REMOVED] += held or 0
        if change.link is None:
            self._bytes[change.kind] += _size(change.upper)

    def finish(self) -> None:
        """Write what stands after the changes; nothing may come after."""
        self._put("\n]</script>\n<main>\n")
        self._put('<dl class="totals">\n')
        for index, (letter, kind) in enumerate(zip("AMD", KINDS)):
            size = self._bytes[kind]
            self._put(
                TOTAL.format(
                    index=index,
                    letter=letter,
                    kind=kind,
                    count=f"{self._counts[kind]:,}",
                    bytes=size,
                    shown=f"{size:,}",
                )
            )
        self._put("</dl>\n")
        self._put(TOOLS.format(version=__version__, schema=SCHEMA))
        self._put(f"<script>{self._script}</script>\n</body>\n</html>\n")

    def _put(self, text: str) -> None:
        self._write(text.encode("utf-8"))


class Held:
    """What removed names led to, which a changeset does not say: it has the topmost of them only.

    ``tree``: LOWER, to be read at any place.  ``nothing``: an empty tree.
    """

    def __init__(self, tree: Tree, nothing: Tree) -> None:
        self._tree = tree
        self._nothing = nothing
        self._linked: set[tuple[int, int]] = set()

    def of(self, change: Change) -> tuple[int | None, int] | None:
        """The number of names below a directory that is gone, and the bytes of the files there.

        What has become of another type is gone too.  An inode counts where it is met first.  (None, 0) stands
        for a directory that cannot be read, and None for a name whose change says it all.
        """
        lower, upper = change.lower, change.upper
        if lower is None:
            return None
        if S_ISDIR(lower.stat.st_mode):
            if upper is not None and S_ISDIR(upper.stat.st_mode):
                return None
            try:
                return self._below(change.path)
            except DifferError:
                # The difference can be told without what is in there.
                return None, 0
        if not S_ISREG(lower.stat.st_mode) or (upper is not None and S_ISREG(upper.stat.st_mode)):
            return None
        if self._again(lower.stat):
            return 0, 0
        return None if upper is None else (0, lower.stat.st_size)

    def _again(self, facts: Stat) -> bool:
        inode = (facts.st_dev, facts.st_ino)
        if facts.st_nlink < 2:
            return False
        if inode in self._linked:
            return True
        self._linked.add(inode)
        return False

    def _below(self, path: bytes) -> tuple[int, int]:
        self._tree.seek(path.split(b"/"))
        names = size = 0
        for _, _, facts, _, _ in walk(self._tree, self._nothing, below_removed=True):
            names += 1
            if facts is not None and S_ISREG(facts.st_mode) and not self._again(facts):
                size += facts.st_size
        return names, size


def _size(entry: Entry | None) -> int:
    return entry.stat.st_size if entry is not None and S_ISREG(entry.stat.st_mode) else 0


def _escaped(text: str) -> str:
    """Text for an element or an attribute of the page."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
