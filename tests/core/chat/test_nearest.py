"""The training rows nearest to an answer, with the bundled data: a row is nearest to itself."""

import pytest

from core.chat.nearest import nearest
from core.data import sources, subset
from core.data.table import TRAIN
from core.errors import StudioError
from tests.helpers.datasets import copy_bundled


@pytest.fixture
def rows(settings):
    copy_bundled(settings)
    return subset.load(settings, sources.BUNDLED)[TRAIN]


def test_nearest_training_answer_finds_its_own_row_first(settings, rows):
    for number, messages in rows[::60]:
        answers = "\n".join(m["content"] for m in messages if m["role"] == "assistant")
        first, *rest = nearest(settings, sources.BUNDLED, answers)
        assert (first.row, first.prompt, first.answer) == (number, messages[0]["content"], answers)
        assert all(first.score >= other.score > 0 for other in rest)


@pytest.mark.parametrize("text", ["", "   ", "?!", "zzyzx qwqwqw"])
def test_nearest_without_a_shared_word_is_empty(settings, rows, text):
    assert nearest(settings, sources.BUNDLED, text) == []


def test_nearest_returns_at_most_limit_rows(settings, rows):
    assert len(nearest(settings, sources.BUNDLED, "the lamp and the sea", limit=3)) == 3


def test_nearest_missing_subset_is_named(settings, rows):
    with pytest.raises(StudioError, match="no-such"):
        nearest(settings, "no-such", "x")
