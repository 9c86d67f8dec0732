"""The series of a run's metrics: read in pieces, downsampled and shared."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.runs import events
from core.runs.events import EventWriter, parse_event
from core.runs.metrics_series import HELD_OUT_LOSS, MAX_CURVE_POINTS, Timeline, Timelines, downsample
from core.runs.progress import progress


def step(number: int, loss=1.0, **more) -> dict:
    return {"event": "step", "step": number, "total": 99, "loss": loss, "tokens": number * 10,
            "seconds": number / 2, "learning_rate": 1e-3, **more}  # fmt: skip


def written(path, reported) -> None:
    with path.open("a") as stream:
        stream.writelines(json.dumps(event) + "\n" for event in reported)


EVENTS = st.lists(
    st.one_of(
        st.builds(step, st.integers(1, 9), st.sampled_from([1.5, "nan", None])),
        st.builds(lambda s: {"event": "eval", "step": s, "loss": 2.0 + s}, st.integers(0, 9)),
        st.builds(lambda s: {"event": "resumed", "step": s}, st.integers(0, 9)),
        st.sampled_from([{"event": "done"}, {"event": "stage", "text": "x"}, {"event": "prepared", "total_steps": 9}]),
    ),
    max_size=25,
)


def in_order(reported: list[dict]) -> list[dict]:
    """Return events as a worker writes them: steps increase, except for those repeated after a resume."""
    ordered, last = [], 0
    for event in reported:
        if event["event"] == "resumed":
            last = event["step"] = min(event["step"], last)
        elif event["event"] == "step":
            last = event["step"] = last + 1
        elif event["event"] == "eval":
            event["step"] = last
        ordered.append(event)
    return ordered


@limits(max_examples=80)
@given(reported=EVENTS, cuts=st.lists(st.integers(0, 25), max_size=3))
def test_timeline_read_in_pieces_equals_whole_history(tmp_path_factory, reported, cuts):
    reported = [event | {"time": float(at)} for at, event in enumerate(in_order(reported), 1)]
    path = tmp_path_factory.mktemp("t") / events.FILE
    timeline = Timeline(path)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(reported)], strict=True):
        written(path, reported[begin:end])
        timeline.update()
    history = events.read(path)
    assert timeline.progress() == progress(history)
    steps = [event for event in history if event.event == "step"]
    assert timeline.steps == len(steps)
    good = [(e.step, e.tokens, e.seconds, e.loss) for e in steps if isinstance(e.loss, float)]
    assert timeline.curve("loss") == good
    assert timeline.not_numbers() == [e.step for e in steps if e.loss == "nan"]
    evals = [(event.step, event.loss) for event in history if event.event == "eval"]
    assert [(s, v) for s, *_, v in timeline.curve(HELD_OUT_LOSS)] == evals


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400),
    most=st.integers(6, 60),
)
def test_downsample_keeps_ends_extremes_and_limit(values, most):
    array = np.array(values)
    indices = downsample(array, most)
    assert len(indices) <= max(most, 4)
    assert list(indices) == sorted(set(indices.tolist()))
    assert {0, len(values) - 1} <= set(indices.tolist())
    assert array[indices].min() == array.min()
    assert array[indices].max() == array.max()
    if len(values) <= most:
        assert len(indices) == len(values)


def test_curve_of_long_run_is_downsampled_and_zoom_is_complete(tmp_path):
    path = tmp_path / events.FILE
    written(path, [step(i, 1.0 + (i == 7777) * 50) for i in range(1, 20_001)])
    timeline = Timeline(path)
    timeline.update()
    whole = timeline.curve("loss")
    assert len(whole) <= MAX_CURVE_POINTS
    assert (7777, 51.0) in [(s, v) for s, *_, v in whole], "a spike is seen"
    assert [s for s, *_ in timeline.curve("loss", 7700, 7800)] == list(range(7700, 7801))


def test_timelines_are_shared_updated_and_evicted(tmp_path):
    timelines = Timelines()
    paths = [tmp_path / f"{i}.jsonl" for i in range(20)]
    for path in paths:
        written(path, [step(1)])
    first = timelines.of(paths[0])
    assert timelines.of(paths[0]) is first
    written(paths[0], [step(2)])
    assert timelines.of(paths[0]).steps == 2
    for path in paths[1:]:
        timelines.of(path)
    assert timelines.of(paths[0]) is not first
    assert timelines.of(tmp_path / "none.jsonl").progress().step == 0


def test_incomplete_line_is_not_read(tmp_path):
    path = tmp_path / events.FILE
    EventWriter(path).write(parse_event(step(1)))
    with path.open("a") as stream:
        stream.write('{"event": "step", "step": 2')
    timeline = Timeline(path)
    timeline.update()
    assert timeline.steps == 1


@pytest.mark.parametrize("text", ["", "[]\n", '{"no": 1}\n', "\x00\n"])
def test_lines_without_event_are_skipped(tmp_path, text):
    path = tmp_path / events.FILE
    path.write_text(text)
    timeline = Timeline(path)
    timeline.update()
    assert timeline.steps == 0


def test_timeline_can_be_read_while_it_is_updated(tmp_path):
    path, errors = tmp_path / "events.jsonl", []
    written(path, [step(n) for n in range(1, 2000)])
    timeline, ended = Timeline(path), threading.Event()

    def reads():
        while not ended.is_set():
            try:
                timeline.curve("loss")
                timeline.progress()
                timeline.not_numbers()
            except Exception as error:
                errors.append(error)
                return

    readers = [threading.Thread(target=reads) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(2000, 2400):
        written(path, [step(n)])
        timeline.update()
    ended.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert timeline.steps == 2399


def test_accuracy_of_classifier_is_a_curve_and_goes_back_at_a_resume(tmp_path):
    file = tmp_path / "events.jsonl"
    passes = [{"event": "eval", "step": at, "loss": 1.0, "accuracy": at / 10, "macro_f1": at / 20} for at in (0, 2, 4)]
    written(file, [*passes, {"event": "eval", "step": 5, "loss": 1.0}])
    timeline = Timeline(file)
    timeline.update()
    steps, values = timeline.values("held-out accuracy")
    assert (steps.tolist(), values.tolist()) == ([0, 2, 4], [0.0, 0.2, 0.4])
    assert timeline.values("held-out macro-F1")[1].tolist() == [0.0, 0.1, 0.2]
    assert timeline.progress().accuracy is None
    written(file, [{"event": "resumed", "step": 2}])
    timeline.update()
    assert timeline.values("held-out accuracy")[0].tolist() == [0, 2]
    assert (timeline.progress().accuracy, timeline.progress().base_accuracy) == (0.2, 0.0)
