"""Trees that a process changes while they are read."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from .bench import ended, not_one_line
from .material import command, make_trees

_FILES = 200
_SECRET = b"a secret outside of the trees"


def version(name: str, number: int) -> bytes:
    """The bytes of one version of a file: of others no part of it is made."""
    line = f"{name}:{number:08}\n".encode()
    return line * (1 + number * 7919 % 20_000 // len(line))


def is_version(name: str, data: bytes) -> bool:
    """Whether these bytes are those of one version, or its beginning: a file may be seen before it is whole."""
    number = data[len(name) + 1 : len(name) + 9]
    if not number.isdigit() or len(number) < 8:
        return version(name, 0).startswith(data) or data.startswith(name.encode()[: len(data)])
    line = f"{name}:{int(number):08}\n".encode()
    return data == (line * (1 + len(data) // len(line)))[: len(data)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _rewrite(path: Path, number: int) -> None:
    if path.is_file() and not path.is_symlink():
        path.write_bytes(version(path.name, number))


def _truncate(path: Path, number: int) -> None:
    if path.is_file() and not path.is_symlink():
        os.truncate(path, path.stat().st_size // 2)


def _replace(path: Path, number: int) -> None:
    _remove(path)
    aside = path.parent.parent.parent / "aside"
    aside.write_bytes(version(path.name, number))
    aside.rename(path)


def _symlink(path: Path, number: int) -> None:
    _remove(path)
    path.symlink_to(path.parent.parent.parent / "secret")


def _directory(path: Path, number: int) -> None:
    _remove(path)
    path.mkdir()
    (path / path.name).write_bytes(version(path.name, number))


def _delete(path: Path, number: int) -> None:
    _remove(path)


ACTS: tuple[Callable[[Path, int], None], ...] = (
    *(_rewrite, _rewrite, _truncate, _replace, _replace, _symlink, _directory, _delete),
)


def _disturb(upper: Path, seed: int, pause: float) -> None:
    """Change files of ``moving`` until killed."""
    draw = random.Random(seed)
    names = sorted(f"m{number:03}" for number in range(_FILES))
    for number in itertools.count(1):
        try:
            draw.choice(ACTS)(upper / "moving" / draw.choice(names), number)
        except OSError:
            pass
        time.sleep(pause * draw.random())


def _wrong_in(out: Path) -> list[str]:
    """What a result holds that was never there."""
    wrong = []
    for above, _, names in os.walk(out / "moving"):
        for name in names:
            path = Path(above, name)
            if path.is_symlink() or not path.is_file() or name.startswith(".wh."):
                continue
            data = path.read_bytes()
            if _SECRET in data or not is_version(name, data):
                wrong.append(f"{path.name}: {data[:40]!r}, {len(data)} bytes")
    return wrong


def campaign(rounds: int, static: bool, seconds: float, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """Run ``rounds`` times on a tree that changes; the outcomes, and what is wrong."""
    draw = random.Random(seed)
    place = Path(tempfile.mkdtemp(prefix="differ-moving-"))
    found: Counter[str] = Counter()
    wrong: list[str] = []
    out = place / "out"
    try:
        make_trees(place)
        (place / "secret").write_bytes(_SECRET)
        (place / "upper/moving").mkdir()
        end = time.monotonic() + seconds
        for number in range(rounds):
            if time.monotonic() > end:
                break
            for index in range(_FILES):
                path = place / "upper/moving" / f"m{index:03}"
                _remove(path)
                path.write_bytes(version(path.name, 0))
            _remove(out)
            pause = draw.choice((0.0, 0.005, 0.05, 0.3))
            pid = os.fork()
            if pid == 0:
                try:
                    _disturb(place / "upper", seed + number, pause)
                finally:
                    os._exit(1)
            options = draw.choice(([], ["--verify"], ["--jobs", "1"], ["--ignore", "no/such"]))
            words = [*command(static=static), *options, str(place / "lower"), str(place / "upper"), str(out)]
            try:
                status, err = ended(words)
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            why = _judged(status, err, out, "--verify" in options)
            left = [name for name in os.listdir(place) if name.startswith(".differ-")]
            why += [f"{left} is left"] if left else []
            kind = {0: "a result", 1: "a proof that fails", 2: "an error"}.get(status, "")
            found["wrong" if why else kind] += 1
            wrong += [f"round {number}: {one}" for one in why]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return found, wrong


def _judged(status: int, err: str, out: Path, verify: bool) -> list[str]:
    wrong = []
    if status == 2:
        if not_one_line(err):
            wrong.append(not_one_line(err))
        if out.exists() and not verify:
            wrong.append("a failure with a result")
    elif status not in (0, *([1] if verify else [])) or "Traceback" in err:
        wrong.append(f"exit status {status}: {err[-400:]}")
    if out.exists():
        wrong += _wrong_in(out)
    return wrong


def table(found: Counter[str]) -> str:
    """The outcomes as Markdown."""
    kinds = ("a result", "a proof that fails", "an error", "wrong")
    figures = [sum(found.values()), *(found[kind] for kind in kinds)]
    return f"| rounds | {' | '.join(kinds)} |\n|{'--:|' * 5}\n| {' | '.join(map(str, figures))} |"
