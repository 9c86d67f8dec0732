import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.metrics import LaneMetrics, exact_match, word_f1


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [("a b c", "a b c", 1), ("A, b!", "a b", 1), ("a b", "b c", 0.5), ("a", "b", 0), ("a a", "a", 2 / 3), ("", "", 1),
     ("", "a", 0)],
)  # fmt: skip
def test_word_f1_counts_repeated_words(answer, reference, f1):
    assert word_f1(answer, reference) == pytest.approx(f1)


@given(st.text(max_size=30), st.text(max_size=30))
def test_word_f1_is_symmetric_in_0_to_1_and_1_for_equal_words(a, b):
    assert 0 <= word_f1(a, b) <= 1
    assert word_f1(a, b) == word_f1(b, a)
    assert word_f1(a, a) == 1
    assert not exact_match(a, b) or word_f1(a, b) == 1


def test_lane_metrics_without_values_are_none():
    metrics = LaneMetrics()
    assert [metrics.completed_share, metrics.mean_tokens, metrics.exact_share, metrics.mean_f1] == [None] * 4
    metrics.add({"end": "end", "tokens": 4, "exact": True, "f1": 1.0})
    metrics.add({"end": "length", "tokens": 8, "exact": False, "f1": 0.5})
    metrics.add({"end": "stop word", "tokens": 0, "exact": None, "f1": None})
    assert (metrics.completed_share, metrics.mean_tokens) == (2 / 3, 4)
    assert (metrics.exact_share, metrics.mean_f1) == (0.5, 0.75)
