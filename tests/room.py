"""A place for one pair of trees, and the commands run there in this process."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from differ.cli import main, main_apply

from .expected import Rows, by_path
from .trees import read_tree


class Room:
    """A directory that has, or will have, the trees ``lower``, ``upper`` and what is made of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("lower", "upper"):
            (path / name).mkdir(mode=0o755)

    def differ(
        self, *options: str, trees: tuple[str, str] = ("lower", "upper"), out: str | None = None
    ) -> tuple[int, str, str]:
        """Run ``differ``; its exit status, stdout and stderr."""
        words = [*options, *(str(self.path / tree) for tree in trees)]
        return _run(main, words if out is None else [*words, str(self.path / out)])

    def apply(self, style: str, changes: str = "out", out: str = "applied") -> None:
        """Run ``differ-apply``, which must succeed."""
        words = [str(self.path / name) for name in ("lower", changes, out)]
        status, _, err = _run(main_apply, ["--strict", "--whiteout", style, *words])
        assert (status, "warning" in err) == (0, False), err

    def write(self, style: str, *options: str, out: str = "out") -> None:
        """Run ``differ --whiteout style`` with OUT, which must succeed and carry everything."""
        status, _, err = self.differ("--strict", "--whiteout", style, *options, out=out)
        assert (status, "warning" in err) == (0, False), err

    def rows(self, name: str) -> Rows:
        """The tree of that name, read back, without its root."""
        return by_path(read_tree(self.path / name))


@contextlib.contextmanager
def room(base: Path) -> Iterator[Room]:
    """A room below ``base`` that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=base) as path:
        yield Room(Path(path))


def _run(command: Callable[[list[str]], int], words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command(words)
    return status, out.getvalue(), err.getvalue()


def command(name: str, *words: object) -> tuple[int, str, str]:
    """Run ``differ`` or ``differ-apply`` here; its exit status, stdout and stderr."""
    return _run(main_apply if name == "differ-apply" else main, list(map(str, words)))
