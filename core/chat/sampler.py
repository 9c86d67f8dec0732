"""Sampling of one token from one row of logits, by the settings of a lane."""

import math

import torch

from core.chat.sampling import Sampling
from core.errors import StudioError

# A smaller temperature takes the most likely token: dividing by it would overflow.
MIN_TEMPERATURE = 1e-3
# Number of the most likely tokens that top-p looks at first; they mostly hold the whole share.
_TOP_P_CANDIDATES = 1000
# Returned by `most_likely` in place of a token where the logits are no numbers.
NO_TOKEN = -1


class TokenSampler:
    """Sampler of one lane, with its own random numbers and a record of the tokens seen so far.

    Attributes:
        sampling: The settings.
        seen_ids: Tokens that a repetition penalty applies to; sampled tokens are added.
    """

    def __init__(self, sampling: Sampling, prompt_ids: list[int]):
        """Seed the random numbers.

        Args:
            sampling: The settings.
            prompt_ids: Tokens before the answer; a repetition penalty applies to them too.
        """
        self.sampling, self.seen_ids = sampling, set(prompt_ids)
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def uniform(self) -> float:
        """Return the next random number in [0, 1).

        Each token that is not greedy takes exactly one, here and on the GPU, so both sample the same text.
        """
        return float(torch.rand((), generator=self._generator))

    def sample(self, logits: torch.Tensor) -> tuple[int, float]:
        """Return a token, and its log-probability under the model itself, before any setting.

        Args:
            logits: (vocabulary,), any dtype and device.

        Raises:
            StudioError: The logits are no numbers.
        """
        # On the CPU in float32, so that an answer does not depend on the device.
        logits = logits.float().cpu()
        logprobs = torch.log_softmax(logits, dim=-1)
        check_finite(float(logprobs.max()))
        token = self._sample(logits)
        self.seen_ids.add(token)
        return token, float(logprobs[token])

    def _sample(self, scores: torch.Tensor) -> int:
        settings = self.sampling
        if settings.repetition_penalty != 1:
            scores = self._penalized(scores)
        if settings.temperature < MIN_TEMPERATURE:
            return int(scores.argmax())
        return int(sample_inverse_cdf(filtered_probabilities(scores, settings), self.uniform()))

    def _penalized(self, scores: torch.Tensor) -> torch.Tensor:
        """Lower the scores of seen tokens (Keskar et al. 2019, section 4.1).

        Negative scores are multiplied instead of divided, as transformers does; dividing would raise them.
        """
        scores, seen, penalty = scores.clone(), torch.tensor(sorted(self.seen_ids)), self.sampling.repetition_penalty
        scores[seen] = torch.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
        return scores


def most_likely(logits: torch.Tensor) -> torch.Tensor:
    """Return the most likely tokens, (...), int64; NO_TOKEN where the logits are no numbers.

    Args:
        logits: (..., vocabulary).
    """
    highest = logits.max(dim=-1)
    return torch.where(highest.values.isfinite(), highest.indices, NO_TOKEN)


def top_logprobs(logits: torch.Tensor, count: int) -> tuple[list[int], list[float]]:
    """Return the most likely tokens and their log-probabilities, equal to those that `TokenSampler.sample` returns.

    Args:
        logits: (vocabulary,), any dtype and device.
        count: How many tokens; all of a smaller vocabulary.
    """
    found = torch.log_softmax(logits.float().cpu(), dim=-1).topk(min(count, len(logits)))
    return found.indices.tolist(), found.values.tolist()


def check_finite(value: float) -> None:
    """Check a value that was computed from all logits of a step.

    Args:
        value: NaN or infinite if one logit is NaN or infinity, or if all are minus infinity.

    Raises:
        StudioError: It is no finite number.
    """
    if not math.isfinite(value):
        raise StudioError(
            "The model computes no numbers any more (NaN or infinity), so it has no next token. The run has probably "
            "diverged: choose an earlier checkpoint, or another compute dtype."
        )


def sample_inverse_cdf(probabilities: torch.Tensor, uniform: torch.Tensor | float) -> torch.Tensor:
    """Return the tokens at which the cumulative probability exceeds `uniform` times its total.

    A token without probability is never returned: the first sum above the threshold belongs to one that added to it.

    Args:
        probabilities: (..., vocabulary); they need not sum to 1.
        uniform: (...), random numbers in [0, 1).

    Returns:
        (...), int64.
    """
    # float64: in float32, the sums over a large vocabulary would stop increasing before the last likely tokens.
    sums = probabilities.double().cumsum(-1)  # (..., vocabulary)
    threshold = sums[..., -1] * uniform  # (...)
    return (sums <= threshold[..., None]).sum(-1).clamp(max=probabilities.shape[-1] - 1)


def filtered_probabilities(scores: torch.Tensor, settings: Sampling) -> torch.Tensor:
    """Return the probabilities to sample from, after temperature, top-k, top-p and min-p.

    Args:
        scores: (vocabulary,), float32, after the repetition penalty.
        settings: The settings of the lane; the temperature is at least `MIN_TEMPERATURE`.

    Returns:
        (vocabulary,); excluded tokens have 0, and the rest need not sum to 1.
    """
    probabilities = torch.softmax(scores / settings.temperature, dim=-1)
    if 0 < settings.top_k < len(probabilities):
        least = probabilities.topk(settings.top_k).values[-1]
        probabilities = probabilities.masked_fill(probabilities < least, 0)
        # The share of top-p refers to what top-k has left.
        probabilities /= probabilities.sum()
    if settings.top_p < 1:
        ordered = _most_likely(probabilities, settings.top_p)
        # A token stays if the tokens before it have not reached top_p yet, so the first one always stays; and with it
        # all that are equally likely, as in top-k. Logits in bfloat16 are often equal.
        least = ordered[ordered.cumsum(0) - ordered < settings.top_p][-1]
        probabilities = probabilities.masked_fill(probabilities < least, 0)
    if settings.min_p:
        probabilities = probabilities.masked_fill(probabilities < settings.min_p * probabilities.max(), 0)
    return probabilities


def _most_likely(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """Return probabilities in descending order: enough of them to reach a share, or all.

    Sorting a whole vocabulary takes ten times as long as this: as long as a step of a small model.
    """
    first = probabilities.topk(min(_TOP_P_CANDIDATES, len(probabilities))).values
    return first if float(first.sum()) >= share else probabilities.sort(descending=True).values
