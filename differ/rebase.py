"""``differ-rebase``: what an image has on top of its base, put on another base, and checked three ways."""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISLNK

from .compare import PROFILES
from .content import Comparer
from .layout import Reference
from .model import KINDS, Change, ChangeKind, DifferError, Entry, printable, size
from .plan import Plan
from .run import DIFFERS, DONE, end, inputs_of, run_session
from .threeway import Bases, above, is_written
from .whiteout import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .layout import Image, Json
    from .options import Options
    from .session import Console, Input, Session

_SIDES = ("old base", "image", "new base")
_TOP = ("created", "author", "architecture", "os", "os.version", "os.features", "variant", "config")


def run_rebase(options: Options, console: Console) -> int:
    """Run ``differ-rebase``.

    Returns an exit status: 1 if there are conflicts that were not allowed.  Raises :class:`DifferError` for trouble;
    nothing half-written is left then.
    """
    return run_session(_rebase, options, console)


def _rebase(session: Session, options: Options) -> int:
    from .outputs import latest, layer_of
    from .writers.image import AppendedImage
    from .writers.store import Store

    style = STYLES["oci"]
    to = Reference(os.fsencode(options.to or ""))
    if to.tag is None:
        raise DifferError("name a tag for the image: oci:DIR:TAG", to.word)
    archives = session.archives()
    image, new_base = (archives.image(Reference(word)) for word in (options.upper, options.new_base))
    sides = [
        session.lower(),
        archives.rootfs(image, options.upper),
        archives.rootfs(new_base, options.new_base),
    ]
    lower, upper, newer = sides
    said = " ".join(
        printable(one) for one in (b"differ-rebase", options.lower, options.upper, options.new_base)
    )
    target = AppendedImage(new_base, Store(to.directory), to.tag, said, latest(), _configuration(image))
    layer = layer_of(session, session.reader(upper), inputs_of(*sides), style, target)
    # Only now, because reading attributes leads to other places, and paths are those of the place we came from.
    changes = [*_changes(session, lower, upper)]
    bases = Bases([*_changes(session, lower, newer)], _changes(session, newer, upper), changes)
    places = [session.reader(tree) for tree in sides]
    counts = dict.fromkeys(KINDS, 0)
    conflicts = 0
    unwritten: dict[bytes, Change] = {}  # directories that are written if something below them is
    for change in changes:
        if bases.stays(change):
            continue
        if bases.conflicts(change):
            conflicts += 1
            if not options.quiet:
                for line in _told(change.path, places):
                    session.result(line)
        if change.kind == ChangeKind.REMOVED and _find(places[-1], change.path) is None:
            continue
        if not is_written(change):
            unwritten[change.path] = change
            continue
        for path in reversed([*above(change.path)]):
            if path in unwritten:
                layer.write(_fitted(unwritten.pop(path), places[-1]))
        layer.write(change)
        if change.kind in counts:
            counts[change.kind] += 1
    if conflicts and not options.allow_conflicts:
        have = "1 name has" if conflicts == 1 else f"{conflicts} names have"
        session.say(
            f"{have} been changed by the image and by the new base; nothing was written"
            " (--allow-conflicts takes what the image has)"
        )
        return DIFFERS
    layer.finish(counts)
    end(session)
    layer.publish()
    session.warn_of_losses()
    if not options.quiet:
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        found = f"{conflicts} {'conflict' if conflicts == 1 else 'conflicts'}"
        session.say(f"{kinds}; {found}; {size(session.tally.written)} written; {target.told}")
    return DONE


def _changes(session: Session, lower: Input, upper: Input) -> Iterator[Change]:
    """The difference of two trees, which are left where they stand."""
    # One of the two is an image, so there is nothing to search on a disk.
    plan = Plan(
        session.reader(lower),
        session.reader(upper),
        Comparer(session.tally).same,
        PROFILES["exact"],
        STYLES["oci"],
        session.tally,
        allow_forbidden=True,
        all_fields=True,
    )
    return plan.changes()


def _fitted(directory: Change, new_base: Input) -> Change:
    """A directory of the image that it has not changed, as the new base has it."""
    there = _find(new_base, directory.path)
    if there is None or not S_ISDIR(there.stat.st_mode):
        return directory
    return Change(directory.kind, directory.path, directory.lower, there)


def _find(tree: Input, path: bytes) -> Entry | None:
    """The entry with this path, if there is one; symbolic links are not followed."""
    *parents, name = path.split(b"/")
    tree.seek([])
    for parent in parents:
        facts = tree.find(parent)
        if facts is None or not S_ISDIR(facts.st_mode):
            return None
        tree.enter(parent, facts)
    facts = tree.find(name)
    if facts is None:
        return None
    target = tree.target(name) if S_ISLNK(facts.st_mode) else None
    return Entry(facts, tree.xattrs(name, facts), target)


def _told(path: bytes, places: list[Input]) -> Iterator[str]:
    """A conflict, as lines for people: the facts of all three versions."""
    from .writers.listing import facts

    yield f"C {printable(path)}"
    for side, tree in zip(_SIDES, places):
        entry = _find(tree, path)
        yield f"    {side:8}  {'absent' if entry is None else facts(entry)}"


def _configuration(image: Image) -> Json:
    """What the result keeps of the image's own configuration (image-spec config.md)."""
    return {key: image.config[key] for key in _TOP if key in image.config}
