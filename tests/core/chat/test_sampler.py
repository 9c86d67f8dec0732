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

from core.chat.sampler import TokenSampler, shares
from core.chat.sampling import Sampling

LOGITS = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])
SETTINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.8]),
    top_k=st.sampled_from([0, 1, 3, 1000]),
    top_p=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.3]),
    repetition_penalty=st.sampled_from([0.8, 1.0, 1.3]),
)


def by_transformers(logits, settings, said):
    scores = logits[None]
    scores = RepetitionPenaltyLogitsProcessor(settings.repetition_penalty)(torch.tensor([said]), scores)
    scores = TemperatureLogitsWarper(settings.temperature)(None, scores)
    if settings.top_k:
        scores = TopKLogitsWarper(settings.top_k)(None, scores)
    if settings.top_p < 1:
        scores = TopPLogitsWarper(settings.top_p)(None, scores)
    if settings.min_p:
        scores = MinPLogitsWarper(settings.min_p)(None, scores)
    return torch.softmax(scores, -1)[0]


@given(SETTINGS, st.integers(0, 10_000), st.lists(st.integers(0, 19), min_size=1, max_size=6))
def test_what_is_drawn_from_is_what_transformers_would_draw_from(settings, seed, said):
    logits = torch.randn(20, generator=torch.Generator().manual_seed(seed)) * 3
    penalised = TokenSampler(settings, said)._penalised(logits) if settings.repetition_penalty != 1 else logits
    found = shares(penalised, settings)
    torch.testing.assert_close(found / found.sum(), by_transformers(logits, settings, said), rtol=1e-4, atol=1e-6)


def test_without_temperature_the_likeliest_is_taken_and_its_own_probability_told():
    token, logprob = TokenSampler(Sampling(temperature=0), []).sample(LOGITS)
    assert token == 0
    assert logprob == pytest.approx(float(torch.log_softmax(LOGITS, -1)[0]))


def test_what_was_said_becomes_less_likely():
    picker = TokenSampler(Sampling(temperature=0, repetition_penalty=2), [0])
    assert [picker.sample(LOGITS)[0] for _ in range(2)] == [0, 0], "2 / 2 still leads 1"
    picker = TokenSampler(Sampling(temperature=0, repetition_penalty=2), [0])
    flat = torch.tensor([1.1, 1.0, 0.9])
    assert [picker.sample(flat)[0] for _ in range(3)] == [1, 2, 0]


def test_sampled_shares_follow_the_probabilities():
    logits = torch.tensor([1.0, 0.0, -1.0])
    picker = TokenSampler(Sampling(temperature=1, top_p=1, seed=1), [])
    drawn = torch.bincount(torch.tensor([picker.sample(logits)[0] for _ in range(4000)]), minlength=3)
    torch.testing.assert_close(drawn / 4000, torch.softmax(logits, -1), atol=0.03, rtol=0)


def test_the_same_seed_draws_the_same():
    draw = lambda seed: [TokenSampler(Sampling(temperature=1, seed=seed), []).sample(LOGITS)[0] for _ in range(1)]  # noqa: E731
    assert draw(5) == draw(5)
    pickers = [TokenSampler(Sampling(temperature=1, seed=seed), []) for seed in (1, 1, 2)]
    first, second, third = ([picker.sample(LOGITS)[0] for _ in range(30)] for picker in pickers)
    assert first == second != third


@pytest.mark.parametrize("temperature", [1e-308, 1e-40, 1e-4])
def test_hardly_any_temperature_is_none(temperature):
    token, _ = TokenSampler(Sampling(temperature=temperature), []).sample(LOGITS)
    assert token == int(LOGITS.argmax())


@given(
    st.floats(1e-3, 2), st.floats(1e-3, 1), st.integers(0, 1000), st.floats(0, 1, exclude_max=True), st.floats(0.1, 2)
)
def test_whatever_is_within_bounds_draws_a_token(temperature, top_p, top_k, min_p, penalty):
    settings = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, repetition_penalty=penalty)
    assert 0 <= TokenSampler(settings, [0, 3]).sample(LOGITS)[0] < len(LOGITS)
