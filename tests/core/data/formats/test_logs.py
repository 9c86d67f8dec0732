"""Requests and answers of logs in cells of JSON: the conversation or the text inside is read, or the page asks."""

import json

import pytest

from core.data.formats.detect import detect
from core.data.formats.reading import Reading

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


CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Bergen"}'}},
    {"id": "c2", "type": "function", "function": {"name": "wind", "arguments": '{"port": "Bergen"}'}},
]
TOOLS = [{"type": "function", "function": {"name": "tide"}}, {"type": "function", "function": {"name": "wind"}}]


def request(text):
    return {"model": "m", "messages": [turn("user", text)], "tools": TOOLS}


def message(content, **more):
    return {"role": "assistant", "content": content, "tool_calls": CALLS, **more}


@pytest.mark.parametrize("content", [None, "Let me look."])
@pytest.mark.parametrize("write", [json.dumps, lambda value: value], ids=["text", "object"])
@pytest.mark.parametrize("wrap", [lambda found: {"choices": [{"index": 0, "message": found}]}, lambda found: found])
def test_parallel_tool_calls_are_the_answer_and_the_tools_of_the_request_its_system_prompt(content, write, wrap):
    row = {"prompt": write(request("When is high tide?")), "completion": write(wrap(message(content)))}
    found = Reading(format="prompt_completion").read(row)
    assert [one["role"] for one in found.messages] == ["system", "user", "assistant"]
    assert found.messages[0]["content"] == f"You may call these tools:\n{json.dumps(TOOLS)}"
    text, _, calls = found.messages[-1]["content"].rpartition("\n\n")
    assert (text or None) == content
    assert json.loads(calls) == CALLS
    assert any("with its tool calls" in note for note in found.notes)
    assert any("'model' of the conversation is not used" in note for note in found.notes)


def test_detect_logs_of_tool_calls_offer_the_message():
    rows = [{"request": request(text), "response": {"choices": [{"message": message(None)}]}} for text in ASKED]
    found = detect(rows)
    assert "choices[0].message would be used" in found.evidence
    assert json.loads(found.candidates[0].parse(rows[0])[-1]["content"]) == CALLS


def test_several_messages_with_tool_calls_are_no_answer():
    row = {"prompt": "Why?", "completion": {"choices": [{"message": message(None)}, {"message": message(None)}]}}
    assert Reading(format="prompt_completion").parse(row)[-1]["content"].startswith('{"choices"')


@pytest.mark.parametrize("name", ["ideal", "reference", "ground_truth"])
def test_detect_reference_beside_turns_of_a_question_is_offered_as_the_answer(name):
    rows = [
        {"input": [turn("system", "Be brief."), turn("user", q)], name: [a]} for q, a in zip(ASKED, GIVEN, strict=True)
    ]
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    offered = next(reading for reading in found.candidates if reading.format == "prompt_completion")
    assert [one["content"] for one in offered.parse(rows[0])] == ["Be brief.", ASKED[0], GIVEN[0]]


def test_instructions_beside_the_turns_of_a_request_are_its_system_prompt():
    # A log of OpenAI's Responses.
    rows = [
        {"id": f"resp_{i}", "instructions": "Be brief.", "input": [turn("user", ASKED[i])], "output": [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": GIVEN[i]}]}]}
        for i in range(6)
    ]  # fmt: skip
    found = detect(rows)
    assert found.is_sure, found.evidence
    assert [m["content"] for m in found.reading.parse(rows[1])] == ["Be brief.", ASKED[1], GIVEN[1]]
