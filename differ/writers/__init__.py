"""The ways out of a changeset.  Each is fed the same stream (plan.py) and decides nothing."""
