"""The `python -m core evaluate board` command on evaluations whose scores are files."""

import json

import pytest

from core.evaluate.store import EvaluationStore
from tests.helpers.board_evaluations import board_evaluation, duplicate


@pytest.fixture
def family(settings, a_run, tmp_path):
    parent, child = a_run(created=1.0), a_run(created=2.0)
    duplicate(child, parent)
    board_evaluation(EvaluationStore(settings), tmp_path, {"base": 2.0, parent.id: 1.5, child.id: 1.2})
    return parent.id, child.id


def test_board_prints_gains_the_best_run_and_the_parent(ok, family):
    parent, child = family
    shown = ok("evaluate", "board").splitlines()
    assert shown[0].endswith("30 prompts")
    assert [line.count(" ") - line.lstrip().count(" ") for line in shown if line.endswith("]")] == [2, 4]
    assert sum("best: loss on the reference fell from " in line for line in shown) == 1
    assert sum("beside its parent: loss on the reference fell from " in line for line in shown) == 1
    (board,) = json.loads(ok("evaluate", "board", "--json", "--sort", "loss", "--descending"))
    assert [(row["lane"], row["parent"]) for row in board["rows"]] == [(child, parent), (parent, "")]
    assert [row["metrics"]["loss"]["best"] for row in board["rows"]] == [True, False]
    assert json.loads(ok("evaluate", "board", "--json", "--subset", "other"))[0]["rows"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "gone"], "No run on 'gone' is evaluated. Choose one of: "),
        (["--metric", "gone"], "The metric 'gone' has no values on these prompts, or judges nothing."),
        (["--sort", "gone"], "The board cannot be sorted by 'gone'."),
    ],
)
def test_board_mistake_prints_the_alternatives(run_command, family, words, message):
    code, _, err = run_command("evaluate", "board", *words)
    assert code != 0
    assert message in err


def test_board_without_an_evaluation_says_how_to_start_one(ok, runs):
    assert "python -m core evaluate start" in ok("evaluate", "board")
