"""Ignore patterns: drawn for a pair of trees, matched character by character, and carried out by hand."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from hypothesis import strategies as st

from .generated import Pair

_SPECIAL = "\\*?[]!"


def patterns_for(pair: Pair) -> st.SearchStrategy[list[str]]:
    """A few patterns that have to do with the names in the trees."""
    steps = [*pair.lower, *pair.edits]
    made = [step.args[1] for step in steps if step.call in ("link", "mv")]
    paths = sorted({*made, *(step.args[0] for step in steps)})
    if not paths:
        return st.just(["a"])
    return st.lists(st.sampled_from(paths).flatmap(_pattern), min_size=1, max_size=4)


def _pattern(path: bytes) -> st.SearchStrategy[str]:
    parts = [_quoted(part) for part in os.fsdecode(path).split("/")]
    last = parts[-1]
    exact = "/".join(parts)
    shapes = [
        exact,
        f"/./{exact}/",
        f"{exact}/*",
        f"{exact}/**",
        f"*/{last}",
        f"**/{last}",
        f"{parts[0]}/**/{last}",
        "/".join([*parts[:-1], "*"]),
        "/".join([*parts[:-1], last[0] + "*"]) if last[0] not in _SPECIAL else "*",
        "/".join([*parts[:-1], "?" * len(os.fsdecode(path).split("/")[-1])]),
    ]
    return st.builds(str.__add__, st.sampled_from(["", "", "!"]), st.sampled_from(shapes))


def _quoted(name: str) -> str:
    return "".join("\\" + character if character in _SPECIAL else character for character in name)


def is_taken(patterns: list[str], path: str) -> bool:
    """Whether the last pattern that matches the path, or a directory above it, takes it."""
    parts = path.split("/")
    for pattern in reversed(patterns):
        wanted = [part for part in pattern.removeprefix("!").split("/") if part not in ("", ".")]
        if any(_parts_match(wanted, parts[:count]) for count in range(1, len(parts) + 1)):
            return not pattern.startswith("!")
    return False


def _parts_match(wanted: list[str], parts: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted == ["**"]:
        return bool(parts)
    if wanted[0] == "**":
        return any(_parts_match(wanted[1:], parts[count:]) for count in range(len(parts) + 1))
    return bool(parts) and _name_matches(wanted[0], parts[0]) and _parts_match(wanted[1:], parts[1:])


def _name_matches(wanted: str, name: str) -> bool:
    if not wanted:
        return not name
    if wanted[0] == "*":
        return any(_name_matches(wanted[1:], name[count:]) for count in range(len(name) + 1))
    if not name:
        return False
    if wanted[0] == "\\":
        return wanted[1] == name[0] and _name_matches(wanted[2:], name[1:])
    return wanted[0] in ("?", name[0]) and _name_matches(wanted[1:], name[1:])


def delete_taken(lower: Path, upper: Path, patterns: list[str]) -> None:
    """Delete what the patterns take on both sides.

    A directory stays if it holds something that they do not take.  If it is one on both sides and
    stays on one of them, it stays on the other too.
    """
    sides = [_directories(os.fsencode(root), patterns) for root in (lower, upper)]
    kept = {path for directories in sides for path, holds in directories.items() if holds}
    for root, directories in zip((lower, upper), sides):
        both = kept.intersection(*sides)
        _delete(os.fsencode(root), b"", patterns, {path for path in directories if directories[path]} | both)


def _directories(root: bytes, patterns: list[str]) -> dict[bytes, bool]:
    """Every directory below the root, and whether it holds something that the patterns do not take."""
    found: dict[bytes, bool] = {}
    for above, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.relpath(os.path.join(above, name), root)
            if name in directories and not os.path.islink(os.path.join(above, name)):
                found.setdefault(path, False)
            if not is_taken(patterns, os.fsdecode(path)):
                parts = path.split(b"/")
                found.update((b"/".join(parts[:count]), True) for count in range(1, len(parts)))
    return found


def _delete(directory: bytes, above: bytes, patterns: list[str], stay: set[bytes]) -> None:
    facts = os.lstat(directory)
    for name in os.listdir(directory):
        inner, path = os.path.join(directory, name), above + name
        is_dir = stat.S_ISDIR(os.lstat(inner).st_mode)
        if path not in stay and is_taken(patterns, os.fsdecode(path)):
            shutil.rmtree(inner) if is_dir else os.unlink(inner)
        elif is_dir:
            _delete(inner, path + b"/", patterns, stay)
    os.utime(directory, ns=(facts.st_atime_ns, facts.st_mtime_ns))
