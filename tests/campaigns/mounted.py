"""Trees in which something is mounted: other file systems, directories of the tree itself, /proc, and files that lie."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.disks import bind
from tests.trees import Builder

from .fuse import File, Tree, endless, fuse
from .shapes import SHORT, Bench, remove, rows

BOUND = 20  # s in which a run must see that there is no end


@contextlib.contextmanager
def _mounted(*words: object) -> Iterator[None]:
    """``mount`` with these words, the last of which is where."""
    subprocess.run(["mount", *map(str, words)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-R", str(words[-1])], check=True)


def _trees(bench: Bench) -> None:
    for side, tree in (("lower", bench.lower), ("upper", bench.upper)):
        tree.mkdir()
        t = Builder(tree)
        t.dirs("m", "sub", "sub/m", "sub/d")
        t.file("f", side)
        t.file("sub/d/f", side)
        t.file("sub/file", "covered")
        t.settle((1, 1))


def _as_tar_has_it(bench: Bench) -> None:
    """With -x each tree is what GNU tar archives of it with --one-file-system."""
    reference, copy = bench.new("reference"), bench.new("copy")
    reference.mkdir()
    archive = ["tar", "--one-file-system", "--xattrs", "-C", str(bench.upper), "-cf", "-", "."]
    with subprocess.Popen(archive, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        unpack = ["tar", "--xattrs", "-xpf", "-", "-C", str(reference)]
        subprocess.run(unpack, stdin=tar.stdout, check=True)
    for options in (["--jobs", "1"], ["--jobs", "2", "--verify"], ["--ignore", "no/such"]):
        ran = bench.run("-x", *options, "--whiteout", "none", "scratch", bench.upper, copy)
        now, wanted = (_whole_seconds(tree) for tree in (copy, reference))
        bench.whole(f"-x {options}", ran, now == wanted, f"{[one for one in now if one not in wanted][:2]}")
        remove(copy)
    ran = bench.run("-x", "--exit-code", bench.upper, reference)
    told = [line for line in ran.out.splitlines() if " mtime" not in line]
    bench.whole("-x, against it", ran._replace(status=0), not told, f"{told[:3]} {ran.err}")
    changes, applied = bench.new(), bench.new("applied")
    ran = bench.run("-x", "--one-file-system", bench.lower, bench.upper, changes)
    bench.whole("-x LOWER UPPER OUT", ran, True)
    ran = bench.run("-x", bench.lower, changes, applied, apply=True)
    names, expected = _names(applied), _names(reference)
    bench.whole("differ-apply -x", ran, names == expected, f"{names ^ expected}")
    layer = bench.new("layer")
    ran = bench.run("-x", "--layer", layer, "scratch", bench.upper)
    listed = subprocess.run(["tar", "-tf", layer], capture_output=True, text=True, check=True).stdout
    bench.whole("-x --layer", ran, {name.rstrip("/") for name in listed.splitlines()} == expected)
    remove(reference, changes, applied, layer)


def _names(tree: Path) -> set[str]:
    return {row["path"] for row in rows(tree)[1:]}


def _whole_seconds(tree: Path) -> list[object]:
    return [{**row, "mtime": row.get("mtime", [0])[0]} for row in rows(tree)]


def crossed(bench: Bench) -> None:
    """A tmpfs, a bind mount and a file that is mounted over another: part of the tree, unless -x is given."""
    _trees(bench)
    other, file = bench.place / "other", bench.place / "file"
    other.mkdir()
    (other / "of-other").write_text("bound")
    file.write_text("a file that is mounted")
    for path in (other / "of-other", other, file):
        os.utime(path, ns=(1, 1))
    with _mounted("-t", "tmpfs", "differ-test", bench.upper / "m"):
        Builder(bench.upper).file("m/on-tmpfs", "t")
        os.mkdir(bench.upper / "m/d")
        Builder(bench.upper).settle((1, 1))
        with bind(other, bench.upper / "sub/d"), _mounted("--bind", file, bench.upper / "sub/file"):
            bench.all_ways()
            _as_tar_has_it(bench)
        if bench.sizes is SHORT:
            return
        with _mounted("-t", "tmpfs", "differ-test", bench.lower / "sub/d"):
            # What LOWER's mount hides is no part of LOWER.
            Builder(bench.lower).file("sub/d/hidden", "h")
            Builder(bench.lower).settle((1, 1))
            bench.all_ways()
            _as_tar_has_it(bench)
    ran = bench.run("--exit-code", bench.upper, bench.upper)
    bench.whole("a tree and itself", ran, ran.out == "")


def loops(bench: Bench) -> None:
    """Directories that are mounted below themselves, once and with all that is mounted in them."""
    _trees(bench)
    bench.less = ("linkgroup",)  # an inode is seen twice, and yet has one name
    for how in ("--bind", "--rbind"):
        with _mounted(how, bench.upper, bench.upper / "sub/m"):
            bench.all_ways()
            with _mounted(how, bench.upper / "sub", bench.upper / "sub/m/sub/m"):
                bench.all_ways()
            _as_tar_has_it(bench)
        with _mounted(how, bench.upper, bench.lower / "m"):
            bench.all_ways()
            out = bench.new()
            ran = bench.run(bench.lower, bench.upper, bench.lower / "m/out")
            bench.refused("OUT in an input", ran, "lies in", out)


def proc(bench: Bench) -> None:
    """/proc and /sys in a tree: refused with a path, or left out with -x."""
    _trees(bench)
    for kind in ("proc",) if bench.sizes is SHORT else ("proc", "sysfs"):
        with _mounted("-t", kind, "differ-test", bench.upper / "m"):
            for options in (["--jobs", "1"], ["--verify"], ["--whiteout", "none"]):
                out = bench.new()
                ran = bench.run(*options, "scratch", bench.upper, out)
                bench.refused(f"{kind} {options}", ran, "upper/m/", out)
            layer = bench.new("layer")
            ran = bench.run("--layer", layer, bench.lower, bench.upper)
            bench.refused(f"{kind} --layer", ran, "upper/m/", layer)
            # Nobody but tar --one-file-system has read it, and that only the directory.
            _as_tar_has_it(bench)


LONGER = "size 9, endless"
"""What is copied is what the size says, as tar(1) does; a proof reads on, and says that it differs."""
FILES: dict[str, tuple[Tree, str]] = {
    # what is there, and the path that is refused; empty where a result is right
    "is as it says": ({"f": File(b"some bytes"), "empty": File(b""), "d": {"f": File(b"x")}}, ""),
    "size 0, with bytes": ({"f": File(b"bytes", 0)}, "f"),
    "size 0, endless": ({"f": File(endless, 0)}, "f"),
    LONGER: ({"f": File(endless, 9)}, ""),
    "shorter than it says": ({"f": File(b"short", 100)}, "f"),
    "ends at once": ({"f": File(b"", 100)}, "f"),
    "grows": ({"f": File(endless, itertools.count(10))}, "f"),
    "reading fails": ({"f": File(b"data", fails=errno.EIO)}, "f"),
    "names twice": (["a", "b", "a"], ""),  # type: ignore[dict-item]
    "names with a slash": (["a/b"], "."),  # type: ignore[dict-item]
    "an empty name": ([""], "."),  # type: ignore[dict-item]
    "itself and its parent": ([".", "..", "a"], ""),  # type: ignore[dict-item]
}


def lies(bench: Bench) -> None:
    """Files of FUSE that have no size, no end, or not the one that they say."""
    bench.lower.mkdir()
    (bench.place / "fuse").mkdir()
    names: Tree = {f"t{number}": held for number, (held, _) in enumerate(FILES.values())}
    twin = bench.place / "twin"
    twin.mkdir()
    bounded = ("timeout", str(BOUND))
    with fuse(bench.place / "fuse", names), fuse(twin, names):
        for number, (what, (held, refused)) in enumerate(FILES.items()):
            if bench.sizes is SHORT and what not in (LONGER, "size 0, endless", "names twice"):
                continue
            tree = bench.place / "fuse" / f"t{number}"
            path = f"t{number}/{refused}".removesuffix("/.")
            for options in (["--jobs", "1"], ["--verify", "--jobs", "2"], ["--whiteout", "none"]):
                out = bench.new()
                ran = bench.run(*options, "scratch", tree, out, before=bounded)
                if refused:
                    # Of a file that cannot be read the message names the copy.
                    bench.refused(f"{what} {options}", ran, "/f" if refused == "f" else path, out)
                elif what == LONGER and "--verify" in options:
                    ran = ran._replace(status=ran.status - 1)
                    bench.whole(f"{what} {options}", ran, "not proved: f: content differs" in ran.err)
                else:
                    bench.whole(f"{what} {options}", ran, _held(out) == _expected(held))
                remove(out)
            layer = bench.new("layer")
            ran = bench.run("--layer", layer, "scratch", tree, before=bounded)
            if refused:
                bench.refused(f"{what} --layer", ran, path, layer)
            else:
                listed = subprocess.run(["tar", "-xOf", layer], capture_output=True, check=False)
                wanted = b"".join(data for _, data in sorted(_expected(held).items()))
                bench.whole(f"{what} --layer", ran, listed.stdout == wanted)
            remove(layer)
            # Against its twin, which lies alike: equal, or refused, but never taken for equal unread.
            ran = bench.run(tree, twin / f"t{number}", before=bounded)
            if what == "grows":
                continue  # of another size each time, and so modified
            if refused:
                bench.refused(f"{what}, compared", ran, f"t{number}")
            else:
                bench.whole(f"{what}, compared", ran, ran.out == "", ran.out)


def _held(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def _expected(held: object, above: str = "") -> dict[str, bytes]:
    """What a reader that believes in sizes finds."""
    if isinstance(held, list):
        return {name: b"data" for name in held if name not in (".", "..")}
    found = {}
    for name, one in held.items():  # type: ignore[attr-defined]
        if isinstance(one, File):
            found[above + name] = one.data(0, one.size())
        else:
            found.update(_expected(one, f"{above}{name}/"))
    return found


KINDS = {
    "mounts inside the trees, crossed and with -x": (crossed, ("here",)),
    "directories mounted below themselves": (loops, ("here",)),
    "/proc and /sys": (proc, ("here",)),
    "files of FUSE that lie": (lies, ("here",)),
}
