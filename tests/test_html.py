"""The report as a page for a browser, looked at without one (test_html_browser.py has one)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.model import Change, ChangeKind, Entry, Field, printable
from differ.scan import EmptyTree
from differ.writers.html import Held, HtmlReport
from differ.writers.report import json_line

from .conftest import RunDiffer
from .memory import MemoryTree, Node, directory, file, plan, symlink
from .test_report import paths

HOSTILE = [
    b"</script><img src=x onerror=hurt=1>",
    b"<!--<script>",
    b"]]>&lt;&amp;<b>",
    b"\"'><svg onload=hurt=1>",
    b"\xe2\x80\xaetxt.exe",
    b"line\nbreak\ttab\x1b[31m\x07",
    "\u2028\u2029\ufeff\u200b".encode(),
    b"\xff\xfe\xed\xa0\x80 \xc3\xa9\xc3",
    b"back\\slash\\x41",
    b"__proto__",
    "שלום-名前-🎉".encode(),
    b"{version}{lower}%s$&",
    b" spaces ",
]


class Parsed(HTMLParser):
    """What a parser makes of a page: its ``elements`` in order, the ``data`` of each script, its ``text``."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self._in = ""
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")
        elif tag == "style":
            self.styles.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in == "style":
            self.styles[-1] += data
        else:
            self.text += data

    @property
    def changes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.scripts[0])
        return found

    @property
    def policy(self) -> str:
        (found,) = (
            attributes["content"]
            for tag, attributes in self.elements
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert found is not None
        return found

    def totals(self) -> dict[str, tuple[int, int]]:
        """Of each kind, the changes and the bytes, as they stand in the page."""
        pattern = r"[AMD] (added|modified|removed)\s+([\d,]+)\s+([\d,]+) bytes"
        found = re.findall(pattern, self.text)
        return {kind: (int(n.replace(",", "")), int(size.replace(",", ""))) for kind, n, size in found}


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def page_of(
    changes: list[Change], lower: Node | None = None, names: tuple[bytes, bytes] = (b"a", b"b")
) -> bytes:
    parts: list[bytes] = []
    tree = MemoryTree({} if lower is None else lower.children)
    report = HtmlReport(parts.append, *names, Held(tree, EmptyTree()), sha256)
    for change in changes:
        report.add(change)
    report.finish()
    return b"".join(parts)


def added(path: bytes, size: int = 1) -> Change:
    return Change(ChangeKind.ADDED, path, None, Entry(file(size=size), {}))


def compared(lower: Node, upper: Node) -> Parsed:
    """The page about two trees."""
    changes = plan(lower.children, upper.children, style="none", all_fields=True).changes()
    told = [change for change in changes if change.kind != ChangeKind.UNMODIFIED]
    return Parsed(page_of(told, lower))


# ---------------------------------------------------------------- what is in it


def test_the_changes_are_the_lines_of_json() -> None:
    changes = [
        added(b"a"),
        Change(
            ChangeKind.MODIFIED,
            b"b\xff",
            Entry(file(b"1", xattrs={"user.<": b"&"}), {"user.<": b"&"}),
            Entry(file(b"22"), {}),
            (Field.SIZE, Field.XATTRS, Field.CONTENT),
        ),
        Change(ChangeKind.REMOVED, b"c", Entry(symlink(b"</script>"), {}, b"</script>"), None),
    ]
    assert Parsed(page_of(changes)).changes == [json.loads(json_line(change)) for change in changes]


def test_no_changes() -> None:
    parsed = Parsed(page_of([]))
    assert parsed.changes == []
    assert parsed.totals() == {"added": (0, 0), "modified": (0, 0), "removed": (0, 0)}


def test_the_same_changes_give_the_same_bytes() -> None:
    assert page_of([added(b"a"), added(b"b")]) == page_of([added(b"a"), added(b"b")])


@given(path=paths)
def test_any_path(path: bytes) -> None:
    parsed = Parsed(page_of([added(path)], names=(path, path)))
    (told,) = parsed.changes
    got = base64.b64decode(told["path_base64"]) if "path_base64" in told else told["path"].encode()
    assert got == path
    assert printable(path) in parsed.text
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in Parsed(page_of([added(b"x")])).elements]


@given(text=st.text(st.sampled_from("<>&\"'/!-script \u2028\n")))
def test_no_name_ends_an_element(text: str) -> None:
    page = page_of([added(text.encode() or b"x")], names=(text.encode(), text.encode()))
    data = page.partition(b'id="changes">')[2].partition(b"</script>")[0]
    assert not set(data) & set(b"<>&")
    assert data.isascii()
    assert len(Parsed(page).scripts) == 2


def test_the_policy_lets_one_script_run_and_nothing_be_fetched() -> None:
    parsed = Parsed(page_of([added(b"x")]))
    program, style = (
        base64.b64encode(sha256(text.encode())).decode() for text in (parsed.scripts[1], parsed.styles[0])
    )
    assert parsed.policy == (
        f"default-src 'none'; script-src 'sha256-{program}'; style-src 'sha256-{style}';"
        " base-uri 'none'; form-action 'none'"
    )
    for tag, attributes in parsed.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert not {"src", "href", "style"} & {*attributes}
        assert not any(name.startswith("on") for name in attributes)


def test_every_line_is_written_as_it_comes() -> None:
    def peak(count: int) -> int:
        report = HtmlReport(lambda data: None, b"a", b"b", Held(MemoryTree({}), EmptyTree()), sha256)
        one = added(b"name")
        tracemalloc.start()
        try:
            for _ in range(count):
                report.add(one)
            report.finish()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(5000) < peak(50) + 10_000


# ---------------------------------------------------------------- what is gone


def test_a_directory_that_is_gone_held_something() -> None:
    below = directory({b"x": file(size=100), b"y": directory({b"z": file(size=20), b"l": symlink(b"x")})})
    parsed = compared(directory({b"d": below, b"f": file(size=3)}), directory({b"n": file(size=7)}))
    assert {line["path"]: line.get("held") for line in parsed.changes} == {
        "d": {"names": 4, "bytes": 120},
        "f": None,
        "n": None,
    }
    assert parsed.totals() == {"added": (1, 7), "modified": (0, 0), "removed": (2, 123)}


def test_a_directory_that_has_become_something_else() -> None:
    lower = directory({b"d": directory({b"x": file(size=100)}), b"e": file(size=9)})
    parsed = compared(lower, directory({b"d": file(size=5), b"e": directory()}))
    assert [line.get("held") for line in parsed.changes] == [
        {"names": 1, "bytes": 100},
        {"names": 0, "bytes": 9},
    ]
    assert parsed.totals() == {"added": (0, 0), "modified": (2, 5), "removed": (0, 109)}


def test_an_inode_counts_once() -> None:
    gone, new = file(size=100), file(size=10)
    lower = directory({b"a": gone, b"b": directory({b"c": gone, b"d": gone}), b"e": gone})
    parsed = compared(lower, directory({b"n": new, b"o": new}))
    assert [(line["path"], line.get("held")) for line in parsed.changes if line["kind"] == "removed"] == [
        ("a", None),
        ("b", {"names": 2, "bytes": 0}),
        ("e", {"names": 0, "bytes": 0}),
    ]
    assert parsed.totals() == {"added": (2, 10), "modified": (0, 0), "removed": (3, 100)}


def test_many_directories_below_each_other() -> None:
    inner = directory({b"f": file(size=1)})
    for _ in range(3000):
        inner = directory({b"d": inner})
    parsed = compared(directory({b"top": inner, b"z": file(size=1)}), directory())
    assert parsed.changes[0]["held"] == {"names": 3001, "bytes": 1}


# ---------------------------------------------------------------- the command


def make(side: Path, names: dict[str, int]) -> None:
    for name, size in names.items():
        path = side / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, ns=(1, 1))


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    make(lower, {"same": 5, "changed": 10, "gone/one": 100, "gone/two/three": 200})
    make(upper, {"same": 5, "changed": 12, "new/file": 50})
    return lower, upper


@pytest.mark.cli
@pytest.mark.parametrize("ending", ["html", "htm", "HTML"])
def test_a_page_is_asked_for_by_its_name(
    sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer, ending: str
) -> None:
    report = tmp_path / f"report.{ending}"
    for out in ([], [tmp_path / "out"]):
        status, _, err = run_differ("-q", "--digest", "--report", report, *sides, *out)
        assert (status, err) == (0, "")
        parsed = Parsed(report.read_bytes())
        _, text, _ = run_differ("-q", "--digest", "--report", "-", *sides)
        lines = [json.loads(line) for line in text.splitlines()]
        told = parsed.changes
        held = [line.pop("held", None) for line in told]
        assert told == lines
        assert held == [None, {"names": 3, "bytes": 300}, None, None]
        assert parsed.totals() == {"added": (2, 50), "modified": (1, 12), "removed": (1, 300)}
        assert f"{sides[0]} → {sides[1]}" in parsed.text


@pytest.mark.cli
def test_anything_else_is_lines_of_json(
    sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer
) -> None:
    for name in ("report.jsonl", "report", "html", "report.html.json"):
        assert run_differ("-q", "--report", tmp_path / name, *sides) == (0, "", "")
        assert (tmp_path / name).read_text().startswith('{"v":1,')


@pytest.mark.cli
def test_a_page_is_there_whole_or_not_at_all(
    sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer
) -> None:
    (sides[1] / ".wh.refused").touch()
    status, _, err = run_differ("--report", tmp_path / "r.html", *sides, tmp_path / "out")
    assert (status, err.count("\n")) == (2, 1)
    assert sorted(os.listdir(tmp_path)) == ["lower", "upper"]


@pytest.mark.cli
def test_a_page_that_does_not_fit(sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer) -> None:
    (tmp_path / "full.html").symlink_to("/dev/full")
    status, _, err = run_differ("--report", tmp_path / "full.html", *sides, tmp_path / "out")
    assert (status, err.split(": ", 2)[2]) == (2, "cannot be written: No space left on device\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.cli
def test_what_is_ignored_was_not_held(
    sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer
) -> None:
    report = tmp_path / "r.html"
    status, _, _ = run_differ("-q", "--ignore", "gone/two", "--report", report, *sides)
    assert status == 0
    (held,) = (line["held"] for line in Parsed(report.read_bytes()).changes if "held" in line)
    assert held == {"names": 1, "bytes": 100}


@pytest.mark.cli
def test_from_scratch(sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer) -> None:
    report = tmp_path / "r.html"
    assert run_differ("-q", "--report", report, "scratch", sides[1])[0] == 0
    assert Parsed(report.read_bytes()).totals()["added"] == (4, 67)


@pytest.mark.cli
@pytest.mark.inside
def test_what_cannot_be_read_is_not_known(
    sides: tuple[Path, Path], tmp_path: Path, run_differ: RunDiffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from differ.model import DifferError
    from differ.scan import DiskTree

    names = DiskTree.names

    def refused(tree: DiskTree) -> list[bytes]:
        if tree.path().endswith(b"gone"):
            raise DifferError("cannot be read: Permission denied", tree.path())
        return names(tree)

    monkeypatch.setattr(DiskTree, "names", refused)
    # Where hard links count, nothing can be told without having been in there.
    words = ("-q", "--compare", "native", "--report")
    assert run_differ(*words, tmp_path / "r.html", *sides) == (0, "", "")
    parsed = Parsed((tmp_path / "r.html").read_bytes())
    assert [line["held"] for line in parsed.changes if "held" in line] == [None]
    assert parsed.totals()["removed"] == (1, 0)
