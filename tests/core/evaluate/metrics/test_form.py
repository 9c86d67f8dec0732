import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.metrics import METRICS
from core.evaluate.metrics.form import form_scores, language_kept, longest_loop
from core.evaluate.metrics.running import LaneMetrics, values_of
from core.evaluate.metrics.source import copied_spans, source_scores

WORDS = st.lists(st.sampled_from("abc"), max_size=14).map(tuple)


@pytest.mark.parametrize(
    ("words", "longest"),
    [("a b c", 0), ("a a", 2), ("x a b a b a", 5), ("a b c a b c y", 6), ("a b a", 0), ("a a b a a b", 6), ("", 0)],
)
def test_longest_loop_spans_at_least_two_repetitions(words, longest):
    assert longest_loop(tuple(words.split())) == longest


@given(WORDS)
def test_longest_loop_equals_a_search_of_all_stretches(words):
    count = len(words)
    loops = [
        end - start
        for start in range(count)
        for end in range(start, count + 1)
        for period in range(1, (end - start) // 2 + 1)
        if all(words[at] == words[at + period] for at in range(start, end - period))
    ]
    assert longest_loop(words) == max(loops, default=0)


def test_form_scores_of_a_worked_example():
    found = form_scores("The sea, the sea!", 7, "end")
    assert found == {"tokens": 7, "ended": 1, "distinct_1": 0.5, "distinct_2": 2 / 3, "longest_loop": 4}
    assert form_scores("", 0, "length") == {"tokens": 0, "ended": 0}
    assert form_scores("word", 1, "stopped") == {"tokens": 1, "distinct_1": 1, "longest_loop": 0}


def test_source_scores_of_a_worked_example():
    # "a storm", "the ship" and "in" are copied; "sank" and "may" are not: (2² + 2² + 1²) / 7.
    found = source_scores("A storm sank the ship in May", "Storms: in a storm near Brest, the ship was lost")
    assert found == pytest.approx(
        {"compression": 10 / 7, "copied_coverage": 5 / 7, "copied_density": 9 / 7, "novel_bigrams": 4 / 6}
    )
    assert source_scores("", "text") == source_scores("text", "…") == {}


@given(WORDS, WORDS)
def test_copied_spans_are_maximal_and_stand_in_the_source(words, source):
    joined, at = " ".join(source), 0
    for span in copied_spans(words, source):
        while words[at : at + len(span)] != span:
            assert words[at] not in source
            at += 1
        assert " ".join(span) in joined
        longer = words[at : at + len(span) + 1]
        assert len(longer) == len(span) or " ".join(longer) not in joined
        at += len(span)


def test_language_kept_needs_both_languages():
    assert [language_kept(*pair) for pair in (("de", "de"), ("de", "en"), (None, "en"), ("de", None))] == [
        1, 0, None, None,
    ]  # fmt: skip


def test_lane_metrics_leave_out_missing_values_and_failed_answers():
    metrics = LaneMetrics()
    assert metrics.means() == {}
    metrics.add(values_of({"end": "end", "tokens": 4, "exact": True, "f1": 1.0}))
    metrics.add(values_of({"end": "length", "tokens": 8, "exact": False, "f1": 0.5}))
    metrics.add(values_of({"end": "stop word", "tokens": 0, "exact": None, "f1": None}))
    metrics.add(values_of({"end": "failed", "tokens": 0, "exact": None, "f1": None}))
    assert metrics.means() == {"tokens": 4, "ended": 2 / 3, "exact_match": 0.5, "word_f1": 0.75}


def test_every_metric_is_explained_in_two_sentences():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.title
        # Two sentences: the second one has the formula. Periods inside a sentence are those of "et al." only.
        sentences = metric.explanation.replace("et al.", "et al").split(". ")
        assert len(sentences) == 2, (name, sentences)
        assert metric.explanation.endswith((".", ")."))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("exact_match", 0.125, "12.5%"), ("bleu", 23.456, "23.5"), ("loss", 1.23456, "1.235"),
     ("tokens", 1234.5, "1,234.5"), ("perplexity", 7.891, "7.89")],
)  # fmt: skip
def test_metric_formats_a_value_by_its_scale(name, value, text):
    assert METRICS[name].format(value) == text
