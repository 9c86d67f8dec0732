"""Cross-entropy of the tokens that carry loss, a chunk of logits at a time.

Building all logits of a step at once costs tokens × vocabulary floats three times over (logits, log-softmax, its
gradient). Only the tokens that carry loss need logits, and their gradient, softmax(z) − onehot(y), is known as soon as
the logits are. So each chunk's logits are computed, used for both, and dropped at once:

    hidden (batch, length, width) --select--> rows (count, width), `count` tokens carry loss
    for each chunk:  logits (chunk, vocabulary), float32 --> loss, gradient (chunk, width)

Logits, losses and sums are float32; the gradient has the dtype of the hidden states.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from core.data.tokens import IGNORE_INDEX

# Tokens per chunk. On a CPU, 64 × 49,152 floats are 12 MiB: within a core's share of the cache. On a GPU, 1,024 rows
# are enough for the product to fill it; 1,024 × 32,000 floats are 125 MiB.
CPU_CHUNK_TOKENS = 64
GPU_CHUNK_TOKENS = 1024


@dataclass(frozen=True)
class Objective:
    """Training objective.

    Attributes:
        dft: Weigh each token's cross-entropy by its own probability, held constant (Wu et al. 2025, arXiv:2508.05629).
        smoothing: Share of each target spread evenly over the vocabulary (Szegedy et al. 2016, arXiv:1512.00567).
            0 with `dft`: the two are not combined.
    """

    dft: bool = False
    smoothing: float = 0.0


CROSS_ENTROPY = Objective()


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Autograd node that computes the gradient of the hidden states in the forward pass."""

    @staticmethod
    def forward(
        ctx, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk: int, objective: Objective
    ) -> torch.Tensor:
        """Return the summed loss of hidden (count, width), weight (vocabulary, width), targets (count,), int64."""
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)  # scalar
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None  # (count, width), dtype of hidden
        for start in range(0, len(targets), chunk):
            rows = slice(start, start + chunk)
            logits = F.linear(hidden[rows], weight).float()  # (chunk, vocabulary), float32
            log_sum = torch.logsumexp(logits, dim=-1, keepdim=True)  # (chunk, 1)
            target = targets[rows, None]  # (chunk, 1)
            loss = log_sum - logits.gather(1, target)  # (chunk, 1), −log p(target)
            scale = torch.exp(-loss) if objective.dft else torch.ones_like(loss)  # (chunk, 1)
            if objective.smoothing:
                uniform_loss = log_sum - logits.mean(dim=-1, keepdim=True)  # (chunk, 1)
                loss = (1 - objective.smoothing) * loss + objective.smoothing * uniform_loss
            total += (scale * loss).sum()
            if gradient is not None:
                # softmax(z) − target distribution, computed in the memory of the logits.
                difference = logits.sub_(log_sum).exp_()  # (chunk, vocabulary)
                if objective.smoothing:
                    difference -= objective.smoothing / logits.shape[-1]
                difference.scatter_add_(1, target, torch.full_like(log_sum, objective.smoothing - 1.0))
                if objective.dft:
                    difference *= scale
                gradient[rows] = difference.to(weight.dtype) @ weight  # (chunk, width)
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx, scale: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        """Return the gradient of the hidden states, (count, width), times `scale`."""
        # The gradient is as large as the hidden states, so it is used once, in place.
        gradient, ctx.gradient = ctx.gradient, None
        return gradient.mul_(scale.to(gradient.dtype)), None, None, None, None


def chunked_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    objective: Objective = CROSS_ENTROPY,
    chunk: int | None = None,
    loss_positions: torch.Tensor | None = None,
) -> tuple[torch.Tensor, int]:
    """Return the summed next-token loss of a frozen language-model head.

    Args:
        hidden: (batch, length, width), the decoder's last hidden state.
        weight: (vocabulary, width), frozen: it gets no gradient.
        labels: (batch, length), `IGNORE_INDEX` where a token carries no loss.
        objective: What is minimized.
        chunk: Tokens whose logits are in memory at a time; None chooses by the device.
        loss_positions: Which of the flattened predictions carry loss, (count,), if the caller knows
            (`batches.find_loss_positions`).

    Returns:
        The sum over all tokens that carry loss (scalar, float32), and their number.
    """
    targets = labels[:, 1:].reshape(-1)  # (batch · (length − 1),)
    predictors = hidden[:, :-1].reshape(-1, hidden.shape[-1])  # (batch · (length − 1), width)
    if loss_positions is None:
        loss_positions = (targets != IGNORE_INDEX).nonzero().squeeze(1)  # (count,), int64
    if chunk is None:
        chunk = GPU_CHUNK_TOKENS if hidden.is_cuda else CPU_CHUNK_TOKENS
    rows = predictors.index_select(0, loss_positions).to(weight.dtype)  # (count, width)
    targets = targets.index_select(0, loss_positions)  # (count,)
    return _ChunkedCrossEntropy.apply(rows, weight, targets, chunk, objective), len(loss_positions)


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, objective: Objective = CROSS_ENTROPY
) -> tuple[torch.Tensor, int]:
    """Return what `chunked_cross_entropy` returns, for a model whose head is not a plain product.

    Args:
        logits: (batch, length, vocabulary).
        labels: (batch, length).
        objective: What is minimized.
    """
    targets = labels[:, 1:].flatten()  # (batch · (length − 1),)
    # (batch · (length − 1), vocabulary)
    return class_cross_entropy(logits[:, :-1].flatten(0, 1), targets, objective)


def class_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, objective: Objective = CROSS_ENTROPY
) -> tuple[torch.Tensor, int]:
    """Return the summed loss of a choice among classes, (scalar, float32), and the number of rows that carry it.

    Args:
        logits: (rows, classes).
        targets: (rows,), `IGNORE_INDEX` where a row carries no loss.
        objective: What is minimized.
    """
    kept = targets != IGNORE_INDEX
    flat = logits[kept].float()  # (count, classes), float32
    # (count,), float32
    losses = F.cross_entropy(flat, targets[kept], reduction="none", label_smoothing=objective.smoothing)
    if objective.dft:
        losses = losses * torch.exp(-losses.detach())
    return losses.sum(), int(kept.sum())
