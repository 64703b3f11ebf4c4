"""One run of a command, from parsed options to an exit code.

What only some runs use is imported where they use it: each file takes a fifth of a millisecond, and a small
difference few of them.
"""

from __future__ import annotations

import os
from stat import S_ISREG

from .compare import PROFILES
from .content import Comparer, new_sha256, sha256
from .model import ChangeKind, DifferError, Tally, os_reason, printable, size
from .plan import Plan
from .scan import DiskTree, EmptyTree
from .search import overlay_mounts, search
from .session import Session
from .whiteout import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .apply import MergedTree
    from .model import Change, Entry, Tree
    from .options import Options
    from .session import Console
    from .whiteout import Style
    from .writers.directory import DirectoryWriter
    from .writers.html import HtmlReport
    from .writers.image import AppendedImage
    from .writers.layer import Layer
    from .writers.output import Output
    from .writers.report import Digests
    from .writers.totals import Totals


DONE, DIFFERS, TROUBLE = 0, 1, 2
_ROWS = 20  # directories that --stat shows unless --stat-rows says otherwise
_PAGES = (".html", ".htm")  # endings of a report that is a page; any other is lines of JSON
_FAILURES_SHOWN = 10  # paths that a failed proof names before it only counts them


def run_diff(options: Options, console: Console) -> int:
    """Run ``differ``.

    Returns an exit status.  Raises :class:`DifferError` for trouble; nothing half-written is left then.
    """
    return _run(_diff, options, console)


def _run(body: Callable[[Session, Options], int], options: Options, console: Console) -> int:
    session = Session(options, console)
    failed = True
    try:
        status = body(session, options)
        failed = False
        return status
    finally:
        session.close(failed)


def _load(options: Options) -> None:
    """Import what this run will use, while there are descriptors for it."""
    uses = {
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
    _load(options)
    # What is only told is told whole; what is written must suit those who read it.
    style = STYLES[options.whiteout or ("oci" if options.writes else "none")]
    profile = PROFILES[options.compare]
    tally = session.tally
    lower, upper = session.lower(), session.tree(options.upper)
    inputs = _inputs(lower, upper)
    overlays = overlay_mounts(lower, upper) if options.overlay == "auto" else b""
    seen = _seen(options.ignore)
    listing = options.lists
    coloured = (listing or options.stat) and session.console.colour(options.color)
    report = _report_sink(session, inputs)
    writer = None if options.out is None else _writer(session, session.reader(upper), inputs, style)
    layer = None if not options.has_layer else _layer(session, session.reader(upper), inputs, style)
    digests = _digests(session.reader(lower), session.reader(upper)) if options.digest else None
    page = None
    if _is_page(options):
        page = _page(session, seen(session.reader(lower), session.reader(upper))[0], digests)
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
    counts = dict.fromkeys((ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED), 0)
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
        _end(session)
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


def _inputs(*trees: Tree) -> list[tuple[int, bytes]]:
    return [(tree.root_fd, tree.path()) for tree in trees if isinstance(tree, DiskTree)]


def _report_sink(session: Session, inputs: list[tuple[int, bytes]]) -> Callable[[str], None] | None:
    path = session.options.report
    if path is None:
        return None
    if path == "-":
        return session.result
    from .writers.output import OutputFile

    session.report = OutputFile(os.fsencode(path), "report")
    session.report.open(inputs)
    session.avoid(session.report.directory(), "the directory of the report")
    return session.report.write


def _is_page(options: Options) -> bool:
    return options.report is not None and options.report.lower().endswith(_PAGES)


def _page(session: Session, lower: Tree, digests: Digests | None) -> HtmlReport | None:
    """What writes the report as a page; ``lower`` to be read at any place."""
    if session.report is None:
        return None
    from .writers.html import Held, HtmlReport

    def raw_sha256(data: bytes) -> bytes:
        digest = new_sha256()
        digest.update(data)
        return digest.digest()

    options = session.options
    return HtmlReport(session.report.put, options.lower, options.upper, Held(lower), raw_sha256, digests)


def _writer(session: Session, source: Tree, inputs: list[tuple[int, bytes]], style: Style) -> DirectoryWriter:
    """Open OUT and what writes into it."""
    from .writers.directory import DirectoryWriter
    from .writers.output import Output

    out = session.options.out or b""
    session.output = Output(out)
    session.output.open(inputs)
    if session.report is not None and session.report.place() == session.output.place():
        raise DifferError("is the report's path too; name another", out)
    session.avoid(session.output.root, "the output directory")
    jobs = session.options.jobs
    writer = DirectoryWriter(session.output.fd, out, source, style, session.losses, session.tally, jobs)
    session.writer = writer
    return writer


def _layer(session: Session, source: Tree, inputs: list[tuple[int, bytes]], style: Style) -> Layer:
    """Open the layer and what writes it."""
    from .writers.blob import Blob
    from .writers.layer import Layer, LayerWriter, mapped, source_date_epoch
    from .writers.output import OutputFile

    options = session.options
    metadata = options.metadata_file
    latest = source_date_epoch(os.environ)
    file = None
    put = session.console.put
    if options.layer is None:
        session.image = _image(session, latest)
        put = session.image.put
    elif options.layer != "-":
        file = OutputFile(os.fsencode(options.layer), "layer")
        put = file.put
    blob = Blob(put, options.compression or "none", options.compression_level)
    writer = LayerWriter(
        blob.put,
        source,
        style,
        session.losses,
        session.tally,
        all_xattrs=options.layer_xattrs == "all",
        owners=(mapped("uid", options.uid_map), mapped("gid", options.gid_map))
        if options.uid_map or options.gid_map
        else None,
        twice=options.compare == "native" or not options.allow_wh_names,
        latest=latest,
    )
    described = None if metadata is None else OutputFile(os.fsencode(metadata), "metadata")
    session.layer = Layer(file, session.image, described, blob, writer)
    reports = [] if session.report is None else [session.report]
    for directory in session.layer.open(inputs, reports):
        session.avoid(directory, "the directory of the layer")
    told = sum(report.is_stdout for report in reports) + options.uses_stdout
    if session.layer.is_mixed(told):
        raise DifferError("the layer is all that can be on stdout; name a file for it or for the rest")
    return session.layer


def _image(session: Session, latest: int | None) -> AppendedImage:
    """The image that the layer becomes a part of."""
    from .layout import Reference, ref_name
    from .writers.image import AppendedImage, Store

    options = session.options
    word = os.fsencode(options.append or options.append_to_scratch or "")
    source = Reference(word)
    to = source if options.to is None else Reference(os.fsencode(options.to))
    base = None if options.append is None else session.archives().image(source)
    tag = to.tag if base is None or to is not source else ref_name(base.found)
    if tag is None:
        raise DifferError("name a tag for the image: oci:DIR:TAG", to.word)
    if base is not None and to is source and base.descriptor is not base.found:
        raise DifferError(
            "names images for several machines; give the new one a tag with --to oci:DIR:TAG", word
        )
    said = " ".join(printable(one) for one in (b"differ", options.lower, options.upper))
    return AppendedImage(base, Store(to.directory), tag, said, latest)


def _publish(session: Session, writer: DirectoryWriter) -> Output:
    """Give OUT its last touch and its name."""
    output = session.output
    if output is None:
        raise AssertionError("a writer without an output directory")
    writer.finish()
    _end(session)
    output.publish()
    return output


def _end(session: Session) -> None:
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
    for path, reason in Proof(merged, view, upper, style, tally).failures():
        wrong += 1
        if wrong <= _FAILURES_SHOWN:
            session.say(f"not proved: {printable(path)}: {reason}")
    if wrong > _FAILURES_SHOWN:
        session.say(f"not proved: {wrong - _FAILURES_SHOWN} more")
    return wrong == 0


def _digests(lower: Tree, upper: Tree) -> Callable[[Change], tuple[str | None, str | None]]:
    def of_side(tree: Tree, change: Change, entry: Entry | None) -> str | None:
        if entry is None or not S_ISREG(entry.stat.st_mode):
            return None
        facts = entry.stat
        *parents, name = change.path.split(b"/")
        tree.seek(parents)
        fd = tree.open(name, facts)
        try:
            return sha256(fd, facts.st_size)
        except OSError as error:
            raise DifferError(f"cannot be read: {os_reason(error)}", tree.path(name)) from error
        finally:
            os.close(fd)

    return lambda change: (of_side(lower, change, change.lower), of_side(upper, change, change.upper))


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
    return _run(_apply, options, console)


def _apply(session: Session, options: Options) -> int:
    from .apply import MergedTree

    style = STYLES[options.whiteout or "oci"]
    lower = session.lower()
    if options.upper.startswith(b"oci:"):
        raise DifferError(
            "CHANGES is a directory or tar:FILE; an image is no change of one tree", options.upper
        )
    changes = session.tree(options.upper, raw=True)
    if style.name != "oci" and not isinstance(changes, DiskTree):
        raise DifferError(f"is a layer, which has no whiteouts of the style {style.name}", options.upper)
    inputs = _inputs(lower, changes)
    merged = MergedTree(lower, changes, style)
    source = MergedTree(session.reader(lower), changes.again(), style)
    session.trees.append(source)
    # A merged tree is written like any other: as the difference to nothing.
    plain = STYLES["none"]
    writer = _writer(session, source, inputs, plain)
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
