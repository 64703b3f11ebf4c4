"""Every system call of a run fails once: strace injects an error into the k-th call of a kind, for every k.

Counting begins where differ does: with the first call of its own, which opens the current directory.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .material import ENVIRONMENT, command, make_image, make_trees, reset, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.trees import Row

_BEGIN = 'openat(AT_FDCWD, ".", O_RDONLY|O_CLOEXEC|O_DIRECTORY)'
_LOOK = ("EIO", "EACCES", "ENOMEM", "ESTALE")
_MAKE = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "ENOMEM", "ESTALE")
_MOVE = ("EIO", "ENOSPC", "EDQUOT", "ENOMEM", "ESTALE", "EINTR")
_READ = ("EIO", "ENOMEM", "ESTALE", "EINTR")
_UNKNOWN = ("EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")
ERRNOS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("openat",), (*_MAKE, "EMFILE", "EINTR")),
    **dict.fromkeys(("newfstatat", "fstat", "statx", "readlink", "readlinkat", "fchdir", "chdir"), _LOOK),
    **dict.fromkeys(("llistxattr", "flistxattr", "lgetxattr", "fgetxattr", "getdents64"), _LOOK),
    **dict.fromkeys(("read", "pread64", "preadv"), _READ),
    **dict.fromkeys(("write", "pwrite64", "ftruncate"), ("EIO", "ENOSPC", "EDQUOT", "EINTR")),
    **dict.fromkeys(("copy_file_range", "sendfile"), (*_MOVE, *_UNKNOWN)),
    **dict.fromkeys(
        ("mkdirat", "symlinkat", "linkat", "mknodat", "renameat", "renameat2", "unlinkat"), _MAKE
    ),
    **dict.fromkeys(("fchmod", "fchmodat", "utimensat"), _MAKE),
    **dict.fromkeys(("fchown", "fchownat"), (*_MAKE, "EPERM")),
    **dict.fromkeys(("fsetxattr", "lsetxattr"), (*_MAKE, "EPERM", "EOPNOTSUPP")),
    **dict.fromkeys(("fremovexattr",), _MAKE),
    **dict.fromkeys(("close",), ("EIO", "ENOSPC", "EDQUOT", "EINTR")),
    **dict.fromkeys(("lseek",), ("EIO", "EINVAL")),
    **dict.fromkeys(("fcntl",), ("EIO", "EMFILE")),
    **dict.fromkeys(("dup", "memfd_create", "pipe2"), ("EMFILE", "ENFILE")),
    **dict.fromkeys(("ioctl",), ("EIO", "ENOTTY")),
    **dict.fromkeys(("flock",), ("EIO", "ENOLCK", "EINTR")),
    **dict.fromkeys(("getrandom",), ("EINTR", "EIO")),
    **dict.fromkeys(("mmap", "mremap"), ("ENOMEM",)),
    **dict.fromkeys(("clone", "fork", "vfork"), ("EAGAIN", "ENOMEM")),
    **dict.fromkeys(("poll", "wait4"), ("EINTR",)),
    **dict.fromkeys(("fsync", "fdatasync"), ("EIO", "ENOSPC", "EDQUOT")),
}
"""What the call may answer on some file system or under some limit; a call that is not here has no error that
a correct program can meet (rt_sigaction, munmap, geteuid, exit_group; brk answers with the old break, and strace
cannot)."""

TOLERATED: list[tuple[str, str, str]] = [
    ("renameat", "EACCES", "a directory is moved once more, with the permission to write into it"),
    ("unlinkat", ".*", "the empty directory beside an image that is published is removed once more"),
    # call, errnos, reason; the result must be right all the same, or the loss be warned of
    ("copy_file_range", "EXDEV|EINVAL|EOPNOTSUPP|ENOSYS", "the next way to copy is taken"),
    ("sendfile", "EXDEV|EINVAL|EOPNOTSUPP|ENOSYS", "the next way to copy is taken"),
    ("fchown|fchownat", "EPERM", "no privilege: owners are counted and warned of"),
    ("fsetxattr|lsetxattr", "EPERM|EOPNOTSUPP", "no such attribute here: counted and warned of"),
    ("close", "EIO|ENOSPC|EDQUOT", "nothing was written through the descriptor: close(2) loses nothing"),
    ("lseek", "EINVAL", "the file system knows no holes: read as data"),
    ("ioctl", "EIO|ENOTTY", "isatty(3): not a terminal"),
    ("mmap|mremap", "ENOMEM", "the allocator asks in another way"),
    ("write", "EIO|ENOSPC|EDQUOT", "stderr takes nothing: results are there, nobody can be told"),
    ("clone|fork|vfork|pipe2", "EAGAIN|ENOMEM|EMFILE|ENFILE", "the work is done by this process"),
    ("flock", "ENOLCK", "the file system has no locks, and nobody waits"),
    ("openat", ".*", "/proc and /sys only tell of a faster way, and the place to come back to"),
    (
        "getdents64|llistxattr|flistxattr|lgetxattr|pread64|preadv",
        ".*",
        "the search: what it cannot look at the plan looks at",
    ),
    ("newfstatat|fstat|lseek", ".*", "the search, as above; how stdout and stderr are buffered"),
    ("read|fcntl|readlink|fchdir", ".*", "the faster way is not taken, or the place to come back to"),
]
WARNED = re.compile("fchown|fchownat|fsetxattr|lsetxattr")
_MEMORY = ("mmap", "mremap")
PARTS: dict[str, tuple[list[str], bool, bool]] = {
    # the words after the command, whether OUT exists, whether an image is there
    "OUT absent": (["{lower}", "{upper}", "{results}/out"], False, False),
    "OUT empty": (["{lower}", "{upper}", "{results}/out"], True, False),
    "--verify": (["--verify", "{lower}", "{upper}", "{results}/out"], False, False),
    "differ-apply": (["{lower}", "{place}/changes", "{results}/out"], False, False),
    "--layer": (["{lower}", "{upper}", "--layer", "{results}/layer.tar"], False, False),
    "--append": (["{lower}", "{upper}", "--append", "oci:{results}/image:latest"], False, True),
    "processes": (["--progress", "none", "--verify", "{lower}", "{upper}", "{results}/out"], False, False),
}
MANY = 2500  # files, for which work is shared among processes
Case = tuple[str, str, str, int]
"""A part, a call, an errno, and which call of a process it is."""


class Bench:
    """A place with the trees of one part, and the runs there."""

    def __init__(self, part: str, static: bool) -> None:
        self.part = part
        self.place = Path(tempfile.mkdtemp(prefix="differ-faults-"))
        words, self._existing, self._image = PARTS[part]
        make_trees(self.place, MANY if part == "processes" else 0)
        if part == "differ-apply":
            trees = [str(self.place / name) for name in ("lower", "upper", "changes")]
            subprocess.run([*command(static=static), "-q", *trees], check=True, cwd="/")
        if self._image:
            make_image(self.place)
        self._command = command(part == "differ-apply", static)
        jobs = "3" if part == "processes" else "1"
        places = {name: str(self.place / name) for name in ("lower", "upper", "results")}
        self.words = ["--jobs", jobs, *(word.format(place=self.place, **places) for word in words)]
        if part == "differ-apply":
            self.words = self.words[2:]
        self.before = self._reset()
        status, err, log = self.traced()
        assert status == 0, err
        self.whole = state(self.place / "results")
        self.counts = self._counts(log)

    def close(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def _reset(self) -> list[Row]:
        return state(reset(self.place, self._existing, self._image))

    def traced(self, *options: str) -> tuple[int, str, str]:
        """A run under strace; its exit status, stderr, and what strace has logged."""
        log = self.place / "log"
        words = ["strace", "-f", "-qq", "-o", str(log), *options, *self._command, *self.words]
        try:
            done = subprocess.run(
                words, cwd="/", capture_output=True, timeout=60, env=ENVIRONMENT, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return -1000, "it hangs", ""
        return done.returncode, done.stderr, log.read_text(errors="replace")

    def _counts(self, log: str) -> dict[str, tuple[int, int]]:
        """Of each call: how many came before differ's own, and how many there were at most in one process."""
        first: Counter[str] = Counter()
        of: dict[str, Counter[str]] = {}
        begun = False
        for line in log.splitlines():
            pid, _, rest = line.partition(" ")
            begun = begun or _BEGIN in rest
            name, bracket, _ = rest.strip().partition("(")
            if not bracket or not name.isidentifier():
                continue
            of.setdefault(pid, Counter())[name] += 1
            if not begun:
                first[name] += 1
        assert begun, "where differ begins is not seen"
        return {
            name: (first[name], max(counts[name] for counts in of.values()))
            for name in {name for counts in of.values() for name in counts}
        }

    def cases(self) -> Iterator[Case]:
        for name, (first, last) in sorted(self.counts.items()):
            for at in range(first + 1, last + 1):
                for errno in ERRNOS.get(name, ()):
                    yield self.part, name, errno, at

    def judge(self, case: Case) -> tuple[str, str]:
        """Run one case: the outcome, and what is wrong with it."""
        _, name, errno, at = case
        self._reset()
        inject = f"inject={name}:error={errno}:when={at}"
        status, err, log = self.traced("--seccomp-bpf", "-e", f"trace={name}", "-e", inject)
        if "(INJECTED)" not in log:
            return "not reached", ""
        now = state(self.place / "results")
        if status == 0:
            if now != self.whole:
                lost = WARNED.fullmatch(name) and " not carried (" in err
                if not lost:
                    return "success", "exit 0 with a wrong result" + _difference(now, self.whole)
            if errno == "EINTR":
                return "succeeds", ""
            if not tolerated(name, errno):
                return "success", f"not in the table of what is tolerated: {_injected(log)}"
            return "tolerated", ""
        if status == 1 and "--verify" in self.words and WARNED.fullmatch(name) and tolerated(name, errno):
            said = "not proved: " in err and " not carried (" in err
            return "tolerated", "" if said else f"a proof that fails without its reason: {err}"
        wrong = []
        if "cannot be removed" in err:  # the cleaning itself was made to fail, and says so
            now = [row for row in now if not row["path"].startswith((".differ-", "image/.differ-"))]
        is_published = now == self.whole and ("--verify" in self.words or "cannot be removed" in err)
        if status != 2:
            wrong.append(f"exit status {status}: {err[-300:]}")
        if now != self.before and not is_published:
            wrong.append("something is left" + _difference(now, self.before))
        if err.count("\n") != 1 or not err.startswith("differ"):
            wrong.append(f"not one line: {err[-300:]!r}")
        elif name not in _MEMORY and str(self.place) not in err and not _names_an_entry(err):
            wrong.append(f"no path: {err!r}")
        if errno == "EINTR" and name != "close":
            wrong.append(f"an interrupted call is not repeated: {err!r}")
        return "exit 2", "; ".join(wrong) + (f" [{_injected(log)}]" if wrong else "")


def tolerated(name: str, errno: str) -> bool:
    """Whether a run may succeed although a call has answered so."""
    return any(re.fullmatch(a, name) and re.fullmatch(b, errno) for a, b, _ in TOLERATED)


def _injected(log: str) -> str:
    return next((line for line in log.splitlines() if "(INJECTED)" in line), "")[:200]


def _names_an_entry(err: str) -> bool:
    return any(f" {name}" in err for name in ("stdout", "stderr"))


def _difference(now: list[Row], wanted: list[Row]) -> str:
    rows = [row for row in now if row not in wanted] or [row for row in wanted if row not in now]
    return f": {[row['path'] for row in rows][:5]}"


_BENCHES: dict[str, Bench] = {}


def _judge(work: tuple[Case, bool, float]) -> tuple[Case, str, str]:
    case, static, end = work
    if time.monotonic() > end:
        return case, "out of time", ""
    if case[0] not in _BENCHES:
        _BENCHES[case[0]] = Bench(case[0], static)
    return case, *_BENCHES[case[0]].judge(case)


class _Worker(multiprocessing.Process):
    """Takes every n-th case, and cleans up after them."""

    def __init__(self, cases: list[tuple[Case, bool, float]], results: multiprocessing.Queue[object]) -> None:
        super().__init__()
        self._cases, self._results = cases, results

    def run(self) -> None:
        try:
            for work in self._cases:
                self._results.put(_judge(work))
        finally:
            for bench in _BENCHES.values():
                bench.close()
            self._results.put(None)


def campaign(
    parts: list[str], static: bool, seconds: float, most: int | None = None, seed: int = 1
) -> list[tuple[Case, str, str]]:
    """Run the cases of ``parts``: each with its outcome, and what is wrong with it.

    ``most``: how many of each part, drawn by ``seed``; None for all, and of ``processes`` 400.
    """
    cases = []
    for part in parts:
        with contextlib.closing(Bench(part, static)) as bench:
            drawn = list(bench.cases())
            random.Random(seed).shuffle(drawn)
            limit = most if most is not None else 400 if part == "processes" else None
            cases += drawn[:limit]
    random.Random(seed).shuffle(cases)  # so that what there is no time for is not one part
    end = time.monotonic() + seconds
    work = [(case, static, end) for case in cases]
    results: multiprocessing.Queue[object] = multiprocessing.Queue()
    workers = [_Worker(work[n::2], results) for n in range(2)]
    for worker in workers:
        worker.start()
    found: list[tuple[Case, str, str]] = []
    ended = 0
    while ended < len(workers):
        result = results.get(timeout=300)
        if result is None:
            ended += 1
        else:
            found.append(result)  # type: ignore[arg-type]
    for worker in workers:
        worker.join()
    return sorted(found)


def table(found: list[tuple[Case, str, str]]) -> str:
    """The outcomes by call and errno, as Markdown."""
    kinds = ("exit 2", "succeeds", "tolerated", "wrong")
    rows: dict[tuple[str, str], Counter[str]] = {}
    for (_, name, errno, _), outcome, wrong in found:
        rows.setdefault((name, errno), Counter())["wrong" if wrong else outcome] += 1
    by_name: dict[str, dict[tuple[int, ...], list[str]]] = {}
    for (name, errno), counts in rows.items():
        figures = tuple(counts[kind] for kind in kinds)
        by_name.setdefault(name, {}).setdefault(figures, []).append(errno)
    lines = [
        "| call | errno | injections of each | exit 2, nothing left | repeated | tolerated | wrong |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name, groups in sorted(by_name.items()):
        for figures, errnos in groups.items():
            cells = [f"`{name}`", " ".join(errnos), str(sum(figures)), *map(str, figures)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def totals(found: list[tuple[Case, str, str]]) -> str:
    """The outcomes by part, as Markdown."""
    rows: dict[str, Counter[str]] = {}
    for (part, *_), outcome, wrong in found:
        rows.setdefault(part, Counter())["wrong" if wrong else outcome] += 1
    kinds = ("exit 2", "succeeds", "tolerated", "wrong", "not reached", "out of time")
    lines = [f"| run | {' | '.join(kinds)} |", f"|---|{'--:|' * len(kinds)}"]
    for part, counts in rows.items():
        lines.append(f"| {part} | {' | '.join(str(counts[kind]) for kind in kinds)} |")
    return "\n".join(lines)


def reasons() -> str:
    """What is tolerated and why, as Markdown."""
    lines = ["| call | errno | why the run goes on |", "|---|---|---|"]
    for names, errnos, why in TOLERATED:
        shown = "any" if errnos == ".*" else errnos.replace("|", " ")
        lines.append(f"| {' '.join(f'`{name}`' for name in names.split('|'))} | {shown} | {why} |")
    return "\n".join(lines)


def available() -> bool:
    """Whether this machine can inject errors."""
    return os.geteuid() == 0 and shutil.which("strace") is not None
