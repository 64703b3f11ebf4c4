"""``a..b`` in Dockerfiles, told as a list of its files.  Each may import only what stands above it.

language    words.py             variables in words
            instructions.py      lines to instructions, with the place of each character
            syntax.py            where a Dockerfile names stages, and where ``..`` may not stand
            stages.py            what the names mean; files that are made of the user's
rewriter    plain.py             the same in Dockerfile that every builder reads
            rewriter.py          the command ``differ-dockerfile``
BuildKit    digest.py            SHA-256
            protobuf.py          messages as tables
            messages.py          those of BuildKit
            calls.py             gRPC on two pipes; the only importer of h2
            bridge.py            the engine's methods
            graph.py             vertices, and what replaces some of them
frontend    platforms.py         what a platform is called, and what FROM knows of it
            original.py          what the engine says, with the user's names and lines
            runner.py            the op that makes a difference
            context.py           where the Dockerfile comes from
            lint.py              warnings
            placeholders.py      names in the places of ``a..b``
            ways.py              how an engine's own frontend leaves room for them
            build.py             one build
            main.py              what BuildKit starts
"""
