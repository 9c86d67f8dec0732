"""The view of a run: what it shows of the run's files, and that it escapes their texts."""

import csv
import html.parser
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
from core.runs.progress import progress
from core.runs.store import Label, RunState
from studio.train.run_html import notes_html, status_html, tiles_html
from studio.train.run_view import METRIC_FIELDS, NO_RUN, RunView
from studio.train.step_rows import StepRows
from tests.helpers.datasets import dialog, open_dataset
from tests.helpers.run_events import EVENTS, HOSTILE, PREPARED, parse, write

OWN_TAGS = {"div", "span", "i", "b", "small", "ul", "li", "p"}


@pytest.fixture
def do(runs):
    return RunView(runs, Timelines())


@pytest.fixture
def rows(runs):
    return StepRows(runs)


def tags_of(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(shown)
    parser.close()
    return found


def assert_inert(shown):
    tags = tags_of(shown)
    assert {tag for tag, _ in tags} <= OWN_TAGS
    assert {name for _, attrs in tags for name in attrs} <= {
        "class", "role", "style", "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label", "dir"
    }  # fmt: skip


def shown_text(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_data = found.append
    parser.feed(shown)
    parser.close()
    return " ".join(found)


def test_tiles_show_the_latest_metrics_and_the_change_against_the_base():
    words = shown_text(tiles_html(progress(parse(EVENTS[:4]))))
    assert "3.250 loss" in words
    assert "4.000 held-out loss" in words
    assert "1.00e-03 learning rate" in words
    assert "1,500 tokens/s" in words
    assert "1 / 10 step" in words
    assert "against base" not in words, "the base itself is no change"
    assert "3.000 held-out loss (-25% against base)" in shown_text(tiles_html(progress(parse(EVENTS))))


def test_tiles_show_nan_as_text_and_missing_metrics_as_dashes():
    assert "nan loss" in shown_text(tiles_html(progress(parse(EVENTS))))
    assert shown_text(tiles_html(progress([]))).count("–") == 5


@pytest.mark.parametrize(
    ("state", "events", "text"),
    [
        ({"status": "queued", "ended": None}, [], "waiting for the runs before it"),
        ({"status": "preparing", "ended": None}, [], "starting the worker"),
        ({"status": "preparing", "ended": None}, EVENTS[:1], "Loading it"),
        ({"status": "running", "ended": None}, EVENTS[:3], "step 0 of 10: evaluating the base model"),
        (
            {"status": "running", "ended": None},
            [*EVENTS, {"event": "stage", "text": "Computing the held-out loss, row 8 of 34"}],
            "step 2 of 10: computing the held-out loss, row 8 of 34",
        ),
        ({"status": "running", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "finished"}, [*EVENTS, {"event": "done"}], "step 2 of 10, 4 s of training"),
        ({"status": "stopped", "cause": "Stopped on request."}, [*EVENTS, {"event": "done"}], "Stopped on request."),
        ({"status": "failed", "cause": "The disk is full."}, [*EVENTS, {"event": "failed"}], "The disk is full."),
        ({"status": "interrupted", "ended": None, "cause": "Gone."}, EVENTS, "Gone."),
    ],
)
def test_status_shows_progress_and_cause(a_run, state, events, text):
    run = a_run(**state)
    shown = status_html(run, run.saved_state(), progress(parse(events)))
    assert text in shown_text(shown)
    assert f'class="qs-badge {state["status"]}"' in shown
    assert ("qs-cause" in shown) == bool(state.get("cause"))
    assert_inert(shown)


@pytest.mark.parametrize(("step", "width"), [(0, "0.0%"), (1, "10.0%"), (10, "100.0%")])
def test_status_bar_is_as_wide_as_the_progress(a_run, step, width):
    run = a_run()
    events = [{"event": "step", "step": step, "total": 10}]
    assert ("i", {"style": f"width:{width}"}) in tags_of(status_html(run, run.saved_state(), progress(parse(events))))


def test_notes_show_rows_counts_choices_and_versions(a_run):
    run = a_run()
    made = {"code": "abc", "packages": {"torch": "2.13.0"}, "hardware": "CPU"}
    words = shown_text(notes_html(run, progress(parse([PREPARED | {"lineage": made}]))))
    for fact in (
        run.subset().describe(), f"Folder: runs/{run.id}",
        "1,200 rows, 56,789 tokens per epoch, of which 1,234 carry loss",
        "99 adapter", "4 rows are longer", "3 rows left out: no answer.", "Attention is sdpa (no GPU).",
        "code abc, torch 2.13.0; on CPU",
    ):  # fmt: skip
        assert fact in words
    assert run.subset().describe() in shown_text(notes_html(run, progress([]))), "before anything is prepared"


def test_label_shows_tags_and_note_or_nothing(do, a_run):
    run = a_run(EVENTS)
    assert do.render(run.id, "tokens/s", None)["label"] == ""
    run.save_label(Label(tags=["a"], note="It went well."))
    assert shown_text(do.render(run.id, "tokens/s", None)["label"]).split() == ["a", "It", "went", "well."]


def test_stopping_run_says_by_its_files_whether_the_step_or_the_saving_is_left(a_run):
    run = a_run(EVENTS, status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    run.request_stop()
    os.utime(run.events_file, (1, 1))
    shown = status_html(run, run.state(), progress(parse(EVENTS)))
    assert "finishing step 3, then saving" in shown_text(shown)
    os.utime(run.stop_request, (0, 0))
    shown = status_html(run, run.state(), progress(parse(EVENTS)))
    assert "step 2 is done, saving the checkpoint and the adapter" in shown_text(shown)


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
    assert "not a number since step 2" in shown["alerts"]


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
    assert "No sample answers yet" in do.render_samples(a_run().id)["samples"]


def test_write_csv_contains_every_step(do, a_run):
    with open(do.write_csv(a_run(EVENTS).id), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert [row["loss"] for row in rows] == ["3.25", "nan"]
    assert [row["held_out_loss"] for row in rows] == ["", "3.0"]
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
