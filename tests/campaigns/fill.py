"""File systems that are full, that hold less than a tree has, or that may not be written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.disks import IMAGES, disk
from tests.trees import Row, read_tree, without

from .bench import ended, not_one_line
from .material import command, make_trees

_FILES = 400
_LEFT = (0, 64, 256, 1024, 2048)  # KiB that are free when the run begins; the result takes more
_FULL = "No space left on device|Disk quota exceeded"
DISKS: dict[str, tuple[str, tuple[str, ...]]] = {
    # what it is called: the file system, and the options of its mkfs or of mount
    "ext4": ("ext4", ()),
    "ext4, 200 inodes": ("ext4", ("-N", "200")),
    "xfs": ("xfs", ()),
    "btrfs": ("btrfs", ()),
    "btrfs, quota": ("btrfs", ()),
    "tmpfs": ("tmpfs", ("-o", "size=6m")),
    "tmpfs, 200 inodes": ("tmpfs", ("-o", "nr_inodes=200")),
    "tmpfs, read-only": ("tmpfs", ("-o", "ro")),
    "tmpfs, nodev": ("tmpfs", ("-o", "nodev")),
    "ramfs, no attributes": ("ramfs", ()),
    "ntfs-3g, no owners and modes": ("ntfs", ("-F", "-f")),
}
_LOSSES = {
    "owners": ("uid", "gid"),
    "modes": ("mode",),
    "set-id bits": ("mode",),
    "[a-z_.]+ attributes": ("xattrs", "mode"),
}
"""What a warning is about."""
Found = dict[str, Counter[str]]


def _missing(name: str) -> str:
    """The program without which a disk cannot be had; empty if none is missing."""
    kind = DISKS[name][0]
    needed = [f"mkfs.{kind}"] if kind in IMAGES else []
    needed += {"btrfs": ["btrfs"], "ntfs": ["ntfs-3g"]}.get(kind, [])
    return next((one for one in needed if shutil.which(one) is None), "")


def _fill(where: Path, left: int) -> None:
    """Leave about so many KiB free."""
    subprocess.run(["sync", "-f", where], check=True)  # what was removed is free only then, on some
    size = 1 << 22
    fd = os.open(where / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while size >= 4096:
            facts = os.statvfs(where)
            try:
                if facts.f_bavail * facts.f_frsize - left * 1024 < size:
                    raise OSError
                os.write(fd, os.urandom(size))
                os.fsync(fd)
            except OSError:
                size //= 4
    finally:
        os.close(fd)


def _limit(where: Path, left: int) -> None:
    """Let the file system take so many KiB more."""
    subprocess.run(["sync", "-f", where], check=True)
    shown = subprocess.run(
        ["btrfs", "qgroup", "show", "--raw", where], check=True, capture_output=True, text=True
    ).stdout
    group, used, *_ = shown.splitlines()[-1].split()
    subprocess.run(
        ["btrfs", "qgroup", "limit", str(int(used) + left * 1024), group, where.parent], check=True
    )


def _names(where: Path) -> list[str]:
    return [name for name in sorted(os.listdir(where)) if name not in ("filler", "lost+found")]


@contextlib.contextmanager
def _trees() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="differ-fill-"))
    try:
        make_trees(place, _FILES)
        (place / "upper/large").write_bytes(os.urandom(6 << 20))
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _judge(place: Path, where: Path, words: list[str], existing: bool, can_fail: bool) -> tuple[str, str]:
    """One run into a disk: the outcome, and what is wrong with it."""
    out = where / "out"
    if existing:
        with contextlib.suppress(OSError):
            out.mkdir()
    before = _names(where)
    full = [*command(), *words, str(place / "lower"), str(place / "upper"), str(out)]
    status, err = ended(full)
    if status == 2:
        inside = _names(out) if out.exists() else []
        wrong = [] if can_fail else ["it must succeed"]
        if not_one_line(err) or str(where) not in err:
            wrong.append(f"not one line that names the path: {err!r}")
        elif not re.search(f"({_FULL}|Read-only file system)$", err):
            wrong.append("another reason")
        if _names(where) != before or inside:
            wrong.append(f"left: {_names(where)} {inside}")
        return "exit 2", f"{'; '.join(wrong)}: {err}" if wrong else ""
    if status != 0:
        return "", f"exit status {status}: {err}"
    lost = {
        fact for told, facts in _LOSSES.items() if re.search(f"warning: {told} of ", err) for fact in facts
    }
    shown = _rows(out, lost)
    wrong_rows = [
        row["path"] for row in _rows(place / "upper", lost) if row["path"] != "." and row not in shown
    ]
    # What is as in LOWER is not in OUT.
    bad = [path for path in wrong_rows if not path.startswith("same")]
    shutil.rmtree(out)
    kind = "losses warned of" if lost else "whole"
    return kind, f"{bad[:5]} are not as they were: {err}" if bad else ""


def _rows(root: Path, lost: set[str]) -> list[Row]:
    """A tree's entries, without the facts that a warning is about."""
    return without(read_tree(root), "mtime", "linkgroup", *lost)


def campaign(quick: bool = False) -> tuple[Found, list[str]]:
    """Write to each disk while it fills; the outcomes, and what is wrong."""
    found: Found = {}
    wrong = []
    with _trees() as place:
        for name, (kind, options) in DISKS.items():
            missing = _missing(name)
            if missing or (quick and kind in ("xfs", "btrfs")):
                continue
            where = Path(tempfile.mkdtemp(prefix="differ-disk-", dir=place))
            can_fail = kind not in ("ramfs", "ntfs") and "nodev" not in name
            fills = can_fail and "inodes" not in name and "read-only" not in name
            with disk(where, kind, *options) as whole:
                mounted = whole
                if "quota" in name:
                    subprocess.run(["btrfs", "quota", "enable", mounted], check=True)
                    # Of a volume of its own: one that is used up does not let its own limit be changed.
                    mounted = whole / "volume"
                    create: list[str | Path] = ["btrfs", "-q", "subvolume", "create", mounted]
                    subprocess.run(create, check=True, capture_output=True)
                for left in _LEFT if fills and not quick else _LEFT[2:3]:
                    if "quota" in name:
                        _limit(mounted, left)
                    elif fills:
                        _fill(mounted, left)
                    for words in ([], ["--jobs", "3"]):
                        for existing in (False, True):
                            outcome, why = _judge(place, mounted, words, existing, can_fail)
                            found.setdefault(name, Counter())["wrong" if why else outcome] += 1
                            wrong += [f"{name}, {left} KiB, {words}: {why}"] if why else []
                            if (mounted / "out").exists():
                                (mounted / "out").rmdir()
                    (mounted / "filler").unlink(missing_ok=True) if fills else None
    return found, wrong


def table(found: Found) -> str:
    """The outcomes as Markdown."""
    kinds = ("exit 2", "whole", "losses warned of", "wrong")
    lines = [
        "| OUT on | runs | exit 2, nothing left | whole | losses warned of | wrong |",
        "|---|" + "--:|" * 5,
    ]
    for name, counts in found.items():
        figures = [sum(counts.values()), *(counts[kind] for kind in kinds)]
        lines.append(f"| {name} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)
