"""Where candidates are looked for: everywhere, or where the mounts say that something may have changed."""

from __future__ import annotations

from . import linux
from .finder import Finder
from .workers import candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Candidates
    from .compare import Profile
    from .model import Tally
    from .scan import DiskTree


def search(
    lower: DiskTree,
    upper: DiskTree,
    profile: Profile,
    *,
    groups: bool,
    overlay: bool,
    tally: Tally,
    jobs: int,
) -> tuple[Candidates, str]:
    """The candidates between two trees, and what is to be told of how they were found.

    ``groups``: whether names of inodes with several are candidates.
    ``overlay``: whether what the mounts prove may be used.
    ``jobs``: processes that may look; 0 for as many as is good.
    """

    def everywhere(tally: Tally) -> Finder:
        return Finder(lower.again(), upper.again(), profile, groups=groups, tally=tally)

    told = ""
    if overlay and linux.has_overlays():
        from .mounts import NotStackedError
        from .overlay import untouched

        try:
            return untouched(lower, upper, profile, groups=groups, tally=tally, jobs=jobs)
        except NotStackedError as error:
            if error.told:
                told = f"; all compared ({error})"
    return candidates(everywhere, tally, jobs), told
