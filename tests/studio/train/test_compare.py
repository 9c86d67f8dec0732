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
    state = do.pick(ComparisonState(), [one.id, two.id])
    shown = do.render(state, metric, None, False)
    assert [series["name"] for series in shown["curves"]["series"]] == [one.title, two.title]
    assert len({series["color"] for series in shown["curves"]["series"]}) == 2
    assert ParsedHtml(shown["differences"]).text == f"What differs{one.title}{two.title}Rank816"
    with pytest.raises(StudioError, match="There is no run"):
        do.pick(state, [one.id, "invented"])
    state = do.pick(state, [two.id])
    shown = do.render(state, metric, None, False)
    assert [series["name"] for series in shown["curves"]["series"]] == [two.title]
    assert "Tick two or more runs" in shown["differences"]


def test_render_runs_with_same_name_and_settings_are_distinguished_by_date(do, a_run):
    one, two = a_run(EVENTS, created=1.0), a_run(EVENTS, created=90.0)
    for run in (one, two):
        run.save_label(Label(name="same"))
    shown = do.render(ComparisonState(picked=(one.id, two.id)), "loss", None, False)
    names = [series["name"] for series in shown["curves"]["series"]]
    assert names == [do.runs.titles()[run.id] for run in (one, two)]
    assert len(set(names)) == 2
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
        do.pick(state, [*state.picked, a_run().id])


def test_pick_takes_all_ticks_of_the_page_whatever_was_picked_before(do, a_run):
    one, two, three = (a_run(EVENTS).id for _ in range(3))
    # Two quick clicks, both handled with the state before them.
    before = ComparisonState()
    assert do.pick(before, [one]).picked == (one,)
    both = do.pick(before, [two, one])
    assert both.picked == (two, one)
    assert do.pick(both, [one, two, three]).picked == (two, one, three), "runs that were picked keep their colors"
    assert do.pick(both, []).picked == ()
    assert do.render(both, "loss", None, False)["curves"]["empty"] == "No points yet."
    assert "Tick runs" in do.render(before, "loss", None, False)["curves"]["empty"]


def text_of(html):
    return re.sub("<[^>]+>", "", html)


def headings(html):
    return re.findall(r'data-event="sort_by" data-value="([^"]+)"', html)


def test_table_has_the_columns_that_differ_and_can_be_sorted_by_their_settings(do, a_run):
    low, high = a_run(EVENTS, QLoRAConfig(lora_rank=8)), a_run(EVENTS, QLoRAConfig(lora_rank=32, packing=False))
    table = do.render(ComparisonState(), HELD_OUT_LOSS, None, False)["table"]
    assert headings(table)[:4] == ["title", "best_held_out", "setting.lora_rank", "setting.packing"]
    assert not {"model", "subset", "status", "steps"} & set(headings(table)), "they are the same in both"
    state = do.sort_by(ComparisonState(), "setting.lora_rank")
    assert row_ids(do.render(state, HELD_OUT_LOSS, None, False)["table"]) == [low.id, high.id]
    state = do.sort_by(state, "setting.lora_rank")
    assert row_ids(do.render(state, HELD_OUT_LOSS, None, False)["table"]) == [high.id, low.id]


def test_pinned_baseline_is_first_and_the_others_show_their_differences(do, a_run):
    evals = [{"event": "eval", "step": step, "loss": 3.0 + step / 8} for step in (0, 2)]
    first, second = a_run(EVENTS[:6], created=1.0), a_run([*EVENTS[:2], *evals], created=2.0)
    assert row_ids(do.render(ComparisonState(), "loss", None, False)["table"]) == [second.id, first.id]
    shown = do.render(do.pin(ComparisonState(), first.id), "loss", None, False)
    assert row_ids(shown["table"]) == [first.id, second.id]
    assert shown["baseline"]["value"] == first.id
    words = text_of(shown["table"])
    assert words.count("baseline") == 1
    assert "3.2500+0.2500" in words, "the last held-out loss"
    assert do.pin(do.pin(ComparisonState(), first.id), "").baseline == ""
    with pytest.raises(StudioError, match="There is no run"):
        do.pin(ComparisonState(), "invented")
    gone = do.render(ComparisonState(baseline="deleted"), "loss", None, False)
    assert gone["baseline"]["value"] == ""


def test_losses_that_were_measured_differently_say_so_and_are_sorted_apart(do, a_run):
    best = [*EVENTS[:4], {"event": "eval", "step": 2, "loss": 1.0}]
    apart = a_run(best, QLoRAConfig(max_length=256), created=1.0)
    runs = [a_run(EVENTS, QLoRAConfig(lora_rank=rank), created=rank) for rank in (4, 8)]
    state = do.sort_by(ComparisonState(), "best_held_out")
    table = do.render(state, "loss", None, False)["table"]
    assert row_ids(table)[-1] == apart.id, "its loss is the lowest, but of other tokens"
    assert "not comparable: maximum length 256 instead of 1,024" in text_of(table)
    table = do.render(do.pin(state, apart.id), "loss", None, False)["table"]
    assert text_of(table).count("not comparable: maximum length 1,024 instead of 256") >= len(runs)
    by_loss = do.render(do.sort_by(ComparisonState(), "loss"), "loss", None, False)["table"]
    assert set(row_ids(by_loss)) == {apart.id, *(run.id for run in runs)}


def test_ticked_rows_have_the_colors_of_their_curves(do, a_run):
    one, two = a_run(EVENTS, created=1.0), a_run(EVENTS, created=2.0)
    shown = do.render(do.pick(ComparisonState(), [two.id]), "loss", None, False)
    colors = re.findall(r'class="qs-dot" style="background:(#\w+)"', shown["table"])
    assert colors == [series["color"] for series in shown["curves"]["series"]]
    assert row_ids(shown["table"]) == [two.id, one.id]
