"""Reasoning between the special tokens of one model becomes reasoning in <think> tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats import Reading
from core.data.formats.reasoning_marks import _STYLES, read_reasoning_marks

MARKED = {
    "OpenThoughts": "<|begin_of_thought|>\nhm\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n4\n<|end_of_solution|>",
    "without marks of the answer": "<|begin_of_thought|>hm<|end_of_thought|>\n\n4",
    "Command": "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>4<|END_RESPONSE|>",
    "Harmony": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
    "Magistral": "[THINK]hm[/THINK]4",
    "Seed": "\n<seed:think>\nhm\n</seed:think>\n4",
    "Kimi": "◁think▷hm◁/think▷4",
    "an end mark after it": "<|begin_of_thought|>hm<|end_of_thought|><|begin_of_solution|>4<|end_of_solution|></s>",
}


def read(answer, question="2+2?", **options):
    row = {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    return Reading(format="messages", **options).read(row)


@pytest.mark.parametrize("answer", MARKED.values(), ids=MARKED)
def test_marked_reasoning_is_written_in_think_tags_or_left_out(answer):
    assert read(answer).messages[1]["content"] == "<think>\nhm\n</think>\n\n4"
    assert read(answer).notes[0].endswith("is written in <think> tags")
    left_out = read(answer, reasoning="leave out")
    assert left_out.messages[1]["content"] == "4"
    assert left_out.notes[0].endswith("is left out")


def test_prompt_that_asks_for_the_marks_asks_for_tags():
    asked = read(MARKED["OpenThoughts"], "Use <|begin_of_thought|> x <|end_of_thought|><|begin_of_solution|>y.")
    assert asked.messages[0]["content"] == "Use <think> x </think>y."


@pytest.mark.parametrize(
    "answer",
    ["The token <|begin_of_thought|> begins it.", "<|begin_of_thought|>no end", "[THINK]hm[/THINK]", "[THINKING] 4",
     "<think>\nhm\n</think>\n\n4", "", "[1, 2]"],
)  # fmt: skip
def test_answer_without_marked_reasoning_is_unchanged(answer):
    assert read(f"a {answer}").messages[1]["content"] == f"a {answer}"
    messages = [{"role": "assistant", "content": answer}]
    assert read_reasoning_marks(messages, True, pytest.fail) == messages


@pytest.mark.parametrize("answer", ["<think>\nhm", "<think>hm</think>4 <think>again", "<think>"])
def test_reasoning_that_never_ends_is_noted(answer):
    assert read(answer).notes == [
        "the reasoning of an answer begins with <think> and never ends; it is trained as it is"
    ]
    assert read(answer).messages[1]["content"] == answer


@given(st.sampled_from(_STYLES), st.text(), st.text())
def test_no_text_of_the_answer_is_lost(style, reasoning, answer):
    begin, end, answer_begin, answer_end = style
    text = f"{begin}{reasoning}{end}{answer_begin}{answer}{answer_end}"
    [message] = read_reasoning_marks([{"role": "assistant", "content": text}], True, lambda sentence: None)
    assert reasoning.strip() in message["content"]
    assert answer.strip() in message["content"]
