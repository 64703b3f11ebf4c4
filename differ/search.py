"""The trees with no other names than may differ, searched everywhere or where the mounts say so."""

from __future__ import annotations

from . import linux
from .candidates import CandidateTree
from .content import Comparer
from .finder import Finder
from .scan import DiskTree
from .workers import candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Candidates
    from .compare import Profile
    from .model import Stat, Tally, Tree
    from .plan import SameContent


def search(
    lower: Tree,
    upper: Tree,
    profile: Profile,
    *,
    groups: bool,
    overlay: bool,
    tally: Tally,
    jobs: int,
) -> tuple[Tree, Tree, str]:
    """The trees with what may differ, and what is to be told of how that was found.

    ``groups``: whether names of inodes with several may differ whatever else is known of them.
    ``overlay``: whether what the mounts prove may be used.
    ``jobs``: processes that may look; 0 for as many as is good.
    Trees that are not directories as they are on disk are given back: there every name is looked at.
    """
    if not isinstance(lower, DiskTree) or not isinstance(upper, DiskTree):
        return lower, upper, ""
    found, told = _found(lower, upper, profile, groups=groups, overlay=overlay, tally=tally, jobs=jobs)
    if found.root is None:
        return lower, upper, told
    return CandidateTree(lower, found), CandidateTree(upper, found), told


def comparer(tally: Tally) -> SameContent:
    """What compares the bytes of two files that the search has not compared yet.

    ``tally``: counts the bytes.
    """
    same = Comparer(tally).same

    def compare(lower: Tree, upper: Tree, name: bytes, lower_stat: Stat, upper_stat: Stat) -> bool:
        if isinstance(upper, CandidateTree) and upper.is_unequal(name):
            return False
        return same(lower, upper, name, lower_stat, upper_stat)

    return compare


def _found(
    lower: DiskTree,
    upper: DiskTree,
    profile: Profile,
    *,
    groups: bool,
    overlay: bool,
    tally: Tally,
    jobs: int,
) -> tuple[Candidates, str]:
    told = ""
    if overlay and linux.has_overlays():
        # Not many trees are on overlay mounts.
        from .mounts import NotStackedError
        from .overlay import untouched

        try:
            return untouched(lower, upper, profile, groups=groups, tally=tally, jobs=jobs)
        except NotStackedError as error:
            if error.told:
                told = f"; all compared ({error})"

    def everywhere(tally: Tally) -> Finder:
        return Finder(lower.again(), upper.again(), profile, groups=groups, tally=tally)

    return candidates(everywhere, tally, jobs), told
