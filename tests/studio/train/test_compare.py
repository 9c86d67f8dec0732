import re
import shutil

import pytest

from core.runs.config import QLoRAConfig
from core.runs.metrics_series import HELD_OUT, Timelines
from core.runs.store import Label
from studio.train.compare import CURVES, Choice, Compare
from tests.helpers.hostile_text import ParsedHtml
from tests.helpers.run_events import EVENTS, HOSTILE


@pytest.fixture
def do(runs):
    return Compare(runs, Timelines())


def ids(html):
    return re.findall(r'<tr[^>]* data-value="([^"]+)"', html)


def test_a_column_sorts_and_its_second_click_turns_the_order(do, a_run):
    low, high = a_run([EVENTS[3]], created=1.0), a_run([EVENTS[3] | {"loss": 9.0}], created=2.0)
    choice = Choice()
    assert ids(do.shown(choice, "loss", None, False)[0]) == [high.id, low.id]
    choice = do.sort_by(choice, "loss")
    assert ids(do.shown(choice, "loss", None, False)[0]) == [low.id, high.id]
    choice = do.sort_by(choice, "loss")
    assert ids(do.shown(choice, "loss", None, False)[0]) == [high.id, low.id]
    assert do.sort_by(choice, "no such column") == choice


@pytest.mark.parametrize("measure", CURVES)
def test_picked_runs_lie_over_each_other(do, a_run, measure):
    one, two = a_run(EVENTS, QLoRAConfig(lora_rank=8)), a_run(EVENTS)
    choice = do.pick(do.pick(Choice(), one.id), two.id)
    _, chart, differ = do.shown(choice, measure, None, False)
    assert [series["name"] for series in chart["series"]] == [one.id, two.id]
    assert len({series["colour"] for series in chart["series"]}) == 2
    assert ParsedHtml(differ).text == f"What differs{one.id}{two.id}Rank816"
    choice = do.pick(choice, one.id)
    _, chart, differ = do.shown(choice, measure, None, False)
    assert [series["name"] for series in chart["series"]] == [two.id]
    assert "Tick two runs" in differ


def test_twins_are_said_to_be_such_and_told_apart_by_id(do, a_run):
    one, two = a_run(EVENTS), a_run(EVENTS)
    for run in (one, two):
        run.save_label(Label(name="same"))
    _, chart, differ = do.shown(Choice(picked=(one.id, two.id)), "loss", None, False)
    assert [series["name"] for series in chart["series"]] == [f"same ({one.id})", f"same ({two.id})"]
    assert "the same configuration" in differ


def test_archived_runs_show_when_asked_for(do, a_run):
    run = a_run(EVENTS)
    run.save_label(Label(archived=True))
    assert "No run yet" in do.shown(Choice(picked=(run.id, "gone")), HELD_OUT, None, False)[0]
    assert ids(do.shown(Choice(), HELD_OUT, None, True)[0]) == [run.id]


def test_many_runs_send_no_more_points_than_few(do, a_run):
    steps = [EVENTS[3] | {"step": step, "loss": 1 + step % 7} for step in range(1, 900)]
    first, *others = runs = [a_run([] if n else steps, QLoRAConfig(seed=n)) for n in range(20)]
    for run in others:
        shutil.copy(first.events_file, run.events_file)  # a write an event would take as long as a run
    _, chart, _ = do.shown(Choice(picked=tuple(run.id for run in runs)), "loss", None, False)
    assert sum(len(series["points"]) for series in chart["series"]) <= 10_000
    assert sum(series["dashed"] for series in chart["series"]) == 10  # colours come round again


def test_names_are_inert(do, a_run):
    runs = [a_run(EVENTS, QLoRAConfig(lora_rank=rank)) for rank in (8, 16)]
    for run in runs:
        run.save_label(Label(name=HOSTILE))
    table, _, differ = do.shown(Choice(picked=tuple(run.id for run in runs)), "loss", None, False)
    for html in (table, differ):
        assert not re.search("<(script|img)", html)
