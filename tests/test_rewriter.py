"""``differ-dockerfile``: what it writes, and how it takes what is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.frontend.plain import STYLES, rewrite
from differ.frontend.rewriter import HELP
from differ.frontend.syntax import scan

from .command import REPOSITORY, rewriter

pytestmark = pytest.mark.cli

RUN = 'RUN ["/usr/bin/differ", "--whiteout", "none", "/lower", "/upper", "/out"]'
MOUNTED = RUN.removeprefix("RUN ")


def written(text: str, style: str = "copy", *, drop_link: bool = False, image: str = "differ") -> str:
    return rewrite(scan(text), style=style, drop_link=drop_link, image=image)[0]


def test_a_copy() -> None:
    text = """\
# syntax=differ
FROM alpine AS compile
RUN ./generate-files

FROM busybox
COPY --from=alpine..compile /usr/local /usr/local
"""
    assert (
        written(text)
        == f"""\
FROM alpine AS compile
RUN ./generate-files

# alpine..compile
FROM differ AS alpine-diff-compile-run
COPY --from=alpine / /lower/
COPY --from=compile / /upper/
{RUN}
FROM scratch AS alpine-diff-compile
COPY --from=alpine-diff-compile-run /out/ /

FROM busybox
COPY --from=alpine-diff-compile /usr/local /usr/local
"""
    )
    assert (
        written(text, "mount", image="r.io/differ:1")
        == f"""\
FROM alpine AS compile
RUN ./generate-files

# alpine..compile
FROM r.io/differ:1 AS alpine-diff-compile-run
ARG DIFFER_STAMP
RUN --mount=type=bind,from=alpine,target=/lower --mount=type=bind,from=compile,target=/upper {MOUNTED}
FROM scratch AS alpine-diff-compile
COPY --from=alpine-diff-compile-run /out/ /

FROM busybox
COPY --from=alpine-diff-compile /usr/local /usr/local
"""
    )


def test_a_stage() -> None:
    text = (
        "FROM alpine AS compile\nRUN ./generate-files\n\nFROM alpine..compile AS gen-files\n\nFROM busybox\n"
    )
    assert (
        written(text)
        == f"""\
FROM alpine AS compile
RUN ./generate-files

# alpine..compile
FROM differ AS alpine-diff-compile-run
COPY --from=alpine / /lower/
COPY --from=compile / /upper/
{RUN}
FROM scratch AS alpine-diff-compile
COPY --from=alpine-diff-compile-run /out/ /

FROM alpine-diff-compile AS gen-files

FROM busybox
"""
    )


def test_the_builder_expands_arguments() -> None:
    text = """\
ARG IMG=myrepo/myimage
ARG OLDBASE=alpine:3.16
ARG NEWBASE=alpine:3.17

FROM ${OLDBASE}..${IMG} AS app

FROM ${NEWBASE}
COPY --link --from=app / /
"""
    assert (
        written(text, drop_link=True)
        == f"""\
ARG IMG=myrepo/myimage
ARG OLDBASE=alpine:3.16
ARG NEWBASE=alpine:3.17

# ${{OLDBASE}}..${{IMG}}
FROM ${{OLDBASE}} AS oldbase-diff-img-lower
FROM ${{IMG}} AS oldbase-diff-img-upper
FROM differ AS oldbase-diff-img-run
COPY --from=oldbase-diff-img-lower / /lower/
COPY --from=oldbase-diff-img-upper / /upper/
{RUN}
FROM scratch AS oldbase-diff-img
COPY --from=oldbase-diff-img-run /out/ /

FROM oldbase-diff-img AS app

FROM ${{NEWBASE}}
COPY --from=app / /
"""
    )


def test_numbers_names_and_what_is_used_twice() -> None:
    text = """\
FROM x
FROM x AS a-diff-b
FROM y AS a
COPY --from=0..1 / /one
COPY --from=1 / /two
FROM z
COPY --from=0..1 / /three
COPY --from=2..scratch / /four
COPY --from=2 / /five
"""
    lines = written(text).splitlines()
    assert lines[0] == "FROM x AS stage-0"
    uses = [
        line.split()[1:]
        for line in lines
        if line.startswith("COPY --from=") and line.split()[-1][1:].isalpha()
    ]
    told = {target[1:]: source.removeprefix("--from=") for source, _, target in uses}
    stages = [line.split()[-1] for line in lines if line.startswith("FROM ")]
    assert told["one"] == told["three"] == "stage-0-diff-stage-1"
    assert told["two"] == "1"
    assert stages[int(told["five"])] == "a"


def test_names_are_new_ones() -> None:
    text = "FROM x AS a-diff-b\nFROM x AS c-diff-d-run\nFROM a..b\nFROM c..d\n"
    lines = written(text).splitlines()
    stages = [line.split()[-1] for line in lines if line.startswith("FROM ") and " AS " in line]
    assert len({*stages}) == len(stages) == 6
    for line in lines:
        if line.startswith("COPY --from=") and "/out/" in line:
            assert line.split()[1].removeprefix("--from=") in stages


def test_a_later_stage_of_a_sides_name_is_not_meant_by_from() -> None:
    lines = written("FROM debian..x AS debian\n").splitlines()
    assert lines[1] == "FROM debian AS debian-diff-x-lower"
    assert "COPY --from=debian-diff-x-lower / /lower/" in lines


def test_scratch_is_an_empty_side() -> None:
    assert "/lower/" not in written("FROM scratch..a\n")
    assert written("FROM scratch..scratch AS a\n") == "FROM scratch AS a\n"


def test_an_upstream_frontend_stays() -> None:
    text = "# syntax=docker/dockerfile:1\nFROM a..b\n"
    assert written(text).startswith("# syntax=docker/dockerfile:1\n#")


@pytest.mark.parametrize("style", STYLES)
@given(
    text=st.text(st.sampled_from("FROMCPY abc=-\n\t\"'\\<$#`,:/\r\udcff.")).filter(
        lambda text: ".." not in text
    )
)
def test_what_names_no_difference_is_not_changed(style: str, text: str) -> None:
    assert written(text, style) == text


def command(*words: str, text: str | bytes = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*rewriter(), *words],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )


def test_the_command(tmp_path: Path) -> None:
    done = command("--style=mount", "--drop-link", "--image", "i", text="FROM a..b\nCOPY --link x /\n")
    assert (done.returncode, done.stderr) == (
        0,
        b"differ-dockerfile: warning: line 2: --link is left out, the files are the same\n",
    )
    assert b"FROM i AS a-diff-b-run\n" in done.stdout
    assert b"--link" not in done.stdout
    file = tmp_path / "Dockerfile"
    # Not UTF-8, and no end of the last line.
    file.write_bytes(b"FROM a\nRUN echo \xff")
    assert command(str(file)).stdout == file.read_bytes()
    assert command("--", str(file)).stdout == file.read_bytes()
    assert command("-", text=b"\xff").stdout == b"\xff"


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ([], "FROM a\nCOPY --from=a..b..c \\\n / /\n", "line 2: a..b..c: a difference has two sides"),
        (["--style", "x"], "", "--style x: the style is one of copy, mount"),
        (["--style"], "", "--style: a value is missing"),
        (["--image="], "", "--image '': this is no image"),
        (["-x"], "", "-x: there is no such option"),
        (["a", "b"], "", "b: one file is enough"),
        (["/none"], "", "/none: No such file or directory"),
        (["/"], "", "/: Is a directory"),
        ([], "ARG P=a..b\nFROM ${P}\n", "line 2: FROM ${P}: write the two sides in FROM itself"),
    ],
)
def test_trouble(words: list[str], text: str, said: str) -> None:
    done = command(*words, text=text)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.decode().startswith(f"differ-dockerfile: {said}")
    assert done.stderr.count(b"\n") == 1


def test_errors_in_a_file_name_it(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM a..\n")
    assert command(str(file)).stderr.startswith(f"differ-dockerfile: {file}: line 1: a..: ".encode())


def test_help_and_version() -> None:
    assert command("--help").stdout.decode() == HELP
    assert command("--version").stdout.startswith(b"differ-dockerfile ")
    page = (REPOSITORY / "docs" / "dockerfile.md").read_text()
    for line in HELP.splitlines():
        if line.startswith("  --") and line.split()[0] not in ("--help", "--version"):
            assert line.split()[0] in page


def test_stdout_that_takes_nothing() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            rewriter(),
            input=b"FROM a\n",
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, b"differ-dockerfile: stdout: No space left on device\n")
