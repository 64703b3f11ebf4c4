"""``a..b`` in Dockerfiles: a frontend for BuildKit, and a rewriter for everything else."""
