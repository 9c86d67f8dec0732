"""Cross-entropy over the answer tokens alone, a few rows of logits at a time, gradients made on the way.

Building all logits of a step at once costs tokens × vocabulary floats three times over (logits, log-softmax, its
gradient). Only the tokens that carry loss need logits, and their gradient, softmax(z) − onehot(y), is known as soon as
the logits are. So each chunk's logits are made, used for both, and dropped while still in the cache.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

IGNORED = -100
CHUNK_ROWS = 64  # 64 × 49,152 floats are 12 MiB: within a core's share of the cache
GPU_CHUNK_ROWS = 1024  # enough for a product to fill the GPU; 1,024 × 32,000 floats are 125 MiB


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        dft: weigh each token's cross-entropy by its own probability, held constant (Wu et al. 2025, arXiv:2508.05629).
        smoothing: share of each target spread evenly over the vocabulary (Szegedy et al. 2016, arXiv:1512.00567).
    """

    dft: bool = False
    smoothing: float = 0.0


PLAIN = Objective()


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk: int, goal: Objective
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), chunk):
            rows = slice(start, start + chunk)
            logits = F.linear(hidden[rows], weight).float()
            log_sum = torch.logsumexp(logits, dim=-1, keepdim=True)
            picked = targets[rows, None]
            surprise = log_sum - logits.gather(1, picked)
            scale = torch.exp(-surprise) if goal.dft else torch.ones_like(surprise)
            if goal.smoothing:
                even = log_sum - logits.mean(dim=-1, keepdim=True)
                surprise = (1 - goal.smoothing) * surprise + goal.smoothing * even
            total += (scale * surprise).sum()
            if gradient is not None:
                difference = logits.sub_(log_sum).exp_()
                if goal.smoothing:
                    difference -= goal.smoothing / logits.shape[-1]
                difference.scatter_add_(1, picked, torch.full_like(log_sum, goal.smoothing - 1.0))
                if goal.dft:
                    difference *= scale
                gradient[rows] = difference.to(weight.dtype) @ weight
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx, scale: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        gradient, ctx.gradient = ctx.gradient, None  # as large as the hidden states: used once, and in place
        return gradient.mul_(scale.to(gradient.dtype)), None, None, None, None


def chunked_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    goal: Objective = PLAIN,
    chunk: int | None = None,
    kept: torch.Tensor | None = None,
) -> tuple[torch.Tensor, int]:
    """Summed next-token loss of a frozen language-model head.

    Args:
        hidden: (batch, length, width), the decoder's last hidden state.
        weight: (vocabulary, width), frozen: it gets no gradient.
        labels: (batch, length), -100 where a token carries no loss.
        chunk: rows of logits in memory at a time; None: what suits the device.
        kept: which of the flattened predictions carry loss, if that is known (`batches.learned`).

    Returns:
        The sum over all tokens that carry loss (float32, scalar), and how many there were.
    """
    targets = labels[:, 1:].reshape(-1)
    predicted = hidden[:, :-1].reshape(-1, hidden.shape[-1])
    if kept is None:
        kept = (targets != IGNORED).nonzero().squeeze(1)
    if chunk is None:
        chunk = GPU_CHUNK_ROWS if hidden.is_cuda else CHUNK_ROWS
    rows = predicted.index_select(0, kept).to(weight.dtype)
    return _ChunkedCrossEntropy.apply(rows, weight, targets.index_select(0, kept), chunk, goal), len(kept)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, goal: Objective = PLAIN) -> tuple[torch.Tensor, int]:
    """The same from logits (batch, length, vocabulary), for a model whose head is not a plain product."""
    targets = labels[:, 1:].flatten()
    kept = targets != IGNORED
    flat = logits[:, :-1].float().flatten(0, 1)[kept]
    losses = F.cross_entropy(flat, targets[kept], reduction="none", label_smoothing=goal.smoothing)
    if goal.dft:
        losses = losses * torch.exp(-losses.detach())
    return losses.sum(), int(kept.sum())
