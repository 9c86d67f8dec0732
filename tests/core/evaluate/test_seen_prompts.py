"""Prompts that are training rows of a run among the lanes are counted in a note."""

from core.data import subset
from core.data.recipe import Recipe
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import EvaluationStore
from core.runs.config import QLoRAConfig
from tests.helpers.datasets import dialog, open_dialogs

NOTE = "was trained on"


def notes_of(runs, **values):
    state = EvaluationStore(runs.settings).create(EvaluationConfig(**values)).saved_state()
    return [choice for choice in state.choices if NOTE in choice]


def test_rows_that_a_run_was_trained_on_are_counted(runs, a_run, tmp_path):
    data = open_dialogs(runs.settings, tmp_path, [dialog(f"Question {n}?", f"Answer {n}.") for n in range(40)])
    rows = {}
    # Another seed holds out other rows, and one subset leaves that to the run.
    for name, seed, share in (("first", 0, 0.25), ("second", 1, 0.25), ("third", 0, 0.0)):
        subset.create(runs.settings, name, Recipe(dataset=data.id, seed=seed, held_out_share=share))
        rows[name] = subset.load(runs.settings, name)
    first, second, third = (a_run(config=QLoRAConfig(subset=name)) for name in rows)
    assert notes_of(runs, lanes=["base", first.id]) == [], "its own held-out rows"
    assert notes_of(runs, lanes=["base", third.id]) == [], "the rows that it has held out itself"
    held_out = {row for row, _ in rows["first"]["held-out"]}
    seen = held_out & {row for row, _ in rows["second"]["train"]}
    (note,) = notes_of(runs, run=first.id, lanes=[first.id, second.id])
    assert len(seen) > 0
    assert f"{NOTE} {len(seen)} of these {len(held_out)} rows" in note
    (note,) = notes_of(runs, subset="first", split="train", limit=7, lanes=["base", first.id])
    assert f"{NOTE} 7 of these 7 rows" in note
    other = a_run()
    assert notes_of(runs, run=first.id, lanes=["base", other.id]) == [], "rows of another dataset"
