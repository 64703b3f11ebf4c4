"""The Dockerfiles with names in them that an engine's frontend is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from differ.frontend.original import Original
from differ.frontend.placeholders import ASKING, MOST, Placeholders, Rewritten
from differ.frontend.stages import differences
from differ.frontend.syntax import DockerfileError, scan

if TYPE_CHECKING:
    from differ.frontend.stages import Difference

FIRST = "differ-placeholder-0"


def named(text: str, *variables: dict[str, str]) -> tuple[Placeholders, list[list[Difference]]]:
    """The names for a file, on some platforms."""
    dockerfile = scan(text)
    found = [differences(dockerfile, known) for known in variables or ({},)]
    every = [difference for held in found for difference in held]
    return Placeholders(dockerfile, every, Original("Dockerfile", text.encode())), found


def asked(text: str) -> Rewritten:
    """The question for the sides."""
    placeholders, (found,) = named(text)
    return placeholders.asking([(difference, ["/lower", "/upper"]) for difference in found])


FILE = "FROM x AS a\nCOPY --from=y..a / /\n"


@pytest.mark.parametrize(
    "end",
    [
        "",
        "RUN ls",
        # Ends in no continuation.
        "RUN dir C:\\\\\n",
        "# escape \\\n",
        "RUN <<EOF\nls \\\nEOF\n",
        "\n\n",
    ],
)
def test_the_sides_are_asked_for_after_the_last_line(end: str) -> None:
    text = "FROM x AS a\nFROM x\nCOPY --from=y..a / /\n" + end
    made = asked(text).data.decode()
    assert made.startswith(text.replace("y..a", FIRST) + "\n")
    first, second, rest = made[len(text.replace("y..a", FIRST)) + 1 :].split("\n")
    assert first == f"FROM scratch AS {ASKING}"
    assert "from=y,target=/lower" in second
    assert "from=a,target=/upper" in second
    assert rest == ""


@pytest.mark.parametrize(
    "end",
    [
        "RUN ls \\",
        "RUN ls \\\n",
        "RUN ls \\\n\n   \n",
        "RUN ls \\\n# a comment\n",
        "RUN ls \\ \\",
        "\\\n",
        "LABEL a=b \\\n  c=d \\\n",
    ],
)
def test_an_instruction_that_the_end_cuts_off_does_not_swallow_the_question(end: str) -> None:
    text = "FROM x AS a\nFROM x\nCOPY --from=y..a / /\n"
    rewritten = asked(text + end)
    lines = rewritten.data.decode().split("\n")
    assert lines[:3] == text.replace("y..a", FIRST).split("\n")[:3]
    assert f"FROM scratch AS {ASKING}" in lines
    last = scan(rewritten.data.decode()).stages[-1]
    assert last.name == ASKING
    # The line of each that is asked about is the user's.
    assert rewritten.lines[-1] == 3
    assert len(rewritten.lines) == len(lines) - 1


def test_what_is_cut_off_may_be_the_difference() -> None:
    rewritten = asked("FROM x AS a\nFROM x\nCOPY --from=y..a / / \\\n")
    assert FIRST not in rewritten.data.decode().partition(ASKING)[0]
    assert f'"{FIRST}"]' in rewritten.data.decode()


def test_places_that_mean_the_same_have_one_name() -> None:
    """The engine's work grows with the square of the names."""
    text = "FROM x AS w\n" + "FROM base..w\n" * 500 + "FROM base..1\nFROM base..0\nCOPY --from=base..W / /\n"
    placeholders, ((first, *others),) = named(text)
    assert placeholders.names_of(first) == [FIRST]
    assert [placeholders.names_of(other) for other in others] == [["differ-placeholder-1"]]
    assert placeholders.reference(FIRST).line == 2
    rewritten, options, inputs = placeholders.as_contexts()
    assert {*options} == {f"context:{name}" for name in (FIRST, "differ-placeholder-1")}
    assert {*inputs} == {FIRST, "differ-placeholder-1"}
    assert rewritten.data.decode().count(f"FROM {FIRST}\n") == 500  # and one that got a name
    made, now = placeholders.as_stages([first, *others])
    assert made.data.decode().count(f"AS {FIRST}\n") == 1
    assert now[1] == 2


def test_a_place_that_means_another_thing_on_another_platform_has_its_own_name() -> None:
    text = "ARG A\nFROM base..w AS one\nFROM ${A} AS two\n"
    placeholders, (one, two) = named(text, {"A": "base..w"}, {"A": "base..v"})
    (same,) = one
    assert len(placeholders.names_of(same)) == 2
    assert [len(placeholders.names_of(difference)) for difference in two] == [1, 1]
    names = {name for held in (one, two) for item in held for name in placeholders.names_of(item)}
    assert len(names) == 2


def test_there_is_a_most_of_differences() -> None:
    def lines(count: int) -> str:
        return "FROM x AS w\n" + "".join([f"FROM x{number}..w\n" for number in range(count)])

    named(lines(MOST) + "FROM x0..w\n")
    with pytest.raises(
        DockerfileError, match=rf"line {MOST + 2}: x{MOST}\.\.w: there are {MOST} differences"
    ):
        named(lines(MOST + 1))


QUOTED = "FROM x AS w\nFROM y\nRUN --mount={} ls\n"


@pytest.mark.parametrize("mount", ['from=base.."w",target=/m', """from='base..'"w",target=/m"""])
def test_a_quote_that_would_be_left_open_is_refused(mount: str) -> None:
    with pytest.raises(DockerfileError, match=r"line 3: base\.\.w: write it without a quote inside"):
        scan(QUOTED.format(mount))


@pytest.mark.parametrize(
    ("mount", "edited"),
    [
        ('"from=base..w,target=/m"', '"from={},target=/m"'),
        ('from="base..w",target=/m', 'from="{}",target=/m'),
        ('from="base".."w",target=/m', 'from="{}",target=/m'),
        ('"from=base".."w,target=/m"', '"from={},target=/m"'),
        ("target=/m,from='base..w'", "target=/m,from='{}'"),
        ("from=ba\\se..w,target=/m", "from={},target=/m"),
    ],
)
def test_quotes_around_it_stay(mount: str, edited: str) -> None:
    made = asked(QUOTED.format(mount)).data.decode()
    assert made.split("\n")[2] == f"RUN --mount={edited.format(FIRST)} ls"
