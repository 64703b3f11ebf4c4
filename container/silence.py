"""``logging`` in the static program, where nothing listens: the whole costs more than HTTP/2 itself.

hpack writes to it what it encodes and decodes, one call for each header.
"""

from __future__ import annotations


class Logger:
    """A logger that drops everything."""

    def debug(self, message: str, *values: object) -> None:
        """Drop it."""


def getLogger(name: str) -> Logger:  # noqa: N802 - what hpack calls
    """A logger."""
    return Logger()
