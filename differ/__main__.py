"""``python -m differ``, and the program under either of its two names."""

import os
import sys

from .cli import main, main_apply


def command() -> int:
    """Run the command that the process was called as; returns its exit status."""
    name = os.path.basename(sys.argv[0])
    return main_apply() if name.removesuffix(".pyz") == "differ-apply" else main()


if __name__ == "__main__":
    sys.exit(command())
