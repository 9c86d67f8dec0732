import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from core.train.loss import chunked_cross_entropy


def reference(hidden, weight, labels):
    logits = F.linear(hidden, weight)[:, :-1].double()
    return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum", ignore_index=-100)


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    length=st.integers(2, 40),
    chunk=st.integers(1, 50),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 10_000),
)
def test_value_and_gradient_equal_torchs_cross_entropy(batch, length, chunk, share, seed):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(batch, length, 8, generator=generator, requires_grad=True)
    weight = torch.randn(50, 8, generator=generator)
    labels = torch.randint(0, 50, (batch, length), generator=generator)
    labels[torch.rand(batch, length, generator=generator) > share] = -100

    total, count = chunked_cross_entropy(hidden, weight, labels, chunk)
    assert count == int((labels[:, 1:] != -100).sum())
    expected = reference(hidden, weight, labels)
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
