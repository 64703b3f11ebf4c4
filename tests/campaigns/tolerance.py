"""What a call may answer, when a run may succeed all the same, and what the line must say when it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .strace import Call, Reference

_LOOK = ("EIO", "EACCES", "ENOMEM", "ESTALE")
_MAKE = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "ENOMEM", "ESTALE")
_MOVE = ("EIO", "ENOSPC", "EDQUOT", "ENOMEM", "ESTALE", "EINTR")
_READ = ("EIO", "ENOMEM", "ESTALE", "EINTR")
_UNKNOWN = ("EXDEV", "EINVAL", "EOPNOTSUPP", "ENOSYS")
_WRITE = ("EIO", "ENOSPC", "EDQUOT", "EINTR")
ERRNOS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("openat",), (*_MAKE, "EMFILE", "EINTR")),
    **dict.fromkeys(("newfstatat", "fstat", "statx", "readlink", "readlinkat", "fchdir", "chdir"), _LOOK),
    **dict.fromkeys(("llistxattr", "flistxattr", "lgetxattr", "fgetxattr", "getdents64"), _LOOK),
    **dict.fromkeys(("read", "pread64", "preadv", "preadv2"), _READ),
    **dict.fromkeys(("write", "pwrite64", "ftruncate"), _WRITE),
    **dict.fromkeys(("copy_file_range", "sendfile"), (*_MOVE, *_UNKNOWN)),
    **dict.fromkeys(
        ("mkdirat", "symlinkat", "linkat", "mknodat", "renameat", "renameat2", "unlinkat", "unlink"), _MAKE
    ),
    **dict.fromkeys(("fchmod", "fchmodat", "utimensat"), _MAKE),
    **dict.fromkeys(("fchown", "fchownat"), (*_MAKE, "EPERM")),
    **dict.fromkeys(("fsetxattr", "lsetxattr"), (*_MAKE, "EPERM", "EOPNOTSUPP")),
    **dict.fromkeys(("fremovexattr",), _MAKE),
    **dict.fromkeys(("close",), _WRITE),
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
"""What the call may answer on some file system or under some limit."""

UNFAILING = frozenset(
    [
        "brk",
        "clock_gettime",
        "exit_group",
        "futex",
        "geteuid",
        "getpid",
        "gettid",
        "kill",
        "munmap",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sched_getaffinity",
        "set_robust_list",
        "uname",
    ]
)
"""Calls that have no error a correct program can meet (brk answers with the old break, which strace cannot)."""


class Fault:
    """One call that was made to fail.

    ``call``, ``errno``, ``at``: which, how, and which of its kind in its process.
    ``reference``: the run in which nothing fails.  ``place``: where the trees and the results are.
    """

    def __init__(self, call: Call, errno: str, at: int, reference: Reference, place: Path) -> None:
        self.call = call
        self.errno = errno
        self.paths = call.paths()
        self.is_search = call.pid == reference.pid and reference.is_search(call.name, at)
        self.is_forked = call.pid != reference.pid
        self.reference = reference
        self.place = str(place)

    def concerns(self, *names: str) -> bool:
        """Whether it asks for something below one of these directories of the place."""
        roots = tuple(f"{self.place}/{name}" for name in names)
        return any(path == root or path.startswith(f"{root}/") for path in self.paths for root in roots)

    def asks(self, pattern: str) -> bool:
        """Whether what is asked matches."""
        return re.search(pattern, self.call.asked) is not None


INPUTS = ("lower", "upper", "changes", "image", "base.tar", "upper.tar", "upper.tar.gz")
_ANY = ".*"
_SEARCH = "getdents64|newfstatat|openat|llistxattr|flistxattr|lgetxattr|preadv2|pread64|lseek|fchdir|close|readlinkat"
TOLERATED: list[tuple[str, str, Callable[[Fault], bool], str]] = [
    # call, errnos, when, and why the run goes on; its result must be right all the same, or the loss be warned of
    (
        _SEARCH,
        _ANY,
        lambda fault: fault.is_search,
        "in the search, before the plan: what it cannot look at the plan looks at",
    ),
    (
        _SEARCH,
        _ANY,
        lambda fault: fault.is_forked and not fault.concerns("results"),
        "in a process of the search, which has no descriptor of a result: as above",
    ),
    (
        "openat|read|fcntl|newfstatat|readlink|lseek",
        _ANY,
        lambda fault: fault.asks('[<"]/(proc|sys)/'),
        "below /proc and /sys: they only tell of a faster way",
    ),
    (
        "openat|fcntl|fchdir",
        _ANY,
        lambda fault: fault.asks(r'^\w+\((AT_FDCWD</>, "\."|\d+</>(, F_GETFD)?$)'),
        "the directory to come back to: the process ends there",
    ),
    (
        "close",
        _ANY,
        lambda fault: not fault.concerns("results") or fault.reference.written.isdisjoint(fault.paths),
        "of what was only read, or is a copy for differ alone: there is nothing that close(2) may lose",
    ),
    (
        "lseek",
        _ANY,
        lambda fault: fault.asks(r", 0, SEEK_(SET|CUR)$"),
        "rewinddir(3), once a directory has been listed; where a new file begins",
    ),
    (
        "newfstatat",
        _ANY,
        lambda fault: not fault.reference.written.isdisjoint(fault.paths),
        "how large a buffer is for a file of an image",
    ),
    (
        "openat",
        _ANY,
        lambda fault: fault.asks("O_TMPFILE"),
        "no room in /var/tmp: what is small is unpacked in memory",
    ),
    (
        "renameat",
        "EACCES",
        lambda fault: fault.asks(r"^renameat\(\d+<[^>]*/\.differ-unfinished>"),
        "a directory is moved once more, with the permission to write into it",
    ),
    (
        "unlinkat",
        _ANY,
        lambda fault: fault.asks(r'"\.differ-[0-9a-f]{16}", AT_REMOVEDIR'),
        "the empty directory beside an image that is published is removed once more",
    ),
    (
        "copy_file_range|sendfile",
        "EXDEV|EINVAL|EOPNOTSUPP|ENOSYS",
        lambda fault: True,
        "the next way to copy is taken",
    ),
    ("fchown|fchownat", "EPERM", lambda fault: True, "no privilege: owners are counted and warned of"),
    (
        "fsetxattr|lsetxattr",
        "EPERM|EOPNOTSUPP",
        lambda fault: True,
        "no such attribute here: counted and warned of",
    ),
    (
        "lseek",
        "EINVAL",
        lambda fault: fault.asks("SEEK_DATA|SEEK_HOLE"),
        "SEEK_DATA, SEEK_HOLE: the file system knows no holes, all is read as data",
    ),
    ("ioctl", "EIO|ENOTTY", lambda fault: fault.asks("TCGETS|TIOCGWINSZ"), "isatty(3): not a terminal"),
    (
        "mmap|mremap",
        "ENOMEM",
        lambda fault: fault.call.name == "mremap" or fault.asks("MAP_ANONYMOUS"),
        "the allocator asks in another way",
    ),
    (
        "write",
        "EIO|ENOSPC|EDQUOT",
        lambda fault: fault.asks(r"^write\(2<"),
        "stderr takes nothing: results are there, nobody can be told",
    ),
    (
        "clone|fork|vfork|pipe2",
        "EAGAIN|ENOMEM|EMFILE|ENFILE",
        lambda fault: True,
        "the work is done by this process",
    ),
    ("flock", "ENOLCK", lambda fault: True, "the file system has no locks, and nobody waits"),
]

_LOOKS = (
    "openat|newfstatat|fstat|readlinkat|fchdir|llistxattr|flistxattr|lgetxattr|getdents64|lseek|fcntl|close"
    "|read|pread64|preadv2"
)
_READ_WORDS = (
    "cannot be (read|opened|compared|unpacked)"
    "|vanished or was replaced while the tree was read|changed while it was read"
)
OPERATIONS: list[tuple[str, str, str]] = [
    # what the call is about, the call, and what the line on stderr may say was not possible
    ("input", _LOOKS, _READ_WORDS),
    ("result", _LOOKS, f"cannot be (written|made|removed|opened as an image layout)|{_READ_WORDS}"),
    (
        "result",
        "mkdirat|symlinkat|linkat|mknodat|renameat|renameat2|fchmod|fchmodat|utimensat|fchown|fchownat|fgetxattr"
        "|fsetxattr|lsetxattr|fremovexattr|ftruncate|write|pwrite64|flock",
        "cannot be written",
    ),
    ("result", "unlinkat", "cannot be (written|removed)"),
    ("both", "copy_file_range|sendfile", "cannot be written"),
    ("room", "openat|write|ftruncate|memfd_create|unlink", "cannot (hold what is|be) unpacked"),
    ("room", _LOOKS, _READ_WORDS),
]


def is_tolerated(fault: Fault) -> str:
    """Why a run may succeed although this call has failed; empty if it may not."""
    for names, errnos, when, why in TOLERATED:
        if re.fullmatch(names, fault.call.name) and re.fullmatch(errnos, fault.errno) and when(fault):
            return why
    return ""


def concern(fault: Fault) -> str:
    """What the failed call is about; empty if the call itself does not tell."""
    if fault.asks("/memfd:|/var/tmp|^memfd_create"):
        return "room"
    is_input, is_result = fault.concerns(*INPUTS), fault.concerns("results")
    if is_input and is_result:
        return "both"
    return "input" if is_input else "result" if is_result else ""


def operation(fault: Fault, err: str) -> str:
    """What is wrong with the operation that a line on stderr names, and on what; empty if nothing is."""
    about = concern(fault)
    words = [
        said
        for of, names, said in OPERATIONS
        if re.fullmatch(names, fault.call.name) and (not about or of == about)
    ]
    if not re.search("|".join(words or [said for _, _, said in OPERATIONS]), err):
        return "not the operation"
    if "cannot be compared" in err:
        return ""  # which of the two files could not be read is not known
    names_result = f"{fault.place}/results" in err
    if (about == "input" and names_result) or (about == "result" and not names_result):
        return "another path"
    return ""
