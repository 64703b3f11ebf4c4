"""How many pairs of trees a law is tried on."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings

DEEP = os.environ.get("DIFFER_LAWS") == "deep"
SEED = int(os.environ.get("DIFFER_LAWS_SEED") or random.randrange(2**32))

# A generated tree is large as examples go; that is no sign of a bad strategy.
_common = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _common, max_examples=40, derandomize=True)
settings.register_profile("deep", _common, max_examples=5000, derandomize=False, print_blob=True)

Test = TypeVar("Test", bound=Callable[..., None])


def law(test: Test) -> Test:
    """Try the test on as many pairs as the profile says."""
    return _tried(test, 1)


def judged(test: Test) -> Test:
    """The same for a test that starts other programs: fewer pairs."""
    return _tried(test, 3)


def _tried(test: Test, share: int) -> Test:
    profile = settings.get_profile("deep" if DEEP else "quick")
    test = settings(profile, max_examples=profile.max_examples // share)(test)
    return seed(SEED)(test) if DEEP else test


def tell_seed(config: pytest.Config) -> None:
    """Print what repeats a deep run; pytest shows no stdout of tests that pass."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if DEEP and reporter is not None:
        reporter.write_line(f"DIFFER_LAWS=deep DIFFER_LAWS_SEED={SEED}")
