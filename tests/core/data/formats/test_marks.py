"""Turns of a text with marks, found in time linear in its length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.formats.conversation import UnusableRow
from core.data.formats.marks import _LLAMA2_TURN, _llama2_turns, parse_llama2

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
