"""Which facts of two entries differ.

The table of semantics.md section 2, as data.  ``exact`` finds every difference a tree can hold;
``native`` gives what BuildKit's DiffOp gives, lost changes and all (containerd/continuity
``fs/diff_unix.go``, ``fs/diff.go``: capabilities are the only attribute looked at, and content only
when both times may have been truncated to whole seconds); ``metadata`` never reads a file.
"""

from __future__ import annotations

from stat import S_IFMT, S_IMODE, S_ISBLK, S_ISCHR, S_ISDIR, S_ISLNK, S_ISREG

from .model import Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .model import Stat

    class Ask(Protocol):
        """The costly facts of a name that stands in both trees where they are now."""

        def xattrs(
            self, name: bytes, lower: Stat, upper: Stat
        ) -> tuple[dict[str, bytes], dict[str, bytes]]: ...

        def targets(self, name: bytes) -> tuple[bytes, bytes]: ...

        def same_content(self, name: bytes, lower: Stat, upper: Stat) -> bool: ...


CAPABILITY = "security.capability"
_PRIVATE_PREFIXES = ("trusted.overlay.", "user.overlay.")
# XFS shows root the ACLs that everybody sees as system.posix_acl_* a second time (attr(5) of xfsprogs).
_PRIVATE_NAMES = ("security.selinux", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")


def is_private(xattr: str) -> bool:
    """Whether an attribute belongs to a mount or a host and not to the tree: never compared, never
    copied (semantics.md section 2)."""
    return xattr.startswith(_PRIVATE_PREFIXES) or xattr in _PRIVATE_NAMES


class Profile:
    """One column of the table in semantics.md section 2.

    ``xattrs``: the attributes that count; None for all that are not private.
    ``bytes``: when symbolic link targets and file content count: ``always``, ``truncated`` (only if
    the times on both sides have no fraction of a second, as after unpacking a tar), ``never``.
    ``targets_always``: symbolic link targets count whatever ``bytes`` says.
    ``links``: whether the set of names that share an inode counts.
    ``socket_removes``: whether a socket in the place of something else, in a style that writes no
    sockets, removes what stood there.  DiffOp leaves it there.
    """

    __slots__ = ("bytes", "links", "name", "socket_removes", "targets_always", "xattrs")

    def __init__(
        self,
        name: str,
        xattrs: tuple[str, ...] | None,
        bytes: str,
        targets_always: bool,
        links: bool,
        socket_removes: bool,
    ) -> None:
        self.name = name
        self.xattrs = xattrs
        self.bytes = bytes
        self.targets_always = targets_always
        self.links = links
        self.socket_removes = socket_removes

    def reads(self, lower: Stat, upper: Stat) -> bool:
        """Whether symbolic link targets and file content count for two entries."""
        if self.bytes == "truncated":
            return lower.st_mtime_ns % 1_000_000_000 == 0 and upper.st_mtime_ns % 1_000_000_000 == 0
        return self.bytes == "always"


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("exact", None, "always", targets_always=True, links=True, socket_removes=True),
        Profile(
            "native", (CAPABILITY,), "truncated", targets_always=False, links=False, socket_removes=False
        ),
        Profile("metadata", None, "never", targets_always=True, links=True, socket_removes=True),
    )
}


def one_inode(lower: Stat, upper: Stat) -> bool:
    """Whether two names are proven to be one inode, so that nothing about them can differ."""
    return lower.st_ino == upper.st_ino and lower.st_dev == upper.st_dev


def differing(
    profile: Profile, name: bytes, lower: Stat, upper: Stat, ask: Ask, all_fields: bool
) -> tuple[str, ...]:
    """The :class:`Field` values that differ between two entries of one name, () if they are the same.

    ``ask``: gives the costly facts; asked for last, and only if the cheap ones are equal, unless
    ``all_fields`` wants every reason there is.  Entries of different types have that one reason.
    Whether the names that share the inode are the same is not known here (plan.py).
    """
    if one_inode(lower, upper):
        return ()
    mode = upper.st_mode
    if lower.st_mode != mode and S_IFMT(lower.st_mode) != S_IFMT(mode):
        return (Field.TYPE,)
    if S_ISDIR(mode) and same_stat(lower, upper):
        # By far the most that there are, each of them above a change.
        lower_xattrs, upper_xattrs = ask.xattrs(name, lower, upper)
        if not lower_xattrs and not upper_xattrs:
            return ()
        return () if counted(profile, lower_xattrs) == counted(profile, upper_xattrs) else (Field.XATTRS,)
    fields = _stat_fields(lower, upper)
    if fields and not all_fields:
        return tuple(fields)
    read = profile.reads(lower, upper)
    if S_ISLNK(mode) and (read or profile.targets_always):
        lower_target, upper_target = ask.targets(name)
        if lower_target != upper_target:
            fields.append(Field.TARGET)
    if not fields or all_fields:
        lower_xattrs, upper_xattrs = ask.xattrs(name, lower, upper)
        if counted(profile, lower_xattrs) != counted(profile, upper_xattrs):
            fields.append(Field.XATTRS)
    if S_ISREG(mode) and read and (not fields or all_fields):
        # Files of two sizes cannot be equal: neither is opened.
        if lower.st_size != upper.st_size:
            fields.append(Field.CONTENT)
        elif not ask.same_content(name, lower, upper):
            fields.append(Field.CONTENT)
    return tuple(fields)


def same_stat(lower: Stat, upper: Stat) -> bool:
    """Whether two entries that are no devices have one type and all the facts that one ``lstat`` gives the same: that
    there are no :func:`_stat_fields`, told without making a list of them."""
    mode = upper.st_mode
    return (
        lower.st_mode == mode
        and lower.st_uid == upper.st_uid
        and lower.st_gid == upper.st_gid
        and (S_ISDIR(mode) or (lower.st_size == upper.st_size and lower.st_mtime_ns == upper.st_mtime_ns))
    )


def _stat_fields(lower: Stat, upper: Stat) -> list[str]:
    fields = []
    mode = upper.st_mode
    if lower.st_mode != mode and S_IMODE(lower.st_mode) != S_IMODE(mode):
        fields.append(Field.MODE)
    if lower.st_uid != upper.st_uid:
        fields.append(Field.UID)
    if lower.st_gid != upper.st_gid:
        fields.append(Field.GID)
    if (S_ISCHR(mode) or S_ISBLK(mode)) and lower.st_rdev != upper.st_rdev:
        fields.append(Field.DEVICE)
    if not S_ISDIR(mode):
        if lower.st_size != upper.st_size:
            fields.append(Field.SIZE)
        if lower.st_mtime_ns != upper.st_mtime_ns:
            fields.append(Field.MTIME)
    return fields


def counted(profile: Profile, xattrs: dict[str, bytes]) -> dict[str, bytes]:
    """Those of an entry's attributes that the profile compares."""
    if profile.xattrs is None or not xattrs:
        return xattrs
    return {name: value for name, value in xattrs.items() if name in profile.xattrs}
