"""Tests of turns in every spelling, and of the rule that every unused field is reported."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import formats
from core.data.formats import Reading, UnusableRow
from core.data.formats.columns import VERDICT_NAMES
from core.data.formats.loss_flags import LOSS_KEYS
from core.data.formats.turns import (
    CALL_KEYS,
    CONTENT_KEYS,
    REASONING_KEYS,
    ROLE_KEYS,
    is_turn,
    read_turn,
    read_turns,
)
from core.data.formats.values import is_missing
from tests.helpers.datasets import dialog
from tests.helpers.json_values import JSON


def read(turns, **options):
    notes = []
    return read_turns(turns, notes.append, **options), notes


def test_read_turns_asks_for_the_role_of_an_unknown_speaker():
    turns = [{"from": "Narrator", "value": "a"}, {"from": "Hero", "value": "b"}]
    with pytest.raises(UnusableRow, match="unknown role 'Narrator'; name it under Roles"):
        read(turns)
    assert Reading(format="sharegpt", roles="narrator = user\nHERO = assistant").parse(
        {"conversations": turns}
    ) == dialog("a", "b")


@pytest.mark.parametrize("key", REASONING_KEYS)
def test_read_turns_reasoning_is_prepended_or_left_out_with_note(key):
    turn = {"role": "assistant", "content": "4", key: "2 and 2"}
    assert read([turn]) == ([{"role": "assistant", "content": "<think>\n2 and 2\n</think>\n\n4"}], [])
    assert read([turn], think=False) == (
        [{"role": "assistant", "content": "4"}],
        ["the reasoning of an answer is left out"],
    )


CALL = {"name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ({"from": "GPT", "text": "a"}, ("assistant", "a")),
        ({"sender": "human", "message": "a"}, ("user", "a")),
        ({"role": "USER", "content": "a"}, ("user", "a")),
        ({"role": "CHATBOT", "message": "a"}, ("assistant", "a")),
        ({"role": "model", "parts": [{"text": "a"}, {"text": "b"}]}, ("assistant", "ab")),
        ({"role": "user", "content": [{"type": "text", "value": "a"}]}, ("user", "a")),
        ({"role": "user", "content": ["a", "b"]}, ("user", "a\n\nb")),
        ({"role": "user", "content": "None"}, ("user", "None")),
        ({"role": "user", "content": [{"type": "text", "text": "none"}]}, ("user", "none")),
        ({"role": "assistant", "content": None, "function_call": CALL}, ("assistant", json.dumps(CALL))),
        ({"role": "assistant", "content": "", "tool_calls": [CALL]}, ("assistant", json.dumps([CALL]))),
        ({"role": "assistant", "content": [{"type": "tool_use", **CALL}]}, ("assistant", json.dumps(CALL))),
        ({"role": "user", "content": [{"type": "tool_result", "content": "21"}]}, ("tool", "21")),
        ({"role": "model", "parts": [{"functionCall": CALL}]}, ("assistant", json.dumps({"functionCall": CALL}))),
        ({"role": "tool", "content": {"temp": 21}}, ("tool", '{"temp": 21}')),
        ({"role": "function", "name": "f", "content": "3"}, ("tool", "3")),
    ],
)
def test_read_turns_accepts_other_spellings(turn, message):
    [found], _ = read([turn])
    assert (found["role"], found["content"]) == message


SPOKEN = {
    "LangChain": ({"type": "human", "data": {"content": "a"}}, {"type": "ai", "data": {"content": "b", "type": "ai"}}),
    "LangChain's classes": (
        {"lc": 1, "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {"content": "a"}},
        {"lc": 1, "id": ["langchain", "schema", "messages", "AIMessageChunk"], "kwargs": {"content": "b"}},
    ),
    "a type": ({"type": "human", "content": "a"}, {"type": "ai", "content": "b"}),
    "is_human": ({"message": "a", "is_human": True}, {"message": "b", "is_human": False}),
    "isBot": ({"text": "a", "isBot": False}, {"text": "b", "isBot": True}),
    "is_user": ({"content": "a", "is_user": True}, {"content": "b", "is_user": False}),
}


@pytest.mark.parametrize("turns", SPOKEN.values(), ids=SPOKEN)
def test_read_turns_finds_roles_in_other_fields(turns):
    found, _ = read(list(turns))
    assert found == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert formats.detect([{"messages": list(turns)}] * 3).reading.format == "messages"


@pytest.mark.parametrize(
    "value",
    [{"type": "text", "text": "a"}, {"type": "question", "text": "a"}, {"type": "function", "function": {"name": "f"}},
     {"id": ["a", "b"], "text": "c"}, {"is_human": "maybe", "text": "a"}],
)  # fmt: skip
def test_is_turn_needs_a_speaker(value):
    assert not is_turn(value)


@pytest.mark.parametrize(
    "part", [{"type": "image_url", "image_url": "x"}, {"inlineData": {"data": "x"}}, {"type": "text", "image": "x"}]
)
def test_read_turns_part_that_is_not_text_is_unusable(part):
    with pytest.raises(UnusableRow, match="only text can be trained"):
        read([{"role": "user", "content": [part, {"type": "text", "text": "a"}]}])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["First.", "Second.", "Third."], "First.\n\nSecond.\n\nThird."),
        ([{"type": "text", "text": "Given this:"}, {"type": "text", "text": "Why?"}], "Given this:\n\nWhy?"),
        (["Given this:\n", "Why?"], "Given this:\nWhy?"),
        (["So", " it", " is."], "So it is."),
        (["", "Why?"], "Why?"),
        (["Why?"], "Why?"),
    ],
)
def test_read_turns_joins_texts_by_empty_lines_with_note(content, text):
    [found], notes = read([{"role": "user", "content": content}])
    assert found["content"] == text
    several = len([part for part in content if part]) > 1
    assert notes == ["the user turn is a list of texts; they are joined by empty lines"] * several


def test_read_turns_joins_texts_of_a_tool_result():
    parts = [{"type": "text", "text": "21"}, {"type": "text", "text": "degrees"}]
    [found], _ = read([{"role": "user", "content": [{"type": "tool_result", "content": parts}]}])
    assert found == {"role": "tool", "content": "21\n\ndegrees"}


def test_read_turns_null_arguments_of_call_are_noted():
    assert "null arguments" in read([{"role": "assistant", "tool_calls": [{"arguments": {"city": None}}]}])[1][0]


KNOWN_KEYS = {*ROLE_KEYS, *CONTENT_KEYS, *CALL_KEYS, *REASONING_KEYS, *LOSS_KEYS}
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)


def texts_in(value) -> list[str]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [str(value)] if isinstance(value, (str, bool, int)) else [text for item in items for text in texts_in(item)]


def stands_in(value, messages) -> bool:
    """Return whether a conversation contains a value: as JSON, as its first answer, or with all of its texts."""
    written = "\n".join(m["content"] for m in messages)
    texts = [text.replace("\r\n", "\n") for text in texts_in(value)]
    if json.dumps(value, ensure_ascii=False) in written:
        return True
    if isinstance(value, list) and len(texts) == len(value):
        return texts[0].strip() in written
    return bool(texts) and all(text.strip() in written for text in texts)


@given(fields=st.dictionaries(NAMES | st.sampled_from(sorted(KNOWN_KEYS)), JSON, max_size=4))
def test_read_turns_any_field_is_used_or_noted(fields):
    turn = fields | {"role": "assistant", "content": "the answer"}
    with contextlib.suppress(UnusableRow):
        messages, notes = read([*dialog("the question"), turn])
        for key, value in fields.items():
            if key in ("role", "content", *LOSS_KEYS) or is_missing(value):
                continue
            assert any(repr(key) in note for note in notes) or stands_in(value, messages), (key, notes)


BASES = (
    {"messages": dialog("q", "a")},
    {"instruction": "q", "output": "a"},
    {"prompt": "q", "completion": "a"},
    {"question": "q", "chosen": "a", "rejected": "b"},
    {"text": "### Human: q### Assistant: a"},
    {"text": "<s>[INST] q [/INST] a </s>"},
    {"text": "The harbour was quiet that morning."},
)
USUAL = sorted(
    {name for form in formats.FORMATS for slot in form.slots.values() for name in slot} - {"text", "messages"}
)


@given(base=st.sampled_from(BASES), extra=st.dictionaries(NAMES | st.sampled_from(USUAL), JSON, max_size=4))
def test_read_any_column_is_used_or_reported(base, extra):
    row = extra | base
    found = formats.detect([row])
    readings = [found.reading] if found.is_sure else found.candidates
    for reading in readings:
        with contextlib.suppress(UnusableRow):
            parsed = reading.read(row)
            for name, value in extra.items():
                # Verdicts decide whether the row is usable; the name of a label is a choice in the question.
                is_label = reading.extra.get(name) == "label" and name in parsed.messages[0]["content"]
                verdict = reading.format == "rated" and name in VERDICT_NAMES
                if name in base or is_missing(value) or verdict or is_label:
                    continue
                changed = any(
                    word in note for note in parsed.notes for word in ("is not", "is used", "joined", "as text")
                )
                reported = any(column.split(".")[0] == name for column in parsed.unread)
                assert reported or changed or stands_in(value, parsed.messages), (reading, name, parsed)


@given(extra=st.dictionaries(NAMES, st.text(min_size=1, max_size=5), min_size=1, max_size=3))
def test_read_column_with_chosen_use_is_not_unread(extra):
    row = extra | {"prompt": "q", "completion": "a"}
    before = Reading(format="prompt_completion").read(row)
    for use in ("context", "system", "ignore"):
        after = Reading(format="prompt_completion", extra=dict.fromkeys(before.unread, use)).read(row)
        assert not after.unread
        if use != "ignore":
            assert all(stands_in(row[name], after.messages) for name in before.unread)


@pytest.mark.parametrize("key", ["reasoning_content", "thinking"])
def test_reasoning_in_the_content_and_in_a_field_is_written_once(key: str) -> None:
    turn = {"role": "assistant", "content": "<think>\nhm, so\n</think>\n\nYes.", key: "hm, so"}
    ignored: list[str] = []
    assert read_turn(turn, ignored.append)["content"] == "<think>\nhm, so\n</think>\n\nYes."
    assert read_turn(turn, ignored.append, think=False)["content"] == "Yes."
    other = read_turn({**turn, key: "Other."}, ignored.append)["content"]
    assert other == "<think>\nOther.\n</think>\n\n<think>\nhm, so\n</think>\n\nYes."


SAID = {"role": "user", "content": "Is it so?"}
THOUGHT = {"role": "assistant", "channel": "analysis", "content": "hidden"}


def read_quietly(turns, think=True):
    return read_turns(turns, lambda sentence: None, think)


@pytest.mark.parametrize("answer", [
    [THOUGHT, {"role": "assistant", "channel": "final", "content": "Yes."}],
    [{"role": "model", "parts": [{"text": "hidden", "thought": True}, {"text": "Yes.", "thought": False}]}],
])  # fmt: skip
def test_read_turns_marked_reasoning_is_no_answer_text(answer):
    assert [m["content"] for m in read_quietly([SAID, *answer])[1:]] == ["<think>\nhidden\n</think>\n\nYes."]
    assert [m["content"] for m in read_quietly([SAID, *answer], think=False)[1:]] == ["Yes."]


@pytest.mark.parametrize(
    "rest", [[], [SAID], [SAID | {"channel": None}], [{"role": "user", "channel": "analysis", "content": ["x"]}]]
)
def test_read_turns_reasoning_channel_without_answer_is_unusable(rest):
    with pytest.raises(UnusableRow, match="channel"):
        read_quietly([SAID, THOUGHT, *rest])


PAIR = {"input": "a?", "output": "b"}


@pytest.mark.parametrize(
    ("systems", "roles"),
    [
        (("s", None), "sua ua"),
        (("s", "s"), "sua ua"),
        (("", "s"), "ua sua"),
        (("s", "t"), "sua sua"),
        (("nan", ""), "ua ua"),
    ],
)
def test_read_turns_system_prompt_of_a_pair_is_its_system_turn(systems, roles):
    messages, _ = read([{**PAIR, "system": system} for system in systems])
    assert "".join(message["role"][0] for message in messages) == roles.replace(" ", "")
    assert [message["content"] for message in messages if message["role"] == "system"] == [
        text for text in dict.fromkeys(systems) if text not in (None, "", "nan")
    ]


def test_read_turns_other_field_of_a_pair_is_noted():
    assert read([{**PAIR, "need_eos_token": False}])[1] == ["the field 'need_eos_token' of a turn is not used"]


CALLS = [{"name": "find", "arguments": {"city": "Rom"}}, {"name": "tell", "arguments": {}}]


@pytest.mark.parametrize("text", ["One moment.", "One moment.\n", ""])
@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({"content": [{"type": "tool_use", **call} for call in CALLS]}, "\n".join(map(json.dumps, CALLS))),
        ({"tool_calls": CALLS}, json.dumps(CALLS)),
        ({"function_call": CALLS[0]}, json.dumps(CALLS[0])),
    ],
)
def test_read_turns_separates_text_and_tool_calls(text, fields, calls):
    given = fields.get("content")
    content = [{"type": "text", "text": text}, *given] if given else text
    [found], _ = read([{"role": "assistant", **fields, "content": content}])
    between = "\n\n" if text and not text.endswith("\n") else ""
    assert found["content"] == f"{text}{between}{calls}"
