#!/bin/sh
# Build the static program.
#
# usage: build.sh OUT [TRIPLET [PYTHON]]
#
# OUT is the file to write, TRIPLET the machine it is for (x86_64-linux-gnu; this one by default),
# PYTHON the version (3.11; that of python3 by default).  Debian's packages for it: gcc for the
# triplet, libpythonX.Y-dev and zlib1g-dev of the target, pythonX.Y of this machine, python3-h2,
# python3-hpack and python3-hyperframe.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$1
triplet=${2:-$(gcc -print-multiarch)}
version=${3:-$(/usr/bin/python3 -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
config=/usr/lib/python$version/config-$version-$triplet
packages=/usr/lib/python3/dist-packages
for needed in "$config/config.c" "$config/libpython$version.a" "/usr/lib/$triplet/libz.a" \
	"$packages/h2" "$packages/hpack" "$packages/hyperframe"; do
	[ -e "$needed" ] || {
		echo "$needed: missing; install gcc, libpython$version-dev and zlib1g-dev for $triplet," \
			"python3-h2, python3-hpack, python3-hyperframe" >&2
		exit 1
	}
done
grep -q PyInit__sha256 "$config/config.c" && sha256= || sha256=$here/sha256.c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"/usr/bin/python$version" -I -S -B "$here/freeze.py" "$here/.." "$config/config.c" "$work/program.c"
# The linker warns of what glibc's static name service would need; stubs.c is there to have none.
"$triplet-gcc" -std=gnu17 -Os -Wall -Wextra -Wno-missing-field-initializers -s -fno-pie -static \
	-Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--build-id=none \
	-I"/usr/include/python$version" -I"/usr/include/$triplet/python$version" \
	-o "$work/differ" "$here/main.c" "$here/stubs.c" "$here/../differ/_suspects.c" "$work/program.c" ${sha256:+"$sha256"} \
	"$config/libpython$version.a" -lz -lm 2>"$work/log" || {
	cat "$work/log" >&2
	exit 1
}
mkdir -p "$(dirname "$out")"
mv "$work/differ" "$out"
