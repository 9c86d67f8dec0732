"""Index of a run's events: returns what a reading of the whole log returns, and reads only what is asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.runs import event_index, events
from core.runs.event_index import EventIndex, EventIndexes
from core.runs.events import EventReader, StepEvent

STEP, RESUMED = st.integers(0, 6), st.integers(0, 6)
LINE = st.one_of(
    st.builds(lambda n: json.dumps({"event": "step", "step": n, "rows": [n]}), STEP),
    st.builds(lambda n: json.dumps({"event": "resumed", "step": n}), RESUMED),
    st.sampled_from(
        ["", "{", "7", "[]", '{"event": 1}', '{"event": "step", "step": "x"}', '{"event": "odd", "ä": "ü"}']
    ),
)


class _All(EventReader):
    def reset(self):
        self.found = []

    def take(self, event):
        self.found.append(event)


def whole(path):
    reader = _All(path)
    reader.reset()
    reader.update()
    return reader.found


@given(st.lists(st.lists(LINE, max_size=6), min_size=1, max_size=4), st.integers(0, 8), st.integers(0, 8))
def test_index_returns_what_a_whole_reading_returns(tmp_path_factory, chunks, after, count):
    path = tmp_path_factory.mktemp("index") / "events.jsonl"
    index = EventIndex(path)
    assert index.read(0, 9) == []
    for lines in chunks:
        with path.open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
        assert index.read(after, count) == whole(path)[after : after + count]
        shown = [event for event in events.read(path) if isinstance(event, StepEvent)]
        for step in range(7):
            assert index.step(step) == next((event for event in shown if event.step == step), None)


def test_index_parses_old_lines_only_if_they_are_asked_for(tmp_path, monkeypatch):
    path, index = tmp_path / "events.jsonl", EventIndex(tmp_path / "events.jsonl")
    path.write_text("".join(f'{{"event": "step", "step": {n}}}\n' for n in range(100)))
    index.read(0, 1)
    parsed, parse = [], events.parse_event
    for module in (events, event_index):
        monkeypatch.setattr(module, "parse_event", lambda values: parsed.append(values["step"]) or parse(values))
    index.read(97, 50)
    assert parsed == [97, 98, 99]
    index.step(42)
    with path.open("a") as stream:
        stream.write('{"event": "step", "step": 100}\n{"event": "st')
    assert [event.step for event in index.read(100, 50)] == [100]
    assert parsed == [97, 98, 99, 42, 100, 100]
    path.write_text('{"event": "step", "step": 7}\n')
    assert [event.step for event in index.read(0, 50)] == [7]
    path.unlink()
    assert index.read(0, 50) == []


@pytest.mark.parametrize("runs", [1, 40])
def test_indexes_are_kept_for_a_bounded_number_of_runs(tmp_path, runs):
    kept = EventIndexes()
    first = kept.of(tmp_path / "0")
    for number in range(runs):
        kept.of(tmp_path / str(number))
    assert (kept.of(tmp_path / "0") is first) == (runs == 1)
