"""RunProgress of a run read from its events: steps, time left and losses."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.runs.events import parse_event
from core.runs.progress import RunProgress, duration, progress
from tests.helpers.run_events import parse

PREPARED = {"event": "prepared", "total_steps": 20, "rows": 5}


def step(number, total=20, seconds=None, **values):
    return {"event": "step", "step": number, "total": total, "seconds": seconds or 2.0 * number, "loss": 3.0} | values


def measured(at, loss):
    return {"event": "eval", "step": at, "loss": loss}


def test_progress_without_events_is_empty():
    assert progress([]) == RunProgress()
    assert progress([]).share == 0


def test_progress_before_first_step_has_total_but_no_time_left():
    now = progress(parse([{"event": "stage", "text": "Loading"}, PREPARED, measured(0, 3.5)]))
    assert (now.activity.stage, now.step, now.total, now.seconds_left, now.share) == ("", 0, 20, None, 0)
    assert now.base_loss == now.held_out_loss == 3.5


@pytest.mark.parametrize("end", [PREPARED, step(3), measured(0, 3.5), {"event": "done"}])
def test_stage_ends_with_the_next_event(end):
    reported = [PREPARED, {"event": "stage", "text": "Computing the held-out loss, row 8 of 34, about 20 s left"}]
    assert progress(parse(reported)).activity.stage.startswith("Computing")
    assert progress(parse([*reported, end])).activity.stage == ""


def test_activity_begins_with_its_first_report():
    def at(*reported):
        return progress(parse({"time": float(time)} | event for time, event in enumerate(reported, 1))).activity

    stages = [{"event": "stage", "text": f"Computing the held-out loss, row {row} of 9"} for row in (0, 3, 6)]
    saving = {"event": "stage", "text": "Saving a checkpoint"}
    assert at(PREPARED).since == at(PREPARED, stages[0], step(1)).since - 2 == 1
    assert at(PREPARED, *stages).since == 2, "all of them are reports of one pass"
    assert at(PREPARED, *stages, saving).since == 5
    assert at(PREPARED, stages[0], measured(1, 3.5), stages[0]).since == 4, "the next pass"


def test_progress_shows_last_step():
    now = progress(parse([PREPARED, step(1), step(5, loss=1.5, learning_rate=1e-4, tokens_per_second=99.5)]))
    assert (now.step, now.loss, now.learning_rate, now.tokens_per_second, now.seconds) == (5, 1.5, 1e-4, 99.5, 10.0)
    assert now.share == 0.25
    assert now.prepared == parse_event(PREPARED)


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.01, 1e6))
def test_seconds_left_follow_mean_speed(done, total, seconds):
    done, total = sorted((done, total))
    now = progress(parse([step(done, total, seconds)]))
    assert now.seconds_left == pytest.approx(seconds / done * (total - done))
    assert 0 < now.share <= 1


@pytest.mark.parametrize("end", ["done", "failed"])
def test_ended_run_has_no_time_left(end):
    reported = [PREPARED, step(5)]
    assert progress(parse(reported)).seconds_left == 30
    assert progress(parse([*reported, {"event": end}])).seconds_left is None


def test_progress_has_first_and_last_held_out_loss():
    now = progress(parse([measured(0, 3.5), step(1), measured(10, "nan"), step(11), measured(20, 2.5)]))
    assert (now.base_loss, now.held_out_loss) == (3.5, 2.5)


def test_non_finite_loss_is_shown_as_text():
    now = progress(parse([measured(0, 3.5), step(1, loss="nan"), measured(1, "nan")]))
    assert (now.loss, now.held_out_loss) == ("nan", "nan")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_duration_has_two_units_at_most(seconds, words):
    assert duration(seconds) == words


@settings(deadline=None)
@given(st.floats(0, 1e7))
def test_duration_is_less_than_a_minute_off(seconds):
    words = duration(seconds)
    units = {"s": 1, "min": 60, "h": 3600}
    parts = re.findall(r"(\d+) (s|min|h)", words)
    assert " ".join(f"{number} {unit}" for number, unit in parts) == words
    assert abs(sum(int(number) * units[unit] for number, unit in parts) - seconds) < 60.5
    assert all(int(number) < 60 for number, unit in parts if unit != "h")
