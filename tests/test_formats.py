import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import formats
from core.data.formats import FORMATS, UnusableRow, detect, problem, to_guanaco, to_llama2, to_row, until_last_answer

USER = {"role": "user", "content": "What is a tide?"}
ANSWER = {"role": "assistant", "content": "The sea, breathing."}
ROWS = {
    "messages": {"messages": [USER, ANSWER]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": ANSWER["content"]}]
    },
    "alpaca": {"instruction": USER["content"], "input": "", "output": ANSWER["content"]},
    "prompt_completion": {"question": USER["content"], "answer": ANSWER["content"]},
    "guanaco": {"text": f"### Human: {USER['content']}### Assistant: {ANSWER['content']}"},
    "llama2": {"text": f"<s>[INST] {USER['content']} [/INST] {ANSWER['content']} </s>"},
}
BY_NAME = {form.name: form for form in FORMATS}

# text without the marks that the text formats use, and without the spaces that they put around it
plain = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda t: (
        not any(mark in t for mark in ("###", "[INST]", "[/INST]", "<s>", "</s>", "<<SYS>>")) and t == t.strip() and t
    )
)
talks = st.lists(st.tuples(plain, plain), min_size=1, max_size=4).map(
    lambda pairs: [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
)


@pytest.mark.parametrize("name", ROWS)
def test_every_format_is_recognised_and_read(name):
    assert detect([ROWS[name]]).name == name
    assert BY_NAME[name].parse(ROWS[name]) == [USER, ANSWER]


def test_every_format_is_covered():
    assert set(ROWS) == set(BY_NAME)


def test_the_format_of_most_rows_wins_and_none_is_none():
    assert detect([ROWS["alpaca"], ROWS["guanaco"], ROWS["guanaco"], {"x": 1}]).name == "guanaco"
    assert detect([{"weight": 3}, {"text": "plain prose"}]) is None


def test_alpaca_input_and_sharegpt_system_and_tools_are_kept():
    assert (
        formats.parse_alpaca({"instruction": "Sum up", "input": "a b", "output": "c"})[0]["content"] == "Sum up\n\na b"
    )
    row = {
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": "?"},
            {"from": "function_call", "value": "{}"},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "!"},
        ],
    }
    assert [m["role"] for m in formats.parse_sharegpt(row)] == ["system", "user", "assistant", "tool", "assistant"]


@given(talks)
def test_guanaco_text_round_trips(messages):
    assert formats.parse_guanaco({"text": to_guanaco(messages)}) == messages


@given(talks, st.one_of(st.none(), plain))
def test_llama2_text_round_trips_with_and_without_a_system_prompt(messages, system):
    whole = ([{"role": "system", "content": system}] if system else []) + messages
    assert formats.parse_llama2({"text": to_llama2(whole)}) == whole


def test_turns_join_as_llama2_joins_them():
    assert to_llama2([USER, ANSWER] * 2).count("</s><s>[INST] ") == 1
    assert to_row([USER, ANSWER], "messages") == {"messages": [USER, ANSWER]}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no text"),
        ([{"role": "system", "content": "x"}], "no text"),
        ([USER], "no answer"),
        ([ANSWER, USER], "starts with an answer"),
        ([USER, {"role": "assistant", "content": "  "}], "no answer"),
        ([USER, ANSWER], None),
        ([USER, ANSWER, USER], None),
    ],
)
def test_what_cannot_be_learned_has_a_reason(messages, reason):
    assert problem(messages) == reason


def test_what_follows_the_last_answer_is_left_out():
    assert until_last_answer([USER, ANSWER, USER]) == [USER, ANSWER]
    assert formats.ends_on_user([USER, ANSWER, USER])
    assert not formats.ends_on_user([USER, ANSWER])


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("messages", {"messages": "text"}),
        ("messages", {"messages": ["text"]}),
        ("messages", {"messages": [{"role": "alien", "content": "x"}]}),
        ("alpaca", {"instruction": None, "output": "x"}),
        ("guanaco", {"text": "no marks"}),
        ("llama2", {"text": 3}),
    ],
)
def test_a_row_of_another_shape_is_unusable_with_a_reason(name, row):
    with pytest.raises(UnusableRow, match=r"\w"):
        BY_NAME[name].parse(row)


def test_the_real_llama2_rows_render_back_to_the_same_bytes(shared_data):
    texts = pq.read_table(shared_data / "guanaco-llama2-1k-train.parquet").column("text").to_pylist()
    different = [text for text in texts if to_llama2(formats.parse_llama2({"text": text})) != text]
    assert len(texts) == 1000
    assert different == []


def test_the_real_guanaco_rows_parse_and_render_back(shared_data):
    lines = (shared_data / "openassistant_best_replies_eval.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    parsed = [formats.parse_guanaco(row) for row in rows]
    assert sum(messages[-1]["role"] == "user" for messages in parsed) == 132
    assert sum(to_guanaco(m) == row["text"] for m, row in zip(parsed, rows, strict=True)) == 518
