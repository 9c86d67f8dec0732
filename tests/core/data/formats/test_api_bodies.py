"""Requests and responses of interfaces: errors are left out, cut answers noted, and empty or JSON labels reported."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.api_bodies import failed_reason, is_request, request_of
from core.data.formats.detect import detect
from core.data.formats.response_items import are_items, turns_of_items
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

TURN = {"role": "user", "content": "Why?"}
PAIR = Reading(format="prompt_completion")
ERRORS = [
    {"error": {"message": "Overloaded.", "type": "server_error"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded."}, "request_id": "r1"},
    {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED"}},
]


@pytest.mark.parametrize("error", ERRORS)
def test_error_of_a_request_is_no_answer(error):
    with pytest.raises(UnusableRow, match="is the error of a request"):
        PAIR.parse({"prompt": "Why?", "completion": error})


@pytest.mark.parametrize(
    "value", [{"error": "no such city"}, {"error": {"message": "x"}}, {"error": None, "city": "Oslo"}]
)
def test_answer_with_a_field_called_error_is_trained(value):
    assert PAIR.parse({"prompt": "Why?", "completion": value})[-1]["role"] == "assistant"


@pytest.mark.parametrize(
    ("body", "first"),
    [
        ({"messages": [TURN]}, TURN),
        ({"system": "Be brief.", "messages": [TURN]}, {"role": "system", "content": "Be brief."}),
        (
            {"system": [{"type": "text", "text": "A"}], "messages": [TURN]},
            {"role": "system", "content": [{"type": "text", "text": "A"}]},
        ),
        ({"instructions": "Be brief.", "input": [TURN]}, {"role": "system", "content": "Be brief."}),
        (
            {
                "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
                "system_instruction": {"parts": [{"text": "A"}]},
            },
            {"role": "system", "content": [{"text": "A"}]},
        ),
    ],
)
def test_request_is_read_as_turns(body, first):
    assert is_request(body)
    assert request_of(body)["messages"][0] == first


@pytest.mark.parametrize(
    "value", [{"input": "Why?"}, {"input": [{"x": 1}]}, {"contents": ["a"]}, {}, [TURN], "Why?", None]
)
def test_other_values_are_no_requests(value):
    assert not is_request(value)
    assert request_of(value) == value


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [{"finish_reason": "length"}]},
        {"stop_reason": "max_tokens"},
        {"candidates": [{"finishReason": "SAFETY"}]},
        [{"finish_reason": "length"}],
    ],
)
def test_reason_of_a_cut_answer_is_found(value):
    assert failed_reason(value)


def test_items_are_joined_to_turns():
    call = {"type": "function_call", "name": "look", "arguments": "{}", "id": "c1"}
    items = [
        TURN,
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "So."}]},
        call,
        call,
        {"type": "function_call_output", "output": "3"},
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": "Three."},
    ]
    assert are_items(items)
    turns = turns_of_items(items)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "assistant", "tool", "assistant"]
    assert turns[1]["reasoning_content"] == "So."


def test_reasoning_without_an_answer_is_reported():
    with pytest.raises(UnusableRow, match="is empty"):
        Reading(format="messages").parse({"messages": [TURN, {"type": "reasoning", "content": [{"text": "So."}]}]})


def test_search_of_a_response_cannot_be_trained():
    with pytest.raises(UnusableRow, match="web_search_call"):
        Reading(format="messages").parse({"messages": [TURN, {"type": "web_search_call", "id": "w"}]})


def test_label_of_an_empty_text_is_left_out_and_json_noted():
    label = Reading(format="label")
    with pytest.raises(UnusableRow, match="the text is empty"):
        label.parse({"text": " ", "label": "good"})
    notes = label.read({"text": "Fine.", "label": '{"choices": ["good", "neutral"]}'}).notes
    assert any("the label is a list or an object" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "values"),
    [("fuzzy", [True, False] * 2), ("needs_review", ["yes", "no"] * 2), ("llm/correctness/rating", ["yes", "no"] * 2)],
)
def test_detect_asks_about_flags_of_answers(name, values):
    found = detect(rows_of(question=QUESTIONS, answer=PROSE, **{name: values}))
    assert f"{name!r} may say which answers are good" in found.evidence


@pytest.mark.parametrize(("name", "values"), [("fuzzy", [False] * 4), ("is_bad", [0] * 4), ("helpful", [True] * 4)])
def test_detect_asks_about_no_flag_that_marks_no_row(name, values):
    assert detect(rows_of(question=QUESTIONS, answer=PROSE, **{name: values})).is_sure
