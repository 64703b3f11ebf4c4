"""What is concluded from mountinfo; the lines are such as kernels have written."""

from __future__ import annotations

import pytest

from differ.mounts import NotStackedError, Root, Stacked, parse, split, stacked, unescaped

DEFAULTS = {
    "index": b"N",
    "metacopy": b"N",
    "nfs_export": b"N",
    "redirect_always_follow": b"Y",
    "redirect_dir": b"N",
    "xino_auto": b"N",
}
HOME = "/var/lib/docker/overlay2"
SNAPSHOTS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots"


def overlay(number: int, point: str, options: str, root: str = "/") -> str:
    return (
        f"{100 + number} 20 0:{number} {root} {point} rw,relatime shared:1 - overlay overlay rw,{options}\n"
    )


def conclude(
    *lines: str,
    lower: tuple[str, int] = ("/l", 1),
    upper: tuple[str, int] = ("/u", 2),
    lower_major: int = 0,
    **defaults: bytes | None,
) -> Stacked:
    known = {**DEFAULTS, **defaults}
    roots = Root(lower[0].encode(), (lower_major, lower[1])), Root(upper[0].encode(), (0, upper[1]))
    text = "20 1 254:0 / / rw - ext4 /dev/vda rw\n" + "".join(lines)
    return stacked(*roots, text.encode(), known.get)


def refused(*lines: str, **more: object) -> str:
    with pytest.raises(NotStackedError) as caught:
        conclude(*lines, **more)  # type: ignore[arg-type]
    return str(caught.value)


LOW = overlay(1, "/l", "lowerdir=/b:/a")


@pytest.mark.parametrize(
    ("options", "view", "above"),
    [
        ("lowerdir=/b:/a,upperdir=/c,workdir=/w", False, [b"/c"]),
        ("lowerdir=/c:/b:/a", True, [b"/c"]),
        ("lowerdir=/d:/c:/b:/a,redirect_dir=on", True, [b"/d", b"/c"]),
        ("lowerdir+=/c,lowerdir+=/b,lowerdir+=/a", True, [b"/c"]),
        ("lowerdir=/b:/a", True, []),
        ("lowerdir=/b:/a,upperdir=/c,index=off,nfs_export=off,xino=off,volatile", False, [b"/c"]),
    ],
)
def test_more_layers_on_the_same_ones(options: str, view: bool, above: list[bytes]) -> None:
    found = conclude(LOW, overlay(2, "/u", options))
    assert (found.view, found.above, found.below) == (view, above, b"/")


def test_the_upperdir_of_lower_is_a_layer_of_upper() -> None:
    low = overlay(1, "/l", "lowerdir=/a,upperdir=/b,workdir=/w")
    assert conclude(low, overlay(2, "/u", "lowerdir=/c:/b:/a")).above == [b"/c"]
    assert "layers are not those" in refused(low, overlay(2, "/u", "lowerdir=/c:/a"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("lowerdir=/b:/a:/c", "not those of LOWER"),
        ("lowerdir=/a", "not those of LOWER"),
        ("lowerdir=/c:/b2:/a", "not those of LOWER"),
        ("lowerdir=/b:/a,upperdir=/c,index=on", "index is on"),
        ("lowerdir=/b:/a,upperdir=/c,nfs_export=on", "nfs_export is on"),
        ("lowerdir=/c:/b:/a,xino=on", "xino is on"),
        ("lowerdir=/c:/b:/a,xino=auto", "xino is on"),
        ("lowerdir=c:/b:/a", "not absolute"),
        ("lowerdir=/c:/b:/a,userxattr", "userxattr"),
        ("lowerdir=/c:/b:/a,metacopy=on", "metacopy"),
        ("lowerdir=/c:/b:/a,redirect_dir=nofollow", "redirect_dir"),
        ("lowerdir=/c:/b:/a::/data", "not those of LOWER"),
        ("lowerdir+=/c,lowerdir+=/b,lowerdir+=/a,datadir+=/data", "not those of LOWER"),
    ],
)
def test_other_stacks_and_options_prove_nothing(options: str, reason: str) -> None:
    assert reason in refused(LOW, overlay(2, "/u", options))


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        ({"index": b"Y"}, "index is on"),
        ({"nfs_export": b"Y"}, "nfs_export is on"),
        ({"xino_auto": b"Y"}, "xino is on"),
        ({"metacopy": None}, "cannot be read"),
    ],
)
def test_what_is_not_shown_is_as_the_kernel_has_it(default: dict[str, bytes | None], reason: str) -> None:
    above = overlay(2, "/u", "lowerdir=/c:/b:/a")
    assert reason in refused(LOW, above, **default)


def test_options_that_are_shown_hide_the_defaults() -> None:
    lines = [
        overlay(number, point, f"lowerdir={layers},index=off,nfs_export=off")
        for number, point, layers in ((1, "/l", "/b:/a"), (2, "/u", "/c:/b:/a"))
    ]
    assert conclude(*lines, index=b"Y", nfs_export=b"Y").above == [b"/c"]


def test_redirects_are_followed_alike() -> None:
    off = overlay(2, "/u", "lowerdir=/c:/b:/a,redirect_dir=off")
    assert conclude(LOW, off).above == [b"/c"]
    assert conclude(LOW, off, redirect_always_follow=b"N").above == [b"/c"]
    follow = overlay(2, "/u", "lowerdir=/c:/b:/a,redirect_dir=follow")
    assert "redirect_dir" in refused(LOW, follow, redirect_always_follow=b"N")
    assert conclude(LOW, follow, redirect_always_follow=b"N", redirect_dir=b"Y").above == [b"/c"]


@pytest.mark.parametrize("point", ["/l/sub", "/u/a/b"])
def test_a_mount_inside_a_tree_proves_nothing(point: str) -> None:
    inside = f"140 20 0:9 / {point} rw - tmpfs tmpfs rw\n"
    assert "mounted in a tree" in refused(LOW, overlay(2, "/u", "lowerdir=/c:/b:/a"), inside)
    beside = "140 20 0:9 / /l2/sub rw - tmpfs tmpfs rw\n"
    assert conclude(LOW, overlay(2, "/u", "lowerdir=/c:/b:/a"), beside).view


def test_the_same_directory_of_both_mounts() -> None:
    above = overlay(2, "/u", "lowerdir=/c:/b:/a")
    found = conclude(LOW, above, lower=("/l/d/e", 1), upper=("/u/d/e", 2))
    assert found.below == b"/d/e"
    assert "different directories" in refused(LOW, above, lower=("/l/d", 1), upper=("/u/e", 2))
    # A bind mount of one shows which it is.
    bound = overlay(2, "/u", "lowerdir=/c:/b:/a", root="/d")
    assert conclude(LOW, bound, lower=("/l/d", 1)).below == b"/d"
    assert "different directories" in refused(LOW, bound)


def test_one_mount_twice() -> None:
    assert "one mount" in refused(LOW, LOW.replace(" /l ", " /u "), upper=("/u", 1))


def test_of_two_mounts_at_one_place_the_later_one_counts() -> None:
    lines = [LOW, overlay(3, "/u", "lowerdir=/x:/y"), overlay(2, "/u", "lowerdir=/c:/b:/a")]
    assert conclude(*lines).above == [b"/c"]
    with pytest.raises(NotStackedError):
        conclude(*lines, upper=("/u", 3))


def bound(root: str, device: str = "254:0") -> str:
    return f"130 20 {device} {root} /l ro - ext4 /dev/vda rw\n"


def test_a_single_layer_is_no_overlay_but_a_bind_mount() -> None:
    layers = f"lowerdir={SNAPSHOTS}/2/fs:{SNAPSHOTS}/1/fs"
    found = conclude(bound(f"{SNAPSHOTS}/1/fs"), overlay(2, "/u", layers), lower=("/l", 0), lower_major=254)
    # That it is the same disk is not in these lines; who can look there may find out.
    assert (found.view, found.above) == (False, [f"{SNAPSHOTS}/2/fs".encode()])
    assert found.lowest == f"{SNAPSHOTS}/1/fs".encode()
    # On a disk of its own its path there is the end of the one that the engine sees.
    found = conclude(bound("/snapshots/1/fs"), overlay(2, "/u", layers), lower=("/l", 0), lower_major=254)
    assert not found.view
    for root in (f"{SNAPSHOTS}/2/fs", f"{SNAPSHOTS}/11/fs", "/"):
        assert "lowest layer" in refused(
            bound(root), overlay(2, "/u", layers), lower=("/l", 0), lower_major=254
        )
    single = overlay(2, "/u", f"lowerdir={SNAPSHOTS}/1/fs")
    assert "lowest layer" in refused(bound(f"{SNAPSHOTS}/1/fs"), single, lower=("/l", 0), lower_major=254)


def docker(first: str, *others: str, writable: bool = False) -> str:
    below = [f"{HOME}/l/{name}" for name in others]
    if writable:
        return (
            f"lowerdir={':'.join(below)},upperdir={HOME}/{first}/diff,workdir={HOME}/{first}/work,index=off"
        )
    return f"lowerdir={':'.join([f'{HOME}/{first}/diff', *below])},index=off"


@pytest.mark.parametrize("writable", [False, True])
def test_docker_s_first_layer_has_another_name(writable: bool) -> None:
    """Where it is the first it is called by its identity, below another by a short name."""
    above = overlay(2, "/u", docker("def", "CCC", "BBB", "AAA", writable=writable))
    found = conclude(overlay(1, "/l", docker("abc", "AAA", writable=writable)), above)
    assert (found.view, found.above) == (not writable, [])
    # What is written into LOWER is no layer of UPPER's: its inode numbers alone tell nothing.
    assert not conclude(overlay(1, "/l", docker("abc", "AAA", writable=True)), above).view
    for low in (docker("abc", "BBB"), docker("abc", "BBB", "CCC"), docker("abc"), "lowerdir=/x:/y"):
        assert "not those of LOWER" in refused(overlay(1, "/l", low), above)
    other = docker("abc", "AAA").replace(HOME, "/srv/docker")
    assert "not those of LOWER" in refused(overlay(1, "/l", other), above)


def test_what_is_no_overlay_is_told_only_beside_one() -> None:
    with pytest.raises(NotStackedError) as caught:
        conclude(lower=("/l", 0), upper=("/u", 2))
    assert not caught.value.told
    with pytest.raises(NotStackedError) as caught:
        conclude(LOW, "140 20 0:2 / /u rw - tmpfs tmpfs rw\n")
    assert (str(caught.value), caught.value.told) == ("UPPER is not on overlayfs", True)


def test_names_of_any_bytes() -> None:
    assert split(rb"/a\:b:/c\\d:/e") == [b"/a:b", rb"/c\d", b"/e"]
    assert unescaped(rb"/a\040b\134c\054\012") == b"/a b\\c,\n"
    assert unescaped(rb"\x\9\04") == rb"\x\9\04"
    (mount,) = parse(
        rb"7 1 0:3 /r\040t /p\011t rw - overlay none rw,lowerdir=/a\054b" + b"\nnonsense\n\n1 2 3 - x\n"
    )
    assert (mount.root, mount.point, mount.options) == (b"/r t", b"/p\tt", rb"rw,lowerdir=/a\054b")
    low = overlay(1, "/l", r"lowerdir=/b\134:\054x:/a")
    assert conclude(low, overlay(2, "/u", r"lowerdir=/c:/b\134:\054x:/a")).above == [b"/c"]
