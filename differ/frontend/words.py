"""Words with variables in them, as FROM and ARG expand them (Dockerfile reference, "Environment replacement")."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")
_OPERATOR = re.compile(r":?[-+?]|##?|%%?|//?")


class WordError(Exception):
    """A word that cannot be expanded, and why."""


def expand(word: str, variables: Mapping[str, str], escape: str) -> str:
    """A word with its variables and without its quotes; a variable that is not set is empty.

    ``escape``: the file's escape character.  Raises :class:`WordError`.
    """
    try:
        return _Reader(word, variables, escape).read("")
    except RecursionError:
        raise WordError("there are too many braces in braces") from None


def closed(text: str) -> bool:
    """Whether every quote and every brace in a text, whose escape character is the usual one, has its end."""
    try:
        _Closed(text, {}, "\\").read("")
    except (WordError, RecursionError):
        return False
    return True


class _Reader:
    """Reads a word from left to right."""

    def __init__(self, word: str, variables: Mapping[str, str], escape: str) -> None:
        self._word = word
        self._variables = variables
        self._escape = escape
        self._at = 0

    def read(self, until: str, *, raw: bool = False) -> str:
        """Up to the end, or the character ``until``, which stays.

        ``raw``: keep what escapes a character, because a pattern gives it a meaning.
        """
        out: list[str] = []
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == until:
                return "".join(out)
            if char == "'":
                end = self._word.find("'", self._at + 1)
                if end < 0:
                    raise WordError(f"{self._word}: a quote is not closed")
                out.append(self._word[self._at + 1 : end])
                self._at = end + 1
            elif char == '"':
                out.append(self._quoted())
            elif char == self._escape and self._at + 1 < len(self._word):
                out.append(self._word[self._at + (not raw) : self._at + 2])
                self._at += 2
            elif char == "$":
                out.append(self._variable())
            else:
                out.append(char)
                self._at += 1
        if until:
            missing = "a slash is missing" if until == "/" else "a brace is not closed"
            raise WordError(f"{self._word}: {missing}")
        return "".join(out)

    def _quoted(self) -> str:
        out: list[str] = []
        self._at += 1
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == '"':
                self._at += 1
                return "".join(out)
            following = self._word[self._at + 1 : self._at + 2]
            if char == self._escape and following and following in f'"${self._escape}':
                out.append(following)
                self._at += 2
            elif char == "$":
                out.append(self._variable())
            else:
                out.append(char)
                self._at += 1
        raise WordError(f"{self._word}: a quote is not closed")

    def _variable(self) -> str:
        self._at += 1
        braces = self._word.startswith("{", self._at)
        self._at += braces
        match = _NAME.match(self._word, self._at)
        if match is None:
            if braces:
                raise WordError(f"{self._word}: there is no name of a variable in the braces")
            return "$"
        self._at = match.end()
        value = self._variables.get(match[0])
        if not braces:
            return value or ""
        if self._word.startswith("}", self._at):
            self._at += 1
            return value or ""
        operator = _OPERATOR.match(self._word, self._at)
        if self._at == len(self._word):
            raise WordError(f"{self._word}: a brace is not closed")
        if operator is None:
            raise WordError(f"{self._word}: {self._word[self._at :]} is no way to change a variable")
        self._at = operator.end()
        replaces = operator[0][0] == "/"
        first = self.read("/" if replaces else "}", raw=operator[0][0] in "/#%")
        second = ""
        if replaces:
            self._at += 1
            second = self.read("}", raw=True)
        self._at += 1
        return self._changed(match[0], value, operator[0], first, second)

    def _changed(self, name: str, value: str | None, operator: str, word: str, other: str) -> str:
        if operator[-1] in "-+?":
            # With a colon an empty one counts as not set.
            is_set = bool(value) if operator[0] == ":" else value is not None
            if operator[-1] == "+":
                return word if is_set else ""
            if is_set:
                return value or ""
            if operator[-1] == "?":
                raise WordError(f"{name}: {word or 'is not set'}")
            return word
        value = value or ""
        if operator[0] == "/":
            return re.sub(_pattern(word, greedy=True), _literal(other), value, count=operator == "/")
        greedy = len(operator) == 2
        if operator[0] == "#":
            match = re.match(_pattern(word, greedy=greedy), value, re.DOTALL)
            return value[match.end() :] if match else value
        # The shortest end that matches is found from the last character on, the longest from the first.
        starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
        for start in starts:
            if re.fullmatch(_pattern(word, greedy=True), value[start:], re.DOTALL):
                return value[:start]
        return value


class _Closed(_Reader):
    """Reads only."""

    def _changed(self, name: str, value: str | None, operator: str, word: str, other: str) -> str:
        return ""


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\")


def _pattern(word: str, *, greedy: bool) -> str:
    """A pattern of the shell, which has ``*`` and ``?``, as a regular expression."""
    out = []
    chars = iter(word)
    for char in chars:
        if char == "\\":
            escaped = next(chars, "")
            if escaped not in ("*", "?", "\\", "}", "/"):
                raise WordError(f"{word}: only * and ? and \\ need a \\ in a pattern")
            out.append(re.escape(escaped))
        elif char == "*":
            out.append(".*" if greedy else ".*?")
        else:
            out.append("." if char == "?" else re.escape(char))
    return "".join(out)
