"""The line that moves while a long run works."""

from __future__ import annotations

import time

from .model import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Tally

_FIRST_LINE = 1.0  # s before a terminal shows anything: shorter work needs no line
_LINE_EVERY = 0.2  # s between two states of the line on a terminal
_PLAIN_EVERY = 5.0  # s between two lines in a log
_CLEAR = "\r\x1b[K"


class Progress:
    """Shows what a run has done so far.

    ``name``: the command's name, in front of every line.
    ``how``: ``line`` for one line that changes, ``plain`` for a line now and then, ``none``.
    ``write``: puts text on stderr.  ``tally``: what to show; its ``tick`` is taken over.
    """

    def __init__(self, name: str, how: str, write: Callable[[str], None], tally: Tally) -> None:
        self._name = name
        self._write = write
        self._tally = tally
        self._line = how == "line"
        self._shown = False
        self._every = _LINE_EVERY if self._line else _PLAIN_EVERY
        self._next = time.monotonic() + (_FIRST_LINE if self._line else _PLAIN_EVERY)
        if how != "none":
            tally.tick = self.tick

    def tick(self) -> None:
        """Called often; shows something now and then."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        tally = self._tally
        done = f"{tally.entries} names, {size(tally.compared)} compared, {size(tally.written)} written"
        text = f"{self._name}: {done}"
        self._write(_CLEAR + text if self._line else text + "\n")
        self._shown = self._line

    def clear(self) -> None:
        """Take the line away, before anything else is written and at the end."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = False
