"""The verdict by group: correction, small groups, many groups, and labels of any kind."""

import numpy as np
import pytest

from core.evaluate.metrics import METRICS
from core.evaluate.statistics.hypothesis_tests import holm
from core.evaluate.verdict_groups import MAX_GROUPS, compare_groups
from tests.helpers.paired_data import planted

LOSS = METRICS["loss"]


def test_groups_are_judged_by_corrected_p_values_and_listed_by_size():
    scores = planted("loss", 0.0, 400, 3)
    labels = np.repeat(["hard", "easy", "rare"], [250, 140, 10])
    scores.second[:250] -= 0.2
    groups, notes = compare_groups(LOSS, scores, {"kind": labels, "all": np.full(400, "x")}, 0)
    assert [(group.label, group.outcome) for group in groups] == [
        ("hard", "better"), ("easy", "unclear"), ("rare", "too small"),
    ]  # fmt: skip
    assert [group.adjusted_p for group in groups] == pytest.approx(
        holm([group.difference.p_value for group in groups]), nan_ok=True
    )
    assert groups[0].prompts.tolist() == list(range(250))
    assert groups[2].sentence.startswith("Unclear, as fewer than 20 rows can be compared: ")
    assert notes[0].startswith("The p-values of groups are corrected for 2 tested groups of all groupings (Holm): ")
    assert notes[1].startswith("Not tested: 1 group with fewer than 20 conversations with values")


def test_family_of_the_correction_is_all_groupings():
    scores = planted("loss", -0.075, 60, 2)
    halves = np.repeat(["a", "b"], 30)
    alone, _ = compare_groups(LOSS, scores, {"half": halves}, 0)
    together, _ = compare_groups(LOSS, scores, {"half": halves, "again": halves[::-1], "third": halves}, 0)
    assert alone[1].adjusted_p < together[1].adjusted_p


def test_no_group_is_called_better_or_worse_among_many_without_a_difference():
    wrong = 0
    for seed in range(10):
        scores = planted("binary", 0.0, 1500, seed)
        groups, _ = compare_groups(METRICS["exact_match"], scores, {"part": np.arange(1500) % 50}, seed)
        assert len(groups) == 50
        wrong += any(group.outcome in ("better", "worse") for group in groups)
    assert wrong <= 1


def test_a_thousand_groups_and_more_are_listed_up_to_a_limit():
    scores = planted("share", 0.1, 3000, 0)
    labels = np.where(np.arange(3000) < 1000, "large", np.arange(3000).astype(str))
    groups, notes = compare_groups(METRICS["word_f1"], scores, {"id": labels}, 0)
    assert (len(groups), groups[0].label, groups[0].outcome) == (MAX_GROUPS, "large", "better")
    assert "id has 2,001 groups; the 1,000 largest are listed." in notes
    assert "Not tested: 999 groups" in notes[-1]


def test_missing_and_empty_labels_are_one_group():
    scores = planted("loss", -0.3, 60, 0)
    groups, _ = compare_groups(LOSS, scores, {"label": np.array([None, "", "x"] * 20, dtype=object)}, 0)
    assert [(group.label, group.difference.rows) for group in groups] == [("(none)", 40), ("x", 20)]
