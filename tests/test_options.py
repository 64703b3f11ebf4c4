"""The command line, on a disk that is not there.

pyfakefs fakes most of ``os``; what it does not fake it hands on to the real disk.  Here such a call
fails the test (:func:`disk`), so nothing in this file compares the bytes of a file or writes an
entry: that is done on real file systems elsewhere.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from pyfakefs.fake_os import FakeOsModule

from differ import __version__, linux
from differ.cli import main, main_apply
from differ.manual import MANUALS
from differ.options import UsageError, parse_apply, parse_diff

from .conftest import RunDiffer

# Calls of the real os that know nothing of files.
ONLY_LAYER = "--layer - is all that can be on stdout; name a file for it or for the rest"
HARMLESS = {"fsencode", "fsdecode", "fspath", "urandom", "getpid", "geteuid", "strerror", "major", "minor"}


@pytest.fixture
def disk(fs: FakeFilesystem) -> Iterator[FakeFilesystem]:
    """A fake disk with the directories /lower and /upper, and a guard around it."""
    joined, listed, scanned = FakeOsModule._path_with_dir_fd, FakeOsModule.listdir, FakeOsModule.scandir

    def guard(self: FakeOsModule, name: str) -> Any:
        value = getattr(self.os_module, name)
        caller = sys._getframe(1).f_globals["__name__"]
        guarded = caller.startswith("differ.") or caller == __name__  # and not pytest itself
        if not guarded or not callable(value) or inspect.isclass(value) or name in HARMLESS:
            return value
        return lambda *_, **__: pytest.fail(f"os.{name} is not faked and would reach the disk")

    def path_with_dir_fd(self: FakeOsModule, path: Any, *rest: Any, **options: Any) -> Any:
        # pyfakefs cannot join a name of bytes to the directory that a descriptor stands for.
        return joined(self, os.fsdecode(path) if isinstance(path, bytes) else path, *rest, **options)

    def names(self: FakeOsModule, path: Any) -> list[Any]:
        # Those of a directory that is named by bytes are bytes.
        return [os.fsencode(name) if isinstance(path, bytes) else name for name in listed(self, path)]

    def entries(self: FakeOsModule, path: Any) -> Any:
        found = [*scanned(self, path)]
        for entry in found:
            entry.name = os.fsencode(entry.name)
        return contextlib.nullcontext(found)

    joinpaths = FakeFilesystem.joinpaths

    def joined_alike(self: FakeFilesystem, *paths: Any) -> Any:
        # In the directory that a descriptor stands for pyfakefs mixes both kinds of names.
        encode = any(isinstance(path, bytes) for path in paths)
        return joinpaths(self, *(map(os.fsencode, paths) if encode else paths))

    def rewind(self: FakeOsModule, fd: int, offset: int, whence: int) -> int:
        assert (offset, whence) == (0, os.SEEK_SET)
        return 0

    # Undone before pyfakefs puts the real functions back: it has replaced some of these as well.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeOsModule, "__getattr__", guard)
        patch.setattr(FakeOsModule, "_path_with_dir_fd", path_with_dir_fd)
        patch.setattr(FakeOsModule, "listdir", names)
        patch.setattr(FakeOsModule, "scandir", entries)
        patch.setattr(FakeFilesystem, "joinpaths", joined_alike)
        # fchdir(2) is chdir(2) on a descriptor, which pyfakefs has.
        patch.setattr(FakeOsModule, "fchdir", lambda self, fd: self.chdir(fd), raising=False)
        # Its directories have no position that could be set back.
        patch.setattr(FakeOsModule, "lseek", rewind)
        for call in ("list", "get", "set", "remove"):
            # The product takes these from os when it is imported.
            patch.setattr(linux, f"_{call}_xattr{'s' * (call == 'list')}", getattr(os, f"{call}xattr"))
        fs.create_dir("/lower")
        fs.create_dir("/upper")
        yield fs


@pytest.fixture
def run_differ(capsys: pytest.CaptureFixture[str]) -> RunDiffer:
    """As conftest's, but not through descriptors: pyfakefs has those of the capture in its hands too."""

    def run(*words: str, apply: bool = False) -> tuple[int, str, str]:
        capsys.readouterr()
        status = (main_apply if apply else main)(list(words))
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.mark.parametrize("call", ["preadv", "pread", "copy_file_range", "fchown", "statvfs", "memfd_create"])
def test_the_guard_fails_what_is_not_faked(disk: FakeFilesystem, call: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"os.{call} is not faked"):
        getattr(os, call)()


def test_the_guard_is_around_the_product(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    for side in ("/lower", "/upper"):
        disk.create_file(f"{side}/f", contents="1")
        os.utime(f"{side}/f", (1, 1))
    with pytest.raises(pytest.fail.Exception, match=r"os\.preadv is not faked"):
        run_differ("/lower", "/upper")


def everything() -> list[str]:
    return sorted(
        os.path.join(above, name) for above, dirs, files in os.walk("/") for name in [*dirs, *files]
    )


# ---------------------------------------------------------------- usage errors

EXPECTED = "expected LOWER UPPER [OUT], got {}: differ [options] LOWER UPPER [OUT]"
EXPECTED_APPLY = "expected LOWER CHANGES OUT, got {}: differ-apply [options] LOWER CHANGES OUT"
EXCLUDE = "--quiet and --verbose exclude each other"

WRONG: list[tuple[list[str], str]] = [
    ([], EXPECTED.format("no argument")),
    (["/lower"], EXPECTED.format("one argument")),
    (["/lower", "/upper", "/out", "/more"], EXPECTED.format("4 arguments")),
    (["-q"], EXPECTED.format("no argument")),
    (["--bogus", "/lower", "/upper"], "unknown option --bogus; --help lists them"),
    (["--bogus=1", "/lower", "/upper"], "unknown option --bogus; --help lists them"),
    (["--verif", "/lower", "/upper", "/out"], "unknown option --verif; --help lists them"),
    (["--allow_wh_names", "/lower", "/upper"], "unknown option --allow_wh_names; --help lists them"),
    (["---", "/lower", "/upper"], "unknown option ---; --help lists them"),
    (["--=", "/lower", "/upper"], "unknown option --; --help lists them"),
    (["-y", "/lower", "/upper"], "unknown option -y; --help lists them"),
    (["-qy", "/lower", "/upper"], "unknown option -y; --help lists them"),
    (["-q=", "/lower", "/upper"], "unknown option -=; --help lists them"),
    (["/lower", "/upper", "--quiet=yes"], "--quiet takes no value"),
    (["/lower", "/upper", "--help="], "--help takes no value"),
    (["/lower", "/upper", "--exit-code=1"], "--exit-code takes no value"),
    *(
        (["/lower", "/upper", f"--{option}"], f"--{option} needs a value")
        for option in ("compare", "ignore", "progress", "report", "whiteout", "xattr-exclude")
    ),
    (["--whiteout=", "/lower", "/upper"], "--whiteout '': choose one of oci, overlay, none"),
    (["--whiteout", "aufs", "/lower", "/upper"], "--whiteout 'aufs': choose one of oci, overlay, none"),
    (["--whiteout=OCI", "/lower", "/upper"], "--whiteout 'OCI': choose one of oci, overlay, none"),
    (["--compare", "-q", "/lower"], "--compare '-q': choose one of exact, native, metadata"),
    (["--progress=fancy", "/lower", "/upper"], "--progress 'fancy': choose one of auto, plain, none"),
    (["--jobs", "0", "/lower", "/upper"], "--jobs '0': a number from 1 to 256"),
    (["--jobs=two", "/lower", "/upper"], "--jobs 'two': a number from 1 to 256"),
    (["--jobs=257", "/lower", "/upper"], "--jobs '257': a number from 1 to 256"),
    (["--overlay=on", "/lower", "/upper"], "--overlay 'on': choose one of auto, off"),
    (["--verify", "/lower", "/upper"], "--verify proves what was written, so it needs OUT"),
    (["--verify", "--layer=l", "/lower", "/upper"], "--verify proves what was written, so it needs OUT"),
    (["--append=oci:d", "/lower", "/upper", "/out"], "--append takes the place of OUT; give one of them"),
    (["--append=oci:d", "--layer=l", "/lower", "/upper"], "--layer and --append exclude each other"),
    (
        ["--append=oci:d", "--append-to-scratch=oci:d:t", "/lower", "/upper"],
        "--append and --append-to-scratch exclude each other",
    ),
    (["--append=d", "/lower", "/upper"], "'d': expected oci:DIR[:TAG]"),
    (["--append=oci:d", "--to=d", "/lower", "/upper"], "'d': expected oci:DIR[:TAG]"),
    (["--append=", "/lower", "/upper"], "'': expected oci:DIR[:TAG]"),
    (
        ["--append-to-scratch=oci:d:t", "--to=oci:d:u", "/lower", "/upper"],
        "--to says where the image of --append goes, so it needs that",
    ),
    (["--layer=l", "/lower", "/upper", "/out"], "--layer takes the place of OUT; give one of them"),
    (["--layer=", "/lower", "/upper"], "--layer '': name a file"),
    (["--layer=l/", "/lower", "/upper"], "--layer 'l/': name a file"),
    (["--layer=l", "--metadata-file=", "/lower", "/upper"], "--metadata-file '': name a file"),
    (
        ["--layer=l", "--metadata-file=-", "/lower", "/upper"],
        "--metadata-file -: name a file, stdout is for the layer",
    ),
    ([f"--jobs={'1' * 5000}", "/lower", "/upper"], f"--jobs '{'1' * 5000}': a number from 1 to 256"),
    (["--layer=l", "--whiteout=none", "/lower", "/upper"], "--whiteout none: a layer has those of oci"),
    (["--layer=-", "--report=-", "/lower", "/upper"], ONLY_LAYER),
    (["--layer=-", "-v", "/lower", "/upper"], ONLY_LAYER),
    (
        ["--compression=gzip", "/lower", "/upper"],
        "--compression is about a layer, so it needs --layer or --append",
    ),
    (
        ["--layer-xattrs=all", "/lower", "/upper"],
        "--layer-xattrs is about a layer, so it needs --layer or --append",
    ),
    (
        ["--metadata-file=m", "/lower", "/upper"],
        "--metadata-file is about a layer, so it needs --layer or --append",
    ),
    (
        ["--layer=l", "--compression=xz", "/lower", "/upper"],
        "--compression 'xz': choose one of none, gzip, zstd",
    ),
    (["--uid-map=0:1", "/lower", "/upper"], "--uid-map is about a layer, so it needs --layer or --append"),
    *(
        (
            ["--layer=l", f"--gid-map={wrong}", "/lower", "/upper"],
            f"--gid-map '{wrong}': INSIDE:OUTSIDE[:COUNT], ids below 4294967295",
        )
        for wrong in ("", "0", "0:", "0:1:0", "0:-1", "0:1:2:3", "4294967295:0", "0:1:4294967295", "a:b")
    ),
    (
        ["--layer=l", "--compression-level=1", "/lower", "/upper"],
        "--compression-level 1: none has none",
    ),
    (
        ["--layer=l", "--compression=gzip", "--compression-level=10", "/lower", "/upper"],
        "--compression-level 10: gzip has 1 to 9",
    ),
    *(
        (
            [f"--{option}", "--report=-", "/lower", "/upper"],
            f"--{option} is told on stdout, so --report needs a file",
        )
        for option in ("stat", "summary")
    ),
    (["--layer=-", "--stat", "/lower", "/upper"], ONLY_LAYER),
    (["--layer=-", "--summary", "/lower", "/upper"], ONLY_LAYER),
    (
        ["--stat-rows=5", "--summary", "/lower", "/upper"],
        "--stat-rows is about the table of directories, so it needs --stat",
    ),
    (["--stat-rows=0", "--stat", "/lower", "/upper"], "--stat-rows '0': a number from 1 to 999999"),
    (["--stat=5", "/lower", "/upper"], "--stat takes no value"),
    (["--color", "/lower", "/upper"], "--color '/lower': choose one of auto, always, never"),
    (["--digest", "/lower", "/upper"], "--digest adds to a report, so it needs --report"),
    (["-qv", "/lower", "/upper"], EXCLUDE),
    (["-v", "/lower", "/upper", "--quiet"], EXCLUDE),
    (["", "/upper"], "a directory's name is empty"),
    (["/lower", "/upper", ""], "a directory's name is empty"),
    (["/lower", "/upper\0"], "a directory's name holds a NUL"),
    (["--ignore=[", "/lower", "/upper"], "--ignore '[': the [ has no matching ]"),
    (["--help", "--bogus"], "unknown option --bogus; --help lists them"),
]

WRONG_APPLY: list[tuple[list[str], str]] = [
    ([], EXPECTED_APPLY.format("no argument")),
    (["/lower", "/upper"], EXPECTED_APPLY.format("2 arguments")),
    (["-qv", "/lower", "/upper", "/out"], EXCLUDE),
    (["/lower", "/upper", ""], "a directory's name is empty"),
    *(
        ([f"--{option}", "/lower", "/upper", "/out"], f"unknown option --{option}; --help lists them")
        for option in (
            "color",
            "compare",
            "digest",
            "exit-code",
            "ignore",
            "jobs",
            "overlay",
            "report",
            "stat",
            "summary",
            "verify",
            "allow-wh-names",
        )
    ),
]


@pytest.mark.parametrize(("words", "error"), WRONG, ids=[ascii(" ".join(words)) for words, _ in WRONG])
def test_a_wrong_command_line_is_one_clear_line(
    disk: FakeFilesystem, run_differ: RunDiffer, words: list[str], error: str
) -> None:
    before = everything()
    assert run_differ(*words) == (2, "", f"differ: {error}\n")
    assert everything() == before


@pytest.mark.parametrize(("words", "error"), WRONG_APPLY, ids=[" ".join(words) for words, _ in WRONG_APPLY])
def test_a_wrong_command_line_of_apply(
    disk: FakeFilesystem, run_differ: RunDiffer, words: list[str], error: str
) -> None:
    before = everything()
    assert run_differ(*words, apply=True) == (2, "", f"differ-apply: {error}\n")
    assert everything() == before


# Words that must not forge a line or steer a terminal by being repeated in an error.
RAW = [
    ["--a\nb", "/lower", "/upper"],
    ["-\n", "/lower", "/upper"],
    ["--whiteout=\x1b[2J", "/lower", "/upper"],
    ["--ignore=a\n[", "/lower", "/upper"],
    ["/no\nsuch\x1b[2J", "/upper"],
    ["/lower", "/upper", "/no\nsuch/out"],
    ["--report=/no\nsuch/report", "/lower", "/upper"],
    ["--report=/lower/a\nb", "/lower", "/upper"],
    ["/odd\x1b[2J\n", "/upper", "/odd\x1b[2J\n/out"],
]


@pytest.mark.parametrize("words", RAW, ids=ascii)
def test_an_error_is_one_line_whatever_it_repeats(
    disk: FakeFilesystem, run_differ: RunDiffer, words: list[str]
) -> None:
    disk.create_dir("/odd\x1b[2J\n")
    status, out, err = run_differ(*words)
    assert (status, out) == (2, "")
    assert err.endswith("\n")
    assert err[:-1].isprintable(), err


# ---------------------------------------------------------------- what is understood

DEFAULTS: dict[str, Any] = {
    "lower": b"l",
    "upper": b"u",
    "out": None,
    "allow_wh_names": False,
    "allow_conflicts": False,
    "new_base": b"",
    "append": None,
    "append_to_scratch": None,
    "to": None,
    "color": "auto",
    "compare": "exact",
    "digest": False,
    "exit_code": False,
    "help": False,
    "ignore": [],
    "progress": "auto",
    "quiet": False,
    "report": None,
    "stat": False,
    "stat_rows": 0,
    "strict": False,
    "summary": False,
    "verbose": False,
    "verify": False,
    "jobs": 0,
    "compression": None,
    "compression_level": 0,
    "layer": None,
    "layer_xattrs": "capability",
    "uid_map": [],
    "gid_map": [],
    "metadata_file": None,
    "one_file_system": False,
    "overlay": "auto",
    "version": False,
    "whiteout": None,
    "xattr_exclude": [],
}

UNDERSTOOD: list[tuple[list[str], dict[str, Any]]] = [
    (["l", "u"], {}),
    (["l", "u", "o"], {"out": b"o"}),
    (["-q", "l", "-q", "u"], {"quiet": True}),
    (["l", "u", "-v"], {"verbose": True}),
    (["-qh", "l", "u"], {"quiet": True, "help": True, "lower": b"", "upper": b""}),
    (["--whiteout=none", "l", "u"], {"whiteout": "none"}),
    (["l", "--whiteout", "overlay", "u"], {"whiteout": "overlay"}),
    (["--whiteout=none", "--whiteout=oci", "l", "u"], {"whiteout": "oci"}),
    (["l", "u", "--compare", "native"], {"compare": "native"}),
    (["--ignore", "a", "--ignore=b=c", "--ignore=", "l", "u"], {"ignore": ["a", "b=c", ""]}),
    (["--ignore", "--", "l", "u"], {"ignore": ["--"]}),
    (["--ignore", "!-q", "l", "u"], {"ignore": ["!-q"]}),
    (["--jobs", "3", "--overlay=off", "l", "u"], {"jobs": 3, "overlay": "off"}),
    (["-qx", "l", "u"], {"quiet": True, "one_file_system": True}),
    (["--one-file-system", "l", "u"], {"one_file_system": True}),
    (["--xattr-exclude=user.*", "l", "u"], {"xattr_exclude": ["user.*"]}),
    (["--report", "-", "--digest", "l", "u"], {"report": "-", "digest": True}),
    (["--report=--quiet", "l", "u"], {"report": "--quiet"}),
    (["--color", "always", "l", "u"], {"color": "always"}),
    (["--stat", "--summary", "l", "u"], {"stat": True, "summary": True}),
    (
        ["-q", "--stat", "--stat-rows=3", "l", "u", "o"],
        {"quiet": True, "stat": True, "stat_rows": 3, "out": b"o"},
    ),
    (
        ["--allow-wh-names", "--exit-code", "--strict", "l", "u"],
        {
            "allow_wh_names": True,
            "exit_code": True,
            "strict": True,
        },
    ),
    (["--verify", "l", "u", "o"], {"verify": True, "out": b"o"}),
    (["--", "l", "u"], {}),
    (["l", "--", "u", "--quiet"], {"out": b"--quiet"}),
    (["--", "-", "--"], {"lower": b"-", "upper": b"--"}),
    (["-", "u"], {"lower": b"-"}),
    ([os.fsdecode(b"\xff\n"), "é"], {"lower": b"\xff\n", "upper": "é".encode()}),
]


@pytest.mark.parametrize(("words", "wanted"), UNDERSTOOD, ids=[ascii(words) for words, _ in UNDERSTOOD])
def test_what_a_command_line_means(words: list[str], wanted: dict[str, Any]) -> None:
    options = parse_diff(words)
    assert {name: getattr(options, name) for name in options.__slots__} == {**DEFAULTS, **wanted}


def test_what_a_command_line_of_apply_means() -> None:
    options = parse_apply(["--whiteout=overlay", "l", "--strict", "c", "--", "-o"])
    told = {name: getattr(options, name) for name in options.__slots__}
    wanted = {"upper": b"c", "out": b"-o", "whiteout": "overlay", "strict": True}
    assert told == {**DEFAULTS, **wanted}
    with pytest.raises(UsageError):
        parse_apply(["l", "c"])


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--help", "--verify"], ["a", "b", "c", "d", "-h"]])
def test_help(disk: FakeFilesystem, run_differ: RunDiffer, words: list[str]) -> None:
    assert run_differ(*words) == (0, MANUALS["differ"], "")
    if "--verify" not in words:
        assert run_differ(*words, apply=True) == (0, MANUALS["differ-apply"], "")


@pytest.mark.parametrize("words", [["--version"], ["-q", "--version", "a"]])
def test_version(disk: FakeFilesystem, run_differ: RunDiffer, words: list[str]) -> None:
    assert run_differ(*words) == (0, f"differ {__version__}\n", "")
    assert run_differ(*words, apply=True) == (0, f"differ-apply {__version__}\n", "")


# ---------------------------------------------------------------- directories that cannot be used

NO_DIRECTORY = "no such directory (for an empty LOWER write scratch)"
FILE_INPUT = "is not a directory; differ compares two directory trees"
OUTSIDE = "write to a directory outside both trees"
NOT_EMPTY = "is not empty; name a directory that is, or one that does not exist"

UNUSABLE: list[tuple[list[str], str]] = [
    (["/none", "/upper"], f"/none: {NO_DIRECTORY}"),
    (["/lower", "/none"], f"/none: {NO_DIRECTORY}"),
    (["/lower", "/none/below"], f"/none/below: {NO_DIRECTORY}"),
    (["/file", "/upper"], f"/file: {FILE_INPUT}"),
    (["/lower", "/file"], f"/file: {FILE_INPUT}"),
    (["/lower", "/dangling"], f"/dangling: {NO_DIRECTORY}"),
    (["/lower", "/upper", "/full"], f"/full: {NOT_EMPTY}"),
    (["/lower", "/upper", "/killed"], "/killed: holds what a killed run has left; empty it first"),
    (["/lower", "/upper", "/file"], "/file: is not a directory"),
    (["/lower", "/upper", "/file/out"], "/file/out: is not a directory"),
    (["/lower", "/upper", "/none/out"], "/none/out: cannot be written: No such file or directory"),
    (["/lower", "/upper", "/link"], "/link: is a symbolic link; name the directory that it points to"),
    (
        ["/lower", "/upper", "/dangling"],
        "/dangling: is a symbolic link; name the directory that it points to",
    ),
    (["/lower", "/upper", "/lower"], f"/lower: lies in /lower; {OUTSIDE}"),
    (["/lower", "/upper", "/upper/"], f"/upper/: lies in /upper; {OUTSIDE}"),
    (["/lower", "/upper", "/upper/a/b/out"], f"/upper/a/b/out: lies in /upper; {OUTSIDE}"),
    (["/lower", "/upper", "/upper/a"], f"/upper/a: lies in /upper; {OUTSIDE}"),
    (["--report=/none/r", "/lower", "/upper"], "/none/r: cannot be written: No such file or directory"),
    (["--report=/file/r", "/lower", "/upper"], "/file/r: cannot be written: Not a directory"),
    (["--report=/full", "/lower", "/upper"], "/full: is a directory; name a file for the report"),
    (["--report=/lower/r", "/lower", "/upper"], f"/lower/r: lies in /lower; {OUTSIDE}"),
    (["--report=/upper/a/r", "/lower", "/upper", "/out"], f"/upper/a/r: lies in /upper; {OUTSIDE}"),
]


@pytest.mark.parametrize(("words", "error"), UNUSABLE, ids=[" ".join(words) for words, _ in UNUSABLE])
def test_a_directory_that_cannot_be_used_is_named(
    disk: FakeFilesystem, run_differ: RunDiffer, words: list[str], error: str
) -> None:
    disk.create_file("/file")
    disk.create_file("/full/x")
    disk.create_file("/killed/.differ-unfinished")
    disk.create_dir("/upper/a/b")
    disk.create_dir("/empty")
    disk.create_symlink("/link", "/empty")
    disk.create_symlink("/dangling", "/nowhere")
    before = everything()
    assert run_differ(*words) == (2, "", f"differ: {error}\n")
    assert everything() == before


def test_apply_names_them_too(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    disk.create_file("/killed/.differ-unfinished")
    for words, error in (
        (["/none", "/upper", "/out"], f"/none: {NO_DIRECTORY}"),
        (["/lower", "/none", "/out"], f"/none: {NO_DIRECTORY}"),
        (["/lower", "/upper", "/lower/out"], f"/lower/out: lies in /lower; {OUTSIDE}"),
        (["/lower", "/upper", "/upper/out"], f"/upper/out: lies in /upper; {OUTSIDE}"),
        (["/lower", "/upper", "/killed"], "/killed: holds what a killed run has left; empty it first"),
        (
            ["/lower", "/killed", "/out"],
            "/killed/.differ-unfinished: holds changes that were not written to the end; make them again",
        ),
    ):
        assert run_differ(*words, apply=True) == (2, "", f"differ-apply: {error}\n")
    assert not os.path.exists("/out")


# ---------------------------------------------------------------- runs

NOTHING = "0 added, 0 modified, 0 removed; 0 B written, 0 B compared, 0 B proven equal without reading"
ONE = NOTHING.replace("0 added", "1 added")


def test_equal_trees(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    for words in (["/lower", "/upper"], ["--exit-code", "/lower", "/lower"], ["scratch", "/upper"]):
        assert run_differ(*words) == (0, "", f"differ: {NOTHING}\n")


def test_the_exit_status_tells_of_a_difference_only_on_demand(
    disk: FakeFilesystem, run_differ: RunDiffer
) -> None:
    disk.create_dir("/upper/new")
    assert run_differ("/lower", "/upper") == (0, "A new/\n", f"differ: {ONE}\n")
    assert run_differ("--exit-code", "/lower", "/upper") == (1, "A new/\n", f"differ: {ONE}\n")
    assert run_differ("-q", "--exit-code", "/lower", "/upper") == (1, "", "")


def test_out_that_is_empty_or_absent(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    disk.create_dir("/out/empty")
    for out in ("/out/empty", "/out/absent", "/out/slash/", "/out/./dot"):
        assert run_differ("--verify", "/lower", "/upper", out) == (0, "", f"differ: {NOTHING}; proved\n")
        assert os.listdir(out) == []
    assert sorted(os.listdir("/out")) == ["absent", "dot", "empty", "slash"]


def test_out_beside_the_current_directory(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    os.chdir("/upper")
    disk.create_dir("/upper/d/e")
    assert run_differ("../lower", ".", "out")[0] == 2
    status, out, _ = run_differ("-v", "d", "d", "../out")
    assert (status, out) == (0, "")
    assert os.listdir("/out") == []
    assert os.getcwd() == "/upper"


def test_a_report_file_and_the_list(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    disk.create_dir("/upper/new")
    line = {"v": 1, "kind": "added", "path": "new", "type": "dir"}
    disk.create_file("/report", contents="old")
    assert run_differ("--report", "/report", "/lower", "/upper") == (0, "A new/\n", f"differ: {ONE}\n")
    with open("/report") as file:
        assert [json.loads(text) for text in file] == [line]
    status, out, err = run_differ("--report=-", "/lower", "/upper")
    assert (status, json.loads(out), err) == (0, line, f"differ: {ONE}\n")
    assert sorted(os.listdir("/")) == sorted(["lower", "report", "tmp", "upper"])


def test_the_current_directory_is_put_back(disk: FakeFilesystem, run_differ: RunDiffer) -> None:
    disk.create_dir("/upper/new/deep")
    os.chdir("/lower")
    assert run_differ("/lower", "/upper")[0] == 0
    assert os.getcwd() == "/lower"
