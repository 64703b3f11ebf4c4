"""``python -m differ``, and the program under any of its names.

A role imports only what it needs: the frontend's start is part of every build, and that of a diff must
not pay for HTTP/2.
"""

import gc
import os
import sys

_TROUBLE = 2
_CYCLES = 20_000  # objects between two searches for cycles, of which a diff makes next to none


def command() -> int:
    """Run the command that the process was called as; returns its exit status."""
    name = os.path.basename(sys.argv[0]).removesuffix(".pyz")
    # BuildKit starts the image that "# syntax=" names by its entry point and without arguments; whoever
    # wants a difference gives some.
    if name == "differ-frontend" or (len(sys.argv) < 2 and "BUILDKIT_SESSION_ID" in os.environ):
        return _frontend()
    if name == "differ-dockerfile":
        return _rewriter()
    # Nothing of what an import makes is ever thrown away.
    gc.disable()
    from .cli import main, main_apply, main_rebase

    gc.freeze()
    gc.set_threshold(_CYCLES)
    gc.enable()
    role = {"differ-apply": main_apply, "differ-rebase": main_rebase}.get(name, main)
    status = role()
    # All is written and closed; to take the interpreter apart would be as long as half of its start.
    os._exit(status)


def _frontend() -> int:
    _take_signals()
    # It lives for one build and makes next to no cycles: to look for them is a tenth of its start.
    gc.disable()
    try:
        from .frontend.main import main
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("h2", "hpack", "hyperframe"):
            raise
        sys.stderr.write(
            f"differ-frontend: the Python package {error.name} is missing:"
            " pip install 'oci-differ[frontend]', or use the image\n"
        )
        return _TROUBLE
    return main()


def _rewriter() -> int:
    _take_signals()
    from .frontend.rewriter import main

    return main()


def _take_signals() -> None:
    """Let what asks for an end have it at once: nothing would be left half done."""
    import _signal

    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)
    # The static program has held them back since its first instruction.
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM))


if __name__ == "__main__":
    sys.exit(command())
