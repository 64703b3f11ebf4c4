#!/bin/sh
# Install the container engines that the image is tested on; as root, on Debian.
# usage: install-engines.sh DIRECTORY
# Debian 12: docker.io (20.10) and buildah are installed, and Debian 13's dockerd (26.1) and buildx are unpacked
# into DIRECTORY/docker26, where nothing starts them but the tests.  Debian 13: its own docker.io and buildah.
set -eu

directory=$1
here=$(cd "$(dirname "$0")" && pwd)
install=$here/../../docs/install-packages.sh
archive=http://deb.debian.org/debian
keys=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck source=/dev/null
. /etc/os-release

packages="buildah busybox-static ca-certificates debian-archive-keyring debootstrap docker.io runc tar umoci util-linux"
if [ "$VERSION_CODENAME" != bookworm ]; then
	# Here the client is a package of its own, and builds with a plugin.
	packages="$packages docker-cli docker-buildx"
	echo "$PRETTY_NAME: only this release's docker.io and buildah are tested, not Docker 20.10" >&2
fi

# What is installed must not start a daemon.
policy=/usr/sbin/policy-rc.d
if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # one word for each package
"$install" $packages
[ "$VERSION_CODENAME" = bookworm ] || exit 0

[ -x "$directory/docker26/usr/libexec/docker/cli-plugins/docker-buildx" ] && exit 0
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
# A state of apt's own, so that the machine's sources and lists stay as they are.
apt=$directory/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/download"
echo "deb [signed-by=$keys] $archive trixie main" >"$apt/sources.list"
trixie() {
	# A mirror may be a snapshot that is older than its own date of expiry.
	apt-get -qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
trixie update
(cd "$apt/download" && trixie download docker.io/trixie docker-buildx/trixie)
rm -rf "$directory/docker26" "$directory/docker26.new"
for package in "$apt"/download/docker.io_26.*.deb "$apt"/download/docker-buildx_*.deb; do
	dpkg-deb -x "$package" "$directory/docker26.new"
done
mv "$directory/docker26.new" "$directory/docker26"
rm -rf "$apt"
