"""The table of all runs, and the comparison of picked runs."""

import re
import shutil

import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import HELD_OUT_LOSS, Timelines
from core.runs.store import Label
from studio.train.compare import CURVES, ComparisonState, RunComparison
from tests.helpers.hostile_text import ParsedHtml
from tests.helpers.run_events import EVENTS, HOSTILE


@pytest.fixture
def do(runs):
    return RunComparison(runs, Timelines())


def row_ids(html):
    return re.findall(r'<tr[^>]* data-value="([^"]+)"', html)


def test_sort_by_same_column_twice_reverses_the_order(do, a_run):
    low, high = a_run([EVENTS[3]], created=1.0), a_run([EVENTS[3] | {"loss": 9.0}], created=2.0)
    state = ComparisonState()
    assert row_ids(do.render(state, "loss", None, False)["table"]) == [high.id, low.id]
    state = do.sort_by(state, "loss")
    assert row_ids(do.render(state, "loss", None, False)["table"]) == [low.id, high.id]
    state = do.sort_by(state, "loss")
    assert row_ids(do.render(state, "loss", None, False)["table"]) == [high.id, low.id]
    assert do.sort_by(state, "no such column") == state


@pytest.mark.parametrize("metric", CURVES)
def test_render_picked_runs_shows_their_curves_and_differences(do, a_run, metric):
    one, two = a_run(EVENTS, QLoRAConfig(lora_rank=8)), a_run(EVENTS)
    state = do.pick(do.pick(ComparisonState(), one.id), two.id)
    shown = do.render(state, metric, None, False)
    assert [series["name"] for series in shown["curves"]["series"]] == [one.id, two.id]
    assert len({series["color"] for series in shown["curves"]["series"]}) == 2
    assert ParsedHtml(shown["differences"]).text == f"What differs{one.id}{two.id}Rank816"
    with pytest.raises(StudioError, match="There is no run"):
        do.pick(state, "invented")
    state = do.pick(state, one.id)
    shown = do.render(state, metric, None, False)
    assert [series["name"] for series in shown["curves"]["series"]] == [two.id]
    assert "Tick two or more runs" in shown["differences"]


def test_render_runs_with_same_name_and_settings_are_distinguished_by_id(do, a_run):
    one, two = a_run(EVENTS), a_run(EVENTS)
    for run in (one, two):
        run.save_label(Label(name="same"))
    shown = do.render(ComparisonState(picked=(one.id, two.id)), "loss", None, False)
    assert [series["name"] for series in shown["curves"]["series"]] == [f"same ({one.id})", f"same ({two.id})"]
    assert "the same settings" in shown["differences"]


def test_render_archived_runs_only_if_they_are_listed(do, a_run):
    run = a_run(EVENTS)
    run.save_label(Label(archived=True))
    assert "No run yet" in do.render(ComparisonState(picked=(run.id, "gone")), HELD_OUT_LOSS, None, False)["table"]
    assert row_ids(do.render(ComparisonState(), HELD_OUT_LOSS, None, True)["table"]) == [run.id]


def test_render_many_runs_sends_a_bounded_number_of_points(do, a_run):
    steps = [EVENTS[3] | {"step": step, "loss": 1 + step % 7} for step in range(1, 900)]
    first, *others = runs = [a_run([] if n else steps, QLoRAConfig(seed=n)) for n in range(20)]
    # Writing each event separately would take as long as a run.
    for run in others:
        shutil.copy(first.events_file, run.events_file)
    shown = do.render(ComparisonState(picked=tuple(run.id for run in runs)), "loss", None, False)
    assert sum(len(series["points"]) for series in shown["curves"]["series"]) <= 10_000
    # The colors repeat, so later curves are dashed.
    assert sum(series["dashed"] for series in shown["curves"]["series"]) == 10


def test_render_hostile_names_stay_text(do, a_run):
    runs = [a_run(EVENTS, QLoRAConfig(lora_rank=rank)) for rank in (8, 16)]
    for run in runs:
        run.save_label(Label(name=HOSTILE))
    shown = do.render(ComparisonState(picked=tuple(run.id for run in runs)), "loss", None, False)
    for html in (shown["table"], shown["differences"]):
        assert not re.search("<(script|img)", html)


def test_pick_more_runs_than_a_page_can_compare_is_refused(do, a_run):
    state = ComparisonState(picked=tuple(f"run-{number}" for number in range(100)))
    with pytest.raises(StudioError, match="101 runs were chosen, and at most 100"):
        do.pick(state, a_run().id)
    assert len(do.pick(state, "run-3").picked) == 99
