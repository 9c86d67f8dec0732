"""Tests of core.evaluate.guard, with planted abilities: nothing is generated."""

import json

import numpy as np
import pytest

from core.evaluate import scoring
from core.evaluate.config import EvaluationConfig
from core.evaluate.guard import Ability, advise, balanced_lane, describe_cost, read_ability
from core.evaluate.line_file import LineWriter
from core.evaluate.probes import kinds, probes
from core.evaluate.store import EvaluationStore


def _abilities(*shares, seed=0):
    """Right answers of each lane with these probabilities, the same luck for all lanes."""
    luck = np.random.default_rng(seed).random(len(probes()))
    return Ability(np.stack([(luck < share).astype(float) for share in shares]))


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_forgets_is_named_and_one_that_does_not_is_not(seed):
    forgets = _abilities(0.6, 0.45, seed=seed)
    assert describe_cost(forgets, 0, 1, gained=True).startswith("The gain costs general ability: right answers went")
    assert describe_cost(forgets, 0, 1, gained=False).startswith("General ability fell")
    keeps = _abilities(0.6, 0.59, seed=seed)
    assert describe_cost(keeps, 0, 1, gained=True).startswith("No clear loss of general ability")
    assert describe_cost(_abilities(0.4, 0.55, seed=seed), 0, 1, gained=True).startswith("General ability rose")


def test_the_kind_that_was_lost_is_named():
    right = np.ones((2, len(probes())))
    right[1, [probe.kind == "languages" for probe in probes()]] = 0
    found = describe_cost(Ability(right), 0, 1, gained=True)
    assert "most clearly in languages." in found
    assert Ability(right).share(1, "languages") == 0
    assert Ability(right).share(1, "code") == 1


def test_the_balanced_checkpoint_gains_without_a_loss():
    ability = _abilities(0.6, 0.6, 0.6, 0.3)
    # As many probes gained as lost.
    ability.right[2, :20] = 1 - ability.right[2, :20]
    lanes = ["base", "run/step 10", "run/step 20", "run"]
    assert balanced_lane(ability, lanes, [None, 0.1, 0.2, 0.5], 0) == 2
    assert balanced_lane(ability, lanes, [None, -0.1, None, 0.5], 0) is None


def test_probes_are_asked_after_the_prompts_and_scored_apart(settings, tmp_path):
    file = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"Question {n}?", "completion": "Yes."} for n in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = EvaluationStore(settings)
    config = EvaluationConfig(file="prompts.jsonl", lanes=["base", "run-1"], guard=True, max_new_tokens=50)
    evaluation = store.create(config, file)
    prompts = list(evaluation.prompts())
    assert [prompt.probe for prompt in prompts] == [None] * 3 + list(range(len(probes())))
    assert len({prompt.row for prompt in prompts}) == len(prompts)
    notes = " ".join(evaluation.saved_state().choices)
    assert "320 probes" in notes
    assert "need answers of 96 tokens, and the length is 50" in notes
    assert read_ability(evaluation) is None
    writer = LineWriter(evaluation.answers_file)
    for index in range(len(prompts)):
        line = {"prompt": index, "lane": 0, "text": "7 blue", "tokens": 1, "end": "end", "note": ""}
        writer.write([line, {**line, "lane": 1, "end": "failed" if index == 5 else "end"}])
    writer.close()
    assert scoring.score(evaluation).prompts == 3
    ability = read_ability(evaluation)
    # "7" is right for 15 - 8, and for nothing else among the arithmetic probes with other results.
    sevens = sum(probe.check == "number" and probe.expect == 7 for probe in probes())
    assert ability.share(0, "arithmetic") == pytest.approx(sevens / 40)
    assert np.isnan(ability.right[1]).sum() == 1
    assert set(kinds()) == {probe.kind for probe in probes()}


def test_an_evaluation_without_probes_has_no_ability(settings, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("One?\nTwo?\n")
    evaluation = EvaluationStore(settings).create(EvaluationConfig(file="prompts.txt", lanes=["base"]), file)
    assert read_ability(evaluation) is None


def test_advice_names_the_checkpoint_that_costs_nothing():
    size = len(probes()) // 8
    right = np.array([[number % size < share for number in range(len(probes()))] for share in (32, 32, 8)], dtype=float)
    ability, lanes, titles = Ability(right), ["base", "run-1/step 10", "run-1"], ["base", "step 10", "tuned"]
    found = advise(ability, lanes, titles, [None, 0.1, 0.2], 0, 2)
    assert found == "step 10 gains without a measurable loss: consider it in place of tuned."
    assert advise(ability, lanes, titles, [None, -0.1, 0.2], 0, 2).startswith("Compare earlier checkpoints")
    assert advise(ability, lanes, titles, [None, 0.1, -0.2], 0, 2) == "", "without a gain nothing is weighed"
    assert advise(ability, lanes, titles, [None, 0.1, 0.2], 0, 1) == "", "nothing was lost"
