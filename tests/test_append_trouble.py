"""A difference on top of an image, with something in its way: the layout is as it was."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import Trees, differ, ended
from .conftest import RunDiffer, needs_root
from .disks import disk
from .refusals import everything
from .test_append import Layout, append, base_image, place
from .test_failures import wait_for_bytes
from .user import Place, user_place

pytestmark = pytest.mark.cli
__all__ = ["place"]  # a fixture


def test_two_at_once_both_get_in(place: Path) -> None:
    for where in ("image", "new", "empty"):
        (place / "empty").mkdir(exist_ok=True)
        running = [
            differ("--append", f"oci:{place}/image:base", "--to", to, place / "lower", place / "upper")
            for to in (f"oci:{place}/{where}:{number}" for number in range(6))
        ]
        for process in running:
            status, _, err = ended(process)
            assert status == 0, err
        layout = Layout(place / where)
        layout.check()
        assert {*layout.tags()} - {"base"} == {"0", "1", "2", "3", "4", "5"}
    assert sorted(os.listdir(place)) == ["empty", "image", "lower", "new", "upper"]


def fails(run_differ: RunDiffer, place: Path, reason: str, *options: object) -> None:
    before = everything(place)
    status, out, err = run_differ(*options, place / "lower", place / "upper")
    assert (status, out, err) == (2, "", f"differ: {reason}\n")
    assert everything(place) == before


TO = ["image:base", "image:next", "new:next"]


@pytest.mark.parametrize("to", TO)
def test_a_name_that_no_image_can_have(to: str, place: Path, run_differ: RunDiffer) -> None:
    (place / "upper/d/.wh.x").write_text("")
    before = everything(place)
    options = ["--append", f"oci:{place}/image:base", "--to", f"oci:{place}/{to}"]
    status, _, err = run_differ(*options, place / "lower", place / "upper")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{place}/upper/d/.wh.x" in err or "d/.wh.x" in err
    assert everything(place) == before


@pytest.mark.parametrize("to", TO)
def test_a_signal(to: str, tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    base_image(tmp_path / "image")
    before = everything(tmp_path)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    options = ["-v", "--append", f"oci:{tmp_path}/image:base", "--to", f"oci:{tmp_path}/{to}"]
    process = differ(*options, trees.lower, trees.upper, stdout=write)
    os.close(write)
    try:
        wait_for_bytes(read, process)
        assert everything(tmp_path) != before  # something has been begun
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    finally:
        os.close(read)
        process.kill()
        process.wait()
    assert (process.returncode, err) == (128 + signal.SIGTERM, "differ: interrupted by SIGTERM\n")
    assert everything(tmp_path) == before


@needs_root
@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize("size", [64, 600])
def test_a_full_disk(size: int, to: str, tmp_path: Path, run_differ: RunDiffer) -> None:
    for side in ("lower", "upper"):
        (tmp_path / side).mkdir()
    (tmp_path / "upper/large").write_bytes(os.urandom(1 << 20))
    with disk(tmp_path, "tmpfs", "-o", f"size={size}k") as full:
        base_image(full / "image")
        before = everything(full)
        options = ["--append", f"oci:{full}/image:base", "--to", f"oci:{full}/{to}"]
        status, out, err = run_differ(*options, tmp_path / "lower", tmp_path / "upper")
        where = full / to.partition(":")[0]
        assert (status, out) == (2, "")
        assert err == f"differ: {where}: cannot be written: No space left on device\n"
        assert everything(full) == before


def test_nothing_is_written_into_a_tree_that_is_compared(place: Path, run_differ: RunDiffer) -> None:
    (place / "upper/empty").mkdir()
    base_image(place / "upper/image")
    for side in ("lower", "upper"):
        for where in (side, f"{side}/new", "upper/empty", "upper/image"):
            tree = place / where.partition("/")[0]
            layout = f"oci:{place}/{where}:t"
            reason = f"{place}/{where}: lies in {tree}; write to a directory outside both trees"
            fails(run_differ, place, reason, "--append-to-scratch", layout)
            fails(run_differ, place, reason, "--append", f"oci:{place}/image", "--to", layout)


def test_what_is_no_layout(place: Path, run_differ: RunDiffer) -> None:
    (place / "file").write_text("")
    (place / "full").mkdir()
    (place / "full/file").write_text("")
    for where, why in (
        ("file", "cannot be written: Not a directory"),
        ("none/none", "cannot be written: No such file or directory"),
        ("full", "is no OCI image layout (oci-layout, index.json, blobs/sha256)"),
    ):
        fails(run_differ, place, f"{place}/{where}: {why}", "--append-to-scratch", f"oci:{place}/{where}:t")


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_a_layout_is_not_written_through_a_link(name: str, place: Path, run_differ: RunDiffer) -> None:
    (place / "image" / name).rename(place / "elsewhere")
    (place / "image" / name).symlink_to(place / "elsewhere")
    why = "cannot be opened as an image layout" if name == "oci-layout" else "cannot be read"
    reason = f"{why}: Too many levels of symbolic links"
    path = f"{place}/image" if name == "oci-layout" else f"{place}/image/{name}"
    fails(run_differ, place, f"{path}: {reason}", "--append-to-scratch", f"oci:{place}/image:t")


def test_what_a_killed_run_has_left_is_in_nobodys_way(place: Path, run_differ: RunDiffer) -> None:
    for where in ("image", "empty"):
        (place / where / ".differ-0123456789abcdef").mkdir(parents=True)
        append(run_differ, place, "--to", f"oci:{place}/{where}:next")
        assert "next" in Layout(place / where).tags()


@pytest.fixture
def user() -> Iterator[Place]:
    yield from user_place()


def test_an_ordinary_user(user: Place) -> None:
    (user.upper / "f").write_text("f")
    for number, word in enumerate(("--append-to-scratch", "--append")):
        options = [word, f"oci:{user.path}/image:t"]
        status, _, err = user.run(*options, user.lower, user.upper)
        assert status == 0, err
        layout = Layout(user.path / "image")
        layout.check()
        assert len(layout.manifest("t")["layers"]) == number + 1
        assert {path.stat().st_uid for path in layout.path.rglob("*")} == {user.upper.stat().st_uid}


@needs_root
def test_a_file_and_a_layout_that_an_ordinary_user_cannot_use(user: Place) -> None:
    assert user.run("--append-to-scratch", f"oci:{user.path}/image:t", user.lower, user.upper)[0] == 0
    (user.upper / "secret").write_text("secret")
    (user.upper / "secret").chmod(0)
    before = everything(user.path)
    options = ["--append", f"oci:{user.path}/image:t"]
    status, _, err = user.run(*options, user.lower, user.upper)
    assert (status, err) == (2, f"differ: {user.upper}/secret: cannot be read: Permission denied\n")
    assert everything(user.path) == before
    (user.upper / "secret").unlink()
    os.chown(user.path / "image", 0, 0)
    status, _, err = user.run(*options, user.lower, user.upper)
    assert (status, err) == (2, f"differ: {user.path}/image: cannot be written: Permission denied\n")
    assert sorted(os.listdir(user.path / "image")) == ["blobs", "index.json", "oci-layout"]
