"""NEFTune: noise on the input embeddings during training, scaled row by row.

Source: Jain et al. 2023, arXiv:2310.05914. The noise of a row of L tokens and width d is uniform in ±alpha / √(L d).
transformers' own hook takes the length of the whole tensor for L, which is wrong where rows lie end to end.
"""

from collections.abc import Callable

import torch


class EmbeddingNoise:
    """Forward hook of the input embeddings.

    Attributes:
        alpha: Strength of the noise.
        lengths: Tokens of each row of the next batch; set before each forward pass.
    """

    def __init__(self, alpha: float):
        self.alpha = alpha
        self.lengths: list[int] | torch.Tensor = []

    def __call__(self, module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        """Return the embeddings, (batch, length, width), with noise if the module trains."""
        if not module.training:
            return output
        lengths = torch.as_tensor(self.lengths, device=output.device)  # (rows,)
        if output.shape[0] == 1 and len(lengths) > 1:
            # Packed rows: each token takes the length of its own row.
            per_token = torch.repeat_interleave(lengths, lengths)[None, :, None]  # (1, tokens, 1)
        else:
            per_token = lengths[:, None, None]  # (rows, 1, 1)
        # The bound has the shape of per_token, and is float32.
        bound = self.alpha / torch.sqrt(per_token * output.shape[-1])
        # (batch, length, width), dtype of the embeddings
        return output + torch.empty_like(output).uniform_(-1, 1) * bound.to(output.dtype)


def add_noise(embeddings: torch.nn.Module, alpha: float) -> tuple[EmbeddingNoise, Callable[[], None]]:
    """Add noise to a model's input embeddings.

    Returns:
        The hook, and a function that removes it.
    """
    noise = EmbeddingNoise(alpha)
    return noise, embeddings.register_forward_hook(noise).remove
