"""What a run holds open, says and counts."""

from __future__ import annotations

from .model import DifferError, Losses, Tally, printable
from .progress import Progress
from .scan import SCRATCH, DiskTree, EmptyTree, is_not_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .archives import Archives
    from .layered import LayeredTree
    from .model import Tree
    from .options import Options
    from .writers.directory import DirectoryWriter
    from .writers.image import AppendedImage
    from .writers.layer import Layer
    from .writers.output import Output, OutputFile

    Input = DiskTree | EmptyTree | LayeredTree

    class Console(Protocol):
        """What a run may say, and to whom."""

        name: str
        """The command's name, for messages."""

        def out(self, line: str) -> None:
            """A line of results, on stdout."""

        def put(self, data: bytes) -> None:
            """Bytes of a result, on stdout."""

        def err(self, text: str) -> None:
            """Anything else, on stderr, as it is."""

        def flush(self) -> None:
            """See that all results on stdout have been taken."""

        def progress(self, how: str) -> str:
            """What ``--progress`` means here: ``line``, ``plain`` or ``none``."""

        def colour(self, how: str) -> bool:
            """What ``--color`` means on stdout: whether lines have colours."""

        def width(self) -> int:
            """How many cells a line has on stdout."""

        def hold_signals(self) -> None:
            """From now on no signal interrupts the run."""


def wanted_xattrs(excluded: list[str]) -> Callable[[str], bool]:
    """The predicate for the extended attributes that count: not private, and matching none of the
    globs ``excluded``."""
    if not excluded:
        return is_not_private
    # Imported here because only a run with --xattr-exclude should pay 10 ms for it.
    from fnmatch import fnmatchcase

    return lambda xattr: is_not_private(xattr) and not any(fnmatchcase(xattr, glob) for glob in excluded)


class Session:
    """What a run holds open, and what it has counted."""

    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.tally = Tally()
        self.losses = Losses(options.strict)
        self.wanted = wanted_xattrs(options.xattr_exclude)
        self.trees: list[Tree] = []
        self.writer: DirectoryWriter | None = None
        self.output: Output | None = None
        self.report: OutputFile | None = None
        self.layer: Layer | None = None
        self.image: AppendedImage | None = None
        self._archives: Archives | None = None
        self.progress = self.show(self.tally)
        if options.verbose:
            self.losses.told = self._tell_loss

    def show(self, tally: Tally) -> Progress:
        """Progress of what ``tally`` counts."""
        how = "none" if self.options.quiet else self.console.progress(self.options.progress)
        return Progress(self.console.name, how, self.console.err, tally)

    def lower(self) -> Input:
        """LOWER; raises :class:`DifferError` if there is none."""
        if self.options.lower != SCRATCH:
            return self.tree(self.options.lower)
        tree = EmptyTree()
        self.trees.append(tree)
        return tree

    def tree(self, word: bytes, raw: bool = False) -> Input:
        """What an argument names: a directory, or an image or tars (archives.py, also for ``raw``).

        Raises :class:`DifferError` if there is no such thing.
        """
        if not word.startswith((b"oci:", b"tar:")):
            return self.disk(word)
        return self.archives().tree(word, raw)

    def archives(self) -> Archives:
        """The images and tars of this run."""
        if self._archives is None:
            from .archives import Archives

            self._archives = Archives(self.wanted)
        return self._archives

    def disk(self, path: bytes, fd: int = -1) -> DiskTree:
        """A directory, by its path or its descriptor; raises :class:`DifferError` if there is none."""
        tree = DiskTree(path, self.wanted, fd, self.options.one_file_system)
        self.trees.append(tree)
        return tree

    def avoid(self, fd: int, what: str) -> None:
        """Fail if an input leads to the directory ``fd``, in which something is written."""
        for tree in self.trees:
            if isinstance(tree, DiskTree) and fd >= 0:
                tree.avoid(fd, what)

    def reader(self, tree: Input) -> Input:
        """An input once more, to be read at another place than where the walk stands."""
        reader = tree.again()
        self.trees.append(reader)
        return reader

    def say(self, line: str) -> None:
        """One line on stderr."""
        self.progress.clear()
        self.console.err(f"{self.console.name}: {line}\n")

    def result(self, line: str) -> None:
        """One line on stdout."""
        self.progress.clear()
        self.console.out(line)

    def _tell_loss(self, kind: str, path: bytes, reason: str) -> None:
        self.say(f"warning: {printable(path)}: {kind} not carried: {reason}")

    def warn_of_losses(self) -> None:
        """One line for each kind of fact that could not be carried."""
        if self.options.quiet:
            return
        for kind, (count, first, reason) in sorted(self.losses.kinds.items()):
            entries = "1 entry" if count == 1 else f"{count} entries"
            self.say(f"warning: {kind} of {entries} not carried ({reason}), first {printable(first)}")

    def close(self, failed: bool) -> None:
        """Close everything; remove results that were not published.

        Raises :class:`DifferError`, only if nothing had failed before, when one cannot be removed.
        """
        self.console.hold_signals()
        self.progress.clear()
        for tree in self.trees:
            tree.close()
        if self.writer is not None:
            self.writer.close()
        if self._archives is not None:
            self._archives.close()
        for result in (self.report, self.layer, self.output):
            if result is None:
                continue
            try:
                result.discard()
            except DifferError as error:
                if not failed:
                    raise
                self.say(str(error))
