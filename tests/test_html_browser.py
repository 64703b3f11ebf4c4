"""The report as a page, in a browser: what it shows, how it is steered, and what it never does."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from differ.model import Change, ChangeKind, Entry, Field, printable, size

from .browser import Browser
from .conftest import RunDiffer, needs_program
from .memory import directory, file
from .test_html import HOSTILE, added, make, page_of

pytestmark = [
    pytest.mark.browser,
    needs_program("chromium"),
]

MANY = 50_000
WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(tmp_path: Path, run_differ: RunDiffer) -> Path:
    """A page about two small trees; ``report.jsonl`` beside it says the same."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    make(lower, {"etc/motd": 8, "etc/old.conf": 40, "usr/lib/a.so": 1000, "usr/lib/b.so": 700})
    make(lower, {"var/cache/x": 2000, "var/cache/y/z": 500, "var/keep": 1, "usr/bin/tool": 9})
    make(upper, {"etc/motd": 11, "usr/lib/a.so": 1500, "usr/lib/python/one/mod.py": 900, "var/keep": 1})
    make(upper, {"usr/bin/tool": 9, "usr/bin/mine": 3000, "usr/lib/python/one/two.py": 600})
    os.link(upper / "usr/bin/mine", upper / "usr/bin/also-mine")
    (upper / "usr/bin/link").symlink_to("mine")
    (upper / "usr/bin/tool").chmod(0o4755)
    for name in ("r.html", "r.jsonl"):
        assert run_differ("-q", "--digest", "--report", tmp_path / name, lower, upper) == (0, "", "")
    return tmp_path / "r.html"


def lines(page: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in page.with_suffix(".jsonl").read_text().splitlines()]


def saved(place: Path, changes: list[Change], **names: Any) -> Path:
    path = place / "saved.html"
    path.write_bytes(page_of(changes, **names))
    return path


def complaints(browser: Browser) -> list[dict[str, Any]]:
    """What the page has said on the console, and what it has failed with."""
    methods = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    return [told for method, told in browser.told if method in (*methods, "Page.javascriptDialogOpening")]


def requests(browser: Browser) -> set[str]:
    return {told["request"]["url"] for method, told in browser.told if method == "Network.requestWillBeSent"}


LISTED = "[...document.querySelectorAll('.line .path')].map(one => one.textContent)"
TILES = "[...document.querySelectorAll('.tile')].map(one => one.ariaLabel)"
TILE = "[...document.querySelectorAll('.tile')].find(one => one.ariaLabel.startsWith({!r}))"
FOCUSED = "(document.activeElement.ariaLabel || document.activeElement.textContent)"
STATUS = "document.getElementById('status').textContent"
CRUMBS = "[...document.querySelectorAll('#crumbs button')].map(one => one.textContent)"


def search(browser: Browser, words: str) -> None:
    """Type into the search box, and wait for the page."""
    browser.run("document.getElementById('query').focus(), document.getElementById('query').select(), 0")
    browser.write(words)
    browser.until(f"state.query === {json.dumps(words)}")


# ---------------------------------------------------------------- what it shows


def test_it_loads_alone_and_without_complaint(browser: Browser, page: Path) -> None:
    browser.load(page)
    assert complaints(browser) == []
    assert requests(browser) == {page.as_uri()}
    assert browser.run(STATUS) == f"{len(lines(page))} of {len(lines(page))} changes"


def test_nothing_can_be_fetched(browser: Browser, page: Path) -> None:
    browser.load(page)
    refused = browser.run(
        "new Promise(done => { addEventListener('securitypolicyviolation', e => done(e.effectiveDirective));"
        " fetch('http://127.0.0.1:1/').catch(() => 0); })"
    )
    assert refused == "connect-src"
    assert requests(browser) == {page.as_uri()}


def test_the_totals_are_those_of_the_lines(browser: Browser, page: Path) -> None:
    browser.load(page)
    told = lines(page)
    counts = [sum(line["kind"] == kind for line in told) for kind in ("added", "modified", "removed")]
    sizes = [
        sum(line.get("bytes", 0) for line in told if line["kind"] == kind and "link" not in line)
        for kind in ("added", "modified", "removed")
    ]
    sizes[2] += 2500  # below var/cache
    shown = browser.run(
        "[...document.querySelectorAll('.total .count, .total .bytes')].map(one => one.textContent)"
    )
    assert shown == [text for pair in zip(map(str, counts), map(size, sizes)) for text in pair]
    assert browser.run("[root.bytes, root.count]") == [sizes, counts]


def test_every_change_is_listed_with_its_reason(browser: Browser, page: Path) -> None:
    browser.load(page)
    slashed = [line["path"] + ("/" if line["type"] == "dir" else "") for line in lines(page)]
    assert browser.run(LISTED) == slashed
    why = browser.run(
        "Object.fromEntries([...document.querySelectorAll('.line')].map(one =>"
        " [one.querySelector('.path').textContent, one.querySelector('.why').textContent]))"
    )
    assert why["etc/motd"] == "size 8 B → 11 B, content"
    assert why["usr/bin/tool"] == "mode 0644 → 4755"
    assert why["usr/bin/mine"] == "hard link to usr/bin/also-mine"
    assert why["usr/bin/link"] == "symbolic link, → mine"
    assert why["var/cache/"] == "directory that held 3 names"


def test_what_has_become_of_another_type(browser: Browser, tmp_path: Path) -> None:
    directories = Entry(directory(), {}), Entry(directory(mode=0o700), {})
    files = Entry(file(size=9), {}), Entry(file(size=5), {})
    changes = [
        Change(ChangeKind.MODIFIED, b"d", directories[0], files[1], (Field.TYPE,)),
        Change(ChangeKind.MODIFIED, b"e", files[0], directories[1], (Field.TYPE,)),
        Change(ChangeKind.MODIFIED, b"f", *directories, (Field.MODE,)),
    ]
    browser.load(saved(tmp_path, changes, lower=directory({b"d": directory({b"x": file(size=100)})})))
    assert complaints(browser) == []
    assert browser.run("rows.map(why)") == [
        "type dir → file, was a directory that held 1 name",
        "type file → dir",
        "mode 0755 → 0700",
    ]
    assert browser.run("root.bytes") == [0, 5, 109]


def test_the_table_has_the_figures_of_the_picture(browser: Browser, page: Path) -> None:
    browser.load(page)
    rows = browser.run(
        "[...document.querySelectorAll('#figures tr')].map(row => [...row.children].map(c => c.textContent))"
    )
    assert [row[0] for row in rows] == ["usr/", "var/", "etc/", "All of the tree"]
    for row, tile in zip(rows, browser.run(TILES)):
        pairs = [
            f"{n} {kind} ({b})" for n, b, kind in zip(row[1::2], row[2::2], ("added", "modified", "removed"))
        ]
        assert tile.endswith(": " + ", ".join(pair for pair in pairs if not pair.startswith("-")))
    assert rows[-1][1::2] == [str(n) for n in browser.run("root.count")]
    browser.run("document.querySelector('details').open = true")
    browser.click("[...document.querySelectorAll('#figures button')][0]")
    assert browser.run(CRUMBS) == ["all directories", "usr"]
    assert browser.run("document.activeElement.textContent") == "lib/"
    browser.run("go(root.kids.get('usr').kids.get('lib').kids.get('python').kids.get('one'))")
    last = browser.run(
        "[...document.querySelectorAll('#figures tr th')].slice(-2).map(one => one.textContent)"
    )
    assert last == ["The directory itself", "All of usr/lib/python/one/"]


def test_without_javascript_there_are_totals(browser: Browser, page: Path) -> None:
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.load(page)
        text = browser.run("document.body.innerText")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert "need JavaScript" in text
    assert "2,500 bytes" not in text
    assert "3,240 bytes" in text  # 2500 below var/cache, 700, 40
    assert "Search" not in text


def test_words_and_numbers_are_those_of_the_command(browser: Browser, page: Path) -> None:
    browser.load(page)
    counts = [0, 1, 999, 1000, 1005, 999_499, 999_500, 10**6 - 1, 123_456_789, 10**12, 5 * 10**15]
    assert browser.run(f"{counts}.map(size)") == [size(count) for count in counts]
    times = ["0.000000000", "1706745600.000000001", "-1.500000000", "99999999999999.000000000"]
    assert browser.run(f"{times}.map(time)") == [
        "1970-01-01 00:00:00 UTC",
        "2024-02-01 00:00:00.000000001 UTC",
        "-1.500000000",
        "99999999999999.000000000",
    ]


# ---------------------------------------------------------------- how it is steered


def test_search(browser: Browser, page: Path) -> None:
    browser.load(page)
    search(browser, "MINE")
    assert browser.run(LISTED) == ["usr/bin/also-mine", "usr/bin/link", "usr/bin/mine"]
    assert browser.run(STATUS) == "3 of 13 changes"
    assert browser.run(TILES) == ["usr/bin/, directory: 3 added (3 kB)"]
    search(browser, "0644 → 4755")
    assert browser.run(LISTED) == ["usr/bin/tool"]
    search(browser, "nowhere")
    assert browser.run(LISTED) == []
    assert browser.run("document.getElementById('nothing').innerText") == "Nothing matches."
    search(browser, "")
    assert browser.run(STATUS) == "13 of 13 changes"


def test_kinds(browser: Browser, page: Path) -> None:
    browser.load(page)
    for kind in (0, 1):
        browser.click(f"document.querySelector('[data-kind=\"{kind}\"]')")
    assert browser.run(LISTED) == ["etc/old.conf", "usr/lib/b.so", "var/cache/"]
    assert browser.run("[...document.querySelectorAll('[data-kind]')].map(one => one.ariaPressed)") == [
        "false",
        "false",
        "true",
    ]
    assert (
        browser.run(TILES)
        == [
            "var/, directory: 1 removed (2.5 kB)",
            "usr/lib/, directory: 1 removed (700 B)",
            "etc/, directory: 1 removed (40 B)",
        ][: len(browser.run(TILES))]
    )
    browser.click("document.querySelector('[data-kind=\"1\"]')")
    assert "etc/motd" in browser.run(LISTED)


def test_down_and_up_by_mouse(browser: Browser, page: Path) -> None:
    browser.load(page)
    browser.click(TILE.format("usr/"))
    assert browser.run(CRUMBS) == ["all directories", "usr"]
    assert all(path.startswith("usr/") for path in browser.run(LISTED))
    assert browser.run(STATUS).endswith(" of 13 changes in usr/")
    browser.click(TILE.format("lib/"))
    # One directory that holds nothing but another is opened as one with it.
    browser.click(TILE.format("python"))
    assert browser.run(CRUMBS)[:3] == ["all directories", "usr", "lib"]
    browser.click("document.querySelector('#crumbs button')")
    assert browser.run(CRUMBS) == ["all directories"]
    assert browser.run(STATUS) == "13 of 13 changes"


def test_down_and_up_by_keyboard(browser: Browser, page: Path) -> None:
    browser.load(page)
    browser.run("document.querySelector('[data-by=changes]').focus()")
    browser.press("Tab")
    assert browser.run(FOCUSED).startswith("usr/")
    browser.press("ArrowRight")
    assert not browser.run(FOCUSED).startswith("usr/")
    browser.press("Home", "Enter")
    assert browser.run(CRUMBS) == ["all directories", "usr"]
    assert browser.run(FOCUSED).startswith("lib/")
    browser.press("End", "Home", "Enter")
    assert browser.run(CRUMBS) == ["all directories", "usr", "lib"]
    browser.press("Backspace")
    assert browser.run(FOCUSED).startswith("lib/")
    browser.press("Escape")
    assert browser.run(CRUMBS) == ["all directories"]
    assert browser.run(FOCUSED).startswith("usr/")


def test_the_picture_by_changes(browser: Browser, page: Path) -> None:
    browser.load(page)
    browser.click("document.querySelector('[data-by=changes]')")
    assert [label.split("/")[0] for label in browser.run(TILES)] == ["usr", "etc", "var"]


def test_all_that_is_known_of_a_change(browser: Browser, page: Path) -> None:
    browser.load(page)
    browser.run("document.getElementById('list').focus()")
    browser.press("ArrowDown")
    assert browser.run("document.getElementById('list').getAttribute('aria-activedescendant')") == "line0"
    assert browser.run("document.getElementById('line0').ariaLabel").startswith("modified etc/motd, size")
    browser.press("Enter")
    assert browser.run("document.getElementById('details').open")
    told = browser.run("document.getElementById('details').innerText")
    (motd,) = (line for line in lines(page) if line["path"] == "etc/motd")
    for text in ("etc/motd", "M modified", "LOWER 8 bytes", "UPPER 11 bytes", *motd["sha256"]):
        assert text in told
    browser.press("Escape")
    assert not browser.run("document.getElementById('details').open")
    browser.press("End", "Enter")
    assert "3 names, 2,500 bytes" in browser.run("document.getElementById('details').innerText")
    browser.click("document.getElementById('where')")
    assert browser.run(CRUMBS) == ["all directories", "var"]


# ---------------------------------------------------------------- what it never does


def test_names_are_shown_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    names = sorted(HOSTILE)
    changes = [added(name) for name in names]
    changes += [Change(ChangeKind.ADDED, b"l" + name, None, Entry(file(), {}), link=name) for name in names]
    browser.load(saved(tmp_path, changes, names=(HOSTILE[0], HOSTILE[2])))
    assert complaints(browser) == []
    shown = [printable(name) for name in names]
    assert browser.run("rows.map(row => row.path)") == shown + [printable(b"l" + name) for name in names]
    assert browser.run("rows.slice(-1).map(why)") == [f"hard link to {shown[-1]}"]
    assert sorted(browser.run(LISTED)) == sorted(browser.run("rows.map(row => row.path)"))
    for query in ("", "script", "\\x1b"):
        search(browser, query)
        browser.run("document.querySelectorAll('.line').forEach(line => { line.click(); asked; })")
        browser.run("document.getElementById('details').close()")
    assert browser.run("typeof hurt") == "undefined"
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("document.querySelectorAll('img, svg, b b').length") == 0
    title = browser.run("document.title")
    assert title == f"{printable(HOSTILE[0])} → {printable(HOSTILE[2])}: what differs"
    assert complaints(browser) == []


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_many_changes_stay_few_elements(browser: Browser, tmp_path: Path, width: int) -> None:
    draws = random.Random(4)
    changes = []
    for number in range(MANY):
        where = "/".join(draws.choices(("lib", "share", "core", "doc", "bin"), k=draws.randint(1, 6)))
        changes.append(added(f"{where}/file-{number}".encode(), int(draws.paretovariate(1.1) * 500)))
    browser.load(saved(tmp_path, changes), width)
    assert complaints(browser) == []
    elements = "document.querySelectorAll('*').length"
    assert browser.run(STATUS) == "50,000 of 50,000 changes"
    assert browser.run(elements) < 4000
    browser.run("document.getElementById('list').focus()")
    browser.press("End")
    browser.until("document.getElementById('line49999')")
    assert browser.run("document.getElementById('line49999').ariaLabel").startswith("added ")
    assert browser.run("document.querySelectorAll('.line').length") < 60
    search(browser, "file-49")
    assert browser.run(STATUS) == "1,111 of 50,000 changes"
    assert browser.run(elements) < 4000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_fits_and_can_be_read(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.load(page, width, scheme=scheme)
    browser.click("document.querySelector('[data-kind=\"1\"]')")  # one that is off has colours of its own
    browser.run("document.querySelector('details').open = true")
    assert browser.run("document.scrollingElement.scrollWidth") <= width
    checked, wrong = browser.run(CONTRASTS)
    assert checked > 50
    assert wrong == []
    browser.run("details(rows[0])")
    assert browser.run(CONTRASTS)[1] == []
    assert browser.run("document.scrollingElement.scrollWidth") <= width


def test_long_names_fit(browser: Browser, tmp_path: Path) -> None:
    long = b"/".join([b"n" * 255] * 8)
    browser.load(saved(tmp_path, [added(long), added(b"b/" + long)], names=(long, long)), NARROW)
    assert browser.run("document.scrollingElement.scrollWidth") <= NARROW
    browser.run("go(rows[0].node.above)")
    browser.run("document.querySelector('details').open = true")
    assert browser.run("document.scrollingElement.scrollWidth") <= NARROW


def test_every_control_has_a_name(browser: Browser, page: Path) -> None:
    browser.load(page)
    browser.run("document.querySelector('details').open = true")
    roles = ("button", "link", "searchbox", "listbox", "option", "DisclosureTriangle", "navigation", "region")
    for action in ("0", "details(rows[0])"):
        browser.run(action)
        nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
        told = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]
        named = [(role, name) for role, name in told if role in (*roles, "dialog", "group", "table")]
        assert [role for role, name in named if not name and role not in ("group", "table")] == []
        assert ("dialog", "etc/motd") in told or action == "0"
    assert browser.run("document.documentElement.lang") == "en"


CONTRASTS = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = rgb => { const [r, g, b] = rgb.map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ratio = (one, other) => { const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05); };
  const probe = document.body.appendChild(document.createElement('i'));
  const color = name => { probe.style.color = `var(${name})`; return parse(getComputedStyle(probe).color); };
  const kinds = [[color('--k0')], [color('--k1')], [color('--k2'), color('--hatch')]];
  probe.remove();
  const behind = element => {
    const label = element.closest('.label');
    if (label) {
      const parts = [...label.parentElement.children].filter(one => one.classList.contains('part'));
      if (parts.length) return parts.flatMap(part => kinds[/k(\\d)/.exec(part.className)[1]]);
    }
    for (let at = element; at; at = at.parentElement) {
      const own = parse(getComputedStyle(at).backgroundColor);
      if (own.length === 3 || own[3] === 1) return [own.slice(0, 3)];
    }
    return [[255, 255, 255]];
  };
  let checked = 0;
  const wrong = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest('script, style')) continue;
    const own = parse(getComputedStyle(element).color).slice(0, 3);
    for (const ground of behind(element)) {
      checked++;
      if (ratio(own, ground) < 4.5) wrong.push([node.data, ratio(own, ground).toFixed(2)]);
    }
  }
  const input = document.getElementById('query');
  if (ratio(parse(getComputedStyle(input, '::placeholder').color), behind(input)[0]) < 4.5) wrong.push('placeholder');
  return [checked, wrong];
})()"""
