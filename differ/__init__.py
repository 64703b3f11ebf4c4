"""differ: subtract one directory tree from another.

The program, told as a list of its files.  Each may import only what stands above it
(setup.cfg holds the contract, ``make check`` proves it):

values      model.py             entries, changes, and the one error that a user sees
core        ignore.py            .dockerignore patterns: names that count as absent on both sides
            walk.py              two trees joined directory by directory, name by name
            compare.py           which facts of two entries differ; the profiles exact, native, metadata
            whiteout.py          how a removed name is written, and read back: oci, overlay, none
            mounts.py            what mountinfo says of two roots: whether one is an overlay on the other
            plan.py              joined names to an ordered stream of changes
            threeway.py          what an image and a new base have both changed
Linux       linux.py             every system call that is not plain ``os``
disk        content.py           the bytes of regular files: compared, copied, hashed
            scan.py              a directory on disk as a tree
            candidates.py        names that may differ; what looks for them; a tree that has no others
            finder.py            candidates, found by looking at every name
            untouched.py         the same between overlay mounts, where most directories need no look
            layers.py            the same where the additional layer can be reached
            children.py          processes that are forked for a part of the work
            sharing.py           the search on all processors
            workers.py           the search, shared if there is much to look at
            overlay.py           which of these ways two overlay mounts allow
            search.py            the search, everywhere or between overlay mounts
            layout.py            images in a directory, as the OCI lays them out
            compressed.py        compressed bytes, read and hashed
            tarball.py           the tar of a layer: verified, unpacked, taken apart
            layered.py           the layers of an image as a tree
            archives.py          LOWER and UPPER that are images or tars
            apply.py             the inverse: a tree with changes laid over it
            verify.py            the proof that two trees are equal, with rules of its own
            writers/facts.py     what a written entry is given: owner, mode, attributes, time
            writers/directory.py changes written as a directory
            writers/tar.py       the headers of a tar
            writers/blob.py      its bytes: compressed, hashed, described
            writers/layer.py     changes written as a layer
            writers/store.py     an image layout that images are added to
            writers/image.py     that layer on top of an image
            writers/output.py    the places results are written to, whole or not at all
            writers/report.py    changes told to programs
            writers/listing.py   changes told to people
            writers/totals.py    what they amount to, by directory
            writers/table.py     that, as wide as a terminal
            writers/page.py      a page for a browser: its style, what is before and after the changes
            writers/treemap.py   its program: the picture of the directories
            writers/script.py    its program: the rest
            writers/html.py      changes told on that page
top         options.py           argv to one Options value
            manual.py            what --help says
            progress.py          the line that moves while a long run works
            session.py           what a run holds open, says and counts
            outputs.py           the outputs that a command line asks for, opened
            run.py               one run of a command, from opened trees to an exit code
            rebase.py            one run of differ-rebase
            cli.py               the commands; signals, errors and the only prints
beside it   frontend/            ``a..b`` in Dockerfiles: its __init__.py has the list of its files
            __main__.py          the program under each of its names
"""

__version__ = "0.1.0"
