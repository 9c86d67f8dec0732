"""The view of a run: what it shows of the run's files, and that it escapes their texts."""

import csv
import os
import zipfile
from pathlib import Path

import psutil
import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.runs import report
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import HELD_OUT_LOSS, Timelines
from core.runs.store import Label, RunState
from studio.train.run_view import METRIC_FIELDS, NO_RUN, RunView
from studio.train.step_rows import StepRows
from tests.helpers.datasets import dialog, open_dataset
from tests.helpers.run_events import EVENTS, HOSTILE, PREPARED, write
from tests.helpers.shown_html import assert_inert, shown_text


@pytest.fixture
def do(runs):
    return RunView(runs, Timelines())


@pytest.fixture
def rows(runs):
    return StepRows(runs)


def test_label_shows_tags_and_note_or_nothing(do, a_run):
    run = a_run(EVENTS)
    assert do.render(run.id, "tokens/s", None)["label"] == ""
    run.save_label(Label(tags=["a"], note="It went well."))
    assert shown_text(do.render(run.id, "tokens/s", None)["label"]).split() == ["a", "It", "went", "well."]


def test_run_view_hostile_text_stays_text(do, rows, runs, settings, tmp_path):
    data = open_dataset(settings, tmp_path, [{"messages": dialog("a", "b")}], f"{HOSTILE.replace('/', '')}.jsonl")
    subset.create(settings, "hostile", Recipe(dataset=data.id, held_out_share=0))
    run = runs.create(QLoRAConfig(subset="hostile"))
    run.save_state(RunState(status="failed", cause=HOSTILE, created=0, ended=1))
    run.save_label(Label(name=HOSTILE, tags=[HOSTILE], note=HOSTILE))
    events = [
        {"event": "stage", "text": HOSTILE},
        {"event": "eval", "step": 0, "loss": HOSTILE},
        PREPARED | {"template": HOSTILE, "choices": [HOSTILE], "left_out": {HOSTILE: 1}},
        {"event": "step", "step": 1, "total": 2, "loss": HOSTILE, "seconds": 1.0, "rows": [0]},
        {"event": "sample", "step": 1, "prompts": [HOSTILE], "answers": [HOSTILE]},
    ]
    write(run, events)
    run.log.write_text(HOSTILE)
    shown = do.render(run.id, "learning rate", None) | do.render_samples(run.id) | do.read_log(run.id)
    shown |= rows.list_rows(run.id, 1)
    for name in ("status", "label", "tiles", "alerts", "notes", "samples", "log", "step"):
        assert_inert(shown[name])
    for name in ("status", "label", "tiles", "notes", "log", "samples"):
        assert "alert(1)" in shown_text(shown[name]), "the text itself is shown"
    assert all(series["points"] == [] for series in shown["loss_chart"]["series"])


def test_charts_show_finite_values_within_the_zoom(do, a_run):
    run = a_run(EVENTS)
    shown = do.render(run.id, "tokens/s", None)
    assert shown["charts"]["visible"]
    points = {series["name"]: series["points"] for series in shown["loss_chart"]["series"]}
    assert points["loss"] == [[1, 3000, 2.0, 3.25]]
    assert points[HELD_OUT_LOSS] == [[0, 0, 0.0, 4.0], [2, 6000, 4.0, 3.0]]
    assert [point[3] for point in shown["metric_chart"]["series"][0]["points"]] == [1500.4, 99.0]
    assert not shown["loss_chart"]["zoomed"]
    zoomed = do.render(run.id, "tokens/s", {"low": 1, "high": 2})
    assert [series["points"][0][0] for series in zoomed["loss_chart"]["series"]] == [1, 2]
    assert zoomed["loss_chart"]["zoomed"]
    assert zoomed["metric_chart"]["zoomed"]
    assert "has not been a number since step 2" in shown["alerts"]


def test_previous_run_on_the_same_subset_can_be_overlaid(do, runs, a_run):
    first, second = a_run(EVENTS, created=1.0), a_run(EVENTS, created=2.0)
    assert not do.render(first.id, "tokens/s", None)["with_previous"]["visible"]
    shown = do.render(second.id, "tokens/s", None)
    assert shown["with_previous"]["visible"]
    assert len(shown["loss_chart"]["series"]) == 2
    title = runs.titles()[first.id]
    series = do.render(second.id, "tokens/s", {"low": 1, "high": 2}, with_previous=True)["loss_chart"]["series"]
    assert [one["name"] for one in series][2:] == [f"loss of {title}", f"held-out loss of {title}"]
    assert [point[0] for point in series[2]["points"]] == [1]
    assert not do.render(first.id, "tokens/s", None, with_previous=True)["loss_chart"]["series"][0]["name"].startswith(
        "loss of"
    )


def test_previous_run_that_failed_before_its_first_step_is_passed_over(do, runs, a_run):
    trained = a_run(EVENTS, created=1.0)
    a_run([{"event": "stage", "text": "Loading tiny"}], created=2.0, status="failed")
    last = a_run(EVENTS, created=3.0)
    names = [one["name"] for one in do.render(last.id, "tokens/s", None, with_previous=True)["loss_chart"]["series"]]
    assert f"loss of {runs.titles()[trained.id]}" in names


@pytest.mark.parametrize("metric", METRIC_FIELDS)
def test_metric_chart_shows_every_metric(do, a_run, metric):
    assert do.render(a_run(EVENTS).id, metric, None)["metric_chart"]["title"] == metric


def test_run_view_without_a_run_shows_how_to_start_one(do, rows):
    shown = do.render(None, "tokens/s", None)
    assert NO_RUN in shown["status"]
    assert (shown["tiles"], shown["alerts"], shown["notes"]) == ("", "", "")
    assert not shown["charts"]["visible"]
    assert not shown["made"]["visible"]
    assert rows.list_rows(None, 3)["step"] == ""
    assert "The log is empty" in do.read_log(None)["log"]


def test_run_view_without_a_run_updates_all_that_a_run_has_shown(do, a_run):
    """A name that is left out keeps what it shows. The charts are inside the column that is hidden."""
    without = do.render(None, "tokens/s", None)
    with_run = do.render(a_run(EVENTS).id, "tokens/s", None)
    assert do.render(None, "tokens/s", None) == {}, "a page that opens keeps the run that it shows"
    assert set(with_run) - set(without) == {"loss_chart", "metric_chart", "with_previous"}


def test_samples_stay_at_a_pinned_pass_and_else_follow_the_newest(do, a_run):
    later = EVENTS[-1] | {"step": 4, "answers": ["Because it is."]}
    run = a_run([*EVENTS, later])
    shown = do.render_samples(run.id)
    assert (shown["samples_at"]["maximum"], shown["samples_at"]["value"]) == (1, 1)
    assert "Because it is." in shown["samples"]
    pinned = do.pin_samples(run.id, 0)["pinned"]
    newest = do.pin_samples(run.id, 1)["pinned"]
    assert "answered at step 2" in do.render_samples(run.id, pinned)["samples"]
    assert do.render_samples(run.id, (run.id, 99)) == shown
    write(run, [EVENTS[-1] | {"step": 9}])
    assert "answered at step 9" in do.render_samples(run.id, newest)["samples"]
    assert "answered at step 2" in do.render_samples(run.id, pinned)["samples"]
    assert "answered at step 9" in do.render_samples(run.id, ("another run", 0))["samples"]


def test_no_samples_says_whether_any_will_come(do, a_run):
    assert "has no sample prompts" in do.render_samples(a_run().id)["samples"]
    asks = QLoRAConfig(sample_prompts="Why?")
    assert "No sample answers yet" in do.render_samples(a_run(config=asks, status="queued").id)["samples"]
    assert "ended before" in do.render_samples(a_run(config=asks).id)["samples"]


def test_write_csv_contains_every_step_and_the_base_model(do, a_run):
    with open(do.write_csv(a_run(EVENTS).id), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [row["loss"] for row in rows] == ["", "3.25", "nan"]
    assert [row["held_out_loss"] for row in rows] == ["4.0", "", "3.0"]
    assert [row["held_out_accuracy"] for row in rows] == ["", "", ""]
    classified = [*EVENTS, {"event": "eval", "step": 1, "loss": 0.5, "accuracy": 0.75, "macro_f1": 0.7}]
    with open(do.write_csv(a_run(classified).id), encoding="utf-8") as stream:
        row = list(csv.DictReader(stream))[1]
    assert (row["held_out_loss"], row["held_out_accuracy"], row["held_out_macro_f1"]) == ("0.5", "0.75", "0.7")
    with pytest.raises(StudioError, match="No run is selected"):
        do.write_csv(None)


def test_fingerprint_changes_with_events_state_and_name_only(do, a_run):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    seen = [do.fingerprint(run.id), do.fingerprint(run.id)]
    assert seen[0] == seen[1]
    write(run, EVENTS[:1])
    seen.append(do.fingerprint(run.id))
    run.request_stop()
    seen.append(do.fingerprint(run.id))
    run.save_state(RunState(status="stopped", created=0, ended=1))
    seen.append(do.fingerprint(run.id))
    run.save_label(Label(name="x"))
    seen.append(do.fingerprint(run.id))
    assert len(set(seen)) == 5
    assert do.fingerprint(None) == do.fingerprint("") == ""


@pytest.mark.parametrize("run_id", ["nope", "../x", "a/b"])
def test_run_view_unknown_run_raises_with_its_id(do, run_id):
    for ask in (do.fingerprint, do.read_log, do.write_csv):
        with pytest.raises(StudioError, match=run_id):
            ask(run_id)


def test_write_report_contains_the_plots(do, a_run):
    run = a_run(EVENTS)
    with zipfile.ZipFile(do.write_report(run.id)) as archive:
        assert set(archive.namelist()) == {"report.md", "loss.png", "metrics.png"}
    with pytest.raises(StudioError, match="No run is selected"):
        do.write_report(None)


def test_report_of_the_same_state_has_the_same_bytes(do, a_run, tmp_path):
    """Otherwise each visitor's click makes another file."""
    run = a_run(EVENTS)
    made = Path(do.write_report(run.id))
    first = made.read_bytes()
    assert Path(do.write_report(run.id)).read_bytes() == first
    for path in (run.folder / "report").iterdir():
        os.utime(path, (10**9, 10**9))
    report.pack(run.folder / "report", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == first
