"""``differ-dockerfile``: from argv and a Dockerfile to one that every builder reads."""

from __future__ import annotations

import os
import sys

from .. import __version__
from .plain import STYLES, rewrite
from .syntax import DockerfileError, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HELP = """\
usage: differ-dockerfile [OPTION...] [FILE] > Dockerfile.plain

Rewrite a Dockerfile that names differences (FROM a..b, COPY --from=a..b, RUN --mount=from=a..b) as one that
every builder reads: helper stages run differ. FILE is stdin if it is absent or -.

  --style STYLE   how a helper stage gets the two sides: copy (default), which is right in every
                  builder's cache, or mount, for BuildKit
  --drop-link     leave --link out, for builders whose COPY does not know it
  --image REF     the image to run (default: differ)
  --help          this text
  --version       the version
"""
DONE, TROUBLE = 0, 2
_BROKEN_PIPE = 128 + 13


class _UsageError(Exception):
    """Words that are no command."""


class _Options:
    """The command line."""

    def __init__(self) -> None:
        self.style = "copy"
        self.drop_link = False
        self.image = "differ"
        self.file = "-"
        self.answer = ""


def main() -> int:
    """Run the command; its exit status."""
    try:
        options = _parse(sys.argv[1:])
        if options.answer:
            return _write(options.answer)
        shown = "" if options.file == "-" else f"{options.file}: "
        try:
            text, warnings = rewrite(
                scan(_read(options.file)),
                style=options.style,
                drop_link=options.drop_link,
                image=options.image,
            )
        except DockerfileError as error:
            return _fail(f"{shown}{error}")
    except _UsageError as error:
        return _fail(f"{error}; differ-dockerfile --help shows the options")
    except OSError as error:
        return _fail(f"{error.filename or 'stdin'}: {error.strerror or error}")
    status = _write(text)
    if status == DONE:
        for warning in warnings:
            _say(f"warning: {shown}{warning}")
    return status


def _parse(words: list[str]) -> _Options:
    options = _Options()
    files: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            files += rest
        elif word == "-" or not word.startswith("-"):
            files.append(word)
        elif name in ("--style", "--image"):
            value = value if equals else _next(name, rest)
            if name == "--image":
                options.image = value
            elif value in STYLES:
                options.style = value
            else:
                raise _UsageError(f"--style {value}: the style is one of {', '.join(STYLES)}")
        elif word == "--drop-link":
            options.drop_link = True
        elif word == "--help":
            options.answer = HELP
        elif word == "--version":
            options.answer = f"differ-dockerfile {__version__}\n"
        else:
            raise _UsageError(f"{word}: there is no such option")
    if len(files) > 1:
        raise _UsageError(f"{files[1]}: one file is enough")
    if not options.image or any(char.isspace() for char in options.image):
        raise _UsageError(f"--image {options.image!r}: this is no image")
    options.file = files[0] if files else "-"
    return options


def _next(name: str, rest: Iterator[str]) -> str:
    for word in rest:
        return word
    raise _UsageError(f"{name}: a value is missing")


def _read(file: str) -> str:
    """The text of a file; what is not UTF-8 is carried as surrogates."""
    parts = []
    descriptor = 0 if file == "-" else os.open(file, os.O_RDONLY)
    try:
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdin" if file == "-" else file) from error
    finally:
        if descriptor:
            os.close(descriptor)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _write(text: str) -> int:
    """Write to stdout, all or an error."""
    view = memoryview(text.encode("utf-8", "surrogateescape"))
    try:
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        return _BROKEN_PIPE
    except OSError as error:
        return _fail(f"stdout: {error.strerror}")
    return DONE


def _fail(text: str) -> int:
    _say(text)
    return TROUBLE


def _say(text: str) -> None:
    line = f"differ-dockerfile: {text}\n".encode("utf-8", "backslashreplace")
    try:
        os.write(2, line)
    except OSError:
        pass  # nobody listens
