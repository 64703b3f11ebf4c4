"""A Debian root file system, and the same after packages came, went and were upgraded."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHANGE_PACKAGES = """\
set -e
export DEBIAN_FRONTEND=noninteractive
echo 'deb http://deb.debian.org/debian testing main' > /etc/apt/sources.list.d/testing.list
printf 'Package: *\\nPin: release a=testing\\nPin-Priority: -10\\n' > /etc/apt/preferences.d/testing
# A mirror may be a snapshot that is older than its own date of expiry.
apt-get -qq -o Acquire::Check-Valid-Until=false update
apt-get -qq install -y --no-install-recommends perl hello iputils-ping libcap2-bin
apt-get -qq install -y --no-install-recommends tzdata/testing
apt-get -qq purge -y --allow-remove-essential e2fsprogs logsave
apt-get clean
"""


def make_debian(root: Path) -> None:
    """A Debian with apt, of the release of this machine."""
    run("debootstrap", "--variant=minbase", _codename(), root)


def change_debian(root: Path, changed: Path) -> None:
    """A copy of it on which programs have run as they do in a build."""
    run("cp", "-a", root, changed)
    shutil.copyfile("/etc/resolv.conf", changed / "etc/resolv.conf")
    run("chroot", changed, "sh", "-c", CHANGE_PACKAGES)


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value
    return "bookworm"


def run(*words: str | Path) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout[-2000:])
