#!/bin/sh
# The main job on real input: two releases of a package from PyPI.
# usage: docs/demo.sh DIRECTORY-WITH-THE-COMMANDS
set -eu

bin=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"

show() {
	printf '\n$ %s\n' "$*"
}

for release in 5.1 5.1.1; do
	show pip download "django==$release"
	"$bin/pip" -q download --no-deps --only-binary :all: -d "wheel-$release" "django==$release"
	"$bin/python" -m zipfile -e "wheel-$release"/*.whl "$release"
done
# Unpacking gives every file the time of unpacking.  One time for all lets the content speak.
find 5.1 5.1.1 -exec touch -h -d 2024-08-07T12:00:00Z {} +

show 'differ 5.1 5.1.1 | head -n 15      # what changed?'
"$bin/differ" 5.1 5.1.1 >changes
head -n 15 changes

show 'differ --verify 5.1 5.1.1 out      # write it, and prove that 5.1 with out applied is 5.1.1'
"$bin/differ" --verify 5.1 5.1.1 out

show 'du -sh 5.1.1 out; find out -type f | wc -l'
du -sh 5.1.1 out
find out -type f | wc -l

show 'differ-apply 5.1 out again && differ --exit-code 5.1.1 again    # the way back'
"$bin/differ-apply" 5.1 out again
"$bin/differ" --exit-code 5.1.1 again
