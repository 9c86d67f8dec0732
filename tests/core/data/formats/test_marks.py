"""Turns of a text with marks, found in time linear in its length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats import Reading, detect
from core.data.formats.conversation import UnusableRow
from core.data.formats.marks import (
    _LLAMA2_TURN,
    _llama2_turns,
    parse_guanaco,
    parse_llama2,
    without_system_label,
)

PIECES = st.sampled_from(["<s>", "[INST]", "[/INST]", "</s>", "a", "\n", " "])


@given(st.lists(PIECES, max_size=25).map("".join))
def test_llama2_turns_are_those_that_the_pattern_finds(text):
    turns = [(turn.span(), turn.groups()) for turn in _llama2_turns(text)]
    assert turns == [(turn.span(), turn.groups()) for turn in _LLAMA2_TURN.finditer(text)]


# With a search of the rest from each mark, each of these would take minutes.
@pytest.mark.parametrize("before", ["", "[INST] a question [/INST] an answer "])
@pytest.mark.parametrize("mark", ["[INST]", "<s>[INST]", "[INST] <<SYS>>\n"])
def test_llama2_marks_without_an_end_are_passed_over_at_once(mark, before):
    text = before + mark * 100_000
    if before:
        assert [message["role"] for message in parse_llama2(text, print)] == ["user", "assistant"]
    else:
        with pytest.raises(UnusableRow, match="no"):
            parse_llama2(text, print)


# One text of each style, with a place for the label of a tool between two answers.
STYLES = {
    "Vicuna": "USER: q\nASSISTANT: call</s>\n{capitals}: result\nASSISTANT: a</s>",
    "Vicuna in one line": "USER: q ASSISTANT: call {capitals}: result ASSISTANT: a",
    "Glaive": "USER: q\n\n\nASSISTANT: call <|endoftext|>\n\n\n{capitals}: result\n\n\nASSISTANT: a <|endoftext|>",
    "Human and Assistant": "\n\nHuman: q\n\nAssistant: call\n\n{words}: result\n\nAssistant: a",
    "Alpaca": "### Instruction:\nq\n\n### Response:\ncall\n\n### {words}:\nresult\n\n### Response:\na",
    "Guanaco": "### Human: q\n### Assistant: call\n### {words}: result\n### Assistant: a",
}
TOOL_LABELS = ("Tool", "Function", "Observation", "Function response", "Tool Response", "API response", "Tool_output",
               "Search results", "Results")  # fmt: skip


def roles_of(text):
    if "### Human:" in text:
        return [(m["role"], m["content"].strip()) for m in parse_guanaco(text)]
    return [(m["role"], m["content"]) for m in Reading(format="marked").parse({"text": text})]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("label", TOOL_LABELS)
def test_parse_marked_text_result_of_a_tool_is_a_tool_turn(style, label):
    text = STYLES[style].format(words=label, capitals=label.upper())
    assert roles_of(text) == [("user", "q"), ("assistant", "call"), ("tool", "result"), ("assistant", "a")]


def test_parse_marked_text_results_of_two_tools_are_two_turns():
    text = "USER: q\nASSISTANT: call\nTOOL: b\nTOOL: c\nASSISTANT: a"
    assert [role for role, _ in roles_of(text)] == ["user", "assistant", "tool", "tool", "assistant"]


@pytest.mark.parametrize("role", ["tool", "observation", "function"])
def test_parse_zephyr_result_of_a_tool_is_a_tool_turn(role):
    text = f"<|user|>\nq</s>\n<|assistant|>\ncall</s>\n<|{role}|>\nresult</s>\n<|assistant|>\na</s>"
    assert roles_of(text) == [("user", "q"), ("assistant", "call"), ("tool", "result"), ("assistant", "a")]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "\n\nHuman: q\n\nAssistant: Two parts.\n\nFunction: it filters.\n\nResults: fine.",
            "Two parts.\n\nFunction: it filters.\n\nResults: fine.",
        ),
        (
            "\n\nHuman: q\n\nAssistant: Note.\n\nObservation: so.\n\nHuman: b\n\nAssistant: c",
            "Note.\n\nObservation: so.",
        ),
        ("### Human: q\n### Assistant: x\n### Results: y", "x\n### Results: y"),
        ("USER: What does\nTOOL: mean?\nASSISTANT: A hammer.", "A hammer."),
        ("### Instruction:\nq\n\n### Response:\nx\n\n### Observation:\ny", "x\n\n### Observation:\ny"),
    ],
)
def test_parse_marked_text_label_of_a_tool_in_prose_is_text(text, answer):
    turns = roles_of(text)
    assert {role for role, _ in turns} == {"user", "assistant"}
    assert turns[1][1] == answer


@pytest.mark.parametrize(
    "label", ["SYSTEM: ", "System: ", "### System: ", "System prompt: ", "### System:\n", "System message:"]
)
@pytest.mark.parametrize(
    "text", ["USER: q\nASSISTANT: a", "### Human: q\n### Assistant: a", "\n\nHuman: q\n\nAssistant: a"]
)
def test_parse_marked_text_label_of_the_system_prompt_is_a_mark(label, text):
    assert roles_of(f"{label}Be brief.\n{text}") == [("system", "Be brief."), ("user", "q"), ("assistant", "a")]


@pytest.mark.parametrize("text", ["Systems: many", "The system: old", "You are a system: be brief", "system", "SYSTEM"])
def test_system_prompt_without_a_label_is_unchanged(text):
    assert without_system_label(text) == (text, "")


@pytest.mark.parametrize(
    "text", [*STYLES.values(), "<s>[INST] q [/INST] a</s>", "<|user|>\nq</s>\n<|assistant|>\na</s>"]
)
@pytest.mark.parametrize(("column", "value"), [("system", "SYSTEM: Be brief."), ("system_prompt", "Be brief.")])
def test_read_system_column_beside_marked_text_is_the_system_prompt(text, column, value):
    row = {column: value, "chat": text.format(words="Tool", capitals="TOOL")}
    found = detect([row | {"id": i} for i in range(4)])
    assert found.is_sure
    parsed = found.reading.read(row)
    assert parsed.messages[0] == {"role": "system", "content": "Be brief."}
    assert parsed.unread == []


def test_read_system_column_that_repeats_the_text_is_read_once():
    row = {"system": "Be brief.", "text": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
                                          "<|im_start|>assistant\na<|im_end|>"}  # fmt: skip
    assert [m["content"] for m in Reading(format="marked").parse(row)] == ["Be brief.", "q", "a"]


def test_read_label_of_a_system_turn_is_left_out_with_a_note():
    turns = [
        {"role": role, "content": text} for role, text in (("system", "System: x"), ("user", "q"), ("assistant", "a"))
    ]
    parsed = Reading(format="messages").read({"messages": turns})
    assert parsed.messages[0]["content"] == "x"
    assert parsed.notes == ["the label 'System:' of a system prompt is left out"]


@pytest.mark.parametrize("results", [["21"], ["21", "22"]])
@pytest.mark.parametrize("end", ["</s>", ""])
def test_parse_llama2_results_of_mistrals_tools_are_tool_turns(results, end):
    marked = "".join(f"[TOOL_RESULTS] {result}[/TOOL_RESULTS]" for result in results)
    turns = [
        (m["role"], m["content"]) for m in parse_llama2(f"<s>[INST] q[/INST] call{end}{marked} a</s>", pytest.fail)
    ]
    assert turns == [("user", "q"), ("assistant", "call"), *(("tool", r) for r in results), ("assistant", "a")]


@pytest.mark.parametrize("answer", ["Use [TOOL_RESULTS].", "[/TOOL_RESULTS]", "[TOOL_RESULTS] " * 50_000])
def test_parse_llama2_unpaired_mark_of_a_result_is_text(answer):
    messages = parse_llama2(f"[INST] q [/INST] {answer}", pytest.fail)
    assert [message["role"] for message in messages] == ["user", "assistant"]
