"""Processes that are forked to do a part of the work, and what they answer.

Signals are for whoever has started them, and ends them: a process that took one itself would undo, as if
it were the whole run, what others still work on.
"""

from __future__ import annotations

import _signal  # as in cli.py: the signal module makes enums
import marshal
import os

from . import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    Tell = Callable[[Any], None]
    """Answers with a value that marshal knows."""

_SIGNALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)
_READ = 1 << 16  # bytes


class Child:
    """A process, as the one that has started it sees it.

    ``pid``, ``fd``: of it, and of the pipe that it answers in.
    """

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self.fd = fd
        self._data = bytearray()  # of an answer that is not whole yet

    @classmethod
    def start(cls, work: Callable[[Tell], object], started: Callable[[Self], object]) -> bool:
        """Have a process do ``work``, which is given what to answer with.

        ``started``: told of it before any signal can come.
        Whether there is one: the system may refuse more.
        """
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
        try:
            fd, answer = os.pipe()
            try:
                pid = os.fork()
                if pid == 0:
                    try:
                        os.close(fd)
                        work(lambda value: _tell(answer, value))
                    finally:
                        os._exit(1)
            except OSError:
                os.close(fd)
                return False
            finally:
                os.close(answer)
            started(cls(pid, fd))
        except OSError:
            return False
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
        return True

    def answers(self) -> list[Any]:
        """What has been answered since the last time, or will be next; raises ``EOFError`` if the process has ended."""
        data = os.read(self.fd, _READ)
        if not data:
            raise EOFError
        self._data += data
        whole = []
        while len(self._data) >= 4:
            end = 4 + int.from_bytes(self._data[:4], "little")
            if len(self._data) < end:
                break
            whole.append(marshal.loads(self._data[4:end]))
            del self._data[:end]
        return whole

    def end(self) -> None:
        """End the process, whatever it does."""
        fd, self.fd = self.fd, -1
        linux.close_all(fd)
        linux.end_child(self.pid)


def _tell(answer: int, value: Any) -> None:
    packed = marshal.dumps(value)
    data = len(packed).to_bytes(4, "little") + packed
    while data:
        data = data[os.write(answer, data) :]
