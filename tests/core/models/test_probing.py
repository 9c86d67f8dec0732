"""Closeness of logits: exact dtypes by a fixed tolerance, half precision by the model's own rounding noise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.models.probing import all_agree, are_close

ROWS = [[1, 2, 3, 4], [5, 6, 7]]


def noisy_model(noise, dtype):
    """Return a function from ids to logits (B, T, 64) that differ by `noise` deviations between one row and several."""

    def logits_of(ids):
        generator = torch.Generator().manual_seed(int(ids[0].sum()))
        exact = torch.randn(ids.shape[1], 64, generator=generator)
        shift = torch.randn(ids.shape[1], 64, generator=generator) if len(ids) > 1 else torch.zeros(())
        return (exact + noise * shift).to(dtype)[None].expand(len(ids), -1, -1)

    return logits_of


def logits_at(distance, model):
    """Return the logits of the rows alone, and others at a distance from them in deviations."""
    expected = [model(torch.tensor([row]))[0] for row in ROWS]
    generator = torch.Generator().manual_seed(9)
    found = []
    for one in expected:
        change = torch.randn(one.shape, generator=generator)
        found.append((one.float() + distance * one.float().std() * change / change.pow(2).mean().sqrt()).to(one.dtype))
    return found, expected


@given(noise=st.floats(0, 0.1), share=st.sampled_from([0.1, 0.5, 0.7, 1.5, 3]))
def test_half_precision_allows_twice_the_noise_of_the_model(noise, share):
    model = noisy_model(noise, torch.bfloat16)
    found, expected = logits_at(share * max(0.08, 2 * noise), model)
    assert all_agree(found, expected, ROWS, model) == (share < 1)


def test_much_noise_does_not_allow_a_fault():
    model = noisy_model(2.0, torch.bfloat16)
    assert all_agree(*logits_at(0.2, model), ROWS, model)
    assert not all_agree(*logits_at(0.4, model), ROWS, model)


@pytest.mark.parametrize(("distance", "agrees"), [(1e-4, True), (1e-3, False)])
def test_single_precision_does_not_ask_for_noise(distance, agrees):
    model = noisy_model(1.0, torch.float32)
    assert all_agree(*logits_at(distance, model), ROWS, model) == agrees


def test_one_row_of_two_that_differs_is_found():
    model = noisy_model(0.01, torch.bfloat16)
    found, expected = logits_at(0.0, model)
    found[1] = found[1].flip(0)
    assert not all_agree(found, expected, ROWS, model)


def test_equal_logits_without_deviation_are_close():
    same = torch.full((3, 4), 2.0)
    assert are_close(same, same)
    assert not are_close(same + 1e-3, same)
