"""Verdicts: planted cases, the choice of the metric, and data that supports no verdict."""

import json

import numpy as np
import pytest

from core.errors import StudioError
from core.evaluate.metrics import METRICS
from core.evaluate.verdict import choose_lanes, judge
from tests.helpers.paired_data import planted
from tests.helpers.score_tables import ScoreTable, table_of

NAN = float("nan")
# Metric, kind of scores, a gain of the second lane, and its sizes: rows and rows per conversation.
CASES = [
    ("loss", "loss", -0.3, ((40, 1), (200, 2), (1000, 4))),
    ("word_f1", "share", 0.12, ((40, 1), (200, 2), (1000, 4))),
    ("exact_match", "binary", 0.17, ((100, 1), (200, 2), (1000, 4))),
]
SIZED = [(metric, kind, gain, *size) for metric, kind, gain, sizes in CASES for size in sizes]


def noise(metric="loss", rows=60):
    return table_of(metric, planted("loss", 0.0, rows, 2))


@pytest.mark.parametrize(("metric", "kind", "gain", "rows", "per_cluster"), SIZED)
def test_run_that_helps_or_harms_is_called_so(metric, kind, gain, rows, per_cluster):
    for seed in range(5):
        helps = judge(table_of(metric, planted(kind, gain, rows, seed, per_cluster)), 0, 1, metric)
        harms = judge(table_of(metric, planted(kind, -gain, rows, seed, per_cluster)), 0, 1, metric)
        assert (helps.outcome, harms.outcome) == ("better", "worse")
        assert helps.sentence.startswith("Better: ")
        assert harms.sentence.startswith("Worse: ")


def test_run_that_does_nothing_is_unclear():
    """5 % of intervals miss 0 by chance; the seeds are fixed."""
    found = [
        judge(table_of(metric, planted(kind, 0.0, rows, seed, per_cluster)), 0, 1, metric).outcome
        for metric, kind, _, rows, per_cluster in SIZED
        for seed in range(5)
    ]
    assert found.count("unclear") >= 42


def test_sentence_has_means_difference_interval_rows_and_conversations():
    scores = planted("loss", -0.3, 200, 1, 2)
    found = judge(table_of("loss", scores), 0, 1)
    assert found.sentence == (
        "Better: loss on the reference fell from 1.958 to 1.671 (−0.287, 95% interval −0.332 to −0.241; 200 rows of "
        "100 conversations)."
    )
    assert found.why == "The rows have references, and their loss depends neither on chance nor on wording."
    assert found.needed is None
    assert found.detectable == pytest.approx(0.065, abs=0.001)


def test_unclear_sentence_says_how_many_rows_are_needed():
    found = judge(noise(), 0, 1)
    assert found.outcome == "unclear"
    assert f"about {found.needed:,}"[:7] in found.sentence
    assert "rows are needed (80% power). These 60 rows detect a difference of 0.096 or more." in found.sentence


@pytest.mark.parametrize(
    ("names", "chosen", "why"),
    [
        (["word_f1", "loss", "tokens"], "loss", "references, and their loss"),
        (["word_f1", "tokens"], "word_f1", "no loss of them for both models"),
        (["tokens", "ended"], None, "No row has a reference"),
        ([], None, "No row has a reference"),
    ],
)
def test_metric_is_chosen_by_the_data_with_a_reason(names, chosen, why):
    scores = planted("binary", 0.1, 60, 0)
    found = judge(ScoreTable({name: (scores.first, scores.second) for name in names}), 0, 1)
    assert (found.primary.name if found.primary else None) == chosen
    assert why in found.why
    assert len(found.overall) == len(names)


def test_accuracy_decides_where_rows_have_labels():
    scores, loss = planted("binary", 0.15, 200, 0), planted("loss", 0.3, 200, 0)
    pairs = {"loss": (loss.first, loss.second), "accuracy": (scores.first, scores.second)}
    found = judge(ScoreTable(pairs), 0, 1)
    assert (found.primary, found.why, found.outcome) == (METRICS["accuracy"], "The rows have labels.", "better")
    assert found.flips.improved_count == (scores.differences > 0).sum()


def test_without_references_the_sentence_describes_the_answers():
    tokens, ended = planted("loss", 1.0, 50, 0), planted("binary", 0.1, 50, 0)
    table = ScoreTable({"tokens": (tokens.first, tokens.second), "ended": (ended.first, ended.second)})
    found = judge(table, 0, 1)
    assert found.outcome == "unclear"
    assert found.sentence.startswith(
        "Unclear: no row has a reference or a label that the answers could be compared with. Tokens rose from "
    )
    assert " Ended by itself rose from " in found.sentence


def test_loss_of_one_lane_alone_is_not_chosen():
    scores = planted("share", 0.1, 50, 0)
    table = ScoreTable({"loss": (scores.first, np.full(50, NAN)), "word_f1": (scores.first, scores.second)})
    assert judge(table, 0, 1).primary.name == "word_f1"
    assert judge(table, 0, 1, "loss").sentence == (
        "Unclear: no row has a value of loss on the reference for both models."
    )


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ([0.5], [0.6],
         "as fewer than 20 rows can be compared: word F1 rose from 50.0% to 60.0% (+10.0 points; 1 row)."),
        ([0.5] * 40, [0.5] * 40, ": both models have the same word F1 in each row (40 rows)."),
        (np.arange(40) / 40, np.arange(40) / 40, ": both models have the same word F1 in each row (40 rows)."),
        ([NAN] * 40, [0.5] * 40, ": no row has a value of word F1 for both models."),
        ([NAN] * 40, [NAN] * 40, ": no row has a value of word F1 for both models."),
        ([0.5] * 40, [0.5] * 37 + [0.9] * 3,
         "as only 3 rows differ, and fewer than 6 rows can differ by chance: word F1 rose from 50.0% to 53.0% (+3.0 "
         "points; 40 rows)."),
    ],
)  # fmt: skip
def test_data_without_a_verdict_gives_a_sentence(first, second, sentence):
    found = judge(ScoreTable({"word_f1": (first, second)}), 0, 1)
    assert (found.outcome, found.detectable, found.needed) == ("unclear", None, None)
    assert found.sentence in (f"Unclear{sentence}", f"Unclear, {sentence}")


def test_constant_gain_is_better_without_an_interval_of_its_own():
    found = judge(ScoreTable({"word_f1": (np.full(40, 0.2), np.full(40, 0.3))}), 0, 1)
    assert found.sentence == "Better: word F1 rose from 20.0% to 30.0% (+10.0 points in every row; 40 rows)."


def test_identical_right_or_wrong_lanes_have_an_interval():
    values = np.arange(300) % 2
    assert judge(ScoreTable({"exact_match": (values, values)}), 0, 1, "exact_match").sentence == (
        "Unclear: exact match stayed at 50.0% (95% interval −0.9 to +0.9 points; 300 rows)."
    )


def test_metric_that_has_no_better_direction_is_described():
    scores = planted("loss", 0.5, 100, 0)
    found = judge(table_of("tokens", scores), 0, 1, "tokens")
    assert found.outcome == "unclear"
    assert found.sentence.startswith("Changed: tokens rose from ")
    assert found.sentence.endswith(" Neither direction is better by itself.")


def test_missing_values_are_counted_in_a_note():
    scores = planted("share", 0.2, 100, 0)
    scores.first[:30] = NAN
    found = judge(table_of("word_f1", scores), 0, 1)
    assert "30 of 100 rows are left out, as a model has no value there." in found.notes
    assert found.flips.left_out == list(range(30))
    assert "70 rows" in found.sentence


def test_flips_of_right_or_wrong_are_all_rows_that_changed():
    first, second = np.array([0, 1, 1, 0] * 10, float), np.array([1, 0, 1, 0] * 10, float)
    flips = judge(ScoreTable({"exact_match": (first, second)}), 0, 1, "exact_match").flips
    assert (flips.improved, flips.worsened) == (list(range(0, 40, 4)), list(range(1, 40, 4)))
    assert (flips.improved_count, flips.worsened_count, flips.unchanged_count) == (10, 10, 20)


def test_flips_of_a_loss_are_the_rows_that_fell_most():
    second = np.zeros(200)
    second[[7, 9, 150]] = [-1.0, -3.0, 2.0]
    flips = judge(ScoreTable({"loss": (np.zeros(200), second)}), 0, 1).flips
    assert (flips.improved, flips.worsened, flips.unchanged_count) == ([9, 7], [150], 197)
    moved = judge(ScoreTable({"loss": (np.zeros(200), -np.arange(200.0))}), 0, 1).flips
    assert (moved.improved[:2], len(moved.improved), moved.improved_count) == ([199, 198], 50, 199)


def test_json_has_no_nan_and_the_prompts_of_each_group():
    groups = {"language": ["de"] * 50 + ["en"] * 10}
    table = table_of("loss", planted("loss", -0.3, 60, 0), groups)
    found = json.loads(json.dumps(judge(table, 0, 1).as_json(), allow_nan=False))
    assert [(group["label"], group["outcome"]) for group in found["groups"]] == [("de", "better"), ("en", "too small")]
    assert found["groups"][1]["prompts"] == list(range(50, 60))
    assert found["groups"][1]["adjusted_p"] is None
    assert found["overall"][0]["metric"] == found["primary"] == "loss"


@pytest.mark.parametrize(
    ("lanes", "metric", "message"),
    [
        ((0, 0), "auto", "two different models of an evaluation, numbered 1 to 2. Numbers 1 and 1 were chosen"),
        ((0, 2), "auto", "Numbers 1 and 3 were chosen"),
        ((0, 1), "nonsense", "'nonsense' does not exist. Choose one of: loss."),
        ((0, 1), "bleu", "'bleu' has no value in this evaluation"),
        ((0, 1), "perplexity", r"'perplexity' is exp\(loss\)"),
    ],
)
def test_wrong_choice_is_refused_with_the_alternatives(lanes, metric, message):
    with pytest.raises(StudioError, match=message):
        judge(noise(), *lanes, metric)


def test_usual_lanes_are_base_and_the_last_other_one():
    assert choose_lanes(["base", "run"]) == (0, 1)
    assert choose_lanes(["run", "base"]) == (1, 0)
    assert choose_lanes(["parent", "child/step 4", "child"]) == (0, 2)
    assert choose_lanes(["base", "parent", "child"], {2: 1}) == (1, 2)
    assert choose_lanes(["child", "parent", "base"], {0: 1}) == (1, 0)
    assert choose_lanes(["base"]) is None
