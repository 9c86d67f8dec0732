"""Tests of turns and columns that hold a rendered conversation."""

import time
from typing import Any

import pytest

from core.data.formats import UnusableRow, detect
from core.data.formats.conversation import usual_role
from core.data.formats.rendered import unwrap

Q, A, S = "How do tides come about?", "The moon pulls the water.", "Be brief."
CHATML = f"<|im_start|>system\n{S}<|im_end|>\n<|im_start|>user\n{Q}<|im_end|>\n"
LLAMA3 = (
    f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{S}<|eot_id|>"
    f"<|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
EARLIER = [("user", "Hello"), ("assistant", "Good day.")]


def read(row: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    found = detect([row] * 3)
    assert found is not None
    assert found.is_sure
    parsed = found.reading.read(row)
    return [(message["role"], message["content"]) for message in parsed.messages], parsed.notes


@pytest.mark.parametrize(
    ("prompt", "completion", "before"),
    [
        (f"### Instruction:\n{Q}\n\n### Response:\n", f" {A}</s>", []),
        (f"### Instruction:\n{Q}\n", f"### Response:\n{A}", []),
        (f"{S}\n\n### Instruction:\n{Q}\n\n### Response:", A, [("system", S)]),
        (f"<s>[INST] <<SYS>>\n{S}\n<</SYS>>\n\n{Q} [/INST]", f" {A} </s>", [("system", S)]),
        (f"<s>[INST] Hello [/INST] Good day. </s><s>[INST] {Q} [/INST]", A, EARLIER),
        (f"{CHATML}<|im_start|>assistant\n", f"{A}<|im_end|>", [("system", S)]),
        (CHATML, f"<|im_start|>assistant\n{A}<|im_end|>\n", [("system", S)]),
        (CHATML, A, [("system", S)]),
        (LLAMA3, f"{A}<|eot_id|>", [("system", S)]),
        (LLAMA3.rstrip(), A, [("system", S)]),
        (f"Human:Hello\nAssistant:Good day.\nHuman:{Q}\nAssistant:", A, EARLIER),
        (f"\n\nHuman: {Q}\n\nAssistant:", f" {A}", []),
        (f"\n\nHuman: {Q}", f"\n\nAssistant: {A}", []),
        (f"### Human: {Q}\n### Assistant:", A, []),
        (f"{S} USER: {Q} ASSISTANT:", f"{A}</s>", [("system", S)]),
        (f"<start_of_turn>user\n{Q}<end_of_turn>\n<start_of_turn>model\n", f"{A}<end_of_turn>", []),
    ],
)
@pytest.mark.parametrize("columns", [("prompt", "completion"), ("instruction", "output")])
def test_a_rendered_prompt_column_is_read_as_turns(
    prompt: str, completion: str, before: list[tuple[str, str]], columns: tuple[str, str]
) -> None:
    turns, notes = read(dict(zip(columns, (prompt, completion), strict=True)))
    assert turns == [*before, ("user", Q), ("assistant", A)]
    assert any("are read as turns" in note for note in notes)


def test_a_rendered_prompt_in_a_list_of_turns_is_read_as_turns() -> None:
    content = f"<s>[INST] <<SYS>>\n{S}\n<</SYS>>\n\n{Q} [/INST]"
    row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": A}]}
    assert read(row)[0] == [("system", S), ("user", Q), ("assistant", A)]


def test_sys_marks_in_the_first_question_become_the_system_turn() -> None:
    turns = [{"from": "human", "value": f"<<SYS>>\n{S}\n<</SYS>>\n\n{Q}"}, {"from": "gpt", "value": A}]
    assert read({"conversations": turns})[0] == [("system", S), ("user", Q), ("assistant", A)]
    both = read({"conversations": turns, "system": "You are kind."})[0]
    assert both[0] == ("system", f"You are kind.\n\n{S}")


def test_an_answer_that_goes_on_with_further_questions_is_read_as_turns() -> None:
    more = f"{A}<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"
    turns, _ = read({"prompt": f"{CHATML}<|im_start|>assistant\n", "completion": more})
    assert turns[-3:] == [("assistant", A), ("user", "So?"), ("assistant", "Yes.")]


def test_the_beginning_of_an_answer_in_the_prompt_belongs_to_the_answer() -> None:
    turns, _ = read({"prompt": f"{CHATML}<|im_start|>assistant\n<think>\n", "completion": f"hm\n</think>\n\n{A}"})
    assert turns[-2:] == [("user", Q), ("assistant", f"<think>\nhm\n</think>\n\n{A}")]


def test_a_question_that_holds_a_whole_conversation_is_unusable() -> None:
    row = {"prompt": f"{CHATML}<|im_start|>assistant\n{A}<|im_end|>", "completion": "Good"}
    reading = detect([{"prompt": Q, "completion": A}] * 3)
    assert reading is not None
    with pytest.raises(UnusableRow, match="holds a whole conversation in the style ChatML"):
        reading.reading.read(row)


@pytest.mark.parametrize("end", ["</s>", "<|im_end|>", "<|eot_id|>", " </s>\n"])
def test_an_end_mark_at_the_end_of_an_answer_is_left_out_with_a_note(end: str) -> None:
    turns, notes = read({"prompt": Q, "completion": A + end})
    assert turns == [("user", Q), ("assistant", A)]
    assert notes == [f"the mark {end.strip()!r} at the end of an answer is left out"]


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Summarize:\nHuman: Hello\nAssistant: Good day.", "A greeting."),
        ("How is text struck through in HTML?", "<s>So</s>"),
        ("What does User: mean in a log?", "A name.\n\nHuman: too."),
    ],
)
def test_ordinary_questions_and_answers_are_unchanged(prompt: str, completion: str) -> None:
    turns, notes = read({"prompt": prompt, "completion": completion})
    assert turns == [("user", prompt), ("assistant", completion)]
    assert notes == []


def test_marks_that_a_question_only_mentions_are_named() -> None:
    turns, notes = read({"prompt": "What does [INST] mean?", "completion": A})
    assert turns[0] == ("user", "What does [INST] mean?")
    assert notes == ["a question holds marks of the style Llama 2; they are trained as its text"]


def test_a_llama2_answer_that_goes_on_is_read_as_turns() -> None:
    row = {"prompt": f"<s>[INST] {Q} [/INST]", "completion": f"{A} </s><s>[INST] So? [/INST] Yes. </s>"}
    assert read(row)[0] == [("user", Q), ("assistant", A), ("user", "So?"), ("assistant", "Yes.")]


def test_mistrals_system_marks_are_read_as_the_system_turn() -> None:
    turns, notes = read({"text": f"<s>[SYSTEM_PROMPT] {S}[/SYSTEM_PROMPT][INST] {Q}[/INST] {A}</s>"})
    assert turns == [("system", S), ("user", Q), ("assistant", A)]
    assert notes == []


def test_a_system_turn_after_the_last_answer_is_named() -> None:
    turns = [("user", Q), ("assistant", A), ("system", "Always answer in French.")]
    found, notes = read({"messages": [{"role": role, "content": content} for role, content in turns]})
    assert found == turns[:2]
    assert notes == ["a system turn after the last answer is not used, since no answer follows it"]


@pytest.mark.parametrize("text", ["\n" * 100_000, "Human: " * 10_000, "<s>" * 20_000, "### Human: a\n" * 5_000])
def test_time_grows_with_the_length_of_a_question_alone(text: str) -> None:
    started = time.process_time()
    unwrap([{"role": "user", "content": f"x{text}y"}, {"role": "assistant", "content": A}], [].append, usual_role)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("text", [f"### Human: {Q}\n### Assistant: {A}</s>", f"Human: {Q}\n\nAssistant: {A}</s>"])
def test_an_end_mark_of_a_marked_text_is_left_out(text: str) -> None:
    turns, notes = read({"text": text})
    assert turns[-1] == ("assistant", A)
    assert notes == ["the mark '</s>' at the end of an answer is left out"]


@pytest.mark.parametrize(
    ("question", "answer", "notes"),
    [
        ("Continue.\n\nHuman: a\nAI: b\nHuman: c", "AI: d", ["are read as turns", "is read as the system prompt"]),
        ("Human: a\n\nHuman: b", "AI: c", ["are read as turns"]),
        ("User: Hello.\n\nHuman: a\nAssistant:", "b", ["are read as turns"]),
        ("Summarize.\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "d", ["are trained as its text"]),
        ("What are [INST] and ### Human: for?", "d", ["are trained as its text"]),
    ],
)
def test_marks_of_a_question_are_named_as_read_or_as_trained_but_not_both(question, answer, notes):
    _, found = read({"prompt": question, "completion": answer})
    assert len(found) == len(notes)
    assert all(note.endswith(end) for note, end in zip(found, notes, strict=True))


@pytest.mark.parametrize("label", ["Tool", "Observation", "Function response"])
@pytest.mark.parametrize(
    "pattern",
    [
        "Human: {q}\nAssistant: call\n{label}: result\nAssistant:",
        "Human: {q}\n\nAssistant: call\n\n{label}: result\n\nAssistant:",
        "### Human: {q}\n### Assistant: call\n### {label}: result\n### Assistant:",
        "### Instruction:\n{q}\n\n### Response:\ncall\n\n### {label}:\nresult\n\n### Response:\n",
    ],
)
def test_result_of_a_tool_in_a_rendered_prompt_is_a_tool_turn(label, pattern):
    turns, _ = read({"prompt": pattern.format(q=Q, label=label), "completion": A})
    assert turns == [("user", Q), ("assistant", "call"), ("tool", "result"), ("assistant", A)]


def test_label_of_a_tool_in_a_question_of_a_rendered_prompt_is_text():
    turns, _ = read({"prompt": f"Human: {Q}\nObservation: wet\nAssistant:", "completion": A})
    assert turns == [("user", f"{Q}\nObservation: wet"), ("assistant", A)]
