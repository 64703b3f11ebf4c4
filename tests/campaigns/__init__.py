"""Campaigns: what takes too long for a test, each a command that prints its figures (docs/reliability.md)."""
