import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.train.loss import PLAIN, Objective, chunked_cross_entropy, cross_entropy

GOALS = [PLAIN, Objective(dft=True), Objective(smoothing=0.2), Objective(smoothing=0.9)]


def reference(hidden, weight, labels, goal=PLAIN):
    """By plain PyTorch; DFT weighs each token by its own probability, held constant."""
    logits = F.linear(hidden, weight)[:, :-1].double()
    targets = labels[:, 1:].flatten()
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets, reduction="none", ignore_index=-100, label_smoothing=goal.smoothing
    )
    return (losses * torch.exp(-losses.detach()) if goal.dft else losses).sum()


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(2, 40),
    chunk=st.integers(1, 50),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 10_000),
    goal=st.sampled_from(GOALS),
)
def test_value_and_gradient_equal_torchs_cross_entropy(batch, length, chunk, share, seed, goal):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, length, 8, generator=generator, requires_grad=True)
    weight = torch.randn(50, 8, generator=generator)
    labels = torch.randint(0, 50, (batch, length), generator=generator)
    labels[torch.rand(batch, length, generator=generator) > share] = -100

    total, count = chunked_cross_entropy(hidden, weight, labels, goal, chunk)
    assert count == int((labels[:, 1:] != -100).sum())
    expected = reference(hidden, weight, labels, goal)
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(total * 0.5, hidden)
    (expected_gradient,) = torch.autograd.grad(expected * 0.5, hidden)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


def test_bf16_is_as_close_as_bf16_allows():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 60, 32, generator=generator).bfloat16()
    weight = torch.randn(200, 32, generator=generator).bfloat16()
    labels = torch.randint(0, 200, (2, 60), generator=generator)
    total, count = chunked_cross_entropy(hidden, weight, labels)
    expected = reference(hidden.float(), weight.float(), labels)
    assert (total / count).item() == pytest.approx((expected / count).item(), rel=1e-2)


def test_nothing_to_learn_is_zero_not_nan():
    total, count = chunked_cross_entropy(torch.randn(1, 4, 8), torch.randn(10, 8), torch.full((1, 4), -100))
    assert (total.item(), count) == (0.0, 0)


@pytest.mark.parametrize("goal", GOALS)
def test_from_logits_it_is_the_same(goal):
    generator = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(2, 9, 8, generator=generator), torch.randn(30, 8, generator=generator)
    labels = torch.randint(0, 30, (2, 9), generator=generator)
    labels[0, :4] = -100
    chunked = chunked_cross_entropy(hidden, weight, labels, goal)
    whole = cross_entropy(F.linear(hidden, weight), labels, goal)
    assert chunked[1] == whole[1]
    assert chunked[0].item() == pytest.approx(whole[0].item(), rel=1e-5)
