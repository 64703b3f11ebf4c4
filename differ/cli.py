"""The commands ``differ`` and ``differ-apply``: from argv to an exit status.

The only place that prints, and the only one that knows about signals.
"""

from __future__ import annotations

import _signal  # the signal module makes enums of these numbers, for 6 ms
import io
import os
import sys

from . import __version__
from .linux import close_all
from .model import DifferError, os_reason
from .options import parse_apply, parse_diff
from .run import DONE, TROUBLE, run_apply, run_diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .options import Options
    from .session import Console

_SIGNALS = {_signal.SIGHUP: "SIGHUP", _signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM"}
_DIGITS = 4  # of the widest COLUMNS
_WIDTH = 80  # cells, where nothing tells
_BROKEN_PIPE = 128 + _signal.SIGPIPE


class Interrupted(BaseException):
    """A signal asks the run to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ReaderGone(BaseException):
    """Whoever read stdout has seen enough."""


class Terminal:
    """The streams of the process, and its signals.

    ``name``: the command's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_interrupted = False
        for stream in (sys.stdout, sys.stderr):
            # Names are bytes, and by far the most are UTF-8, whatever the locale says.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def out(self, line: str) -> None:
        """A line of results; raises :class:`DifferError` when stdout does not take it."""
        self._write_out(line + "\n")

    def put(self, data: bytes) -> None:
        """Bytes of a result; raises :class:`DifferError` when stdout does not take them, or is a terminal."""
        if sys.stdout is not None and sys.stdout.isatty():
            raise DifferError("stdout is a terminal, and a layer is no text; redirect it or name a file")
        self._write_out(data)

    def flush(self) -> None:
        """See that all results have been taken; raises :class:`DifferError`."""
        self._write_out("", flush=True)

    def _write_out(self, text: str | bytes, flush: bool = False) -> None:
        if sys.stdout is None:
            if text:
                raise DifferError("results cannot be written to stdout: it is closed")
            return
        try:
            if isinstance(text, str):
                sys.stdout.write(text)
            else:
                sys.stdout.buffer.write(text)
            if flush:
                sys.stdout.flush()
        except OSError as error:
            _silence(1)
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
            raise DifferError(f"results cannot be written to stdout: {os_reason(error)}") from error

    def err(self, text: str) -> None:
        """Anything else; nothing is done about a stderr that takes nothing."""
        if sys.stderr is None:
            return
        try:
            # A log that holds both shows them in order.  What stdout does not take now it will not
            # take at the end either, where that is an error.
            if sys.stdout is not None and not self._is_interrupted:
                sys.stdout.flush()
        except OSError:
            pass
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            _silence(2)

    def progress(self, how: str) -> str:
        """What ``--progress`` means here."""
        if how == "auto":
            return "line" if sys.stderr is not None and sys.stderr.isatty() else "plain"
        return how

    def colour(self, how: str) -> bool:
        """What ``--color`` means here; NO_COLOR as https://no-color.org has it."""
        if how != "auto":
            return how == "always"
        terminal = os.environ.get("TERM", "dumb")
        return (
            sys.stdout is not None
            and sys.stdout.isatty()
            and terminal != "dumb"
            and not os.environ.get("NO_COLOR")
        )

    def width(self) -> int:
        """The width of the terminal that stdout is, else COLUMNS, else 80."""
        try:
            columns = 0 if sys.stdout is None else os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            columns = 0
        told = os.environ.get("COLUMNS", "")
        if not columns and told.isascii() and told.isdecimal() and len(told) <= _DIGITS:
            columns = int(told)
        return columns or _WIDTH

    def catch_signals(self) -> None:
        """Turn signals into :class:`Interrupted`, except those that our parent had us ignore."""
        for number in _SIGNALS:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, self._interrupt)
        # The static program has held them back since its first instruction.
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _SIGNALS)

    def _interrupt(self, number: int, frame: object) -> None:
        # Nobody may read stdout any more, and whoever waits for that hears no second signal.
        self._is_interrupted = True
        raise Interrupted(number)

    def hold_signals(self) -> None:
        """Ignore signals from now on."""
        for number in _SIGNALS:
            _signal.signal(number, _signal.SIG_IGN)


def _silence(fd: int) -> None:
    """Let a stream end nowhere: the interpreter tries to write what is left once more when it exits."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fd)
        os.close(null)
    except OSError:
        pass


def main(arguments: list[str] | None = None) -> int:
    """The command ``differ``; returns its exit status.

    ``arguments``: without the command's name; by default those of the process.
    """
    return _command("differ", parse_diff, run_diff, arguments)


def main_apply(arguments: list[str] | None = None) -> int:
    """The command ``differ-apply``; see :func:`main`."""
    return _command("differ-apply", parse_apply, run_apply, arguments)


def main_rebase(arguments: list[str] | None = None) -> int:
    """The command ``differ-rebase``; see :func:`main`."""
    from .options import parse_rebase
    from .rebase import run_rebase

    return _command("differ-rebase", parse_rebase, run_rebase, arguments)


def _command(
    name: str,
    parse: Callable[[list[str]], Options],
    run: Callable[[Options, Console], int],
    arguments: list[str] | None,
) -> int:
    terminal = Terminal(name)
    handlers = {number: _signal.getsignal(number) for number in _SIGNALS}
    here = _here()
    out, about = b"", (b"", "")
    try:
        terminal.catch_signals()
        options = parse(sys.argv[1:] if arguments is None else arguments)
        if options.help:
            from .manual import MANUALS

            terminal.out(MANUALS[name].rstrip("\n"))
            status = DONE
        elif options.version:
            terminal.out(f"{name} {__version__}")
            status = DONE
        else:
            out, about = options.out or b"", _about(options)
            status = run(options, terminal)
        terminal.flush()
    except DifferError as error:
        terminal.err(f"{name}: {error}\n")
        status = TROUBLE
    except Interrupted as signal:
        what = DifferError(f"interrupted by {_SIGNALS[signal.number]}", out or None)
        terminal.err(f"{name}: {what}\n")
        status = 128 + signal.number
    except ReaderGone:
        status = _BROKEN_PIPE
    except OSError as error:
        terminal.err(f"{name}: {_unnamed(error, *about)}\n")
        status = TROUBLE
    except MemoryError:
        terminal.err(f"{name}: out of memory\n")
        status = TROUBLE
    finally:
        if arguments is None:
            # The process ends, and may not be said to have been ended once its results are there.
            terminal.hold_signals()
        else:
            for number, handler in handlers.items():
                _signal.signal(number, handler)
        if here >= 0:
            try:
                os.fchdir(here)
            except OSError:
                pass
            close_all(here)
    return status


def _about(options: Options) -> tuple[bytes, str]:
    """What a failure is about that has no name of its own, and what could then not be done to it."""
    results = (options.layer, options.to, options.append, options.append_to_scratch, options.report)
    named = options.out or next((os.fsencode(word) for word in results if word), b"")
    return (named, "made") if named else (options.upper, "compared")


def _unnamed(error: OSError, about: bytes, done: str) -> DifferError:
    """A failure that nobody has told with a path: of what has none of its own, as a descriptor that was refused."""
    if isinstance(error.filename, (bytes, str)):
        about, done = os.fsencode(error.filename), "opened"
    return DifferError(f"cannot be {done}: {os_reason(error)}" if about else os_reason(error), about or None)


def _here() -> int:
    """The current directory, to come back to it: reading attributes needs fchdir (linux.py)."""
    try:
        return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
