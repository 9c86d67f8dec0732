"""events.jsonl: events are read back as written, incomplete lines are not, and a crash loses only its own line."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.runs import events
from core.runs.events import EndEvent, EventWriter, ResumedEvent, RunEvent, StageEvent, StepEvent, parse_event

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["nan", "inf"]))
COUNTS = st.integers(0, 10**9)
TEXTS = st.text(st.characters(codec="utf-8"))
# Events that change no others when they are read.
PLAIN = {
    "step": st.builds(StepEvent, step=COUNTS, loss=NUMBERS, rows=st.lists(COUNTS, max_size=3)),
    "eval": st.builds(events.EvalEvent, step=COUNTS, loss=NUMBERS, accuracy=NUMBERS, macro_f1=NUMBERS),
    "stage": st.builds(StageEvent, text=TEXTS),
    "prepared": st.builds(
        events.PreparedEvent, left_out=st.dictionaries(TEXTS, COUNTS, max_size=2), choices=st.lists(TEXTS)
    ),
    "sample": st.builds(events.SampleEvent, step=COUNTS, prompts=st.lists(TEXTS, max_size=2)),
    "checkpoint": st.builds(events.CheckpointEvent, step=COUNTS),
    "done": st.builds(EndEvent, event=st.just("done"), status=TEXTS),
    "failed": st.builds(EndEvent, event=st.just("failed"), cause=TEXTS),
}
RESUMED = st.builds(ResumedEvent, step=COUNTS, previous=st.dictionaries(TEXTS, COUNTS, max_size=2))
UNKNOWN = st.builds(RunEvent, event=st.just("of a later version"), extra=st.dictionaries(TEXTS, NUMBERS, max_size=2))
EVENTS = st.lists(st.one_of(*PLAIN.values(), UNKNOWN), max_size=6)


def test_every_kind_of_event_is_tested():
    assert PLAIN.keys() | {"resumed"} == events._KINDS.keys()


@given(RESUMED)
def test_resumed_event_is_read_back_as_written(event):
    assert parse_event(json.loads(json.dumps(event.to_json()))) == event


@pytest.fixture
def file(tmp_path):
    return tmp_path / events.FILE


def write(path, written):
    writer = EventWriter(path)
    for event in written:
        writer.write(event)


def without_time(found):
    return [event.model_copy(update={"time": 0.0}) for event in found]


def step_numbers(found):
    return [event.step for event in found]


# Every event is flushed to the disk, so there is no deadline.
@settings(max_examples=40, deadline=None)
@given(EVENTS, EVENTS)
def test_events_of_one_or_two_writers_are_read_back_as_written(first, second):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, events.FILE)
        write(path, first)
        write(path, second)
        found = without_time(events.read(path))
        assert found == first + second
        assert [type(event) for event in found] == [type(event) for event in first + second]


@settings(max_examples=60, deadline=None)
@given(EVENTS.filter(bool), st.integers(min_value=0))
def test_crash_at_any_byte_costs_only_its_own_line(written, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, events.FILE)
        write(path, written)
        content = path.read_bytes()
        remaining = content[: cut % (len(content) + 1)]
        path.write_bytes(remaining)
        before = remaining.count(b"\n")
        assert without_time(events.read(path)) == written[:before], "half a line is not an event"

        write(path, [EndEvent(event="done", status="finished")])
        found = without_time(events.read(path))
        assert found[:before] == written[:before]
        assert found[-1] == EndEvent(event="done", status="finished")
        # If the cut was just before a newline, the last event was complete after all.
        assert found[before:-1] in ([], written[before : before + 1])


def test_reader_sees_complete_lines_only(file):
    writer = EventWriter(file)
    writer.write(StepEvent(step=1))
    assert step_numbers(events.read(file)) == [1]
    with file.open("ab") as other:
        other.write(b'{"event": "step", "step": 2}')
    assert step_numbers(events.read(file)) == [1], "only a newline completes a line"
    with file.open("ab") as other:
        other.write(b"\n")
    assert step_numbers(events.read(file)) == [1, 2]


@pytest.mark.parametrize("broken", [b'{"event": "st', b"\xff\xfe\x00", b"\x00" * 40, b"", b"   ", b'{"event": [1]}'])
def test_unreadable_line_in_the_middle_is_skipped(file, broken):
    write(file, [StepEvent(step=1)])
    with file.open("ab") as other:
        other.write(broken + b"\n")
    write(file, [StepEvent(step=2)])
    assert step_numbers(events.read(file)) == [1, 2]


def test_text_with_line_breaks_is_written_on_one_line(file):
    write(file, [StageEvent(text="two\nlines\r\n\u2028\x85 and more")])
    assert file.read_bytes().count(b"\n") == 1
    assert events.read(file)[0].text == "two\nlines\r\n\u2028\x85 and more"


def test_text_with_lone_surrogate_is_written(file):
    write(file, [EndEvent(event="failed", cause="no file \udcff")])
    assert events.read(file)[0].cause == "no file ?"


def test_written_events_carry_the_time(file):
    write(file, [StepEvent(step=1), EndEvent(event="done")])
    first, second = (event.time for event in events.read(file))
    assert 0 < first <= second


def test_missing_file_holds_no_events(file):
    assert events.read(file) == []


def test_non_finite_loss_is_written_as_text(file):
    write(file, [StepEvent(step=1, loss=math.nan), StepEvent(step=2, loss=-math.inf, grad_norm=math.inf)])
    assert "NaN" not in file.read_text()
    assert [(event.loss, event.grad_norm) for event in events.read(file)] == [("nan", None), ("-inf", "inf")]


def test_bare_nan_of_an_older_worker_is_read(file):
    file.write_text(json.dumps({"event": "step", "step": 1, "loss": math.nan}) + "\n")
    assert math.isnan(events.read(file)[0].loss)


def test_unknown_fields_and_kinds_are_kept():
    later = {"event": "step", "time": 1.0, "step": 3, "sparsity": 0.5}
    assert parse_event(later).to_json() == later
    unknown = {"event": "pruned", "time": 1.0, "heads": [1, 2]}
    assert parse_event(unknown).to_json() == unknown


@pytest.mark.parametrize(
    "line", [{"event": "step"}, {"event": "step", "step": "three"}, {"event": "eval", "time": "x"}]
)
def test_line_that_does_not_fit_its_kind_is_a_plain_event(line):
    found = parse_event(line)
    assert type(found) is RunEvent
    assert found.event == line["event"]


def test_resumed_run_drops_the_events_it_repeats(file):
    """Steps after step 2 were repeated, and the failure before the resume is dropped."""
    first = [events.EvalEvent(step=0), *(StepEvent(step=s, loss=float(s)) for s in (1, 2, 3)), EndEvent(event="failed")]
    again = [ResumedEvent(step=2, previous={"max_steps": 3}), StepEvent(step=3, loss=30.0)]
    write(file, [*first, *again])
    assert without_time(events.read(file)) == [*first[:3], *again]


def test_reader_takes_new_events_only_and_starts_anew_on_a_shorter_file(file):
    reader = events.History(file)
    assert not reader.update()
    write(file, [StepEvent(step=1)])
    assert reader.update()
    assert not reader.update()
    write(file, [StepEvent(step=2)])
    assert reader.update()
    assert step_numbers(reader.events) == [1, 2]
    file.write_bytes(b"")
    assert reader.update() or reader.events == []
    write(file, [StepEvent(step=7)])
    reader.update()
    assert step_numbers(reader.events) == [7]
