"""The search for candidates: what is small is looked at here, and the rest by all processors."""

from __future__ import annotations

from .candidates import ROOT, Candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .candidates import Looker
    from .model import Tally

_ALONE = 2000  # names that are looked at before it is worth to fork
_ALONE_BYTES = 32 * 1024 * 1024  # or bytes


def candidates(finder: Callable[[Tally], Looker], tally: Tally, jobs: int) -> Candidates:
    """The candidates between two trees.

    ``finder``: makes what looks for them, with trees of its own.
    ``tally``: counts what is looked at.
    ``jobs``: processes that may look; 0 for as many as is good.
    """
    found = Candidates(tally)
    alone = finder(tally)
    stack = [ROOT]
    names, compared = tally.entries + _ALONE, tally.compared + _ALONE_BYTES
    while stack and (jobs == 1 or (tally.entries < names and tally.compared < compared)):
        stack += alone.look(stack.pop())
    if stack and jobs != 1:
        from .sharing import share

        stack = share(finder, found, stack, tally, jobs)
    while stack:
        stack += alone.look(stack.pop())
    found.add(alone.take())
    alone.close()
    return found
