"""Values of events are checked before a handler sees them."""

import json

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudioError
from studio.event_values import (
    MAX_DEPTH,
    MAX_ENTRIES,
    check_count,
    check_depth,
    check_text,
    name_of,
    parse_index,
    row_number,
    step_range,
    stored_ids,
    table_value,
    ticked_names,
)
from studio.handlers import event_handler


def event(value) -> gr.EventData:
    return gr.EventData(None, {"value": value})


@pytest.mark.parametrize(("value", "number"), [("7", 7), (7, 7), ("0", 0)])
def test_row_number_is_read_from_text_and_number(value, number):
    assert row_number(event(value)) == number


@pytest.mark.parametrize(
    ("value", "index"), [("0", 0), (7, 7), ("12", 12), ("²", None), ("١", None), ("1" * 5_000, None), (-1, None),
                         ("1.0", None), (None, None), (["0"], None)],
)  # fmt: skip
def test_index_is_read_from_text_and_number(value, index):
    assert parse_index(value) == index


@pytest.mark.parametrize("value", [None, "", "x", "-1", "1.5", True, "true", "1" * 30, [1], "[1, 2]", {"a": 1}])
def test_row_number_refuses_everything_else(value):
    with pytest.raises(StudioError, match="is no row number"):
        row_number(event(value))


def nested(depth: int, kind: type = list):
    value = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 600, 5_000, 100_000])
@pytest.mark.parametrize("read", [row_number, table_value])
def test_table_value_refuses_deep_json_with_a_sentence(read, depth):
    def handler(event: gr.EventData):
        return read(event)

    texts = ["[" * depth + "1" + "]" * depth, '{"a":' * depth + "1" + "}" * depth]
    for value in (*texts, nested(depth), nested(depth, dict), [1, {"column": nested(depth)}]):
        with pytest.raises(gr.Error, match=r"nested|characters") as refusal:
            event_handler(handler)(event(value))
        assert len(refusal.value.message) < 300


def test_check_depth_accepts_what_a_page_may_send():
    check_depth(None, "x" * 10_000, list(range(10_000)), nested(MAX_DEPTH), nested(MAX_DEPTH, dict))


@pytest.mark.parametrize("value", [None, 1, True, ["a"], {"a": 1}, "x" * 2_001])
def test_name_of_refuses_what_is_no_short_text(value):
    with pytest.raises(StudioError, match="is no name of at most"):
        name_of(event(value))
    assert name_of(event("a column")) == "a column"


@pytest.mark.parametrize("step", ["1", True, [1], {"a": 1}, float("nan"), float("inf"), 10**30])
def test_step_range_refuses_what_is_no_step(step):
    for low, high in ((step, 2), (1, step)):
        with pytest.raises(StudioError, match="is no step"):
            step_range(gr.EventData(None, {"low": low, "high": high}))


def test_step_range_is_two_numbers_or_none():
    assert step_range(gr.EventData(None, {"low": 1, "high": 2.5})) == {"low": 1, "high": 2.5}
    assert step_range(gr.EventData(None, {"low": None, "high": None})) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(JSON.map(json.dumps) | st.text(max_size=50) | JSON)
def test_stored_ids_are_distinct_texts_whatever_a_browser_stored(text):
    ids = stored_ids(text)
    assert all(isinstance(one, str) for one in ids)
    assert len(set(ids)) == len(ids)


@given(st.integers(8_193, 300_000), st.sampled_from(["[", '"a",', "x"]))
def test_stored_ids_refuses_a_long_text_before_it_is_parsed(length, part):
    with pytest.raises(StudioError, match=r"characters, and the page stores at most 8,192\. Delete") as refusal:
        stored_ids((part * length)[:length])
    assert len(str(refusal.value)) < 300


def test_stored_ids_takes_what_the_page_stores():
    ids = [f"v{number:032x}-{number:016x}" for number in range(50)]
    assert stored_ids(json.dumps(ids)) == ids
    assert stored_ids(json.dumps(ids[:3] * 40)) == ids[:3]


def test_check_count_refuses_more_than_a_page_sends():
    check_count(range(MAX_ENTRIES), "runs")
    with pytest.raises(StudioError, match=r"101 runs were chosen, and at most 100 can be\. Choose fewer"):
        check_count(range(MAX_ENTRIES + 1), "runs")


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc80b"])
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [[t]], lambda t: {"a": {"b": t}}, lambda t: {t: 1}])
def test_check_text_refuses_characters_that_no_answer_can_carry(text, wrap):
    with pytest.raises(StudioError, match="half of a character"):
        check_text(["fine", wrap(text)], None)


def test_check_text_accepts_all_other_characters():
    check_text(["", "äöü 漢字 \U0001f600 \x00 \uffff", 1, None, True, [1.5]], {"é": ["\ufdd0"]})


def test_ticked_names_are_each_once_in_order():
    assert ticked_names(gr.EventData(None, {"ticked": ["b", "a", "b"]})) == ["b", "a"]


@pytest.mark.parametrize("ticked", ["a", None, {"a": 1}, [1], [["a"]], ["a" * 3000], ["a"] * 101])
def test_ticked_names_refuse_what_is_no_list_of_names(ticked):
    with pytest.raises(StudioError):
        ticked_names(gr.EventData(None, {"ticked": ticked}))
