"""The `python -m core evaluate verdict` and `power` commands on an evaluation without a worker."""

import json

import numpy as np
import pytest

from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore

PROMPTS = 24


@pytest.fixture
def evaluation(home):
    """An evaluation of base and a deleted run, whose loss is lower by about 0.3."""
    config = EvaluationConfig(subset="keeper", limit=PROMPTS, lanes=["gone", "base"])
    made = EvaluationStore(home).create(config)
    answers, losses, random = [], [], np.random.default_rng(0)
    for prompt in range(PROMPTS):
        loss = random.gamma(8, 0.25)
        for lane, fall in enumerate((random.normal(0.3, 0.2), 0)):
            answers.append({"prompt": prompt, "lane": lane, "text": "Aye, it is.", "tokens": 4 - lane, "end": "end",
                            "note": "", "exact": False, "f1": 0.25})  # fmt: skip
            losses.append({"prompt": prompt, "lane": lane, "nll": (loss - fall) * 10, "tokens": 10, "cut": False,
                           "note": ""})  # fmt: skip
    LineWriter(made.answers_file).write(answers)
    LineWriter(made.losses_file).write(losses)
    return made


def test_verdict_prints_the_sentence_metrics_groups_and_flips(ok, evaluation):
    shown = ok("evaluate", "verdict", evaluation.id).splitlines()
    assert shown[0].startswith("Better: loss on the reference fell from 1.9")
    assert shown[0].endswith("; 24 rows).")
    assert shown[1].startswith("Decided by loss: The rows have references")
    assert any(line.startswith("  word_f1: Unclear: both models have the same word F1") for line in shown)
    assert "  tokens: tokens rose from 3.0 to 4.0 (+1.0 in every row; 24 rows)." in shown
    better = next(line for line in shown if line.startswith("Got better: "))
    assert ", …)" in better


def test_verdict_by_a_grouping_prints_all_its_groups(ok, evaluation):
    shown = ok("evaluate", "verdict", evaluation.id, "--by", "prompt length", "--metric", "word_f1")
    assert shown.count("\n  prompt length '") >= 3
    assert "as fewer than 20 rows can be compared" in shown
    assert "Not tested: " in shown


def test_verdict_as_json_has_prompts_and_the_chosen_lanes(ok, evaluation):
    words = "evaluate", "verdict", evaluation.id, "--json", "--reference", "gone", "--judged", "base"
    found = json.loads(ok(*words, "--by", "prompt length"))
    assert (found["outcome"], found["primary"]) == ("worse", "loss")
    assert {group["grouping"] for group in found["groups"]} == {"prompt length"}
    assert sum(len(group["prompts"]) for group in found["groups"]) == PROMPTS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "none"], "The metric 'none' does not exist. Choose one of: loss, "),
        (["--by", "color"], "There is no grouping 'color'. Choose one of: "),
        (["--judged", "other"], "The evaluation has no model 'other'. Choose one of: gone, base."),
        (["--judged", "base"], "A verdict compares two different models"),
    ],
    ids=str,
)
def test_verdict_mistake_prints_the_alternatives(run_command, evaluation, words, message):
    code, _, err = run_command("evaluate", "verdict", evaluation.id, *words)
    assert code == 2
    assert message in err


def test_verdict_of_one_lane_or_without_answers_is_refused(run_command, home):
    store = EvaluationStore(home)
    alone = store.create(EvaluationConfig(subset="keeper", limit=2))
    assert "this evaluation has one" in run_command("evaluate", "verdict", alone.id)[2]
    empty = store.create(EvaluationConfig(subset="keeper", limit=2, lanes=["base", "gone"]))
    assert "There is no answer yet" in run_command("evaluate", "verdict", empty.id)[2]


def test_power_states_its_assumption_until_an_evaluation_has_measured_it(ok, run_command, evaluation):
    assumed = ok("evaluate", "power", 80).splitlines()
    assert assumed[2] == (
        "With 80 rows, a difference in exact match of 13.8 points or more can be detected; with 100, 12.3 points; with "
        "300, 7.2 points (80% power at the 5% level). Assumed, as it has not been measured here yet: the models differ "
        "in 20.0% of the rows."
    )
    ok("evaluate", "verdict", evaluation.id)
    (evaluation.folder.parent / "20990101-000000-damaged").mkdir()
    (evaluation.folder.parent / "20990101-000000-damaged" / "state.json").write_text("{")
    measured = ok("evaluate", "power", 80, "--metric", "loss")
    assert f"Measured in {evaluation.id} (" in measured
    assert "24 rows); other prompts can vary more or less: the difference of a row has a standard deviation of 0." in (
        measured
    )
    assert "no difference in loss on the reference can be detected" in ok("evaluate", "power", 12, "--metric", "loss")
    assert (
        "There is no metric 'perplexity' to plan for"
        in run_command("evaluate", "power", 9, "--metric", "perplexity")[2]
    )
