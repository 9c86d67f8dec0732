"""Sampling of the next token, compared with transformers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)  # fmt: skip

from core.chat.cuda.batch_sampler import BatchSampler
from core.chat.sampler import NO_TOKEN, TokenSampler, filtered_probabilities, most_likely
from core.chat.sampling import Sampling
from core.errors import StudioError

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])
SETTINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.8]),
    top_k=st.sampled_from([0, 1, 3, 1000]),
    top_p=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.3]),
    repetition_penalty=st.sampled_from([0.8, 1.0, 1.3]),
)


def by_transformers(logits, settings, seen_ids):
    scores = logits[None]
    scores = RepetitionPenaltyLogitsProcessor(settings.repetition_penalty)(torch.tensor([seen_ids]), scores)
    scores = TemperatureLogitsWarper(settings.temperature)(None, scores)
    if settings.top_k:
        scores = TopKLogitsWarper(settings.top_k)(None, scores)
    if settings.top_p < 1:
        scores = TopPLogitsWarper(settings.top_p)(None, scores)
    if settings.min_p:
        scores = MinPLogitsWarper(settings.min_p)(None, scores)
    return torch.softmax(scores, -1)[0]


@given(SETTINGS, st.integers(0, 10_000), st.lists(st.integers(0, 19), min_size=1, max_size=6))
def test_sampler_probabilities_equal_transformers(settings, seed, seen_ids):
    logits = torch.randn(20, generator=torch.Generator().manual_seed(seed)) * 3
    penalized = TokenSampler(settings, seen_ids)._penalized(logits) if settings.repetition_penalty != 1 else logits
    found = filtered_probabilities(penalized, settings)
    torch.testing.assert_close(found / found.sum(), by_transformers(logits, settings, seen_ids), rtol=1e-4, atol=1e-6)


def test_sampler_zero_temperature_takes_the_argmax_with_its_logprob():
    token, logprob = TokenSampler(Sampling(temperature=0), []).sample(LOGITS)
    assert token == 0
    assert logprob == pytest.approx(float(torch.log_softmax(LOGITS, -1)[0]))


def test_sampler_repetition_penalty_lowers_seen_tokens():
    sampler = TokenSampler(Sampling(temperature=0, repetition_penalty=2), [0])
    assert [sampler.sample(LOGITS)[0] for _ in range(2)] == [0, 0], "2 / 2 still leads 1"
    sampler = TokenSampler(Sampling(temperature=0, repetition_penalty=2), [0])
    flat = torch.tensor([1.1, 1.0, 0.9])
    assert [sampler.sample(flat)[0] for _ in range(3)] == [1, 2, 0]


def test_sampler_frequencies_follow_the_probabilities():
    logits = torch.tensor([1.0, 0.0, -1.0])
    sampler = TokenSampler(Sampling(temperature=1, top_p=1, seed=1), [])
    counts = torch.bincount(torch.tensor([sampler.sample(logits)[0] for _ in range(4000)]), minlength=3)
    torch.testing.assert_close(counts / 4000, torch.softmax(logits, -1), atol=0.03, rtol=0)


def test_sampler_same_seed_samples_the_same():
    sample = lambda seed: [TokenSampler(Sampling(temperature=1, seed=seed), []).sample(LOGITS)[0] for _ in range(1)]  # noqa: E731
    assert sample(5) == sample(5)
    samplers = [TokenSampler(Sampling(temperature=1, seed=seed), []) for seed in (1, 1, 2)]
    first, second, third = ([sampler.sample(LOGITS)[0] for _ in range(30)] for sampler in samplers)
    assert first == second != third


@pytest.mark.parametrize("temperature", [1e-308, 1e-40, 1e-4])
def test_sampler_tiny_temperature_takes_the_argmax(temperature):
    token, _ = TokenSampler(Sampling(temperature=temperature), []).sample(LOGITS)
    assert token == int(LOGITS.argmax())


@given(
    st.floats(1e-3, 2), st.floats(1e-3, 1), st.integers(0, 1000), st.floats(0, 1, exclude_max=True), st.floats(0.1, 2)
)
def test_sampler_any_valid_settings_sample_a_token(temperature, top_p, top_k, min_p, penalty):
    settings = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, repetition_penalty=penalty)
    assert 0 <= TokenSampler(settings, [0, 3]).sample(LOGITS)[0] < len(LOGITS)


NAN, INFINITY = float("nan"), float("inf")
# Logits of a model that has diverged; one of minus infinity is none.
NO_NUMBERS = {"all": [NAN] * 5, "one": [1, 2, NAN, 0, 1], "infinity": [1, INFINITY, 0, 0, 0], "none": [-INFINITY] * 5}


@pytest.mark.parametrize("name", NO_NUMBERS)
@pytest.mark.parametrize("change", [{}, {"temperature": 0}, {"top_k": 2}, {"top_p": 1}, {"repetition_penalty": 1.2}])
def test_sampler_logits_that_are_no_numbers_are_an_error(name, change):
    logits = torch.tensor(NO_NUMBERS[name])
    with pytest.raises(StudioError, match="computes no numbers any more"):
        TokenSampler(Sampling(**change), [0]).sample(logits)
    assert most_likely(torch.stack([LOGITS, logits])).tolist() == [0, NO_TOKEN]


def test_sampler_token_without_probability_is_no_error():
    logits = torch.tensor([-INFINITY, 1.0, -INFINITY])
    assert TokenSampler(Sampling(), []).sample(logits) == (1, 0.0)
    assert int(most_likely(logits)) == 1


# Logits with ties, settings, and the tokens that they leave.
TIES = [
    ([2, 1, 1], {"top_p": 0.7}, {0, 1, 2}),
    ([1, 2, 1, 0], {"top_p": 0.7}, {0, 1, 2}),
    ([1, 1, 1, 0], {"top_p": 0.1}, {0, 1, 2}),
    ([2, 1, 1, 0], {"top_p": 0.5}, {0}),
    ([2, 1, 1, 0], {"top_k": 2, "top_p": 1}, {0, 1, 2}),
    ([2, 1, 1, 0], {"top_k": 2, "top_p": 0.7}, {0, 1, 2}),
    ([2, 1, 1, 0], {"top_p": 1, "min_p": 0.3}, {0, 1, 2}),
    ([1] * 2999 + [2], {"top_p": 0.1}, set(range(3000))),
    ([1] * 1500 + [-9] * 2001, {"top_p": 0.5}, set(range(1500))),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("logits", "settings", "kept"), TIES)
def test_samplers_keep_equally_likely_tokens_together(logits, settings, kept, dtype):
    settings, scores = Sampling(temperature=1, **settings), torch.tensor(logits, dtype=dtype)
    alone = filtered_probabilities(scores.float(), settings)
    together = BatchSampler([(0, TokenSampler(settings, []))], len(scores), "cpu")
    (batched,) = together._filtered_probabilities(scores.float()[None])
    assert [set(found.nonzero()[:, 0].tolist()) for found in (alone, batched)] == [kept, kept]
    for uniform in (0.0, 0.3, 0.6, 0.99):
        sampler, tokens = TokenSampler(settings, []), torch.zeros(1, dtype=torch.int64)
        sampler.uniform = lambda number=uniform: number
        BatchSampler([(0, sampler)], len(scores), "cpu").sample(scores[None], None, tokens)
        assert sampler.sample(scores)[0] == tokens.item()


@given(SETTINGS, st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(0, 2**24 - 1))
def test_samplers_sample_the_same_from_tied_logits(settings, logits, bits):
    # These are all the numbers that torch.rand can give.
    uniform = bits / 2**24
    scores, sampler = torch.tensor(logits, dtype=torch.bfloat16), TokenSampler(settings, [0])
    sampler.uniform = lambda: uniform
    seen, tokens = torch.zeros(1, len(scores), dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    seen[0, 0] = 1
    BatchSampler([(0, sampler)], len(scores), "cpu").sample(scores[None], seen, tokens)
    assert sampler.sample(scores)[0] == tokens.item()
