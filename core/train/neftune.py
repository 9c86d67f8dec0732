"""NEFTune: noise on the embeddings while training (Jain et al. 2023, arXiv:2310.05914), a row at a time.

The noise of a row of L tokens and width d is uniform in ±alpha / √(L d). transformers' own hook takes for L the length
of the whole tensor, which is wrong where rows lie end to end.
"""

from collections.abc import Callable

import torch


class Noise:
    """A forward hook for the input embeddings; told the lengths of the rows before each forward pass."""

    def __init__(self, alpha: float):
        self.alpha = alpha
        self.lengths: list[int] | torch.Tensor = []

    def __call__(self, module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        if not module.training:
            return output
        lengths = torch.as_tensor(self.lengths, device=output.device)
        if output.shape[0] == 1 and len(lengths) > 1:  # packed: one length a token
            per_token = torch.repeat_interleave(lengths, lengths)[None, :, None]
        else:
            per_token = lengths[:, None, None]
        size = self.alpha / torch.sqrt(per_token * output.shape[-1])
        return output + torch.empty_like(output).uniform_(-1, 1) * size.to(output.dtype)


def add_noise(embeddings: torch.nn.Module, alpha: float) -> tuple[Noise, Callable[[], None]]:
    """Add the noise to a model's input embeddings; the second value takes it away."""
    noise = Noise(alpha)
    return noise, embeddings.register_forward_hook(noise).remove
