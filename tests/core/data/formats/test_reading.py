"""Rows of every format parsed to conversations, and rows that are unusable."""

import contextlib
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.data.formats import (
    FORMAT_NAMES,
    FORMATS,
    PLACEHOLDER,
    Format,
    Reading,
    UnusableRow,
    ends_without_answer,
    find_problem,
    until_last_answer,
)
from tests.helpers.datasets import dialog
from tests.helpers.one_conversation import ANSWER, ROWS, TURNS, USER


def read(name: str, row: dict, **options) -> list:
    return Reading(format=name, **options).parse(row)


@pytest.mark.parametrize("name", ROWS)
def test_parse_every_format_with_turns_gives_same_conversation(name):
    assert read(name, ROWS[name]) == TURNS


def test_parse_plain_text_and_label_fills_their_templates():
    assert read("text", {"content": "Prose."}) == [{"role": "text", "content": "Prose."}]
    row = {"review": " Good film. ", "stars": 1}
    options = {
        "columns": {"text": "review", "label": "stars"},
        "prompt": "{text} ({label}?)",
        "labels": {"1": "positive"},
    }
    assert read("label", row, **options) == dialog("Good film. (stars?)", "positive")
    assert read("label", row, **options | {"labels": {}})[1]["content"] == "1"


def test_samples_cover_every_format():
    # Formats that tests/core/data/formats/test_public_shapes.py covers.
    elsewhere = {"label", "text", "preference", "rated", "tree", "paired", "multiple_choice", "marked"}
    elsewhere |= {"undecided"}
    assert {*ROWS, *elsewhere} == set(FORMAT_NAMES) == {form.name for form in FORMATS}


def test_parse_alpaca_keeps_input_history_and_system():
    row = {"instruction": "Sum up", "input": "a b", "output": "c", "history": [["Hi", "Ho"]], "system": "Be brief."}
    assert read("alpaca", row) == dialog("Hi", "Ho", "Sum up\n\na b", "c", system="Be brief.")
    assert read("alpaca", row | {"history": '[["Hi", "Ho"]]'}) == read("alpaca", row)


def test_parse_sharegpt_keeps_system_tools_and_calls():
    row = {
        "system": "Be brief.",
        "tools": '[{"name": "clock"}]',
        "conversations": [
            {"from": "human", "value": "?"},
            {"from": "function_call", "value": "{}"},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "!"},
        ],
    }
    messages = read("sharegpt", row)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[0]["content"] == 'Be brief.\n\nYou may call these tools:\n[{"name": "clock"}]'


def test_parse_messages_accepts_json_text_parts_and_calls():
    row = {
        "messages": json.dumps(
            [
                {"role": "developer", "content": "Brief."},
                {"role": "user", "content": [{"type": "text", "text": "What"}, {"type": "text", "text": " now?"}]},
                {"role": "assistant", "content": None, "tool_calls": [{"name": "clock"}]},
            ]
        )
    }
    assert read("messages", row) == dialog("What now?", '[{"name": "clock"}]', system="Brief.")


def test_parse_prompt_and_completion_accepts_lists_of_turns():
    row = {"prompt": dialog("a", "b", "c"), "completion": [{"role": "assistant", "content": "d"}]}
    assert read("prompt_completion", row) == dialog("a", "b", "c", "d")
    assert read("prompt_completion", {k: json.dumps(v) for k, v in row.items()}) == dialog("a", "b", "c", "d")


@pytest.mark.parametrize(
    "text",
    [
        "<s>[INST] <<SYS>>\nBrief.\n<</SYS>>\n\nWhat? [/INST] That. </s><s>[INST] And? [/INST] This. </s>",
        "[INST]<<SYS>>Brief.<</SYS>>What?[/INST]That.</s>[INST]And?[/INST]This.</s>",
    ],
)
def test_parse_llama2_accepts_loosely_written_system_prompt(text):
    assert read("llama2", {"text": text}) == dialog("What?", "That.", "And?", "This.", system="Brief.")


def test_parse_guanaco_text_before_first_mark_is_system_turn():
    assert read("guanaco", {"text": "Be brief.\n### Human: a### Assistant: b"}) == dialog("a", "b", system="Be brief.")


@pytest.mark.parametrize(
    ("name", "row", "why"),
    [
        ("messages", {"messages": "text"}, "not a list of turns"),
        ("messages", {"messages": [3]}, "not an object with a role"),
        ("messages", {"messages": [{"role": "alien", "content": "x"}]}, "unknown role 'alien'"),
        ("messages", {"messages": "[" * 100_000}, "not a list of turns"),
        ("messages", {"messages": '[{"role": ' + "1" * 5000}, "not a list of turns"),
        ("sharegpt", {"conversations": [{"from": "human", "value": None}]}, "user turn is empty"),
        ("alpaca", {"instruction": None, "output": "x"}, "instruction is empty"),
        ("alpaca", {"instruction": "x", "output": "y", "history": [["one"]]}, "history is not a list of pairs"),
        ("alpaca", {"instruction": "x", "output": "y", "history": "[["}, "history is not a list of pairs"),
        ("prompt_completion", {"prompt": "x"}, "completion is empty"),
        ("guanaco", {"text": "no marks"}, "'### Human:'"),
        ("llama2", {"text": "no marks"}, r"'\[INST\]'"),
        ("llama2", {"text": None}, "text is empty"),
        ("label", {"text": "x", "label": " "}, "label is empty"),
        ("text", {"other": "x"}, "text is empty"),
    ],
)
def test_parse_row_of_other_format_is_unusable_with_reason(name, row, why):
    with pytest.raises(UnusableRow, match=why):
        read(name, row)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = sorted({name for form in FORMATS for names in form.slots.values() for name in names})


@given(name=st.sampled_from(FORMAT_NAMES), row=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_parse_any_row_gives_conversation_or_unusable_row(name, row):
    with contextlib.suppress(UnusableRow):
        messages = read(name, row)
        assert all(m.keys() == {"role", "content"} and isinstance(m["content"], str) for m in messages)


@pytest.mark.parametrize("name", ["Order Number", "Website URL", "Customer Support Phone Number", "Line 2"])
def test_parse_fills_placeholders_of_several_words(name):
    text = f"Where is {{{{{name}}}}}? {{{{ {name} }}}} is lost; {{{{if so}}}}, {{{{n choose k}}}}."
    filled = read("text", {"text": text}, placeholders={name: "A7"})[0]["content"]
    assert filled == "Where is A7? A7 is lost; {{if so}}, {{n choose k}}."


@given(st.dictionaries(st.from_regex(r"[a-z_]\w{0,6}", fullmatch=True), st.text(max_size=8)), st.text())
def test_parse_fills_known_placeholders_only(values, before):
    text = before.replace("{", "(") + "".join(f"{{{{ {name} }}}}" for name in values) + "{{unknown_name_here}}"
    filled = read("text", {"text": text}, placeholders=values)[0]["content"]
    expected = before.replace("{", "(") + "".join(values.values()) + "{{unknown_name_here}}"
    assert filled == expected.replace("\r\n", "\n")


def test_reading_options_accept_pairs_as_lines():
    reading = Reading(format="label", columns="text = review\nlabel=stars\n", labels="1 = a = b")
    assert reading.columns == {"text": "review", "label": "stars"}
    assert reading.labels == {"1": "a = b"}
    with pytest.raises(ValidationError, match="expected lines such as name = value, not 'nonsense'"):
        Reading(format="label", labels="nonsense")
    with pytest.raises(ValidationError, match=re.escape("{text}")):
        Reading(format="label", prompt="no place for it")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no text"),
        ([{"role": "system", "content": "x"}], "no text"),
        ([{"role": "text", "content": " "}], "no text"),
        ([{"role": "text", "content": "x"}], None),
        ([USER], "no answer"),
        ([ANSWER, USER], "starts with an answer"),
        ([USER, {"role": "assistant", "content": "  "}], "no answer"),
        ([USER, ANSWER], None),
        ([USER, ANSWER, USER], None),
    ],
)
def test_find_problem_names_reason(messages, reason):
    assert find_problem(messages) == reason


def test_until_last_answer_drops_later_turns():
    assert until_last_answer([USER, ANSWER, USER]) == [USER, ANSWER]
    assert ends_without_answer([USER, ANSWER, USER])
    assert not ends_without_answer([USER, ANSWER])
    assert not ends_without_answer([{"role": "text", "content": "x"}])
    assert ends_without_answer([USER, ANSWER, {"role": "tool", "content": "x"}])


def test_ends_without_answer_of_real_guanaco_rows_is_known(shared_data):
    lines = (shared_data / "openassistant_best_replies_eval.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum(ends_without_answer(read("guanaco", json.loads(line))) for line in lines) == 132


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("prompt_completion", {"prompt": "", "completion": "So."}),
        ("prompt_completion", {"question": " \n", "answer": "So."}),
        ("alpaca", {"instruction": "", "input": "", "output": "So."}),
        ("messages", {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "So."}]}),
    ],
)
def test_read_notes_empty_question(name, row):
    assert "a question is empty; its answer is trained after an empty user turn" in Reading(format=name).read(row).notes


def test_has_turns_is_true_for_formats_without_a_text_to_split():
    for form in FORMATS:
        assert form.has_turns == (form.name != "undecided" and "text" not in form.slots), form.name
    with pytest.raises(TypeError, match="has_turns"):
        Format("other", "other", "a format that does not say it", {}, (), lambda cells: [])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("order {{Order Number}}", ["Order Number"]),
        ("{{ Customer Support Phone Number }} or {{name}}", ["Customer Support Phone Number", "name"]),
        ("{{Company's Name}}, {{e-mail}}, {{user_id}}", ["Company's Name", "e-mail", "user_id"]),
        ("{{}} {{ }} {{ 1 }} {{a|b}} {{x['y']}} {{#each rows}} {a b} {{a\nb}} f'{{}}' {{user.name}}", []),
    ],
)
def test_placeholder_of_several_words_is_found(text, names):
    assert PLACEHOLDER.findall(text) == names
    filled = read("text", {"text": text}, placeholders=dict.fromkeys(names, "!"))[0]["content"]
    assert filled.count("!") == len(names)


@pytest.mark.parametrize(
    ("options", "added"),
    [
        ({}, "What is the label?"),
        ({"columns": {"label": "topic"}}, "What is the topic?"),
        ({"columns": {"label": "sea floor"}}, "What is the sea floor?"),
        ({"prompt": "{text}"}, ""),
        ({"prompt": "Name the {label}: {text}"}, ""),
    ],
)
def test_read_label_notes_the_text_that_the_default_template_adds(options, added):
    row = {"text": "A keel.", "label": "ship", "topic": "sea", "sea floor": "x"}
    notes = Reading(format="label", **options).read(row).notes
    assert any("is added to the question" in note and added in note for note in notes) == bool(added)


def in_cells(value, change):
    """Return a row with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [in_cells(item, change) for item in value]
    return {key: in_cells(item, change) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", ["messages", "sharegpt", "alpaca", "prompt_completion", "guanaco", "llama2"])
def test_read_line_ends_of_windows_become_plain_ones_with_note(name):
    row = in_cells(ROWS[name], lambda text: text.replace("tide", "tide,\r\nsay").replace("sea, ", "sea,\r\n"))
    parsed = Reading(format=name).read(row)
    assert parsed.messages == dialog("What is a tide,\nsay?", "The sea,\nbreathing.")
    assert parsed.notes == [r"line ends of Windows (\r\n) are read as \n"]
    assert not Reading(format=name).read(ROWS[name]).notes


@pytest.mark.parametrize("name", ["messages", "sharegpt", "alpaca", "prompt_completion"])
@pytest.mark.parametrize("answer", ["NULL", "#REF!", "[deleted]", "TBD"])
def test_read_answer_that_may_stand_for_none_is_noted_in_columns_and_turns(name, answer):
    parsed = Reading(format=name).read(in_cells(ROWS[name], lambda text: text.replace(ANSWER["content"], answer)))
    assert parsed.messages[1]["content"] == answer
    [note] = parsed.notes
    assert note.endswith(f"is {answer!r}, which may stand for no answer; it is read as text")


@given(
    row=st.fixed_dictionaries({"prompt": st.text(), "completion": st.text(), "more": st.text()}),
    value=st.text(),
    use=st.sampled_from(["context", "system", "reasoning"]),
)
@example({"prompt": "a\r\nb", "completion": "c\r\n{{ x }}", "more": "d\r\ne"}, "f\r\ng", "context")
@example({"prompt": "a\r", "completion": "\n{{ x }}", "more": "\n"}, "\r\n", "system")
def test_read_leaves_no_line_end_of_windows(row, value, use):
    reading = Reading(format="prompt_completion", extra={"more": use}, placeholders={"x": value})
    with contextlib.suppress(UnusableRow):
        assert not any("\r\n" in message["content"] for message in reading.read(row).messages)
