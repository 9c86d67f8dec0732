"""The board: runs beside their base on the same prompts, the best of them, what differs, and the family tree."""

import json

import pytest

from core.data import subset
from core.data.formats import Message
from core.data.recipe import Recipe
from core.errors import StudioError
from core.evaluate.board import boards_of, compare_rows, judged_metrics, make_board
from core.evaluate.board_columns import columns_that_differ, sort_rows
from core.evaluate.lineage import usual_lanes
from core.evaluate.store import EvaluationStore
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from tests.helpers.board_evaluations import PROMPTS, board_evaluation, duplicate


@pytest.fixture
def store(runs):
    return EvaluationStore(runs.settings)


def named(run, name):
    run.save_label(Label(name=name))
    return run


@pytest.fixture
def family(a_run):
    """A run, its child with another learning rate, and a grandchild."""
    parent = named(a_run(created=1.0), "first")
    child = named(a_run(created=2.0, config=QLoRAConfig(learning_rate=1e-3)), "second")
    last = named(a_run(created=3.0, config=QLoRAConfig(learning_rate=1e-3, lora_rank=4)), "third")
    return parent, duplicate(child, parent), duplicate(last, child)


def board_of(store, metrics=()):
    ((prompts,),) = boards_of(store)[0].values()
    return make_board(store, prompts, metrics)


def test_board_pairs_runs_with_the_base_marks_the_best_and_follows_the_tree(store, family, tmp_path):
    parent, child, last = family
    board_evaluation(store, tmp_path, {"base": 2.0, last.id: 1.8, parent.id: 1.5}, created=1.0)
    # The child was evaluated beside its parent alone; the prompts are the same, so the base is that of the other one.
    board_evaluation(store, tmp_path, {parent.id: 1.5, child.id: 1.2}, created=2.0)
    board = board_of(store)
    assert [metric.name for metric in board.metrics] == ["loss"]
    assert [(row.title, row.depth) for row in board.rows] == [("first", 0), ("second", 1), ("third", 2)]
    assert [row.cells["loss"].is_best for row in board.rows] == [False, True, False]
    changes = [row.cells["loss"].difference for row in board.rows]
    assert [found.difference for found in changes] == pytest.approx([-0.5, -0.8, -0.2], abs=0.05)
    assert all(found.low < found.difference < found.high < 0 and found.rows == PROMPTS for found in changes)
    assert board.rows[0].to_parent is None
    assert board.rows[1].to_parent.difference == pytest.approx(-0.3, abs=0.05)
    assert len(board.rows[1].cells["loss"].evaluations) == 2
    assert [row.title for row in sort_rows(board.rows, "loss", descending=True)] == ["second", "first", "third"]
    assert [row.title for row in sort_rows(board.rows, "setting.lora_rank")] == ["third", "first", "second"]
    text = compare_rows(board.prompts, board.metrics[0], board.rows[0], board.rows[2])
    assert text.startswith("third beside first: Worse: loss on the reference rose from ")
    columns = {column.title: column.values for column in columns_that_differ(board.rows)}
    assert columns == {"Learning rate": ["2e-4", "1e-3", "1e-3"], "Rank": ["16", "16", "4"]}
    with pytest.raises(StudioError, match="'bleu' has no values"):
        board_of(store, ["bleu"])


def test_evaluation_whose_runs_are_gone_is_not_compared_with_another_base(store, tmp_path):
    board_evaluation(store, tmp_path, {"base": 2.0}, created=1.0)
    # Its base may be any model: only the run knew it.
    board_evaluation(store, tmp_path, {"base": 3.0, "deleted-run": 1.4}, created=2.0)
    sets, _ = boards_of(store)
    assert [len(prompts.evaluations) for (prompts,) in sets.values()] == [1, 1]
    assert "base of deleted-run (deleted)" in sets


@pytest.mark.parametrize(
    "other",
    [{"topic": "other"}, {"temperature": 0.5}, {"max_new_tokens": 7}, {"system": "Be brief."}],
)
def test_other_prompts_or_settings_are_another_board(store, a_run, tmp_path, other):
    run = a_run()
    board_evaluation(store, tmp_path, {"base": 2.0, run.id: 1.5}, created=1.0)
    board_evaluation(store, tmp_path, {"base": 2.0, run.id: 1.5}, created=2.0, **other)
    (sets,) = boards_of(store)[0].values()
    assert [[found.created for found in each.evaluations] for each in sets] == [[2.0], [1.0]]
    assert len({each.key.id for each in sets}) == 2


def test_newest_evaluation_counts_and_guard_does_not_change_the_prompts(store, a_run, tmp_path):
    run = a_run()
    board_evaluation(store, tmp_path, {"base": 2.0, run.id: 1.5}, created=1.0)
    newer = board_evaluation(store, tmp_path, {"base": 2.0, run.id: 1.9}, created=2.0, guard=True)
    (row,) = board_of(store).rows
    assert row.cells["loss"].evaluations == [newer.id]
    assert not row.cells["loss"].is_best, "one run is not the best of several"


def test_board_names_what_it_cannot_show(store, a_run, tmp_path):
    run = a_run()
    gone = board_evaluation(store, tmp_path, {run.id: 1.5, "deleted-run": 1.4}, created=1.0)
    old = board_evaluation(store, tmp_path, {"base": 2.0, run.id: 1.5}, created=2.0)
    with old.answers_file.open("a") as stream:
        stream.write("\n")
    ((prompts,),), unscored = boards_of(store)[0].values(), boards_of(store)[1]
    assert (prompts.evaluations[0].id, unscored) == (gone.id, [old.id])
    board = make_board(store, prompts, unscored=unscored)
    assert [row.lane for row in board.rows] == [run.id]
    assert [note.split(".")[0] for note in board.notes] == [
        "No evaluation of these prompts has the base model, so gains are unknown",
        "1 evaluated model left out: the run was deleted or cannot be read",
        "1 finished evaluation left out, without scores of this version",
    ]
    assert [metric.name for metric in judged_metrics(prompts)] == ["loss"]


def test_steps_of_the_recipe_that_differ_are_columns(store, runs, a_run, tmp_path):
    known = subset.find(runs.settings, "keeper").recipe
    turns = [Message(role="user", content="Q?"), Message(role="assistant", content="A.")]
    names = ["keeper"]
    for name, changed in (
        ("mended", {"excluded": [3, 5], "edited": {7: turns}}),
        ("again", {"excluded": [3], "added": [turns]}),
    ):
        recipe = Recipe.model_validate(json.loads(known.model_dump_json()) | changed)
        names.append(subset.create(runs.settings, name, recipe).name)
    made = [a_run(created=float(n), config=QLoRAConfig(subset=name)) for n, name in enumerate(names)]
    board_evaluation(store, tmp_path, {"base": 2.0, **{run.id: 1.5 - n / 9 for n, run in enumerate(made)}})
    columns = {column.title: column.values for column in columns_that_differ(board_of(store).rows)}
    assert columns == {
        "Subset": names,
        "Left out by hand": ["none", "rows 3, 5", "row 3"],
        "Edited rows": ["none", "row 7", "none"],
        "Added rows": ["none", "none", "1 row"],
    }


def test_usual_lanes_compare_a_run_with_its_parent(store, family):
    parent, child, last = (run.id for run in family)
    assert usual_lanes(["base", parent, child], store.runs) == (1, 2)
    assert usual_lanes([child, "base", f"{parent}/step 4", parent], store.runs) == (3, 0)
    assert usual_lanes(["base", last, parent], store.runs) == (0, 2), "the grandparent is no parent"
    assert usual_lanes(["base", "deleted-run"], store.runs) == (0, 1)
