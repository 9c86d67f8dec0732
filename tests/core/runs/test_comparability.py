"""Which held-out losses can be compared."""

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.runs.comparability import held_out_setup_of, reference_of, why_not_comparable
from core.runs.config import QLoRAConfig
from core.runs.events import PreparedEvent
from core.system.files import write_json

PREPARED = PreparedEvent(rows=306, tokens=1000, template="Llama 2's chat template")


def measured(run, prepared=PREPARED):
    return held_out_setup_of(run, run.config(), prepared)


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


def test_classifiers_that_merge_other_labels_are_not_comparable(a_run):
    merged, apart = (a_run(config=QLoRAConfig(task="classify", merge_labels=merge)) for merge in (True, False))
    reason = why_not_comparable(measured(apart), measured(merged))
    assert reason == "the task classify with all spellings instead of classify"
    plain = a_run(config=QLoRAConfig(merge_labels=False))
    assert why_not_comparable(measured(plain), measured(a_run())) == ""


def test_other_training_rows_change_nothing(a_run, settings):
    whole = a_run()
    recipe = whole.subset().recipe
    train = next(number for split, number, _ in subset.stream(settings, "keeper") if split == "train")
    subset.create(settings, "without", recipe.model_copy(update={"excluded": [train]}))
    # The source has held-out rows of its own, so a selection changes the rows to train on only.
    subset.create(settings, "fewer", Recipe(dataset=recipe.dataset, rows=40))
    for name in ("without", "fewer"):
        assert why_not_comparable(measured(a_run(config=QLoRAConfig(subset=name))), measured(whole)) == ""


def test_other_held_out_rows_are_not_comparable_even_if_they_are_as_many(a_run, settings):
    recipe = a_run().subset().recipe
    rows = [number for split, number, _ in subset.stream(settings, "keeper") if split == "held-out"]
    for name, row in zip(("one", "two"), rows, strict=False):
        subset.create(settings, name, recipe.model_copy(update={"excluded": [row]}))
    one, two = (measured(a_run(config=QLoRAConfig(subset=name))) for name in ("one", "two"))
    assert why_not_comparable(one, two) == why_not_comparable(one, measured(a_run())) == "other held-out rows"


def test_rows_of_earlier_versions_are_compared_by_the_recipe(a_run):
    runs = [a_run(), a_run(), a_run()]
    for run, excluded in zip(runs, ([], [], [3]), strict=True):
        saved = run.subset().model_dump(exclude={"held_out_sha256"})
        saved["recipe"]["excluded"] = excluded
        write_json(run.folder / "subset.json", saved)
    one, same, other = map(measured, runs)
    assert why_not_comparable(one, same) == ""
    assert why_not_comparable(one, other) == "other held-out rows"


def test_reference_is_the_most_common_way(a_run):
    common, rare = measured(a_run()), measured(a_run(config=QLoRAConfig(max_length=64)))
    assert reference_of([rare, common, None, common]) == common
    assert reference_of([None]) is None
