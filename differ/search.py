"""The trees with no other names than may differ, searched everywhere or where the mounts say so."""

from __future__ import annotations

from . import linux
from .candidates import Between, CandidateTree
from .content import Comparer
from .scan import DiskTree
from .workers import candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .candidates import Candidates
    from .compare import Profile
    from .model import Stat, Tally, Tree
    from .plan import SameContent

_OVERLAY = b" - overlay "


class Searched:
    """What is left to be decided.

    ``lower``, ``upper``: the trees with what may differ.
    ``same_content``: compares the bytes of two files that the search has not compared yet.
    ``told``: what is to be told of how that was found.
    """

    __slots__ = ("lower", "same_content", "told", "upper")

    def __init__(self, lower: Tree, upper: Tree, same_content: SameContent, told: str = "") -> None:
        self.lower = lower
        self.upper = upper
        self.same_content = same_content
        self.told = told


def search(
    lower: Tree, upper: Tree, profile: Profile, *, groups: bool, mountinfo: bytes, tally: Tally, jobs: int
) -> Searched:
    """Look for what may differ.

    ``profile``, ``groups``: as for :class:`.candidates.Between`.
    ``mountinfo``: the mounts whose proofs may be used; empty for none.
    ``tally``, ``jobs``: as for :func:`.workers.candidates`.
    In trees that are not directories as they are on disk every name is left.
    """
    same = Comparer(tally).same
    if not isinstance(lower, DiskTree) or not isinstance(upper, DiskTree):
        return Searched(lower, upper, same)
    found, told = _found(Between(lower, upper, profile, groups=groups), mountinfo, tally, jobs)
    if found.root is None:
        return Searched(lower, upper, same, told)
    left, right = CandidateTree(lower, found, 0), CandidateTree(upper, found, 1)

    def same_content(lower: Tree, upper: Tree, name: bytes, lower_stat: Stat, upper_stat: Stat) -> bool:
        return not right.is_unequal(name) and same(lower, upper, name, lower_stat, upper_stat)

    return Searched(left, right, same_content, told)


def overlay_mounts(*roots: bytes) -> bytes:
    """The mounts (proc(5)), if one of the directories ``roots`` seems to be on an overlay mount; else nothing."""
    mountinfo = linux.mountinfo()
    if _OVERLAY in mountinfo:
        devices = [b" %d:%d " % device for device in map(linux.device_at, roots) if device is not None]
        for mount in mountinfo.split(b"\n"):
            if _OVERLAY in mount and any(device in mount for device in devices):
                return mountinfo
    return b""


def _found(between: Between, mountinfo: bytes, tally: Tally, jobs: int) -> tuple[Candidates, str]:
    told = ""
    if mountinfo:
        # Not many trees are on overlay mounts.
        from .mounts import NotStackedError
        from .overlay import untouched

        try:
            return untouched(between, mountinfo, tally, jobs)
        except NotStackedError as error:
            if error.told:
                told = f"; all compared ({error})"
    from .finder import Finder

    return candidates(lambda tally: Finder(between, tally), tally, jobs), told
