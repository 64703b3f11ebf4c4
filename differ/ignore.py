r"""Names that count as absent on both sides.

The patterns are those of a .dockerignore file (Dockerfile reference, ".dockerignore file"): rooted,
``*`` and ``?`` within a name, ``**`` over any number of directories, ``[a-z]``, ``\`` escapes, and
``!`` brings back what an earlier pattern took.  A pattern takes what is below a directory it
matches.  The last pattern that matches decides.  Where the reference is silent, what
moby/patternmatcher does is the rule: ``**.pyc`` is any name with that end, ``[^x]`` may be a slash.

A tree with names taken out must still be a tree: a directory that a pattern takes stays as long as
something below it is brought back by a ``!`` pattern.  It then stays on both sides, if both have
it: were it gone from one, its removal would remove what the pattern takes from the other.
"""

from __future__ import annotations

from stat import S_ISDIR

from .model import DifferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

    from .model import Stat, Tree


class Patterns:
    """Compiled patterns.

    ``patterns``: in the order given; each as a user types it.
    Raises :class:`DifferError` for a pattern that is malformed.
    """

    def __init__(self, patterns: list[str]) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for pattern in patterns:
            body = pattern.strip()
            taken = not body.startswith("!")
            body = body.removeprefix("!").strip()
            if not body:
                raise DifferError(f"--ignore {pattern!r}: the pattern is empty")
            expression = _expression(pattern, body)
            if expression is not None:
                self._rules.append((taken, expression))
        self.brings_back = any(not taken for taken, _ in self._rules)

    def take(self, path: bytes) -> bool:
        """Whether ``path``, below the root, counts as absent."""
        text = path.decode("utf-8", "surrogateescape")
        for taken, expression in reversed(self._rules):
            if expression.fullmatch(text):
                return taken
        return False


_SPECIAL = frozenset("*?[]\\")


def _expression(pattern: str, body: str) -> re.Pattern[str] | None:
    # Imported here because only a run with --ignore should pay 10 ms for it.
    import re

    clean: list[str] = []
    for part in body.split("/"):
        if part == ".." and clean and clean[-1] != "..":
            clean.pop()
        elif part == ".." and not body.startswith("/"):
            clean.append(part)  # out of the tree: matches nothing
        elif part not in ("", ".", ".."):
            clean.append(part)
    if not clean:
        return None  # The root itself: as in docker, the pattern has no effect.
    body = "/".join(clean)
    out = []
    at = 0
    while at < len(body):
        if body.startswith("**", at):
            rest = body[at + 2 :]
            any_end = at == 0 and rest[:1] != "/" and _SPECIAL.isdisjoint(rest)
            at += 3 if rest.startswith("/") else 2
            out.append(".*" if at >= len(body) or any_end else "(?:.*/)?")
            continue
        character = body[at]
        at += 1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            members, at = _character_class(pattern, body, at)
            out.append(members)
        elif character == "\\":
            if at >= len(body):
                raise DifferError(f"--ignore {pattern!r}: nothing follows the backslash")
            out.append(re.escape(body[at]))
            at += 1
        else:
            out.append(re.escape(character))
    return re.compile("".join(out) + "(?:/.*)?", re.DOTALL)


def _character_class(pattern: str, body: str, at: int) -> tuple[str, int]:
    """The expression for the class whose members start at ``at``, and where it ends.

    The rules are those of Go's ``path/filepath.Match``: a ``-`` or ``]`` that is a member needs a
    backslash.
    """
    import re

    negated = body.startswith("^", at)
    if negated:
        at += 1
    members: list[str] = []
    while not (members and body.startswith("]", at)):
        low, at = _class_member(pattern, body, at)
        high = low
        if body.startswith("-", at):
            high, at = _class_member(pattern, body, at + 1)
        if low > high:
            raise DifferError(f"--ignore {pattern!r}: the range {low}-{high} runs backwards")
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(members)}]", at + 1


def _class_member(pattern: str, body: str, at: int) -> tuple[str, int]:
    escaped = body.startswith("\\", at)
    if escaped:
        at += 1
    if at >= len(body):
        raise DifferError(f"--ignore {pattern!r}: the [ has no matching ]")
    if not escaped and body[at] in "-]":
        raise DifferError(f"--ignore {pattern!r}: a {body[at]} in a class needs a backslash")
    return body[at], at + 1


class IgnoringTree:
    """A tree without the names that ``patterns`` take."""

    def __init__(self, tree: Tree, patterns: Patterns) -> None:
        self._tree = tree
        self._patterns = patterns
        self._other = self
        self._parents: list[bytes] = []
        self.stat = tree.stat
        self.xattrs = tree.xattrs
        self.target = tree.target
        self.open = tree.open
        self.path = tree.path
        self.depth = tree.depth
        self.close = tree.close

    @classmethod
    def pair(cls, lower: Tree, upper: Tree, patterns: Patterns) -> tuple[IgnoringTree, IgnoringTree]:
        """Two trees that are walked together: what one keeps, the other does."""
        left, right = cls(lower, patterns), cls(upper, patterns)
        left._other, right._other = right, left
        return left, right

    def names(self) -> list[bytes]:
        """The names that are left, in byte order."""
        names = self._tree.names()
        taken = {name for name in names if self._patterns.take(self._below(name))}
        if taken and self._patterns.brings_back:
            taken -= self._held(taken)
        return [name for name in names if name not in taken]

    def enter(self, name: bytes, seen: Stat | None = None) -> None:
        """Step into the directory ``name``."""
        self._tree.enter(name, seen)
        self._parents.append(name)

    def leave(self) -> None:
        """Step back into the parent."""
        self._tree.leave()
        self._parents.pop()

    def seek(self, parents: list[bytes]) -> None:
        """Go to the directory with this path below the root."""
        self._tree.seek(parents)
        self._parents = list(parents)

    def _below(self, name: bytes) -> bytes:
        return b"/".join([*self._parents, name])

    def _held(self, taken: set[bytes]) -> set[bytes]:
        """Those of the names ``taken`` whose directories hold something that is not, on either side."""
        held = set()
        other = self._other
        there = other._tree.names() if other._parents == self._parents else []
        shared = taken.intersection(there)
        for name in taken:
            if not S_ISDIR(self.stat(name).st_mode):
                continue
            if self._holds_kept(name) or (name in shared and other._holds_kept(name)):
                held.add(name)
        return held

    def _holds_kept(self, name: bytes) -> bool:
        """Whether anything below the directory ``name`` is not taken."""
        tree = self._tree
        facts = tree.stat(name)
        if not S_ISDIR(facts.st_mode):
            return False
        tree.enter(name, facts)
        stack = [(self._below(name), iter(tree.names()))]
        found = False
        while stack and not found:
            above, names = stack[-1]
            for below in names:
                inner = above + b"/" + below
                if not self._patterns.take(inner):
                    found = True
                    break
                facts = tree.stat(below)
                if S_ISDIR(facts.st_mode):
                    tree.enter(below, facts)
                    stack.append((inner, iter(tree.names())))
                    break
            else:
                stack.pop()
                tree.leave()
        for _ in stack:
            tree.leave()
        return found
