"""Requests and answers of logs in cells of JSON: the conversation or the text inside is read, or the page asks."""

import json

import pytest

from core.data.formats.detect import detect

ASKED = [f"What is the number {i} of all?" for i in range(6)]
GIVEN = [f"It is the number {i}, of course." for i in range(6)]


def turn(role, text):
    return {"role": role, "content": text}


def cells(make_input, make_output, names=("inputs", "outputs"), write=json.dumps):
    return [
        {"id": f"{i:032x}", names[0]: write(make_input(ASKED[i])), names[1]: write(make_output(GIVEN[i]))}
        for i in range(6)
    ]


def asked(text):
    return {"messages": [turn("user", text)]}


def given(text):
    return {"messages": [turn("assistant", text)]}


def response(text):
    return {"id": "c", "choices": [{"index": 0, "message": turn("assistant", text)}], "usage": {"total_tokens": 9}}


SURE = {
    "messages in both": cells(asked, given),
    "messages written by Python": cells(asked, given, write=str),
    "messages as objects": cells(asked, given, write=lambda value: value),
    "messages in a batch": cells(lambda text: {"messages": [[turn("user", text)]]}, given),
    "messages and a text": cells(asked, lambda text: text, ("prompt", "completion"),
                                 lambda value: value if isinstance(value, str) else json.dumps(value)),
    "LangChain's messages": cells(lambda text: {"messages": [{"type": "human", "content": text}]},
                                  lambda text: {"messages": [{"type": "ai", "content": text}]}),
}  # fmt: skip
OFFERED = {
    "input and output": cells(lambda text: {"input": text}, lambda text: {"output": text}),
    "question and answer": cells(lambda text: {"question": text}, lambda text: {"answer": text}),
    "a question with more": cells(lambda text: {"question": text, "k": 3}, lambda text: {"answer": text}),
    "a response": cells(asked, response, ("request", "response")),
    "a response in Python": cells(asked, response, write=str),
    "a generation": cells(asked, lambda text: {"generations": [[{"text": text, "type": "ChatGeneration"}]]}),
    "a message": cells(asked, lambda text: {"message": turn("assistant", text)}),
    "a turn": cells(asked, lambda text: turn("assistant", text)),
    "paths": cells(lambda text: [turn("user", text)], lambda text: text, ("input.messages", "output.content"),
                   lambda value: value if isinstance(value, str) else json.dumps(value)),
}  # fmt: skip
KEPT = {
    "an object": [{"prompt": text, "completion": json.dumps({"planet": text, "size": 3})} for text in ASKED],
    "an object of one text": [{"prompt": text, "completion": json.dumps({"answer": text})} for text in ASKED],
    "a list": [{"prompt": text, "completion": json.dumps([{"name": text}])} for text in ASKED],
}


@pytest.mark.parametrize("rows", SURE.values(), ids=SURE)
def test_detect_conversations_in_cells_are_read(rows):
    found = detect(rows)
    assert found.is_sure, found.evidence
    assert [m["content"] for m in found.reading.parse(rows[1])] == [ASKED[1], GIVEN[1]]


@pytest.mark.parametrize("rows", OFFERED.values(), ids=OFFERED)
def test_detect_objects_in_cells_ask_and_offer_the_texts_first(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert [m["content"] for m in found.candidates[0].parse(rows[1])] == [ASKED[1], GIVEN[1]]


@pytest.mark.parametrize("rows", KEPT.values(), ids=KEPT)
def test_detect_answer_in_json_is_kept_as_text(rows):
    found = detect(rows)
    assert found.is_sure, found.evidence
    assert found.reading.parse(rows[0])[-1]["content"] == rows[0]["completion"]


def test_read_answer_that_repeats_the_prompt_has_it_once():
    whole = {"messages": [turn("user", ASKED[0]), turn("assistant", GIVEN[0])]}
    row = {"inputs": json.dumps(asked(ASKED[0])), "outputs": json.dumps(whole)}
    parsed = detect([row] * 3).reading.read(row)
    assert [m["content"] for m in parsed.messages] == [ASKED[0], GIVEN[0]]
    assert any("repeated in the completion" in note for note in parsed.notes)
