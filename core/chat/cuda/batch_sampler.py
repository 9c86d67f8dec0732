"""Sampling for all sequences of a step at once, as `core.chat.sampler.TokenSampler` does it for one on the CPU.

The random numbers are the samplers' own, one per token, so a seed gives the same text whatever sequences are in the
batch.
"""

from typing import Any, NamedTuple

import torch

from core.chat.sampler import MIN_TEMPERATURE, TokenSampler, sample_inverse_cdf

# Largest vocabulary that one program of `core.chat.cuda.sample_kernel` holds in registers.
_KERNEL_VOCABULARY = 65536


class _Settings(NamedTuple):
    """Settings of one sequence, in the order in which the kernel reads them; or of all, as tensors."""

    temperature: Any
    top_k: Any
    top_p: Any
    min_p: Any
    penalty: Any


class BatchSampler:
    """Sampler of one set of n sequences with fixed settings."""

    def __init__(self, samplers: list[tuple[int, TokenSampler | None]], vocabulary: int, device: torch.device):
        """Copy the settings to the device.

        Args:
            samplers: Slot and sampler of each sequence; None takes the most likely token.
            vocabulary: Size of the vocabulary.
            device: Device of the logits.
        """
        self._samplers, self._device = [sampler for _, sampler in samplers], device
        self._slots = torch.tensor([slot for slot, _ in samplers], device=device)  # (n,), int64
        self._rows = torch.arange(len(samplers), device=device)  # (n,), int64
        settings = [_settings(sampler, vocabulary) for sampler in self._samplers]
        self._settings = torch.tensor(settings, dtype=torch.float32).to(device)  # (n, 5)
        self._is_random = [each.temperature >= MIN_TEMPERATURE for each in settings]
        self._has_penalty = any(each.penalty != 1 for each in settings)
        self._zeros = torch.zeros(len(samplers), dtype=torch.float32, device=device)  # (n,)

    def sample(
        self, logits: torch.Tensor, seen: torch.Tensor | None, tokens: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Sample the next token of each sequence into `tokens` at its slot.

        Args:
            logits: (any, vocabulary), in the model's dtype.
            seen: (slots, vocabulary), uint8: tokens that the repetition penalty applies to; new tokens are added. None
                if no sequence has a penalty.
            tokens: (slots,), int64, written.
            rows: (n,), int64: the sequences' rows of the logits; None if they are all rows in order.

        Returns:
            (n, 2), float64: tokens, and their log-probabilities under the model itself.
        """
        uniform = self._zeros
        if any(self._is_random):
            # Greedy sequences use no random number: their samplers would use none on the CPU either.
            pairs = zip(self._is_random, self._samplers, strict=True)
            numbers = [sampler.uniform() if is_random else 0.0 for is_random, sampler in pairs]
            uniform = torch.tensor(numbers).to(self._device)  # (n,), float32
        rows = self._rows if rows is None else rows
        seen = seen if self._has_penalty else None
        if logits.is_cuda and logits.shape[1] <= _KERNEL_VOCABULARY:
            from core.chat.cuda import sample_kernel

            values = torch.empty(len(rows), 2, dtype=torch.float64, device=self._device)  # (n, 2), float64
            min_temperature = MIN_TEMPERATURE if any(self._is_random) else None
            sample_kernel.sample(
                logits, rows, self._settings, uniform, seen, self._slots, tokens, values, min_temperature
            )
            return values
        return self._sample_in_torch(logits[rows].float(), seen, tokens, uniform)

    def _sample_in_torch(
        self, logits: torch.Tensor, seen: torch.Tensor | None, tokens: torch.Tensor, uniform: torch.Tensor
    ) -> torch.Tensor:
        """Sample without the kernel: for large vocabularies, and as its reference.

        Args:
            logits: (n, vocabulary), float32.
            seen: (slots, vocabulary), uint8, or None.
            tokens: (slots,), int64, written.
            uniform: (n,), float32.

        Returns:
            (n, 2), float64.
        """
        settings, scores = self._columns(), logits
        if seen is not None:
            # Keskar et al. 2019, section 4.1, as in TokenSampler.
            lowered = torch.where(scores < 0, scores * settings.penalty, scores / settings.penalty)
            has_penalty = seen[self._slots].bool() & (settings.penalty != 1)  # (n, vocabulary)
            scores = torch.where(has_penalty, lowered, scores)  # (n, vocabulary)
        found = scores.argmax(-1)  # (n,)
        if any(self._is_random):
            sampled = sample_inverse_cdf(self._filtered_probabilities(scores), uniform)
            found = torch.where(settings.temperature[:, 0] < MIN_TEMPERATURE, found, sampled)
        if seen is not None:
            seen[self._slots, found] = 1
        tokens[self._slots] = found
        logprobs = logits.gather(1, found[:, None])[:, 0] - logits.logsumexp(-1)  # (n,)
        return torch.stack([found.double(), logprobs.double()], dim=1)

    def _columns(self) -> _Settings:
        """Return the settings of all sequences, each (n, 1)."""
        return _Settings(*self._settings.T[:, :, None])

    def _filtered_probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (n, vocabulary) to sample from, as `sampler.filtered_probabilities` for each row."""
        settings = self._columns()
        probabilities = torch.softmax(scores / settings.temperature.clamp(min=MIN_TEMPERATURE), dim=-1)
        ordered = probabilities.sort(descending=True, dim=-1).values  # (n, vocabulary)
        kth_largest = ordered.gather(1, settings.top_k.long().clamp(max=probabilities.shape[1]) - 1)  # (n, 1)
        ordered = ordered.masked_fill(ordered < kth_largest, 0)
        # A token stays if those before it have not reached top_p yet, so the first one always stays; and with it all
        # that are equally likely.
        has_reached = ordered.cumsum(-1) - ordered >= settings.top_p * ordered.sum(-1, keepdim=True)
        stays = (ordered > 0) & (~has_reached | (settings.top_p >= 1))
        smallest = ordered.gather(1, stays.sum(-1, keepdim=True).clamp(min=1) - 1)  # (n, 1)
        probabilities = probabilities.masked_fill(probabilities < smallest, 0)
        return probabilities.masked_fill(probabilities < settings.min_p * probabilities.amax(-1, keepdim=True), 0)


def _settings(sampler: TokenSampler | None, vocabulary: int) -> _Settings:
    """Return the settings of a sequence; those of no sampler take the most likely token."""
    if sampler is None:
        return _Settings(temperature=0.0, top_k=vocabulary, top_p=1.0, min_p=0.0, penalty=1.0)
    given = sampler.sampling
    return _Settings(
        temperature=given.temperature,
        top_k=given.top_k or vocabulary,
        top_p=given.top_p,
        min_p=given.min_p,
        penalty=given.repetition_penalty,
    )
