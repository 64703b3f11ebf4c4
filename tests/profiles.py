"""How many pairs of trees a law is tried on."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, seed, settings

DEEP = os.environ.get("DIFFER_LAWS") == "deep"
SEED = int(os.environ.get("DIFFER_LAWS_SEED") or random.randrange(2**32))

# A generated tree is large as examples go; that is no sign of a bad strategy.
_common = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _common, derandomize=True)
settings.register_profile("deep", _common, derandomize=False, print_blob=True)
LAW = 5000 if DEEP else 40
"""Pairs for a law and a style."""

Test = TypeVar("Test", bound=Callable[..., None])


def law(test: Test) -> Test:
    """Try the test on as many pairs as the profile says."""
    return _tried(test, LAW)


def law_of_all_styles(test: Test) -> Test:
    """The same for a test that stands for all styles: quickly as many as three tests of a law."""
    return _tried(test, LAW if DEEP else 3 * LAW)


def judged(test: Test) -> Test:
    """The same for a test that starts other programs: fewer pairs."""
    return _tried(test, LAW // 3)


def judged_deeply(test: Test) -> Test:
    """The same, and deeply as many as for a law."""
    return _tried(test, LAW if DEEP else LAW // 3)


def _tried(test: Test, count: int) -> Test:
    test = settings(settings.get_profile("deep" if DEEP else "quick"), max_examples=count)(test)
    return seed(SEED)(test) if DEEP else test


def tell_seed(config: pytest.Config) -> None:
    """Print what repeats a deep run, past pytest, which shows nothing of tests that pass."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    if DEEP and capture is not None:
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\nDIFFER_LAWS=deep DIFFER_LAWS_SEED={SEED}\n")
            sys.stdout.flush()
