"""Command lines to plain values.

Written by hand because argparse costs more start-up than a small difference takes; what it accepts is
what getopt_long(3) users expect: ``--name VALUE`` and ``--name=VALUE``, options anywhere, ``-qv``
together, ``--`` ends the options.
"""

from __future__ import annotations

import os

from .compare import PROFILES
from .model import DifferError
from .whiteout import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    Choices = tuple[str, ...] | range | None

_JOBS = range(1, 257)
_IDS = 2**32 - 1  # the last one is none
_DIGITS = 10  # of the largest number that any option takes
_LEVELS = {"none": range(0), "gzip": range(1, 10), "zstd": range(1, 23)}
_ROWS = range(1, 10**6)
COLOR = ("auto", "always", "never")
_OF_LAYERS = ("compression", "compression_level", "layer_xattrs", "metadata_file", "uid_map", "gid_map")
_LAYER_XATTRS = ("capability", "all")
OVERLAY = ("auto", "off")
PROGRESS = ("auto", "plain", "none")

DIFF_USAGE = "differ [options] LOWER UPPER [OUT]"
REBASE_USAGE = "differ-rebase [options] OLDBASE IMAGE NEWBASE --to oci:DIR:TAG"
APPLY_USAGE = "differ-apply [options] LOWER CHANGES OUT"


class Options:
    """What one command line asks for.

    ``lower``, ``upper``, ``out``: the positional arguments, ``out`` None where it was not given; for differ-apply
    ``upper`` is CHANGES, for differ-rebase IMAGE.  The rest is named as the options are.
    """

    __slots__ = (
        "allow_conflicts",
        "allow_wh_names",
        "append",
        "append_to_scratch",
        "color",
        "compare",
        "compression",
        "compression_level",
        "digest",
        "exit_code",
        "gid_map",
        "help",
        "ignore",
        "jobs",
        "layer",
        "layer_xattrs",
        "lower",
        "metadata_file",
        "new_base",
        "one_file_system",
        "out",
        "overlay",
        "progress",
        "quiet",
        "report",
        "stat",
        "stat_rows",
        "strict",
        "summary",
        "to",
        "uid_map",
        "upper",
        "verbose",
        "verify",
        "version",
        "whiteout",
        "xattr_exclude",
    )

    def __init__(self) -> None:
        self.lower = b""
        self.upper = b""
        self.out: bytes | None = None
        self.new_base = b""
        self.allow_conflicts = False
        self.allow_wh_names = False
        self.append: str | None = None
        self.append_to_scratch: str | None = None
        self.color = "auto"
        self.compare = "exact"
        self.compression: str | None = None
        self.compression_level = 0
        self.digest = False
        self.exit_code = False
        self.help = False
        self.ignore: list[str] = []
        self.jobs = 0
        self.layer: str | None = None
        self.layer_xattrs = "capability"
        self.metadata_file: str | None = None
        self.uid_map: list[tuple[int, int, int]] = []
        self.gid_map: list[tuple[int, int, int]] = []
        self.one_file_system = False
        self.overlay = "auto"
        self.progress = "auto"
        self.quiet = False
        self.report: str | None = None
        self.stat = False
        self.stat_rows = 0
        self.strict = False
        self.to: str | None = None
        self.summary = False
        self.verbose = False
        self.verify = False
        self.version = False
        self.whiteout: str | None = None
        self.xattr_exclude: list[str] = []

    @property
    def tells_other(self) -> bool:
        """Whether stdout gets something other than the list of changes, or a layer."""
        return self.report == "-" or self.stat or self.summary

    @property
    def has_layer(self) -> bool:
        """Whether a layer is written."""
        return any(one is not None for one in (self.layer, self.append, self.append_to_scratch))

    @property
    def writes(self) -> bool:
        """Whether the difference itself is written, and not only told."""
        return self.out is not None or self.has_layer

    @property
    def lists(self) -> bool:
        """Whether changes are listed: with nothing else to write or tell the list is the result."""
        return self.verbose or not (self.writes or self.quiet or self.tells_other)

    @property
    def uses_stdout(self) -> bool:
        """Whether lines of text go to stdout though something is written."""
        return self.verbose or self.tells_other


class UsageError(DifferError):
    """A command line that asks for nothing that can be done."""


_FLAGS = ("help", "one-file-system", "quiet", "strict", "verbose", "version")
_VALUES: dict[str, Choices] = {
    "progress": PROGRESS,
    "whiteout": tuple(STYLES),
    "xattr-exclude": None,
}
_SHORT = {"q": "quiet", "v": "verbose", "h": "help", "x": "one_file_system"}


class Grammar:
    """The options one command knows.

    ``flags``: those without a value.
    ``values``: those with one, and the words or the numbers it may be; None for any.
    """

    def __init__(self, flags: tuple[str, ...], values: dict[str, Choices]) -> None:
        self.flags = flags
        self.values = values


_APPLY = Grammar(_FLAGS, _VALUES)
_REBASE = Grammar(
    (*_FLAGS, "allow-conflicts"),
    {
        "compression": tuple(_LEVELS),
        "compression-level": range(1, 23),
        "layer-xattrs": _LAYER_XATTRS,
        "metadata-file": None,
        "progress": PROGRESS,
        "to": None,
        "xattr-exclude": None,
    },
)
_DIFF = Grammar(
    (*_FLAGS, "allow-wh-names", "digest", "exit-code", "stat", "summary", "verify"),
    {
        **_VALUES,
        "append": None,
        "append-to-scratch": None,
        "color": COLOR,
        "compare": tuple(PROFILES),
        "compression": tuple(_LEVELS),
        "compression-level": range(1, 23),
        "ignore": None,
        "jobs": _JOBS,
        "layer": None,
        "layer-xattrs": _LAYER_XATTRS,
        "metadata-file": None,
        "uid-map": None,
        "gid-map": None,
        "overlay": OVERLAY,
        "report": None,
        "to": None,
        "stat-rows": _ROWS,
    },
)


def parse_diff(arguments: list[str]) -> Options:
    """The options of ``differ``; raises :class:`UsageError`."""
    options = Options()
    words = _parse(_DIFF, arguments, options)
    if options.help or options.version:
        return options
    if not 2 <= len(words) <= 3:
        raise UsageError(f"expected LOWER UPPER [OUT], got {_count(words)}: {DIFF_USAGE}")
    _place(options, words)
    if options.verify and options.out is None:
        raise UsageError("--verify proves what was written, so it needs OUT")
    if options.digest and options.report is None:
        raise UsageError("--digest adds to a report, so it needs --report")
    for name in ("report", "layer", "metadata_file"):
        path = getattr(options, name)
        if path is not None and (not path or path.endswith("/")):
            raise UsageError(f"--{name.replace('_', '-')} {path!r}: name a file")
    if options.metadata_file == "-":
        raise UsageError("--metadata-file -: name a file, stdout is for the layer")
    _check_layer(options)
    if options.verbose and options.report == "-":
        raise UsageError("--verbose lists the changes on stdout, so --report needs a file")
    _check_totals(options)
    # Names are UTF-8, whatever the locale says.
    options.ignore = [os.fsencode(pattern).decode("utf-8", "surrogateescape") for pattern in options.ignore]
    _check_noise(options)
    return options


def parse_apply(arguments: list[str]) -> Options:
    """The options of ``differ-apply``; raises :class:`UsageError`."""
    options = Options()
    words = _parse(_APPLY, arguments, options)
    if options.help or options.version:
        return options
    if len(words) != 3:
        raise UsageError(f"expected LOWER CHANGES OUT, got {_count(words)}: {APPLY_USAGE}")
    _place(options, words)
    _check_noise(options)
    return options


def parse_rebase(arguments: list[str]) -> Options:
    """The options of ``differ-rebase``; raises :class:`UsageError`."""
    options = Options()
    words = _parse(_REBASE, arguments, options)
    if options.help or options.version:
        return options
    if len(words) != 3:
        raise UsageError(f"expected OLDBASE IMAGE NEWBASE, got {_count(words)}: {REBASE_USAGE}")
    _place(options, words)
    options.new_base, options.out = options.out or b"", None
    if options.to is None:
        raise UsageError(f"where does the image go? {REBASE_USAGE}")
    options.compression = options.compression or "gzip"
    _check_level(options)
    _check_noise(options)
    return options


def _check_totals(options: Options) -> None:
    for name in ("stat", "summary"):
        if getattr(options, name) and options.report == "-":
            raise UsageError(f"--{name} is told on stdout, so --report needs a file")
    if options.stat_rows and not options.stat:
        raise UsageError("--stat-rows is about the table of directories, so it needs --stat")


def _check_layer(options: Options) -> None:
    outputs = [
        f"--{name}"
        for name in ("layer", "append", "append-to-scratch")
        if getattr(options, name.replace("-", "_")) is not None
    ]
    if options.to is not None and options.append is None:
        raise UsageError("--to says where the image of --append goes, so it needs that")
    if not outputs:
        for name in _OF_LAYERS:
            if getattr(options, name) != getattr(Options(), name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is about a layer, so it needs --layer or --append"
                )
        return
    if options.out is not None:
        raise UsageError(f"{outputs[0]} takes the place of OUT; give one of them")
    if len(outputs) > 1:
        raise UsageError(f"{' and '.join(outputs)} exclude each other")
    for word in (options.append, options.append_to_scratch, options.to):
        if word is not None and not word.startswith("oci:"):
            raise UsageError(f"{word!r}: expected oci:DIR[:TAG]")
    options.compression = options.compression or ("none" if options.layer is not None else "gzip")
    if options.whiteout not in (None, "oci"):
        raise UsageError(f"--whiteout {options.whiteout}: a layer has those of oci")
    if options.layer == "-" and options.uses_stdout:
        raise UsageError("--layer - is all that can be on stdout; name a file for it or for the rest")
    for name in ("uid_map", "gid_map"):
        setattr(options, name, [_id_range(name.replace("_", "-"), one) for one in getattr(options, name)])
    _check_level(options)


def _check_level(options: Options) -> None:
    compression = options.compression or "none"
    levels = _LEVELS[compression]
    if options.compression_level and options.compression_level not in levels:
        raise UsageError(
            f"--compression-level {options.compression_level}: {compression} has"
            f" {f'{levels[0]} to {levels[-1]}' if levels else 'none'}"
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


def _id_range(option: str, text: str) -> tuple[int, int, int]:
    parts = text.split(":")
    if 2 <= len(parts) <= 3 and all(map(_is_number, parts)):
        inside, outside, count = map(int, (*parts, "1")[:3])
        if count > 0 and max(inside, outside) + count <= _IDS:
            return inside, outside, count
    raise UsageError(f"--{option} {text!r}: INSIDE:OUTSIDE[:COUNT], ids below {_IDS}")


def _check_noise(options: Options) -> None:
    if options.quiet and options.verbose:
        raise UsageError("--quiet and --verbose exclude each other")


def _place(options: Options, words: list[str]) -> None:
    for word in words:
        if not word:
            raise UsageError("a directory's name is empty")
        if "\0" in word:
            raise UsageError("a directory's name holds a NUL")
    encoded = [os.fsencode(word) for word in words]
    options.lower, options.upper = encoded[:2]
    options.out = encoded[2] if len(encoded) > 2 else None


def _count(words: list[str]) -> str:
    return "no argument" if not words else "one argument" if len(words) == 1 else f"{len(words)} arguments"


def _parse(grammar: Grammar, arguments: list[str], options: Options) -> list[str]:
    """Fill ``options``; the words that are none."""
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            words.extend(rest)
        elif argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            if name in grammar.flags:
                if equals:
                    raise UsageError(f"--{name} takes no value")
                setattr(options, name.replace("-", "_"), True)
            elif name in grammar.values:
                _set(grammar, options, name, value if equals else next(rest, None))
            else:
                raise UsageError(f"unknown option --{name}; --help lists them")
        elif argument.startswith("-") and argument != "-":
            for letter in argument[1:]:
                if letter not in _SHORT:
                    raise UsageError(f"unknown option -{letter}; --help lists them")
                setattr(options, _SHORT[letter], True)
        else:
            words.append(argument)
    return words


def _set(grammar: Grammar, options: Options, name: str, value: str | None) -> None:
    if value is None:
        raise UsageError(f"--{name} needs a value")
    choices = grammar.values[name]
    attribute = name.replace("-", "_")
    if isinstance(choices, range):
        if not (_is_number(value) and int(value) in choices):
            raise UsageError(f"--{name} {value!r}: a number from {choices[0]} to {choices[-1]}")
        setattr(options, attribute, int(value))
        return
    if choices is not None and value not in choices:
        raise UsageError(f"--{name} {value!r}: choose one of {', '.join(choices)}")
    if isinstance(getattr(options, attribute), list):
        getattr(options, attribute).append(value)
    else:
        setattr(options, attribute, value)
