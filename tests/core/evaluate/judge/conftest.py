"""Fixtures of the tests of core.evaluate.judge."""

import pytest

from tests.helpers.judged_evaluation import judged_evaluation


@pytest.fixture
def judged(settings, tmp_path):
    """Return the store and a finished evaluation of two lanes."""
    return judged_evaluation(settings, tmp_path)
