"""Rows that join and leave at any time, over every kind of model, against each row alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from core.chat.adapters import RowAdapters
from core.chat.decoder import Decoder, TokenSequence
from tests.helpers.tiny_model import tiny_llama

SHAPE = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
         "num_attention_heads": 4, "max_position_embeddings": 256, "tie_word_embeddings": False}  # fmt: skip
MODELS = {
    "Llama 3 (grouped heads)": lambda: tiny_llama(),
    "Llama 2 (no grouped heads)": lambda: LlamaForCausalLM(LlamaConfig(**(SHAPE | {"vocab_size": 32000}))),
    "Mistral (sliding window)": lambda: MistralForCausalLM(
        MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=6)
    ),
    "Qwen 2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=2)),
    "GPT-2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=512, n_embd=64, n_layer=2, n_head=4, n_positions=256)),
    "GPT-NeoX": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE)),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval()


@pytest.fixture(scope="module")
def tiny():
    return tiny_llama().eval()


class Asked:
    """A row of greedy tokens, its logits kept."""

    def __init__(self, ids, length, gone_after=None):
        self.ids, self.length, self.gone_after = ids, length, gone_after
        self.tokens, self.logits = [], []
        self.row = TokenSequence(
            ids, None, self.take, lambda: gone_after is not None and len(self.tokens) >= gone_after
        )

    def take(self, logits):
        self.logits.append(logits.clone())
        self.tokens.append(int(logits.argmax()))
        return self.tokens[-1] if len(self.tokens) < self.length else None


def alone(model, ids, count):
    """The logits after each of `count` greedy tokens, the whole text read anew each time."""
    found, ids = [], list(ids)
    with torch.no_grad():
        for _ in range(count):
            found.append(model(torch.tensor([ids])).logits[0, -1])
            ids.append(int(found[-1].argmax()))
    return torch.stack(found)


def prompt(length, seed):
    return torch.randint(3, 500, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("chunk", [4, 512])
def test_every_row_is_as_it_would_be_alone(model, chunk):
    asked = [Asked(prompt(length, seed), count) for seed, (length, count) in enumerate([(9, 12), (3, 5), (17, 8)])]
    decoder = Decoder(model, RowAdapters(model), chunk=chunk)
    decoder.join([asked[0].row, asked[1].row])
    for _ in range(4):
        decoder.step()
    decoder.join([asked[2].row])
    while decoder.step():
        pass
    for one in asked:
        assert len(one.tokens) == one.length
        torch.testing.assert_close(torch.stack(one.logits), alone(model, one.ids, one.length), rtol=1e-4, atol=1e-4)
    assert decoder.sequences == []


ROWS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 10), st.none() | st.integers(0, 5), st.integers(0, 6)),
    min_size=1, max_size=6,
)  # fmt: skip


@limits(max_examples=25)
@given(ROWS, st.sampled_from([3, 64]))
def test_rows_come_and_go_in_any_order(tiny, drawn, chunk):
    """Each with a length of its prompt, of its answer, when it is given up, and after how many steps it comes."""
    decoder = Decoder(tiny, RowAdapters(tiny), chunk=chunk)
    asked = [(Asked(prompt(length, at), count, gone), after) for at, (length, count, gone, after) in enumerate(drawn)]
    for step in range(200):
        for one, after in asked:
            if after == step:
                decoder.join([one.row])
        if not decoder.step() and step > 6:
            break
    for one, _ in asked:
        given_up = one.gone_after is not None and one.gone_after < one.length
        assert len(one.tokens) == (one.gone_after if given_up else one.length)
        if one.logits:
            expected = alone(tiny, one.ids, len(one.logits))
            torch.testing.assert_close(torch.stack(one.logits), expected, rtol=1e-4, atol=1e-4)


def test_padding_that_nobody_needs_is_given_up(tiny):
    long, short = Asked(prompt(40, 1), 2), Asked(prompt(4, 2), 20)
    decoder = Decoder(tiny, RowAdapters(tiny))
    decoder.join([long.row, short.row])
    for _ in range(6):
        decoder.step()
    assert decoder._batch.length < 15


def test_rows_dropped_while_their_prompts_are_read_cost_nothing(tiny):
    asked = Asked(prompt(40, 1), 3, gone_after=0)
    decoder = Decoder(tiny, RowAdapters(tiny), chunk=8)
    decoder.join([asked.row])
    assert not decoder.step()
    assert asked.tokens == []


def test_a_row_that_wants_the_likeliest_token_gets_the_one_it_would_take_from_the_logits(tiny):
    alone, beside, said = Asked([5, 6, 7], 6), Asked([9, 8, 7, 6, 5], 6), []

    def likeliest(token):
        said.append(token)
        return token if len(said) < 6 else None

    for rows in ([alone.row], [TokenSequence(alone.ids, None, beside.take, on_argmax=likeliest), beside.row]):
        decoder = Decoder(tiny, RowAdapters(tiny))
        decoder.join(rows)
        while decoder.step():
            pass
    assert said == alone.tokens
    assert len(beside.tokens) == 6
