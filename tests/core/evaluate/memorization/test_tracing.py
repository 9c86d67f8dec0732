"""Tests of core.evaluate.memorization.tracing and trace_text."""

import pytest

from core.errors import StudioError
from core.evaluate.line_file import LineWriter
from core.evaluate.memorization import tracing
from core.evaluate.memorization.trace_text import describe_copying
from tests.helpers.traced_answers import COPIED, COPIED_TURN, evaluation_of, run_on, training_rows

PROMPTS = 24


@pytest.fixture
def made(settings, tmp_path, small_tokenizer):
    return run_on(settings, tmp_path, small_tokenizer, training_rows(), held_out_share=0)


def fresh_text(number):
    return f"Nobody has ever written sentence {number} before {number * 31}"


def test_trace_finds_spans_by_their_characters(made):
    store, run = made
    text = f"Übung 🙂: {COPIED}! And so on."
    evaluation = evaluation_of(store, ["base", run.id], [["Nothing", ""], [text, "Nothing"]])
    found = tracing.trace(store.runs, evaluation, run.id)
    assert found.about.rows == 30
    spans = found.spans(0)
    assert spans[0] == []
    [span] = spans[1]
    assert text[span.start : span.end].strip() == COPIED
    assert (span.row, span.tokens >= 16) == (7, True)
    assert found.spans(1) == {0: [], 1: []}
    [longest] = found.about.longest
    assert (longest.text, longest.row, longest.prompt, longest.lane) == (text[span.start : span.end], 7, 0, 1)
    # The same is read again.
    again = tracing.find(evaluation, run.id)
    assert again.about == found.about
    assert again.spans(0) == spans


def test_compare_gives_the_paired_difference_of_the_shares(made):
    store, run = made
    base = [fresh_text(at) for at in range(PROMPTS)]
    tuned = [COPIED_TURN if at % 2 else fresh_text(at) for at in range(PROMPTS)]
    evaluation = evaluation_of(store, ["base", run.id], [base, tuned])
    found = tracing.trace(store.runs, evaluation, run.id)
    difference = found.compare(0, 1)
    assert (difference.first_mean, difference.second_mean, difference.rows) == (0, pytest.approx(0.5), PROMPTS)
    assert difference.low > 0.2
    text = describe_copying(found, ["base", "tuned"], 0, 1)
    assert text.startswith("From base to tuned: share copied from the training rows rose from 0.0% to 50.0% (+50.0 poi")
    assert "interval" in text
    assert "24 rows" in text
    assert "30 training rows of the subset rows" in text
    # One text, copied twelve times, is one of the longest spans.
    assert len(found.about.longest) == 1


def test_describe_without_copies_says_so(made):
    store, run = made
    texts = [fresh_text(at) for at in range(3)]
    evaluation = evaluation_of(store, ["base", run.id], [texts, texts])
    found = tracing.trace(store.runs, evaluation, run.id)
    assert describe_copying(found, ["base", "tuned"], 0, 1).startswith("No answer has copied from the training rows (3")


def test_traces_of_other_answers_are_outdated(made):
    store, run = made
    evaluation = evaluation_of(store, ["base", run.id], [["a"], ["b"]])
    assert tracing.find(evaluation, run.id) is None
    tracing.trace(store.runs, evaluation, run.id)
    assert tracing.find(evaluation, run.id)
    LineWriter(evaluation.answers_file).write([{"prompt": 0, "lane": 0, "text": "x"}])
    assert tracing.find(evaluation, run.id) is None


def test_failed_answers_and_one_lane_have_no_share(made):
    store, run = made
    evaluation = evaluation_of(store, ["base", run.id], [["a", "b"], [COPIED, COPIED]])
    one = '"prompt": 1, "lane": 1, "text"'
    lines = evaluation.answers_file.read_text().splitlines(keepends=True)
    failed = [line.replace('"end": "end"', '"end": "failed"') if one in line else line for line in lines]
    evaluation.answers_file.write_text("".join(failed))
    found = tracing.trace(store.runs, evaluation, run.id)
    assert sorted(found.spans(1)) == [0]
    assert found.compare(0, 1).rows == 1
    assert found.compare(0, 1).missing == 1


def test_trace_without_a_run_or_an_answer_is_refused(made):
    store, run = made
    evaluation = evaluation_of(store, ["base", run.id], [["a"], ["b"]])
    with pytest.raises(StudioError, match="No model of this evaluation is a run"):
        tracing.trace(store.runs, evaluation, tracing.traced_run(["base"], 0, 0))
    evaluation.answers_file.write_text("")
    with pytest.raises(StudioError, match="no answer yet"):
        tracing.trace(store.runs, evaluation, run.id)


@pytest.mark.parametrize(
    ("lanes", "first", "second", "run"),
    [
        (["base", "r/step 4"], 0, 1, "r"), (["parent", "child"], 0, 1, "child"), (["r", "base"], 0, 1, "r"),
        (["base"], 0, 0, ""),
    ],
)  # fmt: skip
def test_traced_run_is_that_of_the_judged_lane(lanes, first, second, run):
    assert tracing.traced_run(lanes, first, second) == run
