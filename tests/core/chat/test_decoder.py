"""Sequences that join and leave the batched decoder at any time get the logits that they get alone."""

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


class GreedySequence:
    """A sequence of greedy tokens that records its logits."""

    def __init__(self, ids, length, cancelled_after=None):
        self.ids, self.length, self.cancelled_after = ids, length, cancelled_after
        self.tokens, self.logits = [], []
        self.row = TokenSequence(
            ids, None, self.take, lambda: cancelled_after is not None and len(self.tokens) >= cancelled_after
        )

    def take(self, logits):
        self.logits.append(logits.clone())
        self.tokens.append(int(logits.argmax()))
        return self.tokens[-1] if len(self.tokens) < self.length else None


def alone(model, ids, count):
    """Return the logits after each of `count` greedy tokens, with the whole text computed again for each."""
    found, ids = [], list(ids)
    with torch.no_grad():
        for _ in range(count):
            found.append(model(torch.tensor([ids])).logits[0, -1])
            ids.append(int(found[-1].argmax()))
    return torch.stack(found)


def prompt(length, seed):
    return torch.randint(3, 500, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("chunk", [4, 512])
def test_decoder_every_sequence_equals_itself_alone(model, chunk):
    greedy = [
        GreedySequence(prompt(length, seed), count) for seed, (length, count) in enumerate([(9, 12), (3, 5), (17, 8)])
    ]
    decoder = Decoder(model, RowAdapters(model), chunk=chunk)
    decoder.join([greedy[0].row, greedy[1].row])
    for _ in range(4):
        decoder.step()
    decoder.join([greedy[2].row])
    while decoder.step():
        pass
    for one in greedy:
        assert len(one.tokens) == one.length
        torch.testing.assert_close(torch.stack(one.logits), alone(model, one.ids, one.length), rtol=1e-4, atol=1e-4)
    assert decoder.sequences == []


ROWS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 10), st.none() | st.integers(0, 5), st.integers(0, 6)),
    min_size=1, max_size=6,
)  # fmt: skip


@limits(max_examples=25)
@given(ROWS, st.sampled_from([3, 64]), st.sampled_from([0, 1, 24]))
def test_decoder_sequences_join_and_leave_in_any_order(tiny, plan, chunk, group):
    """Each has a prompt length, an answer length, a step of cancellation and a step of joining."""
    decoder = Decoder(tiny, RowAdapters(tiny), chunk=chunk, group=group)
    greedy = [
        (GreedySequence(prompt(length, at), count, cancelled_after), joins_at)
        for at, (length, count, cancelled_after, joins_at) in enumerate(plan)
    ]
    for step in range(200):
        decoder.join([one.row for one, joins_at in greedy if joins_at == step])
        if not decoder.step() and step > 6:
            break
    for one, _ in greedy:
        given_up = one.cancelled_after is not None and one.cancelled_after < one.length
        assert len(one.tokens) == (one.cancelled_after if given_up else one.length)
        if one.logits:
            expected = alone(tiny, one.ids, len(one.logits))
            torch.testing.assert_close(torch.stack(one.logits), expected, rtol=1e-4, atol=1e-4)


def test_decoder_reads_prompts_in_groups_of_a_limited_size(tiny):
    greedy = [GreedySequence(prompt(length, length), 3) for length in (30, 9, 8, 7, 6)]
    decoder, shapes = Decoder(tiny, RowAdapters(tiny), group=20), []
    hook = tiny.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    decoder.join([one.row for one in greedy])
    while decoder.step():
        pass
    hook.remove()
    assert [shape for shape in shapes if shape[1] > 1] == [(1, 30), (2, 9), (2, 7)]
    assert [len(one.tokens) for one in greedy] == [3] * 5


def test_decoder_trims_padding_that_no_sequence_needs(tiny):
    long, short = GreedySequence(prompt(40, 1), 2), GreedySequence(prompt(4, 2), 20)
    decoder = Decoder(tiny, RowAdapters(tiny))
    decoder.join([long.row, short.row])
    for _ in range(6):
        decoder.step()
    assert decoder._batch.length < 15


def test_decoder_sequence_cancelled_during_prefill_gets_no_token(tiny):
    greedy = GreedySequence(prompt(40, 1), 3, cancelled_after=0)
    decoder = Decoder(tiny, RowAdapters(tiny), chunk=8)
    decoder.join([greedy.row])
    assert not decoder.step()
    assert greedy.tokens == []


def test_decoder_on_argmax_gets_the_argmax_of_the_logits(tiny):
    alone, beside, taken = GreedySequence([5, 6, 7], 6), GreedySequence([9, 8, 7, 6, 5], 6), []

    def likeliest(token):
        taken.append(token)
        return token if len(taken) < 6 else None

    for rows in ([alone.row], [TokenSequence(alone.ids, None, beside.take, on_argmax=likeliest), beside.row]):
        decoder = Decoder(tiny, RowAdapters(tiny))
        decoder.join(rows)
        while decoder.step():
            pass
    assert taken == alone.tokens
    assert len(beside.tokens) == 6
