"""What strace has logged of a run: its calls, and which part of the run each belongs to."""

from __future__ import annotations

import re
from collections import Counter

_BEGIN = re.compile(r'openat\(AT_FDCWD(<[^>]*>)?, "\.", O_RDONLY\|O_CLOEXEC\|O_DIRECTORY\)')
"""The first call of differ's own, which opens the current directory."""
_SHOWN = re.compile(r"<(/[^>]*)>")  # by -y, after a descriptor
_QUOTED = re.compile(r'"(/[^"]*)"')
_STAGED = re.compile(r"\.differ-[0-9a-f]{16}")
_WRITTEN = re.compile(r"O_WRONLY|O_RDWR|memfd_create")


class Call:
    """One call.

    ``pid``, ``name``: whose, and which.  ``text``: the line without the number of the process.
    """

    __slots__ = ("name", "pid", "text")

    def __init__(self, pid: str, text: str) -> None:
        self.pid = pid
        self.text = text
        self.name = text.partition("(")[0]

    @property
    def is_injected(self) -> bool:
        """Whether strace has made it fail."""
        return "(INJECTED)" in self.text

    @property
    def asked(self) -> str:
        """What was asked, without the answer."""
        return re.split(r"\)\s+= [^)]*", self.text)[0]

    def paths(self) -> list[str]:
        """The paths that are asked for, also by a descriptor; a staged name, which nobody can foresee, made plain."""
        found = [*_SHOWN.findall(self.asked), *_QUOTED.findall(self.asked)]
        return [_STAGED.sub(".differ-N", path) for path in found]


def calls(log: str) -> list[Call]:
    """The calls of a log (-f, -o), in the order in which they began; what one process left unfinished is put together."""
    found: list[Call] = []
    unfinished: dict[str, Call] = {}
    for line in log.splitlines():
        pid, _, text = line.partition(" ")
        text = text.strip()
        if text.startswith("<... "):
            if pid in unfinished:
                call = unfinished.pop(pid)
                call.text += text.partition("resumed>")[2]
            continue
        call = Call(pid, text.removesuffix("<unfinished ...>"))
        if not call.name.isidentifier() or "(" not in text:
            continue
        found.append(call)
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = call
    return found


class Reference:
    """The log (-y) of a run in which nothing fails: what the k-th call of a kind will be.

    ``first``: of each call, how many came before differ's own.  ``last``: how many there are at most in one process.
    ``written``: the paths that were opened for writing.
    """

    def __init__(self, log: str) -> None:
        found = calls(log)
        begin = next(at for at, call in enumerate(found) if _BEGIN.match(call.text))
        self.pid = found[begin].pid
        self.first = Counter(call.name for call in found[:begin])
        of: dict[str, Counter[str]] = {}
        for call in found:
            of.setdefault(call.pid, Counter())[call.name] += 1
        self.last = {
            name: max(count[name] for count in of.values()) for name in {call.name for call in found}
        }
        self.names = {call.name for call in found[begin:]}
        self.written = {path for call in found if _WRITTEN.search(call.text) for path in _made(call)}
        own = [call for call in found if call.pid == self.pid]
        search = _search(own)
        seen: Counter[str] = Counter()
        self._searched: set[tuple[str, int]] = set()
        self._sites: dict[tuple[str, int], str] = {}
        for at, call in enumerate(own):
            seen[call.name] += 1
            self._sites[call.name, seen[call.name]] = _site(call)
            if at in search:
                self._searched.add((call.name, seen[call.name]))

    def is_search(self, name: str, at: int) -> bool:
        """Whether this call is one of the search for candidates, which comes before the plan."""
        return (name, at) in self._searched

    def site(self, name: str, at: int) -> str:
        """About where in the program this call comes from: calls from one place look alike."""
        return self._sites.get((name, at), "")


def _made(call: Call) -> list[str]:
    answer = call.text.removeprefix(call.asked)
    return [_STAGED.sub(".differ-N", path) for path in _SHOWN.findall(answer)]


def _search(own: list[Call]) -> range:
    """From the first listing of a directory by the name "." until the search gives its directories back."""
    for at, call in enumerate(own[:-1]):
        after = own[at + 1].text
        if call.name == "fchdir" and re.match(r'openat\(AT_FDCWD<[^>]*>, "\."', after):
            fd = call.text[len("fchdir(") :].rpartition(")")[0].partition(")")[0]
            end = next(n for n in range(at, len(own)) if own[n].text.startswith(f"close({fd})"))
            return range(at, end + 1)
    return range(0)


def _site(call: Call) -> str:
    """The call without what is different each time: names, numbers, and how deep a directory lies."""
    text = re.sub(r"\d+", "N", call.asked)
    text = re.sub(r"(lower|upper|results|image)/[^>\"]*", r"\1/P", text)
    return re.sub(r'"[^/"][^"]*"|\{[^}]*\}', "S", text)
