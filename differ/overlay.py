"""The search between two overlay mounts: what is proven by them, and by which way it is looked for."""

from __future__ import annotations

import os
from stat import S_ISDIR

from . import linux
from .compare import one_inode
from .layers import LayerFinder
from .model import DifferError
from .mounts import NotStackedError, Root, Stacked, stacked
from .untouched import UntouchedFinder
from .workers import candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Between, Candidates, Looker
    from .model import Tally
    from .scan import DiskTree

_LOOKED_AT = 200  # directories in which a file is looked for, as evidence


def untouched(between: Between, mountinfo: bytes, tally: Tally, jobs: int) -> tuple[Candidates, str]:
    """The candidates where only those names are looked at that the mounts do not prove to be the same.

    ``mountinfo``: the mounts.  The rest is as for :func:`.workers.candidates`.
    Raises :class:`.mounts.NotStackedError` if that cannot be told.
    """
    stack = _stacked(between, mountinfo)
    layer = _layer(between, stack)

    def by_layer(tally: Tally) -> Looker:
        return LayerFinder(between, tally, view=stack.view, layer=layer)

    def by_number(tally: Tally) -> Looker:
        return UntouchedFinder(between, tally, view=True)

    def by_facts(tally: Tally) -> Looker:
        return UntouchedFinder(between, tally, view=False)

    ways = [(by_layer, "layers")] if layer >= 0 else [(by_number, "inode numbers")] if stack.view else []
    try:
        for finder, how in [*ways, (by_facts, "inodes")]:
            found = candidates(finder, tally, jobs)
            # What became of one name of an inode changes what the others are, wherever they stand.
            if found.root is not None and (found.is_whole() or not between.profile.links):
                return (
                    found,
                    f"; {found.directories} directories read, the others untouched (overlay {how})",
                )
    finally:
        linux.close_all(layer)
    raise NotStackedError("a hard link has names in untouched directories")


def _stacked(between: Between, mountinfo: bytes) -> Stacked:
    """How the trees are stacked; raises :class:`.mounts.NotStackedError`."""
    trees = between.lower, between.upper
    try:
        below, above = (Root(linux.path_of(tree.root_fd), linux.device_of(tree.root_fd)) for tree in trees)
    except OSError:
        raise NotStackedError("the mounts cannot be read", told=False) from None
    stack = stacked(below, above, mountinfo, linux.overlay_default)
    if not all(map(_is_of_one, trees)):
        raise NotStackedError("the layers are not seen to be on one file system, or it is btrfs")
    return stack


def _layer(between: Between, stack: Stacked) -> int:
    """A descriptor of the additional layer; -1 if it cannot be reached, or not be known for what it is."""
    # The top layer is known by the inode of UPPER's root.  Of one between it and LOWER's there is only a path, which
    # may lead elsewhere by now.
    if stack.below != b"/" or len(stack.above) != 1 or (stack.view and not linux.sees_trusted_xattrs()):
        return -1
    layer = -1
    try:
        layer = linux.open_root(stack.above[0])
        if stack.lowest is None or one_inode(os.stat(stack.lowest), os.fstat(between.lower.root_fd)):
            top, root = os.fstat(layer), os.fstat(between.upper.root_fd)
            if top.st_ino == root.st_ino and top.st_mtime_ns == root.st_mtime_ns:
                return layer
    except OSError:
        pass
    linux.close_all(layer)
    return -1


def _is_of_one(tree: DiskTree) -> bool:
    """Whether a tree shows that all its layers are in one file system, without snapshots of each other.

    Only then have its files the device of its directories, and these their own inode numbers and not such as the
    mount counts for them.  On btrfs a layer may be a snapshot of another, whose inodes it shares; there no directory
    has more than one link.
    """
    looker = tree.again()
    of_one = counts_links = False
    try:
        device = os.fstat(looker.fd).st_dev
        stack: list[list[bytes]] = [[]]
        for _ in range(_LOOKED_AT):
            if not stack or (of_one and counts_links):
                break
            parents = stack.pop()
            looker.seek(parents)
            for name in looker.names():
                facts = looker.stat(name)
                if S_ISDIR(facts.st_mode):
                    counts_links |= facts.st_nlink > 1
                    stack.append([*parents, name])
                elif facts.st_dev == device:
                    of_one = True
                else:
                    return False
    except DifferError:
        return False  # whoever looks at every name will say so
    finally:
        looker.close()
    return of_one and counts_links
