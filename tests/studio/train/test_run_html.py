"""HTML of one run: its status while it waits, works, stops and has ended, its metrics, and what was decided for it."""

import time

import psutil
import pytest

from core.runs.progress import progress
from studio.train.run_html import notes_html, status_html, tiles_html
from tests.helpers.run_events import EVENTS, PREPARED, parse
from tests.helpers.shown_html import assert_inert, shown_text, tags_of


def test_tiles_show_the_latest_metrics_and_the_change_against_the_base():
    words = shown_text(tiles_html(progress(parse(EVENTS[:4]))))
    assert "3.250 loss" in words
    assert "4.000 held-out loss" in words
    assert "1e-3 learning rate" in words
    assert "1,500 tokens/s" in words
    assert "1 / 10 step" in words
    assert "the base:" not in words, "the base itself is no change"
    assert "3.000 held-out loss, 25% below the base: better" in shown_text(tiles_html(progress(parse(EVENTS))))


def test_tiles_of_classifier_have_accuracy_and_macro_f1():
    start = {"event": "eval", "step": 0, "loss": 0.7, "accuracy": 0.5, "macro_f1": 0.4}
    last = {"event": "eval", "step": 2, "loss": 0.35, "accuracy": 0.875, "macro_f1": 0.8}
    events = [start, {"event": "step", "step": 2, "total": 2}, last]
    words = shown_text(tiles_html(progress(parse(events))))
    assert "0.350 held-out loss, 50% below its start: better" in words
    assert "87.5% held-out accuracy (50.0% at the start)" in words
    assert "80.0% held-out macro-F1" in words
    assert "macro-F1" not in shown_text(tiles_html(progress(parse(EVENTS))))


def test_tiles_show_nan_as_text_and_missing_metrics_as_dashes():
    assert "nan loss" in shown_text(tiles_html(progress(parse(EVENTS))))
    assert shown_text(tiles_html(progress([]))).count("–") == 5


@pytest.mark.parametrize(
    ("state", "events", "text"),
    [
        ({"status": "queued", "ended": None}, [], "Waiting for the runs before it"),
        ({"status": "preparing", "ended": None}, [], "Starting the worker"),
        ({"status": "preparing", "ended": None}, EVENTS[:1], "Starting the worker"),
        ({"status": "preparing", "ended": None}, [EVENTS[0] | {"time": 9e9}], "Loading it"),
        ({"status": "running", "ended": None}, EVENTS[:3], "step 0 of 10: computing the first step"),
        ({"status": "running", "ended": None}, [*EVENTS, {"event": "done"}], "step 2 of 10: writing the report"),
        (
            {"status": "running", "ended": None},
            [*EVENTS, {"event": "stage", "text": "Computing the held-out loss, row 8 of 34"}],
            "step 2 of 10: computing the held-out loss, row 8 of 34",
        ),
        ({"status": "running", "ended": None}, EVENTS, "step 2 of 10, about 16 s left"),
        ({"status": "finished"}, [*EVENTS, {"event": "done"}], "step 2 of 10, 4 s of training"),
        ({"status": "stopped", "cause": "Stopped on request."}, [*EVENTS, {"event": "done"}], "Stopped on request."),
        ({"status": "stopped", "cause": "Removed from the queue."}, [], "Never started"),
        ({"status": "failed", "cause": "The disk is full."}, [*EVENTS, {"event": "failed"}], "The disk is full."),
        ({"status": "interrupted", "ended": None, "cause": "Gone."}, EVENTS, "Gone."),
    ],
)
def test_status_shows_progress_and_cause(a_run, state, events, text):
    run = a_run(**state)
    shown = status_html(run, run.saved_state(), progress(parse(events)))
    assert text in shown_text(shown)
    assert f'class="qs-badge {state["status"]}"' in shown
    assert ("qs-cause" in shown) == (state["status"] in ("failed", "interrupted")), "other causes are no errors"
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
        "99 adapter", "4 rows were longer", "3 rows left out: no answer.", "Attention is sdpa (no GPU).",
        "code abc, torch 2.13.0; on CPU",
    ):  # fmt: skip
        assert fact in words
    assert run.subset().describe() in shown_text(notes_html(run, progress([]))), "before anything is prepared"


@pytest.mark.parametrize(
    ("since_the_request", "text"),
    [
        ([], "step 2 of 10; it stops after step 3 and saves"),
        # A pass that was under way when the request came.
        ([{"event": "stage", "text": "Computing it, row 1 of 2"}], "computing it, row 1 of 2; it stops after step 3"),
        ([{"event": "stage", "text": "Downloading a/b, 1 of 2 GiB"}], "downloading a/b, 1 of 2 GiB; it stops at once"),
        ([EVENTS[4]], "step 2 of 10; then it saves and ends"),
        ([EVENTS[4], {"event": "stage", "text": "Computing it"}], "computing it; then it saves and ends"),
        ([EVENTS[4], {"event": "stage", "text": "Saving a checkpoint"}], "saving a checkpoint"),
        ([EVENTS[4], {"event": "done"}], "writing the report"),
    ],
)
def test_stopping_run_says_what_is_left_until_its_end(a_run, since_the_request, text):
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    run.request_stop()
    before = [event | {"time": 1.0} for event in EVENTS]
    after = [event | {"time": time.time() + 9} for event in since_the_request]
    shown = shown_text(status_html(run, run.state(), progress(parse([*before, *after]))))
    assert text in shown
    assert "left" not in shown
    assert shown.count("saves") <= 1


def test_run_that_is_resumed_does_not_show_the_stage_of_its_last_attempt(a_run):
    run = a_run(status="preparing", ended=None)
    killed = [*EVENTS, {"event": "stage", "text": "Computing the held-out loss, row 8 of 34"}]
    words = shown_text(status_html(run, run.saved_state(), progress(parse(killed))))
    assert "step 2 of 10: starting the worker 0 s in this stage" in " ".join(words.split())
