"""Text of an answer that is given out while it is written: together it is the answer, whatever ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.generation_writer import GenerationWriter
from core.chat.program_request import LikelyToken
from core.chat.stops import NO_ENDS, StopConditions
from core.chat.types import Generation
from core.serve.growing_answer import GrowingAnswer

TEXTS = st.text(st.sampled_from("ab\n é€😀"), max_size=30)


@given(TEXTS, st.lists(TEXTS.filter(bool), max_size=3), st.booleans(), st.booleans())
def test_parts_given_out_join_to_the_answer(small_tokenizer, text, stops, has_logprobs, ends_itself):
    special = small_tokenizer.eos_token
    for words in (stops, [*stops, f"{special}a"]):
        generation = Generation()
        conditions = StopConditions(small_tokenizer, [small_tokenizer.eos_token_id], NO_ENDS, words)
        ids = small_tokenizer(text)["input_ids"]
        writer = GenerationWriter(generation, small_tokenizer, conditions, max(1, len(ids)))
        answer, parts = GrowingAnswer(generation, has_logprobs), []
        for token in [*ids, small_tokenizer.eos_token_id] if ends_itself else ids:
            if writer.add(token, -0.5, [LikelyToken(token, "x", -0.5)]) is None:
                break
            parts.append(answer.take())
        if not generation.end:
            writer.finish("stopped")
        parts.append(answer.take())
        assert "".join(part.text for part in parts) == generation.text
        assert answer.take().text == ""
        tokens = [token for part in parts for token in part.tokens]
        assert not has_logprobs or "".join(token.text for token in tokens) == generation.text
        assert all(token.top == [(token.text, -0.5)] for token in tokens)


@pytest.mark.parametrize(
    ("text", "stops", "unsettled"),
    [
        ("one", ["\n\n"], 0), ("one\n", ["\n\n"], 1), ("one\nQ", ["\n\n", "\nQ:"], 2), ("aab", ["aabaac"], 3),
        ("one", ["e<|im_end|>"], 3), ("", ["a"], 0),
    ],
)  # fmt: skip
def test_unsettled_characters_are_those_that_may_begin_a_stop_text(tokenizer, text, stops, unsettled):
    assert StopConditions(tokenizer, [], NO_ENDS, stops).unsettled_chars(text) == unsettled
