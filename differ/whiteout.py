"""How a removed name is written, and how it is read back.

A style is a row of :data:`STYLES`, a value that is passed along and never asked for its name.  A new
style is a new row.

* ``oci``: image-spec layer.md, "Whiteouts".  An empty file ``.wh.NAME`` removes NAME, a file
  ``.wh..wh..opq`` hides all that LOWER has in the directory.
* ``overlay``: the kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque
  directories".  A character device 0:0 removes its own name, ``trusted.overlay.opaque=y`` (or
  ``user.`` on mounts with userxattr) hides all that LOWER has in the directory.
* ``none``: the mount face of a difference (semantics.md section 1); a removal leaves no trace.

No style ever writes an opaque marker: a directory that was removed and made again is told name by
name (semantics.md rule 3.4), and overlayfs itself stops at a name that is no directory.  Both kinds
are read, since other programs write them.
"""

from __future__ import annotations

from stat import S_IFCHR, S_IFREG, S_ISCHR

from .model import DifferError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Stat

PREFIX = b".wh."
META_PREFIX = b".wh..wh."
OPAQUE_NAME = b".wh..wh..opq"


class Marker:
    """The entry that stands for a removed name: mode 0000, uid and gid 0, mtime 0, empty.

    ``name``: what it is called.  ``type``: its ``S_IFMT`` bits.  A device has the number 0:0.
    """

    __slots__ = ("name", "type")

    def __init__(self, name: bytes, type: int) -> None:
        self.name = name
        self.type = type


class Style:
    """One way to write a changeset into a directory.

    ``marker``: the marker of a removed name, None where the style has none.
    ``hides``: what an entry of a changeset removes from LOWER: the name, :data:`OPAQUE_NAME` for
    everything in the directory, None when it is an ordinary entry.  Raises :class:`DifferError` for
    a marker that names nothing.
    ``forbids``: why an entry cannot stand in this style, None when it can.
    ``opaque_xattrs``: attributes that, with the value ``y``, make a directory opaque.
    ``partial_xattrs``: attributes of an entry that lacks what lies elsewhere, and so cannot be read.
    ``sockets``: whether sockets are written (an image layer has none).
    ``whole_groups``: whether all names of an inode are written as soon as one is, even in ``native``.
    """

    __slots__ = (
        "forbids",
        "hides",
        "marker",
        "name",
        "opaque_xattrs",
        "partial_xattrs",
        "sockets",
        "whole_groups",
    )

    def __init__(
        self,
        name: str,
        marker: Callable[[bytes], Marker | None],
        hides: Callable[[bytes, Stat], bytes | None],
        forbids: Callable[[bytes, Stat | None], str | None],
        opaque_xattrs: tuple[str, ...],
        partial_xattrs: tuple[str, ...],
        sockets: bool,
        whole_groups: bool,
    ) -> None:
        self.name = name
        self.marker = marker
        self.hides = hides
        self.forbids = forbids
        self.opaque_xattrs = opaque_xattrs
        self.partial_xattrs = partial_xattrs
        self.sockets = sockets
        self.whole_groups = whole_groups


def _oci_marker(name: bytes) -> Marker:
    return Marker(PREFIX + name, S_IFREG)


def _oci_hides(name: bytes, facts: Stat) -> bytes | None:
    if not name.startswith(PREFIX):
        return None
    if name.startswith(META_PREFIX):
        # The other names with this prefix are AUFS's own book-keeping and remove nothing.
        return OPAQUE_NAME if name == OPAQUE_NAME else b""
    hidden = name[len(PREFIX) :]
    if hidden in (b"", b".", b".."):
        raise DifferError("a whiteout that names no file; remove it from the changes")
    return hidden


def _oci_forbids(name: bytes, facts: Stat | None) -> str | None:
    if name.startswith(PREFIX):
        return "names that begin with .wh. cannot exist in an image (--allow-wh-names writes them, --whiteout none keeps them)"
    return None


def _is_whiteout_device(facts: Stat | None) -> bool:
    return facts is not None and S_ISCHR(facts.st_mode) and facts.st_rdev == 0


def _overlay_marker(name: bytes) -> Marker:
    return Marker(name, S_IFCHR)


def _overlay_hides(name: bytes, facts: Stat) -> bytes | None:
    return name if _is_whiteout_device(facts) else None


def _overlay_forbids(name: bytes, facts: Stat | None) -> str | None:
    if _is_whiteout_device(facts):
        return "a character device 0:0 is overlayfs's own whiteout and cannot be an entry (--whiteout none keeps it)"
    return None


def _no_marker(name: bytes) -> Marker | None:
    return None


def _hides_nothing(name: bytes, facts: Stat) -> bytes | None:
    return None


def _forbids_nothing(name: bytes, facts: Stat | None) -> str | None:
    return None


STYLES = {
    style.name: style
    for style in (
        Style("oci", _oci_marker, _oci_hides, _oci_forbids, (), (), sockets=False, whole_groups=True),
        Style(
            "overlay",
            _overlay_marker,
            _overlay_hides,
            _overlay_forbids,
            ("trusted.overlay.opaque", "user.overlay.opaque"),
            # overlayfs.rst, "Metadata only copy up" and "redirect_dir"
            (
                *("trusted.overlay.metacopy", "user.overlay.metacopy"),
                *("trusted.overlay.redirect", "user.overlay.redirect"),
            ),
            sockets=True,
            whole_groups=True,
        ),
        Style("none", _no_marker, _hides_nothing, _forbids_nothing, (), (), sockets=True, whole_groups=False),
    )
}
