"""Conversations written as rows of each format, and rows that parse back to the same."""

import contextlib
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import readers
from core.data.formats import EXPORT_FORMATS, Reading, UnwritableRow, to_guanaco, to_llama2, to_row
from core.data.formats.values import is_missing
from tests.helpers.datasets import dialog

# No conversation has "\r\n": every reading turns it into "\n".
CONTENT = st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: text.replace("\r\n", "\n")) | (
    st.sampled_from(["### Human: x", "[INST]", " </s>", "<<SYS>>\n", "[{", " x ", "\n", ""])
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": CONTENT}
) | st.fixed_dictionaries({"role": st.just("assistant"), "content": CONTENT, "loss": st.just(False)})
ANYTHING = st.lists(TURN, min_size=1, max_size=5) | CONTENT.map(lambda text: [{"role": "text", "content": text}])


@given(messages=ANYTHING, form=st.sampled_from(EXPORT_FORMATS), as_turns=st.booleans())
def test_to_row_parses_back_equal_or_is_refused(messages, form, as_turns):
    with contextlib.suppress(UnwritableRow):
        row = to_row(messages, form, as_turns)
        assert Reading(format=form).parse(row) == messages


# Text without marks of the formats; a system prompt such as "none" is read as a missing value and refused.
plain = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda t: (
        t == t.strip()
        and "\r\n" not in t
        and not is_missing(t)
        and not any(mark in t for mark in ("###", "[INST]", "[/INST]", "s>", "SYS>>"))
    )
)


@given(pairs=st.lists(st.tuples(plain, plain), min_size=1, max_size=3), system=st.none() | plain)
def test_to_row_writes_ordinary_conversation_in_every_format(pairs, system):
    messages = dialog(*(text for pair in pairs for text in pair), system=system)
    for form in set(EXPORT_FORMATS) - {"text", "guanaco"}:
        assert to_row(messages, form)
    # Guanaco has no system turn.
    assert to_row(messages[system is not None :], "guanaco")


def test_to_llama2_joins_turns_like_meta():
    text = to_llama2(dialog("a", "b", "c", "d", system="s"))
    assert text == "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\na [/INST] b </s><s>[INST] c [/INST] d </s>"


@pytest.mark.parametrize(
    ("messages", "form", "why"),
    [
        (dialog("a [/INST] b", "c"), "llama2", r"holds the mark '\[/INST\]'"),
        (dialog("a", "### Human: b"), "guanaco", "holds the mark '### Human:'"),
        ([*dialog("a", "b"), {"role": "system", "content": "s"}], "llama2", "one system turn, at the beginning"),
        (dialog("a", "b", system="s "), "guanaco", "spaces at their ends"),
        (dialog("a", "b", "c"), "alpaca", "pairs of a question and an answer"),
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "3"}], "alpaca", "no tool turns"),
        (dialog("a", "b"), "text", "a conversation is not plain text"),
        ([*dialog("a"), {"role": "assistant", "content": "b", "loss": False}], "llama2", "excluded from the loss"),
        ([{"role": "text", "content": "a"}], "messages", "plain text has no turns"),
    ],
)
def test_to_row_refusal_names_reason(messages, form, why):
    with pytest.raises(UnwritableRow, match=why):
        to_row(messages, form)


def test_to_llama2_of_real_rows_gives_same_bytes(shared_data):
    texts = pq.read_table(shared_data / "guanaco-llama2-1k-train.parquet").column("text").to_pylist()
    different = [text for text in texts if to_llama2(Reading(format="llama2").parse({"text": text})) != text]
    assert len(texts) == 1000
    assert different == []


def test_to_guanaco_of_real_rows_gives_same_bytes(shared_data):
    lines = (shared_data / "openassistant_best_replies_eval.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 518
    assert [to_guanaco(Reading(format="guanaco").parse(row)) for row in rows] == [row["text"] for row in rows]


def test_to_row_of_real_tool_turns_writes_sharegpt_only(shared_data):
    path = shared_data / "sharegpt_tools_300.json"
    parsed = [Reading(format="sharegpt").parse(read.row) for read in readers.read_rows(path, path.name)]
    assert len([to_row(messages, "sharegpt") for messages in parsed]) == 300
    with_tools = [messages for messages in parsed if any(m["role"] == "tool" for m in messages)]
    assert len(with_tools) == 153
    for messages in with_tools:
        with pytest.raises(UnwritableRow, match="Llama-2 text has no tool turns"):
            to_row(messages, "llama2")


@pytest.mark.parametrize("form", ["messages", "alpaca", "prompt_completion"])
def test_to_row_answer_that_ends_like_a_template_is_refused_with_the_reason(form):
    with pytest.raises(UnwritableRow, match=r"an answer ends with '</s>', which may be read as the mark"):
        to_row(dialog("Which token?", "It ends with </s>"), form)
