"""A column of reasoning beside an answer is asked about, and trained in <think> tags or left out."""

import pytest

from core.data.formats import Reading
from core.data.formats.detect import detect
from core.data.formats.reasoning_columns import is_reasoning_name
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of, turns

THOUGHTS = [f"I recall that {text.lower()}" for text in PROSE]
NAMES = (
    "Complex_CoT", "thinking_trajectories", "reasoning", "reasoning_content", "thinking", "thoughts", "cot",
    "rationale", "chain_of_thought", "deepseek_thinking_trajectory", "chainOfThought", "model_reasoning",
)  # fmt: skip
FORMATS = {
    "messages": rows_of(messages=[turns(text) for text in PROSE]),
    "alpaca": rows_of(instruction=QUESTIONS, output=PROSE),
    "prompt_completion": rows_of(prompt=QUESTIONS, completion=PROSE),
    "unusual names": rows_of(Frage=QUESTIONS, response=PROSE),
    "preference": rows_of(prompt=QUESTIONS, chosen=PROSE, rejected=["No."] * 4),
    "rated": rows_of(prompt=QUESTIONS, completion=PROSE, label=[True, False, True, True]),
    "label": rows_of(text=[f"{text} " * 4 for text in PROSE], label=["tides", "light", "tides", "light"]),
}


def with_column(rows, name, values):
    return [row | {name: value} for row, value in zip(rows, values, strict=True)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMATS)
def test_detect_offers_reasoning_before_answer_first_then_without(form, name):
    rows = with_column(FORMATS[form], name, THOUGHTS)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert repr(name) in found.evidence
    trained, left_out = (reading.read(rows[0]) for reading in found.candidates[:2])
    assert trained.messages[-1]["content"].startswith(f"<think>\n{THOUGHTS[0]}\n</think>\n\n")
    assert trained.messages[-1]["content"].endswith(left_out.messages[-1]["content"])
    assert trained.messages[:-1] == left_out.messages[:-1]
    assert name not in trained.unread + left_out.unread
    assert THOUGHTS[0] not in str(left_out.messages)


@pytest.mark.parametrize(
    "name", ["reasoning_length", "cot_type", "thinking_budget", "is_reasoning_complete", "scotland"]
)
def test_column_about_reasoning_holds_none(name):
    assert not is_reasoning_name(name)


def test_detect_copy_of_reasoning_in_answer_stays_sure():
    answers = [f"<think>\n{thought}\n</think>\n\n{text}" for thought, text in zip(THOUGHTS, PROSE, strict=True)]
    assert detect(rows_of(prompt=QUESTIONS, completion=answers, reasoning=THOUGHTS)).is_sure


def test_detect_several_columns_of_reasoning_are_offered_one_by_one():
    rows = rows_of(question=QUESTIONS, answer=PROSE, gemini_thinking=THOUGHTS, deepseek_thinking=THOUGHTS[::-1])
    extras = [reading.extra for reading in detect(rows).candidates[:3]]
    assert extras == [
        {"gemini_thinking": "reasoning", "deepseek_thinking": "ignore"},
        {"gemini_thinking": "ignore", "deepseek_thinking": "reasoning"},
        {"gemini_thinking": "ignore", "deepseek_thinking": "ignore"},
    ]


@pytest.mark.parametrize(
    ("reasoning", "answer", "expected"),
    [
        ("hm", "4", "<think>\nhm\n</think>\n\n4"),
        ("<think>hm</think>", "4", "<think>\nhm\n</think>\n\n4"),
        ("hm", "<think>hm</think>4", "<think>\nhm\n</think>\n\n4"),
        (["hm", "so"], "4", "<think>\nhm\nso\n</think>\n\n4"),
        ("", "4", "4"),
        (None, "4", "4"),
    ],
)
def test_reasoning_of_a_column_is_written_once(reasoning, answer, expected):
    row = {"prompt": "2+2?", "completion": answer, "cot": reasoning}
    assert Reading(format="prompt_completion", extra={"cot": "reasoning"}).parse(row)[1]["content"] == expected


def test_reasoning_of_a_column_is_left_out_or_unused_with_a_note():
    row = {"prompt": "2+2?", "completion": "4", "cot": "hm", "text": "t"}
    left_out = Reading(format="prompt_completion", extra={"cot": "reasoning"}, reasoning="leave out").read(row)
    assert left_out.messages[1]["content"] == "4"
    assert left_out.notes == ["the reasoning of an answer is left out"]
    assert "no answer" in Reading(format="text", extra={"cot": "reasoning"}).read(row).notes[0]
