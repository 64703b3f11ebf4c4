"""The command on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from threading import Thread

from .command import REPOSITORY, program

_END = b"\0end\0"


def on_a_terminal(
    *words: object, environment: dict[str, str] | None = None, size: tuple[int, int] = (24, 80)
) -> tuple[int, str]:
    """Run the command with a terminal for stdout; its exit status and what the terminal got.

    ``environment``: all of the variables TERM, NO_COLOR and COLUMNS that are set.
    ``size``: rows and columns.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST  # no carriage returns
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    others = {
        name: value for name, value in os.environ.items() if name not in ("TERM", "NO_COLOR", "COLUMNS")
    }
    process = subprocess.Popen(
        [*program(), *map(str, words)],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env={**others, **(environment or {})},
    )
    # The terminal stays open here until all is read: what was written just before the last one closes it is lost at
    # times, when the machine is busy.
    ending = Thread(target=lambda: (process.wait(), os.write(theirs, _END)))
    ending.start()
    got = b""
    while not got.endswith(_END):
        got += os.read(ours, 65536)
    ending.join()
    os.close(theirs)
    os.close(ours)
    return process.wait(), got.removesuffix(_END).decode()
