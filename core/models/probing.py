"""Parts shared by the probes of training and of answering: closeness of logits, and short windows of attention."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Tokens of a window, fewer than a probe's rows have.
_WINDOW = 5
# Root mean square of the difference, as a share of the logits' standard deviation. Half precision rounds differently in
# a batch; a missing token or mask changes logits by a tenth or more.
_TOLERANCE = {"float64": 1e-6, "float32": 2e-4, "bfloat16": 0.08, "float16": 0.04}


def are_close(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    """Return whether two tensors of logits differ by no more than rounding does in the second one's dtype."""
    tolerance = _TOLERANCE[str(other.dtype).removeprefix("torch.")]
    one, other = one.float(), other.float()
    return bool((one - other).pow(2).mean().sqrt() <= tolerance * other.std() + 1e-7)


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
