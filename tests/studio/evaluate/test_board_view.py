"""The board on the page: its table, its choices, and the comparison of two ticked runs."""

import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.store import Label
from studio.evaluate.board_view import BoardView
from tests.helpers.board_evaluations import board_evaluation, duplicate

NAMES = ("<i>first</i>", "second", "third")


@pytest.fixture
def do(store):
    return BoardView(store)


@pytest.fixture
def lanes(store, a_run, tmp_path):
    """Three runs, the second a copy of the first, on one set of prompts; the first alone on another, older one."""
    configs = [QLoRAConfig(), QLoRAConfig(learning_rate=1e-3), QLoRAConfig()]
    made = [a_run(created=float(number), config=config) for number, config in enumerate(configs)]
    for run, name in zip(made, NAMES, strict=True):
        run.save_label(Label(name=name))
    duplicate(made[1], made[0])
    first, second, third = (run.id for run in made)
    board_evaluation(store, tmp_path, {"base": 2.0, first: 1.5}, created=1.0, topic="old")
    board_evaluation(store, tmp_path, {"base": 2.0, third: 2.4, first: 1.5, second: 1.2}, created=2.0)
    return first, second, third


def order_of(table, lanes):
    return sorted(lanes, key=lambda lane: table.index(f'data-event="open_row" data-value="{lane}"'))


def test_board_without_an_evaluation_says_what_will_be_there(do):
    shown = do.render(None, None, None, None, None)
    assert "No evaluation is finished and scored yet" in shown["notes"]
    assert not any(shown[name]["visible"] for name in ("model", "prompts", "subset", "metrics"))


def test_board_shows_the_newest_prompts_as_a_tree_and_compares_two_ticked_runs(do, lanes):
    first, second, third = lanes
    shown = do.render(None, None, None, None, {"ticked": [second, first]})
    assert order_of(shown["table"], lanes) == [first, second, third]
    assert 'style="--depth:1"' in shown["table"]
    assert "<i>first" not in shown["table"]
    assert shown["table"].count("bd-cell best") == 1
    assert shown["table"].count("change from parent") == 1
    assert "second beside &lt;i&gt;first&lt;/i&gt;: Better: loss on the reference fell from 1." in shown["pair"]
    assert "Learning rate" in shown["pair"]
    assert "not corrected for the number of runs" in shown["notes"]
    assert len(shown["prompts"]["choices"]) == 2
    again = do.render(None, shown["prompts"]["value"], "", [], {})
    assert "value" not in again["prompts"], "a choice that the user makes meanwhile stays"
    older = do.render(None, shown["prompts"]["choices"][1][1], None, None, None)
    assert [lane in older["table"] for lane in lanes] == [True, False, False]
    three = do.render(None, None, None, None, {"ticked": list(lanes)})
    assert "3 runs are ticked" in three["pair"]


def test_board_sorts_by_gain_with_the_best_first_and_back(do, lanes):
    first, second, third = lanes
    best = do.sort({"ticked": [first]}, "loss")
    assert best == {"by": "loss", "descending": True, "ticked": [first]}
    assert order_of(do.render(None, None, None, None, best)["table"], lanes) == [second, first, third]
    assert order_of(do.render(None, None, None, None, do.sort(best, "loss"))["table"], lanes) == [third, first, second]
    assert order_of(do.render(None, None, None, None, do.sort({}, "parent"))["table"], lanes)[0] == second
    unknown = do.render(None, None, None, None, {"by": "gone"})
    assert order_of(unknown["table"], lanes) == [first, second, third], "an order of another board"


def test_board_opens_the_newest_evaluation_of_a_run(do, lanes, store):
    assert store.find(do.newest_evaluation(lanes[0])).state().created == 2.0
    with pytest.raises(StudioError, match="No evaluation has the model 'gone'"):
        do.newest_evaluation("gone")
