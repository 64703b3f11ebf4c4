"""The search for candidates on all processors.

Workers are forked, not threads: the work is system calls and a little Python, which threads do one at a time.
Each has a stack of items of its own, and gives the one that it would come to last to whoever is idle, through
a pipe that all of them share, a packet for each.  What it finds goes to the parent through a pipe of its own.
Which worker looks where makes no difference to what is found.
"""

from __future__ import annotations

import marshal
import os
import time

from . import linux
from .candidates import Found
from .children import Child
from .model import Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    import select
    from collections.abc import Callable
    from typing import NoReturn

    from .candidates import Candidates, Item, Looker
    from .children import Tell

_PACKET = 4096  # bytes, the most that a pipe takes in one piece
_ROWS = 200  # found rows that a worker keeps to itself
_WAIT = 200  # ms between two looks at the clock
_BUSY = 0.75  # of the time, at least, that workers work who do not wait for a disk
_REST = 16  # directories before a worker tries again to give something away
_NOBODY = -1  # who gives items that no worker gave


def share(
    finder: Callable[[Tally], Looker], found: Candidates, stack: list[Item], tally: Tally, jobs: int
) -> list[Item]:
    """Let workers look at items and all that is below them; those that there are none for.

    ``jobs``: as for :func:`.workers.candidates`.
    """
    try:
        _poll()
        given, give = linux.packet_pipe()
    except (ImportError, OSError):
        return stack
    # Its end tells the workers that there is nothing more to do, or nobody more to do it for.
    life, alive = os.pipe()
    workers: list[_Worker] = []

    def work(tell: Tell) -> None:
        os.close(alive)
        _Work(len(workers), finder, given, give, tell, life).run()

    def more(count: int) -> None:
        """Start so many."""
        most = len(workers) + count
        while len(workers) < most and _Worker.start(work, workers.append):
            pass

    try:
        # One for each processor; as many again if they turn out to wait for a disk.
        more(jobs or linux.processors())
        spare = 0 if jobs else linux.processors()
        return _gather(workers, found, stack, give, tally, lambda: more(spare)) if workers else stack
    finally:
        linux.close_all(alive, life, given, give)
        for worker in workers:
            worker.end()


class _Worker(Child):
    """``gave``: how many items it has given away, as far as is known."""

    gave = 0


def _gather(
    workers: list[_Worker],
    found: Candidates,
    stack: list[Item],
    give: int,
    tally: Tally,
    more: Callable[[], None],
) -> list[Item]:
    """Give items away and take answers until there is nothing more to do.

    ``more``: starts more workers; called once, if those that there are have to wait.
    """
    by_fd = {worker.fd: worker for worker in workers}
    poll = _poll(*by_fd)
    begun = time.monotonic()
    enough = False
    left = []
    gave = done = 0
    while True:
        while stack:
            packet = marshal.dumps((_NOBODY, 0, stack[-1]))
            if len(packet) > _PACKET:
                left.append(stack.pop())
            elif _put(give, packet):
                stack.pop()
                gave += 1
            else:
                break
        if not stack and done == gave + sum(worker.gave for worker in workers):
            return left
        for fd, _ in poll.poll(_WAIT):
            worker = by_fd[fd]
            try:
                answers = worker.answers()
            except EOFError:
                # Something has ended it.  What it had not told is looked for by whoever looks at every name.
                found.forget()
                return []
            for values, entries, compared, gave_now, ended in answers:
                found.add(Found(*values))
                tally.entries += entries
                tally.compared += compared
                worker.gave = max(worker.gave, gave_now)
                for giver, number in ended:
                    # What has ended was given, even if its giver has not told so yet: thus all is never
                    # taken to be done too early.
                    done += 1
                    if giver != _NOBODY:
                        workers[giver].gave = max(workers[giver].gave, number)
        tally.tick()
        took = time.monotonic() - begun
        if not enough and took > _WAIT / 1000:
            enough = True
            if sum(linux.processor_time(worker.pid) for worker in workers) < _BUSY * took * len(workers):
                more()
                by_fd = {worker.fd: worker for worker in workers}
                poll = _poll(*by_fd)


def _poll(*fds: int) -> select.poll:
    """What waits until there is something to read, or an end; raises ImportError: not every Python has it inside."""
    import select

    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def _put(fd: int, packet: bytes) -> bool:
    """Put a packet into a pipe, if there is room."""
    try:
        return os.write(fd, packet) > 0
    except BlockingIOError:
        return False


class _Work:
    """What a worker does.

    ``number``: its place among the workers.
    ``given``, ``give``: the ends of the shared pipe.  ``tell``: answers.
    ``life``: ends with the parent, or with its need for answers.
    """

    def __init__(
        self,
        number: int,
        finder: Callable[[Tally], Looker],
        given: int,
        give: int,
        tell: Tell,
        life: int,
    ) -> None:
        self._number = number
        self._tally = Tally()
        self._finder = finder(self._tally)
        self._given = given
        self._give = give
        self._answer = tell
        self._poll = _poll(given, life)
        self._life = life
        self._gave = 0

    def run(self) -> NoReturn:
        """Work until there is no need for it any more."""
        finder = self._finder
        while True:
            giver, number, item = self._next()
            stack = [item]
            rest = 0
            while stack:
                stack += finder.look(stack.pop())
                if rest:
                    rest -= 1
                elif len(stack) > 1:
                    packet = marshal.dumps((self._number, self._gave + 1, stack[0]))
                    if len(packet) <= _PACKET and _put(self._give, packet):
                        self._gave += 1
                        del stack[0]
                    else:
                        rest = _REST
                if len(finder.found.rows) > _ROWS:
                    self._tell([])
            self._tell([(giver, number)])

    def _next(self) -> tuple[int, int, Item]:
        """Wait for an item."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._life:
                    os._exit(0)
                try:
                    told: tuple[int, int, Item] = marshal.loads(os.read(self._given, _PACKET))
                except BlockingIOError:
                    continue  # another worker was quicker
                return told

    def _tell(self, ended: list[tuple[int, int]]) -> None:
        """Answer with what was found, and which item has ended."""
        found, tally = self._finder.take(), self._tally
        self._answer((found.values(), tally.entries, tally.compared, self._gave, ended))
        tally.entries = tally.compared = 0
