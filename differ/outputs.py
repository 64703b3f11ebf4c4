"""The outputs that a command line asks for, opened."""

from __future__ import annotations

import os
from stat import S_ISREG

from . import linux
from .content import new_sha256, sha256, unreadable
from .model import DifferError, printable
from .scan import EmptyTree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Change, Entry, Tree
    from .session import Session
    from .whiteout import Style
    from .writers.directory import DirectoryWriter
    from .writers.html import HtmlReport
    from .writers.image import AppendedImage
    from .writers.layer import Layer
    from .writers.report import Digests

    Inputs = list[tuple[int, bytes]]


def report_sink(session: Session, inputs: Inputs) -> Callable[[str], None]:
    """Open the report, and what takes its lines."""
    path = session.options.report or ""
    if path == "-":
        return session.result
    from .writers.output import OutputFile

    session.report = OutputFile(os.fsencode(path), "report")
    session.report.open(inputs)
    session.avoid(session.report.directory(), "the directory of the report")
    return session.report.write


def page_of(session: Session, lower: Tree, digests: Digests | None) -> HtmlReport | None:
    """What writes the report as a page; ``lower`` to be read at any place."""
    if session.report is None:
        return None
    from .writers.html import Held, HtmlReport

    def raw_sha256(data: bytes) -> bytes:
        digest = new_sha256()
        digest.update(data)
        return digest.digest()

    options = session.options
    return HtmlReport(
        session.report.put, options.lower, options.upper, Held(lower, EmptyTree()), raw_sha256, digests
    )


def directory_writer(session: Session, source: Tree, inputs: Inputs, style: Style) -> DirectoryWriter:
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
    writer = DirectoryWriter(
        session.output.fd, out, source, style, session.losses, session.tally, jobs, linux.unmapped_ids()
    )
    session.writer = writer
    return writer


def latest() -> int | None:
    """The time after which none is, in seconds since 1970 (SOURCE_DATE_EPOCH); None for any."""
    from .writers.layer import source_date_epoch

    return source_date_epoch(os.environ)


def layer_of(
    session: Session, source: Tree, inputs: Inputs, style: Style, image: AppendedImage | None
) -> Layer:
    """Open the layer and what writes it; ``image``: what it becomes a part of, None for a file or stdout."""
    from .writers.blob import Blob
    from .writers.layer import Layer, LayerWriter, mapped
    from .writers.output import OutputFile

    options = session.options
    metadata = options.metadata_file
    session.image = image
    file = None
    put = session.console.put if image is None else image.put
    if image is None and options.layer != "-":
        file = OutputFile(os.fsencode(options.layer or ""), "layer")
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
        unmapped=linux.unmapped_ids(),
        twice=options.compare == "native" or not options.allow_wh_names,
        latest=latest(),
    )
    described = None if metadata is None else OutputFile(os.fsencode(metadata), "metadata")
    session.layer = Layer(file, image, described, blob, writer)
    reports = [] if session.report is None else [session.report]
    for directory in session.layer.open(inputs, reports):
        session.avoid(directory, "the directory of the layer")
    told = sum(report.is_stdout for report in reports) + options.uses_stdout
    if session.layer.is_mixed(told):
        raise DifferError("the layer is all that can be on stdout; name a file for it or for the rest")
    return session.layer


def image_of(session: Session) -> AppendedImage:
    """The image that ``--append`` asks for."""
    from .layout import Reference, ref_name
    from .writers.image import AppendedImage
    from .writers.store import Store

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
    return AppendedImage(base, Store(to.directory), tag, said, latest())


def digests_of(lower: Tree, upper: Tree) -> Digests:
    """What gives the SHA-256 of the content of both sides of a change; the trees are read at any place."""

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
            raise unreadable(error, tree.path(name)) from error
        finally:
            linux.close_all(fd)

    return lambda change: (of_side(lower, change, change.lower), of_side(upper, change, change.upper))
