"""The chunked cross entropy, compared with PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.train.loss import CROSS_ENTROPY, Objective, chunked_cross_entropy, cross_entropy

GOALS = [CROSS_ENTROPY, Objective(dft=True), Objective(smoothing=0.2), Objective(smoothing=0.9)]


def reference(hidden, weight, labels, goal=CROSS_ENTROPY):
    """Return the loss by plain PyTorch; DFT weights each token by its probability, without a gradient through it."""
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
def test_chunked_cross_entropy_matches_torch_value_and_gradient(batch, length, chunk, share, seed, goal):
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


def test_chunked_cross_entropy_in_bfloat16_is_within_rounding():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 60, 32, generator=generator).bfloat16()
    weight = torch.randn(200, 32, generator=generator).bfloat16()
    labels = torch.randint(0, 200, (2, 60), generator=generator)
    total, count = chunked_cross_entropy(hidden, weight, labels)
    expected = reference(hidden.float(), weight.float(), labels)
    assert (total / count).item() == pytest.approx((expected / count).item(), rel=1e-2)


def test_chunked_cross_entropy_without_labels_is_zero():
    total, count = chunked_cross_entropy(torch.randn(1, 4, 8), torch.randn(10, 8), torch.full((1, 4), -100))
    assert (total.item(), count) == (0.0, 0)


@pytest.mark.parametrize("goal", GOALS)
def test_cross_entropy_from_logits_matches_chunked(goal):
    generator = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(2, 9, 8, generator=generator), torch.randn(30, 8, generator=generator)
    labels = torch.randint(0, 30, (2, 9), generator=generator)
    labels[0, :4] = -100
    chunked = chunked_cross_entropy(hidden, weight, labels, goal)
    whole = cross_entropy(F.linear(hidden, weight), labels, goal)
    assert chunked[1] == whole[1]
    assert chunked[0].item() == pytest.approx(whole[0].item(), rel=1e-5)
