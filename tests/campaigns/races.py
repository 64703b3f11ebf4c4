"""Symbolic links that a partner process puts in the place of files and directories during a run, and takes away again.

Three judges: strace (no call looks up a name in a way that could follow a link, and nothing outside is opened), the
results (nothing from outside is in them), and what is outside (no byte, no fact, not even a time of access changes).
"""

from __future__ import annotations

import ctypes
import mmap
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.trees import Builder

from .material import ENVIRONMENT, command, make_images

SECRET = b"a secret outside of the trees\n"
_DIRECTORIES, _DEEP, _MANY = 3, 70, 2200
_LONGEST = 900  # s; whoever measures speed stops everybody else meanwhile
_FILES = ("f", "g")
_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h
_libc = ctypes.CDLL(None, use_errno=True)

RUNS: dict[str, list[str]] = {
    # {R}: an empty directory for results
    "OUT absent": ["{lower}", "{upper}", "{R}/out"],
    "OUT empty": ["{lower}", "{upper}", "{R}/empty"],
    "--verify": ["--verify", "{lower}", "{upper}", "{R}/out"],
    "--ignore": ["--ignore", "no/such", "{lower}", "{upper}", "{R}/out"],
    "--whiteout overlay": ["--whiteout", "overlay", "--compare", "metadata", "{lower}", "{upper}", "{R}/out"],
    "a list, --digest": ["--digest", "--report", "{R}/report", "--stat", "{lower}", "{upper}"],
    "--layer": ["--layer", "{R}/layer.tar", "--layer-xattrs", "all", "{lower}", "{upper}"],
    "--append": ["--append", "oci:{place}/image:latest", "--to", "oci:{R}/image:new", "{lower}", "{upper}"],
    "differ-apply": ["{lower}", "{place}/changes", "{R}/out"],
    "--jobs 3": ["--progress", "none", "--jobs", "3", "{many-lower}", "{many-upper}", "{R}/out"],
}
_RARE = {"--jobs 3": 100}  # of so many rounds one: a run takes longer


# ---------------------------------------------------------------- the trees, and who changes them


def _make(place: Path) -> list[tuple[bytes, bytes]]:
    """Make the trees; the pairs of names that the partner exchanges, a thing of the tree and a link."""
    t = Builder(place)
    t.dirs("outside", "outside/empty", "aside", "results", "logs")
    t.file("outside/secret", SECRET)
    targets: list[str] = [
        *(str(place / "outside/secret"), str(place / "outside/empty"), str(place / "results")),
        *("nowhere", "..", "../../outside/secret", "/proc/self/root", "/proc/self/cwd"),
    ]
    pairs = []
    for tree in ("lower", "upper", "many-lower", "many-upper"):
        t.dir(tree)
        for number in range(_DIRECTORIES):
            where = f"d{number}"
            if tree == "lower":
                t.dirs(f"outside/{where}", f"outside/{where}/below")
                for path in (*_FILES, "below/h"):
                    t.file(f"outside/{where}/{path}", SECRET)
            t.dirs(f"{tree}/{where}", f"{tree}/{where}/below")
            for path in (*_FILES, "below/h"):
                data = f"{tree if number % 2 or path == 'f' else 'both'} {where} {path}\n" * 50
                t.file(f"{tree}/{where}/{path}", data, xattrs={"user.a": tree.encode()})
            for path, target in (
                (where, str(place / "outside" / where)),
                (f"{where}/below", f"../../outside/{where}/below"),
                (f"{where}/f", str(place / "outside" / where / "f")),
                (f"{where}/g", targets[(number + len(tree)) % len(targets)]),
                (f"{where}/below/h", f"../../../outside/{where}/below/h"),
            ):
                link = f"{tree}/{path}.link"
                t.symlink(link, target)
                pairs.append((os.fsencode(place / tree / path), os.fsencode(place / link)))
        if tree.startswith("many"):
            for number in range(_MANY):
                if number % 100 == 0:
                    t.dir(f"{tree}/many{number // 100}")
                t.file(f"{tree}/many{number // 100}/{number}", f"{tree} many\n" if number % 3 else "many\n")
            t.deep([tree, *["c"] * _DEEP], lambda fd: None)
            t.symlink(f"aside/{tree}", str(place / "outside/d0"))
            pairs.append((os.fsencode(place / tree / "c/c/c"), os.fsencode(place / "aside" / tree)))
            pairs.append((os.fsencode(place / tree / "c"), os.fsencode(place / tree / "d0.link")))
    for above, names, files in os.walk(place):
        for name in (*names, *files):
            os.utime(os.path.join(above, name), ns=(1, 2), follow_symlinks=False)
    return pairs


def _exchange(one: bytes, other: bytes) -> None:
    """Let two names change places, so that at no time one of them is missing."""
    _libc.renameat2(-100, one, -100, other, _EXCHANGE)


def _partner(pairs: list[tuple[bytes, bytes]], place: Path, seed: int, count: mmap.mmap) -> None:
    """Exchange until killed: sometimes fast, sometimes once in a while, mostly the same few at a time.

    ``count``: how often is told there.
    """
    draw = random.Random(seed)
    out, target = place / "results/out", place / "outside/empty"
    done = 0
    while True:
        some = draw.sample(pairs, draw.randint(1, 12))
        pause = draw.choice((0.0002, 0.001, 0.002, 0.005, 0.02))
        for _ in range(draw.randint(1, 60)):
            _exchange(*draw.choice(some))
            done += 1
            count[:8] = done.to_bytes(8, "little")
            if draw.random() < 0.003:
                try:
                    out.unlink() if out.is_symlink() else out.symlink_to(target)
                except OSError:
                    pass
            time.sleep(pause * draw.random())


# ---------------------------------------------------------------- the judges

_BYTES = frozenset(("read", "pread64", "preadv", "copy_file_range", "sendfile", "getdents64", "fchdir"))
_CALL = re.compile(r"^(\w+)\((.*)\) = (\S+.*)$")
_BASE = re.compile(r'^(?:AT_FDCWD|\d+)<([^>]*)>, "((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r'^"((?:[^"\\]|\\.)*)"')
_MAKES = frozenset(
    ("mkdirat", "mkdir", "symlinkat", "mknodat", "unlinkat", "renameat", "renameat2", "fchmodat", "fchownat")
)
_FOLLOWS = frozenset(
    ("listxattr", "getxattr", "setxattr", "removexattr", "chdir", "truncate", "stat", "open")
)
_NOFOLLOW = {"newfstatat": "AT_SYMLINK_NOFOLLOW", "fchownat": "AT_SYMLINK_NOFOLLOW", "openat": "O_NOFOLLOW"}
TRACED = "trace=%file,getdents64,pread64,preadv,copy_file_range,sendfile,read,fchdir"


class Watch:
    """Judges what strace has seen of runs on the trees in ``place``.

    ``trees``: the inputs.  ``others``: where else names may be looked up.
    """

    def __init__(self, place: Path, trees: list[str], others: tuple[str, ...]) -> None:
        self._outside = f"{place}/outside"
        self._trees = tuple(f"{place}/{tree}" for tree in trees)
        self._own = (*self._trees, *(f"{place}/{other}" for other in others))
        self._place = str(place)

    def wrong(self, logs: Path) -> tuple[int, list[str]]:
        """How many calls were looked at, and those that a careful program does not make.

        ``logs``: a directory with a file for each process, which are removed.
        """
        found = []
        count = 0
        for log in logs.iterdir():
            with open(log, errors="replace") as lines:
                for line in lines:
                    if self._place not in line:
                        continue
                    count += 1
                    why = self._why(line)
                    if why:
                        found.append(f"{why}: {line.strip()[:300]}")
            log.unlink()
        return count, found

    def _why(self, line: str) -> str:
        match = _CALL.match(line)
        if match is None:
            return ""
        call, words, answer = match.groups()
        base = None if call in _BYTES else _BASE.match(words)
        if call == "execve":
            return ""
        if base is None:
            if f"<{self._outside}" in words or f"<{self._outside}" in answer:
                return "a file outside is used"
            if call == "getdents64" and self._place in words and not self._is_own(words.partition("<")[2]):
                return "a directory outside is listed"
            path = _NAME.match(words)
            if path is not None and call in _FOLLOWS and self._is_below(path[1]):
                return "a path is followed"
            return ""
        directory, name = base.groups()
        if name.startswith("/"):
            if self._is_below(name) or name.startswith(self._outside):
                return "a path into a tree"
        elif self._is_own(directory):
            if "/" in name:
                return "more than one name"
            if call in _MAKES and directory.startswith(self._trees):
                return "an input is written to"
            if call in _NOFOLLOW and name not in ("", ".", "..") and _NOFOLLOW[call] not in words:
                return "a link would be followed"
        if f"<{self._outside}" in words or (f"<{self._outside}" in answer and name != ".."):
            return "a file outside is used"
        return ""

    def _is_own(self, path: str) -> bool:
        return path.startswith(self._own)

    def _is_below(self, path: str) -> bool:
        return any(path.startswith(f"{tree}/") for tree in self._trees)


def _facts(root: Path) -> list[tuple[object, ...]]:
    """All that is outside: names, facts and times, that of access too, without reading anything."""
    found: list[tuple[object, ...]] = []
    for path in (root, *sorted(root.rglob("*"))):
        facts = path.lstat()
        found.append(
            (str(path), facts.st_mode, facts.st_ino, facts.st_size, facts.st_atime_ns, facts.st_mtime_ns)
        )
    return found


def _known(data: bytes) -> bool:
    """Whether these may be the bytes of a file of the trees."""
    line, _, _ = data.partition(b"\n")
    return data == (line + b"\n") * (len(data) // (len(line) + 1)) and line.split(b" ")[0] in (
        *(b"lower", b"upper", b"both", b"many-lower", b"many-upper", b"many"),
    )


def _wrong_in(results: Path) -> list[str]:
    """What a result holds that is of no tree."""
    wrong = []
    for above, _, names in os.walk(results):
        for name in names:
            path = Path(above, name)
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            is_tree = path.relative_to(results).parts[0] in ("out", "empty")
            if SECRET.strip() in data:
                wrong.append(f"{path}: a secret")
            elif is_tree and data and not name.startswith(".wh.") and not _known(data):
                wrong.append(f"{path}: {data[:60]!r}")
    layer = results / "layer.tar"
    if layer.exists():
        with tarfile.open(layer) as tar:
            wrong += [
                f"{one.name} in the layer" for one in tar if one.name.startswith(("/", "..", "outside"))
            ]
    return wrong


# ---------------------------------------------------------------- the rounds


class Bench:
    """A place with trees, and a partner that races."""

    def __init__(self, static: bool, seed: int) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="differ-races-"))
        self._static = static
        self._pairs = _make(self.place)
        trees = [str(self.place / name) for name in ("lower", "upper", "changes")]
        subprocess.run([*command(static=static), "-q", *trees], check=True, cwd="/")
        make_images(self.place, self._static)
        inputs = ["lower", "upper", "changes", "many-lower", "many-upper"]
        self._watch = Watch(self.place, inputs, ("results", "aside", "image"))
        self._outside = _facts(self.place / "outside")
        self.calls = 0
        self._count = mmap.mmap(-1, 8)
        self._partner = os.fork()
        if self._partner == 0:
            try:
                _partner(self._pairs, self.place, seed, self._count)
            finally:
                os._exit(1)

    def exchanges(self) -> int:
        """How often two names have changed places so far."""
        return int.from_bytes(self._count[:8], "little")

    def close(self) -> None:
        os.kill(self._partner, signal.SIGKILL)
        os.waitpid(self._partner, 0)
        shutil.rmtree(self.place, ignore_errors=True)

    def round(self, run: str) -> tuple[str, list[str]]:
        """One run; what became of it, and what is wrong."""
        results, logs = self.place / "results", self.place / "logs"
        for path in results.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        (results / "empty").mkdir()
        places = {name: str(self.place / name) for name in ("lower", "upper", "many-lower", "many-upper")}
        words = [word.format(place=self.place, R=results, **places) for word in RUNS[run]]
        traced = ["strace", "-ff", "-y", "-qq", "--seccomp-bpf", "-e", TRACED, "-o", str(logs / "of")]
        started = [
            *traced,
            *command("differ-apply" if run == "differ-apply" else "differ", self._static),
            *words,
        ]
        try:
            done = subprocess.run(
                started, cwd="/", capture_output=True, timeout=_LONGEST, env=ENVIRONMENT, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return "wrong", ["it hangs"]
        wrong = []
        if done.returncode == 2:
            told = [line for line in done.stderr.splitlines() if ": not proved: " not in line]
            if len(told) != 1 or not told[0].startswith("differ"):
                wrong.append(f"not one line: {done.stderr[-300:]!r}")
        elif done.returncode not in ((0, 1) if run == "--verify" else (0,)) or "Traceback" in done.stderr:
            wrong.append(f"exit status {done.returncode}: {done.stderr[-300:]}")
        calls, why = self._watch.wrong(logs)
        self.calls += calls
        wrong += why[:3]
        wrong += _wrong_in(results)
        if SECRET.strip().decode() in done.stdout:
            wrong.append("a secret is told")
        now = _facts(self.place / "outside")
        if now != self._outside:
            wrong.append(f"outside is touched: {[one for one in now if one not in self._outside][:3]}")
            self._outside = now
        kind = {0: "a result", 1: "a proof that fails", 2: "an error"}.get(done.returncode, "")
        return "wrong" if wrong else kind, wrong


Found = dict[str, Counter[str]]
Outcome = tuple[Found, list[str], Counter[str]]
"""The outcomes by run, what is wrong, and how many calls were judged and exchanges made."""


def _work(rounds: int, static: bool, end: float, seed: int, results: multiprocessing.Queue[Outcome]) -> None:
    found: Found = {}
    wrong: list[str] = []
    bench = Bench(static, seed)
    often = [run for run in RUNS if run not in _RARE]
    try:
        for number in range(rounds):
            if time.monotonic() > end:
                break
            run = often[number % len(often)]
            for rare, one_of in _RARE.items():
                if number % one_of == 1:
                    run = rare
            kind, why = bench.round(run)
            found.setdefault(run, Counter())[kind] += 1
            wrong += [f"{run}, round {number}: {one}" for one in why]
    finally:
        bench.close()
        results.put((found, wrong, Counter({"calls": bench.calls, "exchanges": bench.exchanges()})))


def campaign(rounds: int, static: bool, seconds: float, seed: int = 1, workers: int = 2) -> Outcome:
    """Race so many times."""
    results: multiprocessing.Queue[Outcome] = multiprocessing.Queue()
    end = time.monotonic() + seconds
    started = [
        multiprocessing.Process(target=_work, args=(rounds // workers, static, end, seed + n, results))
        for n in range(workers)
    ]
    for one in started:
        one.start()
    found: Found = {run: Counter() for run in RUNS}
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    for _ in started:
        some, why, count = results.get(timeout=seconds + _LONGEST)
        for run, counts in some.items():
            found[run] += counts
        wrong += why
        counted += count
    for one in started:
        one.join()
    return found, wrong, counted


def table(found: Found) -> str:
    """The outcomes as Markdown."""
    kinds = ("a result", "a proof that fails", "an error", "wrong")
    lines = [f"| run | rounds | {' | '.join(kinds)} |", f"|---|{'--:|' * 5}"]
    for run, counts in found.items():
        figures = [sum(counts.values()), *(counts[kind] for kind in kinds)]
        lines.append(f"| {run} | {' | '.join(map(str, figures))} |")
    total = [sum(sum(counts.values()) for counts in found.values())]
    total += [sum(counts[kind] for counts in found.values()) for kind in kinds]
    return "\n".join([*lines, f"| all | {' | '.join(map(str, total))} |"])
