"""Cross-entropy over the answer tokens alone, a few rows of logits at a time, gradients made on the way.

Building all logits of a step at once costs tokens × vocabulary floats three times over (logits, log-softmax, its
gradient). Only the tokens that carry loss need logits, and their gradient, softmax(z) − onehot(y), is known as soon as
the logits are. So each chunk's logits are made, used for both, and dropped while still in the cache.
"""

import torch
import torch.nn.functional as F

IGNORED = -100
CHUNK_ROWS = 64  # 64 × 49,152 floats are 12 MiB: within a core's share of the cache


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, chunk: int) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), chunk):
            rows = slice(start, start + chunk)
            logits = F.linear(hidden[rows], weight).float()
            log_sum = torch.logsumexp(logits, dim=-1, keepdim=True)
            picked = targets[rows, None]
            total += (log_sum - logits.gather(1, picked)).sum()
            if gradient is not None:
                probabilities = logits.sub_(log_sum).exp_()
                probabilities.scatter_add_(1, picked, torch.full_like(log_sum, -1.0))
                gradient[rows] = probabilities.to(weight.dtype) @ weight
        ctx.gradient = gradient
        return total

    @staticmethod
    def backward(ctx, scale: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        return ctx.gradient * scale.to(ctx.gradient.dtype), None, None, None


def chunked_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, chunk: int = CHUNK_ROWS
) -> tuple[torch.Tensor, int]:
    """Summed next-token cross-entropy of a frozen language-model head.

    Args:
        hidden: (batch, length, width), the decoder's last hidden state.
        weight: (vocabulary, width), frozen: it gets no gradient.
        labels: (batch, length), -100 where a token carries no loss.
        chunk: rows of logits in memory at a time.

    Returns:
        The sum over all tokens that carry loss (float32, scalar), and how many there were.
    """
    targets = labels[:, 1:].reshape(-1)
    predicted = hidden[:, :-1].reshape(-1, hidden.shape[-1])
    kept = (targets != IGNORED).nonzero().squeeze(1)
    rows = predicted.index_select(0, kept).to(weight.dtype)
    return _ChunkedCrossEntropy.apply(rows, weight, targets.index_select(0, kept), chunk), len(kept)
