"""Marks of turns inside a column are read as turns, or named in a note; none is trained in silence."""

import pytest

from core.data.formats.reading import Reading

PAIR = Reading(format="prompt_completion")
EARLIER = {
    "NeMo": "Why?\n<extra_id_1>Assistant\nSo.\n<extra_id_1>User\nAnd now?",
    "NeMo with an end": "Why?\n<extra_id_1>Assistant\nSo.\n<extra_id_1>User\nAnd now?\n<extra_id_1>Assistant\n",
    "NeMo with a system turn": "<extra_id_0>System\n\n<extra_id_1>User\nWhy?\n<extra_id_1>Assistant\nSo.\n"
    "<extra_id_1>User\nAnd now?\n<extra_id_1>Assistant\n",
    "ChatML": "Why?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>",
}  # fmt: skip
MARKS = (
    "<extra_id_1>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<<SYS>>", "<|im_start|>", "<|im_end|>",
    "<|start_header_id|>", "<|eot_id|>", "<|user|>", "<|assistant|>", "<｜User｜>", "<|START_OF_TURN_TOKEN|>",
)  # fmt: skip


@pytest.mark.parametrize("prompt", EARLIER.values(), ids=EARLIER)
def test_earlier_turns_in_a_prompt_are_turns(prompt):
    found = PAIR.read({"prompt": prompt, "completion": "Now."})
    turns = [(m["role"], m["content"]) for m in found.messages if m["content"]]
    assert turns == [("user", "Why?"), ("assistant", "So."), ("user", "And now?"), ("assistant", "Now.")]
    assert any("are read as turns" in sentence for sentence in found.notes)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize(
    ("slot", "where"), [("prompt", "a question"), ("completion", "an answer"), ("system", "the system prompt")]
)
def test_mark_of_a_turn_in_one_row_is_noted(mark, slot, where):
    row = {"prompt": "What is this?", "completion": "A token.", "system": "Be brief."}
    found = PAIR.read(row | {slot: f"See {mark} in the middle of it."})
    assert any(where in sentence and "trained as" in sentence for sentence in found.notes), found.notes
    assert mark in "".join(message["content"] for message in found.messages)


def test_texts_with_other_brackets_have_no_note():
    row = {"prompt": "What does <b>x</b> [1] mean if a < b?", "completion": "See [2] and <i>y</i>."}
    assert PAIR.read(row).notes == []
