"""The training rows nearest to an answer, with the bundled data: a row is nearest to itself."""

import pytest

from core.chat.nearest import nearest
from core.data import sources, subset
from core.data.table import TRAIN
from core.errors import StudioError


@pytest.fixture
def rows(settings):
    subset.ensure_bundled(settings)
    return subset.load(settings, sources.BUNDLED)[TRAIN]


def test_a_training_answer_is_nearest_to_its_own_row(settings, rows):
    for number, messages in rows[::60]:
        answers = "\n".join(m["content"] for m in messages if m["role"] == "assistant")
        first, *rest = nearest(settings, sources.BUNDLED, answers)
        assert (first.row, first.prompt, first.answer) == (number, messages[0]["content"], answers)
        assert all(first.score >= other.score > 0 for other in rest)


@pytest.mark.parametrize("text", ["", "   ", "?!", "zzyzx qwqwqw"])
def test_without_a_word_in_common_there_is_none(settings, rows, text):
    assert nearest(settings, sources.BUNDLED, text) == []


def test_no_more_than_asked_for(settings, rows):
    assert len(nearest(settings, sources.BUNDLED, "the lamp and the sea", most=3)) == 3


def test_a_subset_that_is_gone_is_named(settings, rows):
    with pytest.raises(StudioError, match="no-such"):
        nearest(settings, "no-such", "x")
