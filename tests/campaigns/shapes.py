"""Trees whose shape is the attack: how many, how deep, how long, how large, how extreme.

Each kind of input is made on each file system that can hold it, and goes through the commands.  The judges: a reader
of trees that is not the product's (tests/trees.py), GNU tar for layers, and what strace has seen.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.disks import disk
from tests.trees import CAP_NET_RAW, Builder, Row, read_tree, without

from .material import command

PLACES = ("ext4", "xfs", "btrfs", "tmpfs", "overlay")
_MKFS = {"ext4": ("-O", "ea_inode", "-N", "700000", "-m", "0")}
_MIB = {"ext4": 4096, "xfs": 4096, "btrfs": 4096}
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
_HOUR = 3600  # s, more than any run may take


class Sizes(NamedTuple):
    """How much of each."""

    entries: int
    depth: int
    links: int
    attributes: int


FULL = Sizes(100_000, 10_000, 65_000, 5000)
SHORT = Sizes(600, 300, 200, 300)


class Ran(NamedTuple):
    """What a command has done."""

    status: int
    out: str
    err: str


class Bench:
    """A directory with ``lower`` and ``upper``, and runs on them that are judged.

    ``where``: the kind of file system.  ``found``: what came of each, by the command: ``whole`` or ``refused``.
    """

    def __init__(self, place: Path, where: str, static: bool, sizes: Sizes) -> None:
        self.place, self.where, self.sizes = place, where, sizes
        self.lower, self.upper = place / "lower", place / "upper"
        self._static = static
        self.found: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.less: tuple[str, ...] = ()  # facts that the judges leave out
        self._number = 0

    def new(self, name: str = "out") -> Path:
        """The path of a result."""
        self._number += 1
        return self.place / f"{name}{self._number}"

    def run(self, *words: object, apply: bool = False, before: tuple[str, ...] = ()) -> Ran:
        """Run the command; what is wrong whatever it was asked for is noted."""
        line = [
            *before,
            *command("differ-apply" if apply else "differ", self._static),
            *map(os.fsdecode, map(_bytes, words)),
        ]
        try:
            done = subprocess.run(
                line, cwd="/", capture_output=True, timeout=_HOUR / 6, env=_ENVIRONMENT, check=False
            )
        except subprocess.TimeoutExpired:
            self.wrong.append(f"it hangs: {words}")
            return Ran(-1, "", "")
        out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
        self.wrong += [f"{words}: {one!r} is told" for one in (out, err) if not _is_harmless(one)]
        if done.returncode not in (0, 1, 2) or "Traceback" in err:
            self.wrong.append(f"{words}: exit status {done.returncode}: {err[-300:]}")
        return Ran(done.returncode, out, err)

    def whole(self, what: str, ran: Ran, is_right: bool, why: str = "") -> None:
        """Note a run that must succeed, with a result that a judge has looked at."""
        self.found["whole"] += 1
        if ran.status != 0 or "not carried" in ran.err:
            self.wrong.append(f"{what}: exit status {ran.status}: {ran.err[-300:]}")
        elif not is_right:
            self.wrong.append(f"{what}: the judge says no {why}")

    def refused(self, what: str, ran: Ran, path: str, *results: Path) -> None:
        """Note a run that must fail with one line that names ``path``, and leave nothing."""
        self.found["refused"] += 1
        if ran.status != 2 or ran.err.count("\n") != 1 or path not in ran.err:
            self.wrong.append(f"{what}: should be refused, exit status {ran.status}: {ran.err[-300:]}")
        self.wrong += [f"{what}: {one} is left" for one in results if os.path.lexists(one)]
        left = [name for name in os.listdir(self.place) if name.startswith(".differ-")]
        self.wrong += [f"{what}: {left} is left"] if left else []

    # ------------------------------------------------------------ judged runs

    def rows(self, root: Path) -> list[Row]:
        """All that a tree holds and the judges look at."""
        return without(rows(root), *self.less)

    def all_ways(self, layer: bool = True, paths: bool = True, style: str = "overlay") -> None:
        """Copy UPPER, make the difference, apply it, prove it, list it, write it as a layer."""
        wanted = self.rows(self.upper)
        copy = self.new("copy")
        ran = self.run("--whiteout", "none", "--jobs", "1", "scratch", self.upper, copy)
        self.whole("scratch UPPER OUT, --jobs 1", ran, self.rows(copy) == wanted)
        ran = self.run("--exit-code", self.upper, copy)
        self.whole("UPPER and its copy", ran, ran.out == "")
        remove(copy)
        out, applied = self.new(), self.new("applied")
        ran = self.run("--verify", "--whiteout", style, "--jobs", "3", self.lower, self.upper, out)
        self.whole("--verify --jobs 3", ran, "; proved" in ran.err)
        ran = self.run("--whiteout", style, self.lower, out, applied, apply=True)
        now = self.rows(applied)
        self.whole("differ-apply", ran, _without_times(now) == _without_times(wanted), _first(now, wanted))
        remove(out, applied)
        if paths:
            self._told(wanted)
        if layer:
            self._layer(wanted)

    def _told(self, wanted: list[Row]) -> None:
        """The report names the paths that differ, each as itself."""
        ran = self.run("-q", "--report", "-", self.lower, self.upper)
        told = {line["kind"][0] + _path(line) for line in map(json.loads, ran.out.split("\n")[:-1])}
        before, after = ({row["path"]: row for row in found[1:]} for found in (self.rows(self.lower), wanted))
        expected = {f"a{path}" for path in after.keys() - before.keys()}
        expected |= {
            f"r{path}"
            for path in before.keys() - after.keys()
            if path.rpartition("/")[0] not in before.keys() - after.keys()
        }
        expected |= {
            f"m{path}" for path in before.keys() & after.keys() if _differ(before[path], after[path])
        }
        self.whole("--report -", ran, told == expected, f"{sorted(told ^ expected)[:4]}")

    def _layer(self, wanted: list[Row]) -> None:
        """GNU tar makes UPPER of the layer."""
        layer, unpacked = self.new("layer"), self.new("unpacked")
        ran = self.run(
            "--layer", layer, "--layer-xattrs", "all", "--compare", "metadata", "scratch", self.upper
        )
        unpacked.mkdir()
        tar = [
            "tar",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-xpf",
            str(layer),
            "-C",
            str(unpacked),
        ]
        done = subprocess.run(tar, capture_output=True, text=True, check=False)
        now = [_in_a_layer(row) for row in self.rows(unpacked)] if not done.returncode else []
        seconds = [_in_a_layer(row) for row in wanted if row["type"] != "socket"]
        self.whole("--layer", ran, now == seconds, done.stderr[-200:] + _first(now, seconds))
        remove(layer, unpacked)


def _bytes(word: object) -> bytes:
    return word if isinstance(word, bytes) else os.fsencode(str(word))


def _is_harmless(text: str) -> bool:
    """Whether a terminal shows all of a text and does nothing else."""
    return all(one.isprintable() or one == "\n" for one in text)


def _path(line: dict[str, object]) -> str:
    """The path in a line of a report, as ``os.fsdecode`` has it."""
    import base64

    if "path_base64" in line:
        return os.fsdecode(base64.b64decode(str(line["path_base64"])))
    return str(line["path"])


def rows(root: Path) -> list[Row]:
    """All that a tree holds, less the facts of its root."""
    if not root.is_dir():
        return []
    found = read_tree(root)
    found[0] = {"path": ".", "type": "dir"}
    return found


def _differ(one: Row, other: Row) -> bool:
    return _without_times([one]) != _without_times([other])


def _without_times(found: list[Row]) -> list[Row]:
    """Without the times of directories, which no difference carries alone."""
    return [{key: row[key] for key in row if key != "mtime" or row.get("type") != "dir"} for row in found]


def _in_a_layer(row: Row) -> Row:
    return {key: value[:1] if key == "mtime" else value for key, value in row.items()}


def _first(now: list[Row], wanted: list[Row]) -> str:
    return str(next(((a, b) for a, b in zip(now, wanted) if a != b), (len(now), len(wanted))))[:300]


def remove(*paths: Path) -> None:
    """Remove trees of any depth."""
    subprocess.run(["rm", "-rf", *paths], check=True)


# ---------------------------------------------------------------- the kinds

Kind = Callable[[Bench], None]


def _both(bench: Bench) -> tuple[Builder, Builder]:
    for tree in (bench.lower, bench.upper):
        tree.mkdir()
    return Builder(bench.lower), Builder(bench.upper)


def largest_device(bench: Bench) -> tuple[int, int]:
    """The largest numbers that a device can have; XFS keeps 9 and 18 bits of them."""
    return (511, (1 << 18) - 1) if bench.where == "xfs" else (4095, (1 << 20) - 1)


def never_opened(bench: Bench) -> None:
    """FIFOs, sockets and devices, alike and changed: nothing opens them."""
    specials = []
    for side, t in zip(("lower", "upper"), _both(bench)):
        t.dir("d")
        for kind, make in (("fifo", t.fifo), ("socket", t.sock)):
            make(f"{kind}-same")
            make(f"d/{kind}-mode", mode=0o600 if side == "lower" else 0o666)
        for name, make_device, rdev in (
            ("console", t.chr, (5, 1)),
            ("zero", t.chr, (1, 5)),
            ("none", t.chr, largest_device(bench)),
            ("disk", t.blk, (7, 250)),
            ("null", t.blk, (400, 1)),
        ):
            make_device(f"{name}-same", rdev)
            make_device(f"d/{name}-mode", rdev, mode=0o600 if side == "lower" else 0o660)
        if side == "lower":
            t.file("d/becomes-fifo", "f")
            t.fifo("d/becomes-file")
        else:
            t.fifo("d/becomes-fifo")
            t.file("d/becomes-file", "f")
        t.settle((1, 1))
        specials = [
            row["path"].rpartition("/")[2]
            for row in rows(bench.upper)
            if row["type"] not in ("dir", "file") and not row["path"].startswith("d/becomes")
        ]
    bench.all_ways()
    log = bench.new("log")
    out = bench.new()
    ran = bench.run(
        "--verify",
        "--digest",
        "--report",
        bench.new("report"),
        bench.lower,
        bench.upper,
        out,
        before=("strace", "-f", "-e", "trace=open,openat", "-o", str(log)),
    )
    opened = [line for line in log.read_text().splitlines() if any(f'"{name}"' in line for name in specials)]
    bench.whole("what is opened", ran, not opened, str(opened[:2]))
    remove(out)


def many_entries(bench: Bench) -> None:
    """One directory with very many names, of which some differ."""
    count = bench.sizes.entries
    for side, t in zip(("lower", "upper"), _both(bench)):
        t.dir("d")
        above = os.path.join(t.root, b"d/")
        for number in range(count):
            if number % 100 == (0 if side == "lower" else 1):
                continue
            fd = os.open(above + b"%d" % number, os.O_WRONLY | os.O_CREAT, 0o644)
            if number % 50 == 7:
                os.write(fd, side.encode())
            os.utime(fd, ns=(1, 1))
            os.close(fd)
        os.utime(above, ns=(1, 1))
    # GNU tar takes minutes for so many names where a disk is under them.
    # An overlay mount takes no whiteouts of overlayfs.
    style = "oci" if bench.where == "overlay" else "overlay"
    bench.all_ways(layer=bench.where in ("tmpfs", "here"), style=style)


def deep(bench: Bench) -> None:
    """Directories within each other, far below what a path or a stack can hold."""
    names = ["d"] * bench.sizes.depth

    def fill(side: str) -> Callable[[int], None]:
        def make(fd: int) -> None:
            for name in (side, "both"):
                file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
                os.write(file, side.encode())
                os.utime(file, ns=(1, 1))
                os.close(file)

        return make

    for tree in (bench.lower, bench.upper):
        tree.mkdir()
        Builder(tree).deep(names, fill(tree.name))

    def at_the_end(root: Path) -> dict[str, bytes]:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for level, name in enumerate(names):
            if os.listdir(fd) != ["d"]:
                return {f"at {level}": b""}
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        held = {}
        for name in sorted(os.listdir(fd)):
            file = os.open(name, os.O_RDONLY, dir_fd=fd)
            held[name] = os.read(file, 100)
            os.close(file)
        os.close(fd)
        return held

    out, applied, copy = bench.new(), bench.new("applied"), bench.new("copy")
    limited = ("prlimit", "--nofile=1024", "--stack=8388608")
    ran = bench.run("--verify", bench.lower, bench.upper, out, before=limited)
    wanted = {".wh.lower": b"", "both": b"upper", "upper": b"upper"}
    bench.whole("--verify", ran, "; proved" in ran.err and at_the_end(out) == wanted)
    ran = bench.run(bench.lower, out, applied, apply=True, before=limited)
    bench.whole("differ-apply", ran, at_the_end(applied) == {"both": b"upper", "upper": b"upper"})
    ran = bench.run("--jobs", "1", "scratch", bench.upper, copy, before=limited)
    bench.whole("scratch UPPER OUT", ran, at_the_end(copy) == {"both": b"upper", "upper": b"upper"})
    ran = bench.run(bench.lower, bench.upper)
    path = "/".join(names)
    bench.whole(
        "a list",
        ran,
        [line.split("  ")[0] for line in ran.out.splitlines()]
        == [f"M {path}/both", f"D {path}/lower", f"A {path}/upper"],
    )
    layer = bench.new("layer")
    ran = bench.run("--layer", layer, bench.lower, bench.upper, before=limited)
    listed = subprocess.run(["tar", "-tf", layer], capture_output=True, text=True, check=False).stdout.split()
    bench.whole("--layer", ran, listed[-1:] == [f"{path}/upper"] and len(listed) == len(names) + 3)
    remove(out, applied, copy, layer)


def long_names(bench: Bench) -> None:
    """Names of 255 bytes of every value, of bytes drawn at random, and of what steers a terminal."""
    draw = random.Random(1)
    values = [value for value in range(1, 256) if value != ord("/")]
    names = [bytes([value]) * 255 for value in values]
    names += [bytes(draw.choices(values, k=255)) for _ in range(200)]
    names += [bytes([value]) for value in values if value != ord(".")]
    names += [
        chr(code).encode() for code in (*range(0x80, 0xA0), 0x200B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xE0041)
    ]
    names += [b"\n\n", b"\x1b[2J", b"\x1b]0;x\x07", b"-rf", b"\\x41", b"..x", b"\"'`$(x)"]
    for side, t in zip(("lower", "upper"), _both(bench)):
        for index, name in enumerate(names):
            if index % 7 == (0 if side == "lower" else 1):
                continue
            if index % 5 == 4:
                t.symlink(name, (b"to " + name)[:255] if index % 3 else name[::-1])
                continue
            with open(t.p(name), "w") as file:
                file.write(side if index % 3 else "both")
        for name in names[::20]:
            os.mkdir(t.p(name) + b"x" if len(name) < 255 else t.p(name[:-1] + b"\x02"))
        for entry in os.scandir(t.root):
            os.utime(entry.path, ns=(1, 1), follow_symlinks=False)
    bench.all_ways()
    for words in (
        ["-v", "--progress", "plain", "--color", "never"],
        ["-v"],
        ["--stat", "--stat-rows", "9999"],
        ["--report", "-"],
        ["--summary"],
    ):
        bench.whole(" ".join(words), bench.run(*words, bench.lower, bench.upper), True)
    out = bench.new()
    bench.refused("a whiteout that is too long", bench.run(bench.lower, bench.upper, out), "whiteout", out)


def attributes(bench: Bench) -> None:
    """Attributes of 64 KiB, thousands of them, and more than can be listed."""
    largest = {"btrfs": 16_000, "tmpfs": 65_000, "here": 1500}.get(bench.where, 65_536)
    count = {"ext4": 100, "here": 50}.get(bench.where, bench.sizes.attributes)
    for side, t in zip(("lower", "upper"), _both(bench)):
        for name in ("large", "many", "both"):
            t.file(name, name)
        values = {"large": {"user.large": os.urandom(1) * largest}}
        values["many"] = {
            f"user.{number}": f"{number % 10}{side if number % 10 == 3 else ''}".encode()
            for number in range(count)
        }
        values["both"] = {"user.b\xff\n\x1b": b"\0" * 300}
        for name, held in values.items():
            t.meta(name, xattrs=held)
        t.dir("d", xattrs={"user.large": side.encode() * (largest // 8)})
        t.settle((1, 1))
    bench.all_ways()
    if bench.where in ("tmpfs", "xfs", "btrfs"):
        try:
            for number in range(70_000 // 250):
                os.setxattr(bench.upper / "large", f"user.{number:0>245}", b"")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return
        out = bench.new()
        ran = bench.run(bench.lower, bench.upper, out)
        bench.refused(
            "more than can be listed", ran, "upper/large: cannot be read: Argument list too long", out
        )


def many_links(bench: Bench) -> None:
    """Very many names of one inode, which one more name joins and one leaves."""
    count = bench.sizes.links
    for side, t in zip(("lower", "upper"), _both(bench)):
        t.file("first", "the one inode")
        made = 1
        for number in range(count - 1):
            if number % 1000 == 0:
                t.dir(f"d{number // 1000}")
            try:
                t.link("first", f"d{number // 1000}/{number}")
            except OSError as error:
                if error.errno != errno.EMLINK:
                    raise
                break
            made += 1
        t.rm("d0/1")
        if side == "upper":
            t.link("first", "another")
            t.rm("d0/2")
            t.file("d0/2", "the one inode")
        t.settle((1, 1))
    # What joins or leaves makes a change of each name, as it must: the set of names is another.
    bench.all_ways(paths=False)


LAST = (1 << 63) - 1  # the largest size that there is, which is no multiple of a page


def sparse(bench: Bench) -> None:
    """A file of 8 EiB less a byte with a few bytes at its start, in its middle and at its end."""
    # The lseek(2) of tmpfs on Linux 6.18 does not find the last page of the largest file.
    most = {"xfs": LAST, "btrfs": LAST, "tmpfs": LAST - 4095}.get(bench.where, (16 << 40) - 4096)
    where = (0, most // 2 // 4096 * 4096, most - 5)
    for side, _ in zip(("lower", "upper"), _both(bench)):
        for name in ("same", "differs", *(["new"] if side == "upper" else [])):
            with open(bench.place / side / name, "wb") as file:
                file.truncate(most)
                for at in where:
                    file.seek(at)
                    file.write(b"12345" if name != "differs" or at != where[-1] else side.encode())
            os.utime(bench.place / side / name, ns=(1, 1))

    def held(path: Path) -> tuple[int, list[bytes], bool] | None:
        if not path.exists():
            return None
        facts = path.stat()
        fd = os.open(path, os.O_RDONLY)
        found = [os.pread(fd, 5, at) for at in where]
        os.close(fd)
        return facts.st_size, found, facts.st_blocks < 2048

    for jobs in ("1", "2"):
        ran = bench.run("--jobs", jobs, bench.lower, bench.upper)
        bench.whole(f"a list, --jobs {jobs}", ran, ran.out == "M differs  content\nA new\n", ran.out)
    out, applied = bench.new(), bench.new("applied")
    ran = bench.run("--verify", bench.lower, bench.upper, out)
    bench.whole(
        "--verify", ran, all(held(out / name) == held(bench.upper / name) for name in ("differs", "new"))
    )
    ran = bench.run(bench.lower, out, applied, apply=True)
    names = ("differs", "new", "same")
    bench.whole("differ-apply", ran, all(held(applied / name) == held(bench.upper / name) for name in names))


def extremes(bench: Bench) -> None:
    """The largest and smallest owners, devices and times."""
    # ext4 ends in 2446, xfs in 2486; Python reads no time before 1677 or after 2262 in one number of nanoseconds.
    seconds = [-(1 << 31), -1, 0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 15_032_385_535]
    if bench.where in ("btrfs", "tmpfs"):
        seconds += [-(1 << 33), 1 << 34, 1 << 40]
    if bench.where == "xfs":
        seconds += [16_299_260_424]
    ids = [0, 65_534, 65_535, 1 << 31, (1 << 32) - 2]
    for side, t in zip(("lower", "upper"), _both(bench)):
        t.dirs("times", "ids", "devices")
        for number, second in enumerate(seconds):
            for what in ("file", "dir", "symlink"):
                path = f"times/{what}{number}"
                if what == "symlink":
                    t.symlink(path, "x")
                else:
                    (t.file if what == "file" else t.dir)(path)
                t.meta(path, mtime=(second, 0 if side == "lower" else 999_999_999))
        for number, one in enumerate(ids):
            t.file(f"ids/uid{number}", "i", uid=one, gid=0 if side == "lower" else 7)
            t.dir(f"ids/gid{number}", uid=1 if side == "lower" else 9, gid=one)
        for number, rdev in enumerate([(0, 1), (1, 0), (255, 255), (256, 256), largest_device(bench)]):
            t.chr(f"devices/chr{number}", rdev, mode=0o600 if side == "lower" else 0o6777)
            t.blk(f"devices/blk{number}", rdev)
        t.meta("times", mtime=(1, 1))
        t.meta("ids", mtime=(1, 1))
        t.meta("devices", mtime=(1, 1))
    bench.all_ways()


def privileged(bench: Bench) -> None:
    """Programs with setuid, setgid and capabilities: private while they are written, and their mode comes last."""
    for side, t in zip(("lower", "upper"), _both(bench)):
        t.dir("d", mode=0o3777)
        for number, mode in enumerate((0o4755, 0o2755, 0o6777, 0o4711)):
            t.file(
                f"d/p{number}",
                "program" * 100,
                mode=mode if side == "upper" else 0o755,
                uid=1000 + number,
                gid=1000,
            )
            t.meta(f"d/p{number}", mode=mode if side == "upper" else 0o755)
        t.file("d/capable", "c", mode=0o755)
        if side == "upper":
            t.meta("d/capable", xattrs={"security.capability": CAP_NET_RAW})
            t.link("d/p0", "d/second-name")
        t.settle((1, 1))
    bench.all_ways(paths=False)
    for jobs in ("2",) if bench.sizes is SHORT else ("1", "2"):
        for apply in (False, True):
            out = bench.new()
            log = bench.new("log")
            trace = "trace=openat,fchmod,fchmodat,fchown,fchownat,fsetxattr,write,copy_file_range,sendfile,pwrite64,mkdirat,renameat,renameat2"
            words = (["--jobs", jobs] if not apply else []) + [bench.lower, bench.upper, out]
            ran = bench.run(*words, apply=apply, before=("strace", "-f", "-y", "-e", trace, "-o", str(log)))
            why = _moments(log.read_text(), str(bench.place))
            bench.whole("moments of privilege", ran, not why, why)
            remove(out)


def _moments(log: str, place: str) -> str:
    """Whether somebody else could have used a file before it was whole; which call let them."""
    import re

    modes: dict[str, int] = {}
    for line in log.splitlines():
        line = re.sub(r"^\d+ +", "", line)
        made = re.match(r'openat\(.*, ".*", (.*O_CREAT.*), (0\d+)\) = \d+<(.*)>$', line)
        if made and made[3].startswith(place):
            modes[made[3]] = int(made[2], 8)
            if int(made[2], 8) & 0o7177 or "O_EXCL" not in made[1]:
                return line
            continue
        on = re.match(r"(\w+)\((?:\d+<([^>]*)>)(.*)$", line)
        if on is None or not on[2].startswith(place) or on[2] not in modes:
            continue
        call, path, rest = on.groups()
        if call in ("write", "copy_file_range", "pwrite64", "sendfile", "fchown") and modes[path] != 0o600:
            return line
        if call == "fchmod":
            modes[path] = int(rest.split(",")[1].strip().split(")")[0], 8)
    return "" if any(mode & 0o6000 for mode in modes.values()) else "no mode was ever set"


KINDS: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "FIFOs, sockets and devices": (never_opened, PLACES),
    "very many entries in one directory": (many_entries, PLACES),
    "very deep directories": (deep, PLACES),
    "names of 255 bytes of any value, control characters": (long_names, PLACES[:4]),
    "large and many attributes": (attributes, PLACES[:4]),
    "very many links to one inode": (many_links, PLACES),
    "sparse files of 8 EiB (16 TiB on ext4)": (sparse, PLACES),
    "extreme owners, devices and times": (extremes, PLACES),
    "setuid, setgid and capabilities": (privileged, PLACES),
}


@contextlib.contextmanager
def on(where: str, place: Path) -> Iterator[Path]:
    """A directory on a new file system of that kind; on the one of ``place`` for ``here``."""
    if where == "here":
        yield place
    elif where == "overlay":
        with disk(place, "ext4", *_MKFS["ext4"], size=_MIB["ext4"]) as below:
            for name in ("low", "up", "work", "merged"):
                (below / name).mkdir()
            options = f"lowerdir={below}/low,upperdir={below}/up,workdir={below}/work"
            subprocess.run(
                ["mount", "-t", "overlay", "-o", options, "differ-test", below / "merged"], check=True
            )
            try:
                yield below / "merged"
            finally:
                subprocess.run(["umount", below / "merged"], check=True)
    elif where == "tmpfs":
        with disk(place, "tmpfs", "-o", "size=90%,nr_inodes=0") as found:
            yield found
    else:
        with disk(place, where, *_MKFS.get(where, ()), size=_MIB[where]) as found:
            yield found


Tried = tuple[str, list[str], int, int, list[str], float]
"""A kind, the file systems, runs that were whole and that were refused, what is wrong, seconds."""


def campaign(
    static: bool,
    sizes: Sizes = FULL,
    places: tuple[str, ...] = PLACES,
    kinds: Mapping[str, tuple[Kind, tuple[str, ...]]] | None = None,
    end: float = float("inf"),
) -> list[Tried]:
    """Make each kind in each place, and run the commands on it.

    ``places``: ``here`` is the file system of temporary files.
    """
    table_rows = []
    for name, (kind, possible) in (kinds or KINDS).items():
        found: Counter[str] = Counter()
        wrong: list[str] = []
        done = []
        began = time.monotonic()
        for where in places:
            if where != "here" and where not in possible:
                continue
            if time.monotonic() > end:
                wrong.append(f"no time was left for {name} on {where}")
                continue
            outer = Path(tempfile.mkdtemp(prefix="differ-shapes-"))
            try:
                with on(where, outer) as place:
                    inner = place / "trees"
                    inner.mkdir()
                    bench = Bench(inner, where, static, sizes)
                    try:
                        kind(bench)
                    except Exception as error:  # the other kinds shall be tried
                        bench.wrong.append(f"{type(error).__name__}: {error}")
                    found += bench.found
                    wrong += [f"{name} on {where}: {one}" for one in bench.wrong]
                    done.append(where)
            finally:
                remove(outer)
        table_rows.append((name, done, found["whole"], found["refused"], wrong, time.monotonic() - began))
    return table_rows


def table(found: list[Tried]) -> str:
    """The outcomes as Markdown."""
    lines = [
        "| input | on | whole, as the judges say | refused, nothing left | wrong | s |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, places, whole, refused, wrong, seconds in found:
        lines.append(
            f"| {name} | {', '.join(places)} | {whole - len(wrong)} | {refused} | {len(wrong)} | {seconds:.0f} |"
        )
    return "\n".join(lines)
