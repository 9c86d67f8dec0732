"""Parts shared by the probes of training and of answering: closeness of logits, and short windows of attention.

A probe compares logits of the same tokens computed in two ways. In half precision a matrix product rounds differently
for each shape, and some models amplify that: the logits of SmolLM2 in NF4 on an H200 differ between one row and four
copies of it by up to 0.07 of their standard deviation, while a missing token, a visible padding token, or a shifted
position changes the logits of at least one row of a probe by 0.4 or more, in every model measured. So the tolerance is
fixed for exact dtypes, and grows with the rounding noise of the model in half precision.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Tokens of a window, fewer than a probe's rows have.
_WINDOW = 5
# Root mean square of the difference, as a share of the logits' standard deviation.
_TOLERANCE = {"float64": 1e-6, "float32": 2e-4, "bfloat16": 0.08, "float16": 0.04}
_HALF = ("bfloat16", "float16")
# Copies of a row in the batches by which noise is measured, the factor on that noise, and the most that it may allow.
_COPIES = (2, 4)
_NOISE_FACTOR, _MOST_ALLOWED = 2, 0.25


def are_close(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    """Return whether two tensors of logits differ by no more than rounding does in the second one's dtype."""
    return _distance(one, other) <= _TOLERANCE[_dtype(other)]


def all_agree(
    found: Sequence["torch.Tensor"],
    expected: Sequence["torch.Tensor"],
    rows: Sequence[Sequence[int]],
    logits_of: Callable[["torch.Tensor"], "torch.Tensor"],
) -> bool:
    """Return whether a model gives the same logits in two ways, apart from its own rounding noise.

    Args:
        found: Logits of each row by the way that is probed.
        expected: Logits of each row by the reference, in the model's dtype.
        rows: Token ids of texts by which noise is measured, if need be.
        logits_of: Returns the logits of a batch of ids (B, T) by the model itself, without a cache.
    """
    if all(are_close(one, other) for one, other in zip(found, expected, strict=True)):
        return True
    if _dtype(expected[0]) not in _HALF:
        return False
    allowed = min(_NOISE_FACTOR * _rounding_noise(rows, logits_of), _MOST_ALLOWED)
    return all(_distance(one, other) <= allowed for one, other in zip(found, expected, strict=True))


def _rounding_noise(rows: Sequence[Sequence[int]], logits_of: Callable[["torch.Tensor"], "torch.Tensor"]) -> float:
    """Return the greatest distance between the logits of a row by itself and in a batch of its own copies."""
    import torch

    noise = 0.0
    for row in rows:
        ids = torch.tensor([list(row)])  # (1, T)
        alone = logits_of(ids)[0]
        noise = max(noise, *(_distance(logits_of(ids.repeat(copies, 1))[0], alone) for copies in _COPIES))
    return noise


def _distance(one: "torch.Tensor", other: "torch.Tensor") -> float:
    """Return the root mean square of the difference, as a share of the second tensor's standard deviation."""
    one, other = one.float(), other.float()
    difference = float((one - other).pow(2).mean().sqrt())
    # Logits that are all equal have no deviation; then only equal ones are close.
    return difference / max(float(other.std()), 1e-7) if difference > 1e-7 else difference


def _dtype(tensor: "torch.Tensor") -> str:
    return str(tensor.dtype).removeprefix("torch.")


@contextlib.contextmanager
def short_windows(model: "torch.nn.Module") -> Iterator[None]:
    """Shorten sliding windows and chunks of attention, so that short rows reach past them.

    Masks and caches read them from the configuration, some attention modules from a field of their own.
    """
    holders = [model.config.get_text_config(), *model.modules()]
    saved = [
        (holder, name, value)
        for holder in holders
        for name in ("sliding_window", "attention_chunk_size")
        if isinstance(value := getattr(holder, name, None), int) and value
    ]
    try:
        for holder, name, value in saved:
            setattr(holder, name, min(value, _WINDOW))
        yield
    finally:
        for holder, name, value in saved:
            setattr(holder, name, value)
