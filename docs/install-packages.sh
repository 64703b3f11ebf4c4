#!/bin/sh
# Install the Debian packages named as arguments that are missing; without root, only say which.
set -eu

command -v dpkg-query >/dev/null || exit 0 # not Debian: whoever runs this knows what to do instead
missing=
for package in "$@"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "missing Debian packages; as root: apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A source that cannot be reached does not matter unless a package was to come from it.
apt-get -qq update || true
# shellcheck disable=SC2086 # one word for each package
apt-get -qq install -y --no-install-recommends $missing >&2
