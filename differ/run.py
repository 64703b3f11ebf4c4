"""One run of a command, from parsed options to an exit code.

What only some runs use is imported where they use it: each file takes a fifth of a millisecond, and a small
difference few of them.
"""

from __future__ import annotations

import os

from .compare import PROFILES
from .content import Comparer
from .linux import unmapped_ids
from .model import KINDS, DifferError, Tally, printable, size
from .plan import Plan
from .scan import DiskTree, EmptyTree
from .search import overlay_mounts, search
from .session import Session
from .whiteout import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .apply import MergedTree
    from .model import Tree
    from .options import Options
    from .session import Console
    from .whiteout import Style
    from .writers.directory import DirectoryWriter
    from .writers.output import Output
    from .writers.totals import Totals


DONE, DIFFERS, TROUBLE = 0, 1, 2
_ROWS = 20  # directories that --stat shows unless --stat-rows says otherwise
_PAGES = (".html", ".htm")  # endings of a report that is a page; any other is lines of JSON
_FAILURES_SHOWN = 10  # paths that a failed proof names before it only counts them


def run_diff(options: Options, console: Console) -> int:
    """Run ``differ``.

    Returns an exit status.  Raises :class:`DifferError` for trouble; nothing half-written is left then.
    """
    return run_session(_diff, options, console)


def run_session(body: Callable[[Session, Options], int], options: Options, console: Console) -> int:
    """Run ``body`` with all that it opens closed at the end; see :func:`run_diff`."""
    session = Session(options, console)
    failed = True
    try:
        status = body(session, options)
        failed = False
        return status
    finally:
        session.close(failed)


def _load(options: Options, overlays: bytes) -> None:
    """Import what this run will use, while there are descriptors for it."""
    uses = {
        "finder": not overlays,
        "outputs": options.writes or options.report is not None,
        "writers.output": options.out is not None,
        "writers.layer": options.has_layer,
        "writers.report": options.report is not None,
        "writers.listing": options.lists,
        "writers.totals": options.summary,
        "writers.table": options.stat,
        "writers.html": _is_page(options),
        "verify": options.verify,
        "ignore": bool(options.ignore),
    }
    for name, is_used in uses.items():
        if is_used:
            __import__(f"{__package__}.{name}")


def _diff(session: Session, options: Options) -> int:
    overlays = overlay_mounts(options.lower, options.upper) if options.overlay == "auto" else b""
    _load(options, overlays)
    # What is only told is told whole; what is written must suit those who read it.
    style = STYLES[options.whiteout or ("oci" if options.writes else "none")]
    profile = PROFILES[options.compare]
    tally = session.tally
    lower, upper = session.lower(), session.tree(options.upper)
    inputs = inputs_of(lower, upper)
    seen = _seen(options.ignore)
    listing = options.lists
    coloured = (listing or options.stat) and session.console.colour(options.color)
    report = writer = layer = digests = page = None
    if options.writes or options.report is not None:
        from .outputs import digests_of, directory_writer, image_of, layer_of, page_of, report_sink
    if options.report is not None:
        report = report_sink(session, inputs)
    if options.out is not None:
        writer = directory_writer(session, session.reader(upper), inputs, style)
    if options.has_layer:
        image = None if options.layer is not None else image_of(session)
        layer = layer_of(session, session.reader(upper), inputs, style, image)
    if options.digest:
        digests = digests_of(session.reader(lower), session.reader(upper))
    if _is_page(options):
        page = page_of(session, seen(session.reader(lower), session.reader(upper))[0], digests)
    searched = search(
        *seen(lower, upper),
        profile,
        groups=profile.links or style.whole_groups,
        mountinfo=overlays,
        tally=tally,
        jobs=options.jobs,
    )
    plan = Plan(
        searched.lower,
        searched.upper,
        searched.same_content,
        profile,
        style,
        tally,
        allow_forbidden=options.allow_wh_names,
        all_fields=listing or report is not None,
    )
    if listing:
        from .writers.listing import text_line
    if report is not None:
        from .writers.report import json_line
    totals = (
        _totals(session, seen(session.reader(lower), EmptyTree()))
        if options.stat or options.summary
        else None
    )
    writers = [one for one in (writer, layer) if one is not None]
    counts = dict.fromkeys(KINDS, 0)
    for change in plan.changes():
        if change.kind in counts:
            counts[change.kind] += 1
            if listing:
                session.result(text_line(change, coloured))
            if page is not None:
                page.add(change)
            elif report is not None:
                report(json_line(change, digests))
            if totals is not None:
                totals.add(change)
        for to in writers:
            to.write(change)
    if totals is not None:
        _tell(session, totals, coloured)
    if page is not None:
        page.finish()
    proved = None
    if layer is not None:
        layer.finish(counts)
        end(session)
        layer.publish()
    if writer is not None:
        output = _publish(session, writer)
        if options.verify:
            from .apply import MergedTree

            changes = session.disk(output.path, os.dup(output.root))
            merged = MergedTree(session.reader(lower), changes, style)
            proved = _prove(session, merged, *seen(merged, session.reader(upper)), style)
    if session.report is not None:
        session.report.publish()
    session.warn_of_losses()
    if not options.quiet:
        image_told = "" if session.image is None else f"; {session.image.told}"
        session.say(_summary(counts, tally) + searched.told + image_told + ("; proved" if proved else ""))
    if proved is False or (options.exit_code and any(counts.values())):
        return DIFFERS
    return DONE


def _seen(ignored: list[str]) -> Callable[[Tree, Tree], tuple[Tree, Tree]]:
    """What makes of two trees those that count."""
    if not ignored:
        return lambda left, right: (left, right)
    from .ignore import IgnoringTree, Patterns

    patterns = Patterns(ignored)
    return lambda left, right: IgnoringTree.pair(left, right, patterns)


def inputs_of(*trees: Tree) -> list[tuple[int, bytes]]:
    """The directories that nothing may be written into, as descriptors, and what to call them."""
    return [(tree.root_fd, tree.path()) for tree in trees if isinstance(tree, DiskTree)]


def _is_page(options: Options) -> bool:
    return options.report is not None and options.report.lower().endswith(_PAGES)


def _publish(session: Session, writer: DirectoryWriter) -> Output:
    """Give OUT its last touch and its name."""
    output = session.output
    if output is None:
        raise AssertionError("a writer without an output directory")
    writer.finish()
    end(session)
    output.publish()
    return output


def end(session: Session) -> None:
    """See that everything that is told has been taken: if it has not that is trouble, and with trouble there is no
    result."""
    if session.report is not None:
        session.report.finish()
    session.console.flush()
    if not session.options.verify:
        # Nothing can fail any more, and whoever is told of a signal must find no result.
        session.console.hold_signals()


def _prove(session: Session, merged: MergedTree, view: Tree, upper: Tree, style: Style) -> bool:
    """Whether the merged view is UPPER; where it is not is said."""
    from .verify import Proof

    tally = Tally()
    session.progress.clear()
    session.progress = session.show(tally)
    wrong = 0
    for path, reason in Proof(merged, view, upper, style, tally, unmapped_ids()).failures():
        wrong += 1
        if wrong <= _FAILURES_SHOWN:
            session.say(f"not proved: {printable(path)}: {reason}")
    if wrong > _FAILURES_SHOWN:
        session.say(f"not proved: {wrong - _FAILURES_SHOWN} more")
    return wrong == 0


def _totals(session: Session, trees: tuple[Tree, Tree]) -> Totals:
    from .writers.totals import Totals

    return Totals(*trees, session.options.stat, session.tally.tick)


def _tell(session: Session, totals: Totals, coloured: bool) -> None:
    """Say what ``--stat`` and ``--summary`` ask for."""
    options = session.options
    if options.stat:
        from .writers.table import table

        for row in table(totals.root, session.console.width(), options.stat_rows or _ROWS, coloured):
            session.result(row)
    if options.summary:
        for line in totals.lines():
            session.result(line)
    # So few lines are all held back, and nobody should read of success before they have been taken.
    session.console.flush()


def _summary(counts: dict[str, int], tally: Tally) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        f"{kinds}; {size(tally.written)} written, {size(tally.compared)} compared,"
        f" {size(tally.identical)} proven equal without reading"
    )


def run_apply(options: Options, console: Console) -> int:
    """Run ``differ-apply``.

    Returns an exit status.  Raises :class:`DifferError` for trouble; nothing half-written is left then.
    """
    return run_session(_apply, options, console)


def _apply(session: Session, options: Options) -> int:
    from .apply import MergedTree
    from .outputs import directory_writer

    style = STYLES[options.whiteout or "oci"]
    lower = session.lower()
    if options.upper.startswith(b"oci:"):
        raise DifferError(
            "CHANGES is a directory or tar:FILE; an image is no change of one tree", options.upper
        )
    changes = session.tree(options.upper, raw=True)
    if style.name != "oci" and not isinstance(changes, DiskTree):
        raise DifferError(f"is a layer, which has no whiteouts of the style {style.name}", options.upper)
    inputs = inputs_of(lower, changes)
    merged = MergedTree(lower, changes, style)
    source = MergedTree(session.reader(lower), changes.again(), style)
    session.trees.append(source)
    # A merged tree is written like any other: as the difference to nothing.
    plain = STYLES["none"]
    writer = directory_writer(session, source, inputs, plain)
    plan = Plan(EmptyTree(), merged, Comparer(session.tally).same, PROFILES["exact"], plain, session.tally)
    count = 0
    for change in plan.changes():
        count += 1
        writer.write(change)
    _publish(session, writer)
    session.warn_of_losses()
    if not options.quiet:
        session.say(f"{count} {'entry' if count == 1 else 'entries'}, {size(session.tally.written)} written")
    return DONE
