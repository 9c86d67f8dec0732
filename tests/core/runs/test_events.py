"""events.jsonl: what is written is read back, half a line never is, and a crash costs its own line only."""

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.runs import events
from core.runs.events import EventWriter

NAMES = st.sampled_from(["step", "eval", "stage", "done"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)
EVENTS = st.lists(
    st.tuples(NAMES, st.dictionaries(st.sampled_from(["step", "loss", "text", "choices"]), VALUES)), max_size=6
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / events.FILE


def write(path, said):
    writer = EventWriter(path)
    for name, values in said:
        writer.write(name, **values)


def without_time(found):
    return [(event["event"], {k: v for k, v in event.items() if k not in ("event", "time")}) for event in found]


@settings(max_examples=40, deadline=None)  # every event is flushed to the disk
@given(EVENTS, EVENTS)
def test_what_is_written_is_read_back_by_one_writer_or_two(first, second):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, events.FILE)
        write(path, first)
        write(path, second)
        assert without_time(events.read(path)) == first + second
        assert events.size(path) == path.stat().st_size


@settings(max_examples=60, deadline=None)
@given(EVENTS.filter(bool), st.integers(min_value=0))
def test_a_crash_at_any_byte_costs_only_the_line_it_was_in(said, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, events.FILE)
        write(path, said)
        whole = path.read_bytes()
        kept = whole[: cut % (len(whole) + 1)]
        path.write_bytes(kept)
        before = kept.count(b"\n")
        assert without_time(events.read(path)) == said[:before], "half a line is not an event"

        write(path, [("done", {"status": "finished"})])
        found = without_time(events.read(path))
        assert found[:before] == said[:before]
        assert found[-1] == ("done", {"status": "finished"})
        # cut just before its line end, the last event was whole after all
        assert found[before:-1] in ([], said[before : before + 1])


def test_a_line_is_on_disk_before_the_next_and_whole_lines_are_seen_meanwhile(file):
    writer = EventWriter(file)
    writer.write("step", step=1)
    assert [event["step"] for event in events.read(file)] == [1]
    with file.open("ab") as other:
        other.write(b'{"event": "step", "step": 2}')
    assert [event["step"] for event in events.read(file)] == [1], "only its line end says that a line is whole"
    with file.open("ab") as other:
        other.write(b"\n")
    assert [event["step"] for event in events.read(file)] == [1, 2]


@pytest.mark.parametrize("broken", [b'{"event": "st', b"\xff\xfe\x00", b"\x00" * 40, b"", b"   "])
def test_an_unreadable_line_in_the_middle_is_skipped(file, broken):
    write(file, [("step", {"step": 1})])
    with file.open("ab") as other:
        other.write(broken + b"\n")
    write(file, [("step", {"step": 2})])
    assert [event["step"] for event in events.read(file)] == [1, 2]


def test_one_line_an_event_whatever_its_text(file):
    write(file, [("stage", {"text": "two\nlines\r\n\u2028\x85 and more"})])
    assert file.read_bytes().count(b"\n") == 1
    assert events.read(file)[0]["text"] == "two\nlines\r\n\u2028\x85 and more"


def test_events_carry_the_time(file):
    write(file, [("step", {}), ("done", {})])
    first, second = (event["time"] for event in events.read(file))
    assert 0 < first <= second


def test_a_file_that_is_not_there_holds_nothing(file):
    assert events.read(file) == []
    assert events.size(file) == 0


def test_a_number_that_is_none_is_still_read(file):
    """The reporter writes NaN as text; what an older worker wrote bare can be read all the same."""
    file.write_text(json.dumps({"event": "step", "loss": math.nan}) + "\n")
    assert math.isnan(events.read(file)[0]["loss"])


def test_what_a_resumed_run_did_again_stands_once(file):
    """Half of it was done a second time after step 2; what had ended has not."""
    said = [("eval", {"step": 0}), *(("step", {"step": s, "loss": s}) for s in (1, 2, 3)), ("failed", {})]
    write(file, [*said, ("resumed", {"step": 2}), ("step", {"step": 3, "loss": 30})])
    assert without_time(events.read(file)) == [
        *said[:3], ("resumed", {"step": 2}), ("step", {"step": 3, "loss": 30})
    ]  # fmt: skip


def test_a_reader_takes_what_is_new_only_and_a_shorter_file_anew(file):
    reader = events.History(file)
    assert not reader.update()
    write(file, [("step", {"step": 1})])
    assert reader.update()
    assert not reader.update()
    write(file, [("step", {"step": 2})])
    assert reader.update()
    assert [event["step"] for event in reader.events] == [1, 2]
    file.write_bytes(b"")
    assert reader.update() or reader.events == []
    write(file, [("step", {"step": 7})])
    reader.update()
    assert [event["step"] for event in reader.events] == [7]
