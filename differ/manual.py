"""What ``--help`` says, of each command."""

from __future__ import annotations

MANUALS = {
    "differ": """\
usage: differ [options] LOWER UPPER [OUT]
       differ [options] LOWER UPPER --layer FILE
       differ [options] LOWER UPPER --append oci:DIR[:TAG]

Write what UPPER has and LOWER has not into the directory OUT: added and modified entries, and
whiteouts for removed ones.  Without OUT, write nothing and list the changes.  LOWER may be the
word scratch, an empty tree (./scratch is a directory of that name).  OUT must be absent or an
empty directory, outside both trees.  LOWER and UPPER may also be an image, oci:DIR[:TAG] (DIR is an
OCI image layout), or the layers in tars, tar:FILE[:FILE...], the lowest first.

  --whiteout STYLE       how a removed name is written: oci (an image layer's .wh.NAME, the
                         default), overlay (overlayfs's device 0:0), none (not at all)
  --compare PROFILE      exact (every fact and every byte, the default), native (what BuildKit's
                         DiffOp sees), metadata (every fact, no file is read)
  --layer FILE           write the difference as an OCI layer, a tar, in place of OUT; - is stdout
  --append oci:DIR[:TAG] write the difference as one layer more on top of that image
  --to oci:DIR:TAG       what the image of --append is called, if not the same
  --append-to-scratch oci:DIR:TAG
                         write an image of the difference alone
  --compression HOW      of the layer: none (the default of --layer), gzip (of --append), zstd
  --compression-level N  1 to 9 for gzip (usually 6), 1 to 22 for zstd (usually 3)
  --layer-xattrs WHICH   capability (what BuildKit writes, the default), all
  --uid-map MAP          the owners in the layer: INSIDE:OUTSIDE[:COUNT], as podman has it, where
  --gid-map MAP          OUTSIDE is what is read; repeatable; without one as read
  --metadata-file FILE   write the layer's descriptor, its diffID and the number of changes
  --ignore PATTERN       leave out what a .dockerignore pattern matches, on both sides; repeatable
  -x, --one-file-system  end each tree at its mount points: what is mounted below its root is taken
                         for an empty directory (without it mounts are part of the tree)
  --xattr-exclude GLOB   leave out extended attributes whose names match; repeatable
  --allow-wh-names       write names that begin with .wh., though they act as whiteouts
  --strict               fail when something cannot be carried, instead of warning
  --verify               prove that LOWER with OUT applied is UPPER; exit 1 if it is not
  --report FILE          write one line of JSON for every change, or if FILE ends in .html one page
                         for a browser, with all of them; - is stdout, as JSON
  --jobs N               look, and write, with N processes (the default is one for each
                         processor, and more while they wait for a disk)
  --overlay HOW          auto: what two overlay mounts prove to be untouched is not compared (the
                         default); off: all is compared
  --stat                 tell, in place of the list, in which directories names were added (A),
                         modified (M) and removed (D, with all in a removed directory), and the
                         bytes of their files in UPPER (new) and in LOWER (old)
  --stat-rows N          with --stat: the N biggest directories (the default is 20)
  --summary              tell, in place of the list, one line for each kind of change:
                         KIND NAMES, +NEW -OLD bytes, COUNT TYPE, ...
  --color WHEN           always, never, auto (on a terminal, unless NO_COLOR is set; the default)
  --digest               with --report: add the SHA-256 of changed files, both sides
  --exit-code            exit 1 when something differs
  --progress HOW         auto (the default), plain, none
  -q, --quiet            print errors only
  -v, --verbose          list the changes whatever else is asked for, and everything not carried
  --version, --help

Exit status: 0 done, 1 as said above, 2 trouble.  What ends the program early is 128 and the signal.
""",
    "differ-rebase": """\
usage: differ-rebase [options] OLDBASE IMAGE NEWBASE --to oci:DIR:TAG

Put what IMAGE has on top of OLDBASE onto NEWBASE, as one layer, with IMAGE's configuration.  IMAGE and
NEWBASE are oci:DIR[:TAG]; OLDBASE may also be a directory or tar:FILE[:FILE...].  A name that has been
changed by the image and by the new base is a conflict and is listed with all three versions; the
deletions of the image hold on the new base.

  --to oci:DIR:TAG       what the new image is called
  --allow-conflicts      let the image have its way where there is a conflict
  --compression HOW      of the layer: gzip (the default), zstd, none
  --compression-level N  1 to 9 for gzip (usually 6), 1 to 22 for zstd (usually 3)
  --layer-xattrs WHICH   capability (what BuildKit writes, the default), all
  --metadata-file FILE   write the layer's descriptor, its diffID, the manifest's descriptor
  -x, --one-file-system  end each tree at its mount points: what is mounted below its root is taken
                         for an empty directory (without it mounts are part of the tree)
  --xattr-exclude GLOB   leave out extended attributes whose names match; repeatable
  --strict               fail when something cannot be carried, instead of warning
  --progress HOW         auto (the default), plain, none
  -q, --quiet            print errors only
  -v, --verbose          tell everything that could not be carried
  --version, --help

Exit status: 0 done, 1 conflicts, and nothing written, 2 trouble.
""",
    "differ-apply": """\
usage: differ-apply [options] LOWER CHANGES OUT

Write LOWER with CHANGES on top into the directory OUT: the inverse of differ.  LOWER may be the
word scratch, an empty tree, or an image (oci:DIR[:TAG]) or tars (tar:FILE[:FILE...]); CHANGES may be a
layer, tar:FILE.  OUT must be absent or an empty directory, outside both trees.

  --whiteout STYLE       how CHANGES tells of removed names: oci (the default), overlay, none
  -x, --one-file-system  end each tree at its mount points: what is mounted below its root is taken
                         for an empty directory (without it mounts are part of the tree)
  --xattr-exclude GLOB   leave out extended attributes whose names match; repeatable
  --strict               fail when something cannot be carried, instead of warning
  --progress HOW         auto (the default), plain, none
  -q, --quiet            print errors only
  -v, --verbose          tell everything that could not be carried
  --version, --help

Exit status: 0 done, 2 trouble.  What ends the program early is 128 and the signal.
""",
}
