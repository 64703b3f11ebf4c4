"""The examples of moby/buildkit#4239, written for builders that know no ``a..b``, in both styles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differ.frontend.plain import STYLES, rewrite
from differ.frontend.stages import Edit, apply_edits
from differ.frontend.syntax import DockerfileError, scan

DIFFER = '["/usr/bin/differ", "--whiteout", "none", "/lower", "/upper", "/out"]'


def helper(text: str, name: str, lower: str, upper: str, style: str, aliases: str = "") -> str:
    """The stages that make one difference."""
    runs = {
        "copy": f"COPY --from={lower} / /lower/\nCOPY --from={upper} / /upper/\nRUN {DIFFER}",
        "mount": "ARG DIFFER_STAMP\n"
        f"RUN --mount=type=bind,from={lower},target=/lower --mount=type=bind,from={upper},target=/upper {DIFFER}",
    }
    return f"""\
# {text}
{aliases}FROM differ AS {name}-run
{runs[style]}
FROM scratch AS {name}
COPY --from={name}-run /out/ /

"""


def written(text: str, style: str) -> str:
    result, warnings = rewrite(scan(text), style=style, drop_link=False, image="differ")
    assert warnings == []
    return result


@pytest.mark.parametrize("style", STYLES)
def test_copying_over_a_layer_from_another_image(style: str) -> None:
    first = "FROM alpine AS compile\nRUN ./generate-files\n\n"
    last = "FROM busybox\nCOPY --from={} /usr/local /usr/local\n"
    assert written(first + last.format("alpine..compile"), style) == (
        first
        + helper("alpine..compile", "alpine-diff-compile", "alpine", "compile", style)
        + last.format("alpine-diff-compile")
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_stage_that_is_a_difference(style: str) -> None:
    text = """\
FROM alpine AS compile
RUN ./generate-files

{}FROM {} AS gen-files

FROM busybox
COPY --from=gen-files /usr/local /usr/local
"""
    made = helper("alpine..compile", "alpine-diff-compile", "alpine", "compile", style)
    assert written(text.format("", "alpine..compile"), style) == text.format(made, "alpine-diff-compile")


@pytest.mark.parametrize("style", STYLES)
def test_squash_over_a_base_image(style: str) -> None:
    text = """\
FROM alpine AS build
RUN
RUN
RUN

{}FROM alpine AS squashed
COPY --from={} / /

FROM build
"""
    made = helper("alpine..build", "alpine-diff-build", "alpine", "build", style)
    assert written(text.format("", "alpine..build"), style) == text.format(made, "alpine-diff-build")


@pytest.mark.parametrize("style", STYLES)
def test_rebase_from_an_old_base_to_a_new_one(style: str) -> None:
    arguments = "ARG IMG=myrepo/myimage\nARG OLDBASE=alpine:3.16\nARG NEWBASE=alpine:3.17\n\n"
    text = arguments + "{}FROM {} AS app\n\nFROM ${{NEWBASE}}\nCOPY --link --from=app / /\n"
    name = "oldbase-diff-img"
    aliases = f"FROM ${{OLDBASE}} AS {name}-lower\nFROM ${{IMG}} AS {name}-upper\n"
    made = helper("${OLDBASE}..${IMG}", name, f"{name}-lower", f"{name}-upper", style, aliases)
    assert written(text.format("", "${OLDBASE}..${IMG}"), style) == text.format(made, name)


@pytest.mark.parametrize("style", STYLES)
def test_a_chain_goes_through_a_name(style: str) -> None:
    text = "FROM aa..bb AS cc\n\nFROM cc..dd AS ee\n"
    assert written(text, style) == (
        helper("aa..bb", "aa-diff-bb", "aa", "bb", style)
        + "FROM aa-diff-bb AS cc\n\n"
        + helper("cc..dd", "cc-diff-dd", "cc", "dd", style)
        + "FROM cc-diff-dd AS ee\n"
    )
    with pytest.raises(DockerfileError, match=r"line 1: .*FROM stage1..stage2 AS changes"):
        scan("FROM stage1..stage2..stage3\n")


@pytest.mark.parametrize("style", STYLES)
def test_a_flat_difference(style: str) -> None:
    text = "{}FROM scratch\nCOPY --from={} / /\n"
    made = helper("stage1..stage2", "stage1-diff-stage2", "stage1", "stage2", style)
    assert written(text.format("", "stage1..stage2"), style) == text.format(made, "stage1-diff-stage2")


# A Dockerfile made of pieces, in which some references are differences.
SIDES = st.sampled_from(["a", "Base", "r.io:5/x/y:1.2", "0", "scratch", "x@sha256:0f", "v1.2"])
PAIRS = st.tuples(SIDES, SIDES).map("..".join)
GAPS = st.sampled_from([" ", "\t", "  ", " \\\n ", " \\ \n# note x..y\n\n\t"])
INSTRUCTIONS = st.one_of(
    st.builds("FROM{0}{1}\n".format, GAPS, PAIRS | SIDES),
    st.builds("from{0}--platform=$P{0}{1}{0}As{0}n\n".format, GAPS, PAIRS),
    st.builds("COPY{0}--link{0}--from={1}{0}/x..y /\n".format, GAPS, PAIRS | SIDES),
    st.builds('COPY{0}--from="{1}"{0}["..", "/"]\n'.format, GAPS, PAIRS),
    st.builds("RUN{0}--mount=target=/t,FROM={1},source=.. ls ..\n".format, GAPS, PAIRS | SIDES),
    st.builds("RUN{0}--mount=from={1} <<E\nCOPY --from=x..y / /\n\tE\nE\n".format, GAPS, PAIRS),
    st.just("# FROM x..y\n"),
    st.just("ADD ../x --from=x..y /\n"),
    st.just("\n"),
)


@given(st.lists(INSTRUCTIONS).map(lambda pieces: "FROM a AS base\n" + "".join(pieces)), st.booleans())
def test_a_name_in_the_place_of_a_reference_is_read_back_in_the_same_lines(text: str, carriage: bool) -> None:
    text = text.replace("\n", "\r\n") if carriage else text
    before = scan(text)
    names = [f"name-{number}" for number in range(len(before.references))]
    edits = [Edit(item.start, item.end, name) for item, name in zip(before.references, names)]
    after = scan(apply_edits(text, edits, before.escape))
    assert [item.text for item in after.references] == names
    assert [(item.line, item.last, item.stage) for item in after.references] == [
        (item.line, item.last, item.stage) for item in before.references
    ]
    assert [(link.line, link.start) for link in after.links][:1] == [
        (link.line, link.start + sum(len(e.text) - (e.end - e.start) for e in edits if e.end <= link.start))
        for link in before.links
    ][:1]


@pytest.mark.parametrize("style", STYLES)
@given(text=st.lists(INSTRUCTIONS).map(lambda pieces: "FROM a AS base\n" + "".join(pieces)))
def test_nothing_is_left_of_a_difference(style: str, text: str) -> None:
    try:
        result = written(text, style)
    except DockerfileError:
        return  # a number that is no stage, a stage that is its own side, a name twice
    found = scan(result)
    assert not [item for item in found.references if ".." in item.text]
    names = [stage.name for stage in found.stages if "-diff-" in stage.name]
    assert len({*names}) == len(names)
