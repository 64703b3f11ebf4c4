"""What /proc/self/mountinfo says of two roots: whether one is an overlay on top of the other.

Where it is, a directory that no additional layer holds has the same content in both, and its inode tells
(docs/untouched.md has the proof, and why each condition is one).  All is decided here from text; nothing is
read but what the caller hands over.  proc(5), Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PARAMETERS = ("index", "metacopy", "nfs_export", "redirect_always_follow", "redirect_dir", "xino_auto")
"""The defaults of overlayfs that matter here, files below /sys/module/overlay/parameters."""


class Mount:
    """One line of mountinfo.

    ``device``: major and minor number of the file system.
    ``root``: which of its directories is mounted.  ``point``: where.
    ``type``: of the file system.  ``options``: of the file system, as they are written there.
    """

    __slots__ = ("device", "options", "point", "root", "type")

    def __init__(
        self, device: tuple[int, int], root: bytes, point: bytes, type: bytes, options: bytes
    ) -> None:
        self.device = device
        self.root = root
        self.point = point
        self.type = type
        self.options = options


class Root:
    """The root of a tree.

    ``path``: without symbolic links.  ``device``: major and minor number.
    """

    __slots__ = ("device", "path")

    def __init__(self, path: bytes, device: tuple[int, int]) -> None:
        self.path = path
        self.device = device


class Stacked:
    """Two roots of which UPPER's is LOWER's with more layers on top.

    ``view``: whether inode numbers alone tell: UPPER's mount cannot be written to, so that every number in it is
    the layer's own.
    ``above``: the directories of the additional layers, top first; none where they are not all known.
    ``below``: the path of the roots in them.
    ``lowest``: where LOWER itself should be, for those who can look there; None where it is an overlay mount.
    """

    __slots__ = ("above", "below", "lowest", "view")

    def __init__(self, view: bool, above: list[bytes], below: bytes, lowest: bytes | None = None) -> None:
        self.view = view
        self.above = above
        self.below = below
        self.lowest = lowest


class NotStackedError(Exception):
    """Why nothing is proven.

    ``told``: whether that is worth to be told: not where there is no overlay at all.
    """

    def __init__(self, reason: str, told: bool = True) -> None:
        super().__init__(reason)
        self.told = told


class _Overlay:
    """An overlay mount: its layers, top first, whether the first can be written to, its other options."""

    def __init__(self, mount: Mount) -> None:
        self.options: dict[bytes, bytes] = {}
        lowers: list[bytes] = []
        data: list[bytes] = []
        for option in mount.options.split(b","):
            key, _, value = option.partition(b"=")
            value = unescaped(value)
            if key == b"lowerdir":
                shown, *hidden = value.split(b"::")
                lowers += split(shown)
                data += hidden
            elif key == b"lowerdir+":
                lowers.append(value)
            elif key == b"datadir+":
                data.append(value)
            else:
                self.options[key] = value
        self.data = data
        self.writable = b"upperdir" in self.options
        self.layers = [self.options[b"upperdir"], *lowers] if self.writable else lowers


def parse(mountinfo: bytes) -> list[Mount]:
    """The mounts, in the order in which they were made; lines that cannot be read are left out."""
    mounts = []
    for line in mountinfo.split(b"\n"):
        before, dash, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if not dash or len(fields) < 5 or len(rest) < 3:
            continue
        major, colon, minor = fields[2].partition(b":")
        if colon and major.isdigit() and minor.isdigit():
            device = (int(major), int(minor))
            mounts.append(Mount(device, unescaped(fields[3]), unescaped(fields[4]), rest[0], rest[2]))
    return mounts


def unescaped(text: bytes) -> bytes:
    """A field of mountinfo with its octal escapes read."""
    if b"\\" not in text:
        return text
    first, *parts = text.split(b"\\")
    out = [first]
    for part in parts:
        digits = part[:3]
        if len(digits) == 3 and all(digit in b"01234567" for digit in digits):
            out.append(bytes((int(digits, 8) & 0xFF,)) + part[3:])
        else:
            out.append(b"\\" + part)
    return b"".join(out)


def split(layers: bytes) -> list[bytes]:
    """The directories of a ``lowerdir``, between which stand colons; those in a name have a backslash."""
    if b"\\" not in layers:
        return layers.split(b":")
    found = [b""]
    at = 0
    while at < len(layers):
        char = layers[at : at + 1]
        if char == b"\\" and at + 1 < len(layers):
            at += 1
            found[-1] += layers[at : at + 1]
        elif char == b":":
            found.append(b"")
        else:
            found[-1] += char
        at += 1
    return found


def stacked(lower: Root, upper: Root, mountinfo: bytes, parameter: Callable[[str], bytes | None]) -> Stacked:
    """How two roots are stacked; raises :class:`NotStackedError`.

    ``parameter``: gives a default of overlayfs; None if it cannot be read.
    """
    mounts = parse(mountinfo)
    below, above = _mount_of(lower, mounts), _mount_of(upper, mounts)
    if above.type != b"overlay":
        raise NotStackedError("UPPER is not on overlayfs", told=below.type == b"overlay")
    for root in (lower, upper):
        for mount in mounts:
            if mount.point.startswith(root.path.rstrip(b"/") + b"/"):
                raise NotStackedError("something is mounted in a tree")
    defaults = {name: parameter(name) for name in PARAMETERS}
    if None in defaults.values():
        raise NotStackedError("the defaults of overlayfs cannot be read")
    top = _Overlay(above)
    base = _Overlay(below) if below.type == b"overlay" else None
    for overlay in (top, base):
        if overlay is not None:
            _check(overlay, defaults)
    if base is None:
        inside, directory = _under(upper, above), _under(lower, below)
        layer = top.layers[-1] + inside.rstrip(b"/")
        if len(top.layers) < 2 or top.data or directory == b"/" or not layer.endswith(directory):
            raise NotStackedError("LOWER is not the lowest layer of UPPER")
        # Where the disk of that path is mounted for whoever made the overlay is not known: that it is the same
        # one is told by times, not by numbers; or by the directory that is there for us.
        return Stacked(False, top.layers[:-1], inside, top.layers[-1])
    if below.device == above.device:
        raise NotStackedError("LOWER and UPPER are one mount")
    if _under(lower, below) != _under(upper, above):
        raise NotStackedError("LOWER and UPPER are different directories of their mounts")
    count = len(top.layers) - len(base.layers)
    view, more = not top.writable, top.layers[: max(count, 0)]
    if top.data != base.data or top.layers[count:] != base.layers:
        if top.data or base.data or not _is_docker_s(top, base):
            raise NotStackedError("UPPER's layers are not those of LOWER and more")
        # LOWER's first layer may be one that UPPER has not, and written to.
        view, more = view and not base.writable, []
    for name in (b"userxattr", b"metacopy"):
        if top.options.get(name) != base.options.get(name):
            raise NotStackedError(f"{name.decode()} is not the same in both mounts")
    if _follows(top, defaults) != _follows(base, defaults):
        raise NotStackedError("redirect_dir is not the same in both mounts")
    return Stacked(view, more, _under(upper, above))


def _mount_of(root: Root, mounts: list[Mount]) -> Mount:
    """The mount that a root is in."""
    found = None
    for mount in mounts:
        point = mount.point.rstrip(b"/")
        if mount.device == root.device and (root.path == mount.point or root.path.startswith(point + b"/")):
            # Of two at one place the later one covers the other.
            if found is None or len(mount.point) >= len(found.point):
                found = mount
    if found is None:
        raise NotStackedError("a mount cannot be found", told=False)
    return found


def _under(root: Root, mount: Mount) -> bytes:
    """Where a root is in its file system."""
    return mount.root.rstrip(b"/") + root.path[len(mount.point.rstrip(b"/")) :] or b"/"


def _check(overlay: _Overlay, defaults: Mapping[str, bytes | None]) -> None:
    """Raise :class:`NotStackedError` for options with which an inode proves nothing."""
    for name in ("index", "nfs_export"):
        shown = overlay.options.get(name.encode())
        if shown == b"on" or (shown is None and defaults[name] != b"N"):
            raise NotStackedError(f"{name} is on")
    if overlay.options.get(b"xino", b"off") != b"off" or defaults["xino_auto"] != b"N":
        raise NotStackedError("xino is on")
    if not all(layer.startswith(b"/") for layer in overlay.layers):
        raise NotStackedError("the paths of layers are not absolute")


def _is_docker_s(top: _Overlay, base: _Overlay) -> bool:
    """Whether two stacks are the graph driver's of Docker, and UPPER's is LOWER's with more on top.

    There a layer is called HOME/ID/diff when it is the first, and HOME/l/NAME when it is below another; which
    is which cannot be seen from here.  But under one layer there are always the same others, so LOWER's first
    one, if UPPER has it at all, is the next above those that both have below it.
    """
    homes = set()
    for overlay in (top, base):
        first, *others = overlay.layers
        home, identity, diff = (*first.rsplit(b"/", 2), b"", b"")[:3]
        if diff != b"diff" or not identity.isalnum() or not others:
            return False
        homes.add(home)
        homes.update(layer.rpartition(b"/l/")[0] for layer in others)
    below = base.layers[1:]
    return len(homes) == 1 and len(top.layers) > len(below) and top.layers[1:][-len(below) :] == below


def _follows(overlay: _Overlay, defaults: Mapping[str, bytes | None]) -> bool:
    """Whether a directory that was moved is looked for where it came from."""
    shown = overlay.options.get(b"redirect_dir")
    if shown is None:
        shown = b"on" if defaults["redirect_dir"] == b"Y" else b"off"
    return shown in (b"on", b"follow") or (shown == b"off" and defaults["redirect_always_follow"] == b"Y")
