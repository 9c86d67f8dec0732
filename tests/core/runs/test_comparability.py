"""Which held-out losses can be compared."""

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.runs.comparability import measurement_of, reference_of, why_not_comparable
from core.runs.config import QLoRAConfig
from core.runs.events import PreparedEvent

PREPARED = PreparedEvent(rows=306, tokens=1000, template="Llama 2's chat template")


def measured(run, prepared=PREPARED):
    return measurement_of(run, run.config(), prepared)


@pytest.mark.parametrize(
    ("values", "prepared", "reason"),
    [
        ({"lora_rank": 64, "learning_rate": 1e-5, "eval_steps": 3}, {}, ""),
        ({"max_length": 256}, {}, "maximum length 256 instead of 1,024"),
        ({"max_length": 256}, {"tokens": 900}, "maximum length 256 instead of 1,024"),
        ({"answers_only": False}, {}, "loss on all text"),
        ({"eval_rows": 3}, {}, "other held-out rows"),
        ({}, {"template": "ChatML"}, "another chat template"),
        ({"task": "classify", "max_length": 64}, {}, "the task classify instead of generate"),
        ({}, {"tokens": 1100}, "another tokenizer"),
        ({"max_length": 256, "answers_only": False}, {}, "maximum length 256 instead of 1,024, loss on all text"),
    ],
)
def test_losses_are_comparable_only_if_they_were_measured_in_the_same_way(a_run, values, prepared, reason):
    one, other = a_run(config=QLoRAConfig(**values)), a_run()
    assert why_not_comparable(measured(one, PREPARED.model_copy(update=prepared)), measured(other)) == reason


def test_rows_left_out_by_hand_change_nothing_but_another_selection_does(a_run, settings):
    whole = a_run()
    recipe = whole.subset().recipe
    train = next(number for split, number, _ in subset.stream(settings, "keeper") if split == "train")
    subset.create(settings, "without", recipe.model_copy(update={"excluded": [train]}))
    subset.create(settings, "other", Recipe(dataset=recipe.dataset, rows=40))
    assert why_not_comparable(measured(a_run(config=QLoRAConfig(subset="without"))), measured(whole)) == ""
    found = why_not_comparable(measured(a_run(config=QLoRAConfig(subset="other"))), measured(whole))
    assert found == "other held-out rows"


def test_reference_is_the_most_common_way(a_run):
    common, rare = measured(a_run()), measured(a_run(config=QLoRAConfig(max_length=64)))
    assert reference_of([rare, common, None, common]) == common
    assert reference_of([None]) is None
