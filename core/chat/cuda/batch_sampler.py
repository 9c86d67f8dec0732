"""Drawing tokens for all rows at once, as `core.chat.sampler.TokenSampler` does it for one on the CPU.

The random numbers are the pickers' own, one a token, so the same seed draws the same whatever rows stand beside it.
"""

import torch

from core.chat.sampler import GREEDY_BELOW, TokenSampler, drawn

_KERNEL_HOLDS = 65536  # tokens of a vocabulary (`core.chat.cuda.sample_kernel`)


class Drawing:
    """The rows of a step and how each draws; None takes the likeliest."""

    def __init__(self, who: list[tuple[int, TokenSampler | None]], vocabulary: int, device: torch.device):
        """
        Args:
            who: each row's place and picker.
        """
        self._pickers, self._device = [picker for _, picker in who], device
        self._places = torch.tensor([place for place, _ in who], device=device)
        self._rows = torch.arange(len(who), device=device)
        settings = [_settings(picker, vocabulary) for picker in self._pickers]
        self._settings = torch.tensor(settings, dtype=torch.float32).to(device)
        self._hot = [temperature >= GREEDY_BELOW for temperature, *_ in settings]
        self._penalises = any(penalty != 1 for *_, penalty in settings)
        self._zeros = torch.zeros(len(who), dtype=torch.float32, device=device)

    def draw(
        self, logits: torch.Tensor, said: torch.Tensor | None, tokens: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Put the next tokens into `tokens` (places,); returns (rows, 2): them and their log-probabilities.

        Args:
            logits: (rows, vocabulary).
            said: (places, vocabulary), uint8, what was said at each place; the tokens are added to it.
            rows: which rows of the logits are these rows', where they are not all.
        """
        uniform = self._zeros
        if any(self._hot):
            pairs = zip(self._hot, self._pickers, strict=True)
            uniform = torch.tensor([one.uniform() if hot else 0.0 for hot, one in pairs]).to(self._device)
        rows = self._rows if rows is None else rows
        said = said if self._penalises else None
        if logits.is_cuda and logits.shape[1] <= _KERNEL_HOLDS:
            from core.chat.cuda import sample_kernel

            values = torch.empty(len(rows), 2, dtype=torch.float64, device=self._device)
            coldest = GREEDY_BELOW if any(self._hot) else None
            sample_kernel.sample(logits, rows, self._settings, uniform, said, self._places, tokens, values, coldest)
            return values
        return self._drawn(logits[rows].float(), said, tokens, uniform)

    def _drawn(
        self, logits: torch.Tensor, said: torch.Tensor | None, tokens: torch.Tensor, uniform: torch.Tensor
    ) -> torch.Tensor:
        """The same in PyTorch."""
        temperature, _, _, _, penalty = self._settings.T[:, :, None]
        scores = logits
        if said is not None:  # Keskar et al. 2019, section 4.1, as in `TokenSampler`
            lowered = torch.where(scores < 0, scores * penalty, scores / penalty)
            scores = torch.where(said[self._places].bool() & (penalty != 1), lowered, scores)
        found = scores.argmax(-1)
        if any(self._hot):
            found = torch.where(temperature[:, 0] < GREEDY_BELOW, found, drawn(self._shares(scores), uniform))
        if said is not None:
            said[self._places, found] = 1
        tokens[self._places] = found
        logprobs = logits.gather(1, found[:, None])[:, 0] - logits.logsumexp(-1)
        return torch.stack([found.double(), logprobs.double()], dim=1)

    def _shares(self, scores: torch.Tensor) -> torch.Tensor:
        """As `picking.shares`, each row by its own settings."""
        temperature, top_k, top_p, min_p, _ = self._settings.T[:, :, None]
        shares = torch.softmax(scores / temperature.clamp(min=GREEDY_BELOW), dim=-1)
        ordered = shares.sort(descending=True, dim=-1).values
        least = ordered.gather(1, top_k.long().clamp(max=shares.shape[1]) - 1)
        ordered = ordered.masked_fill(ordered < least, 0)
        # a token stays when those before it have not reached top_p yet, so the first always stays
        reached = ordered.cumsum(-1) - ordered >= top_p * ordered.sum(-1, keepdim=True)
        stays = (ordered > 0) & (~reached | (top_p >= 1))
        last = ordered.gather(1, stays.sum(-1, keepdim=True).clamp(min=1) - 1)
        shares = shares.masked_fill(shares < last, 0)
        return shares.masked_fill(shares < min_p * shares.amax(-1, keepdim=True), 0)


def _settings(picker: TokenSampler | None, vocabulary: int) -> tuple[float, ...]:
    """Temperature, top-k, top-p, min-p and repetition penalty."""
    if picker is None:
        return 0.0, vocabulary, 1.0, 0.0, 1.0
    s = picker.sampling
    return s.temperature, s.top_k or vocabulary, s.top_p, s.min_p, s.repetition_penalty
