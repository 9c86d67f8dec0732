"""Drawing tokens on the GPU for all rows at once, as `core.chat.picking.Picker` does it for one on the CPU.

The random numbers are the pickers' own, one a token, so the same seed draws the same whatever rows stand beside it.
"""

import torch

from core.chat.picking import GREEDY_BELOW, Picker, drawn


class Drawing:
    """Some rows that are not simply greedy."""

    def __init__(self, who: list[tuple[int, Picker]], vocabulary: int, device: torch.device):
        """
        Args:
            who: each row's place and picker.
        """
        self._pickers, self._device = [picker for _, picker in who], device
        self._places = torch.tensor([place for place, _ in who], device=device)
        settings = [picker.sampling for picker in self._pickers]
        self._greedy = [one.temperature < GREEDY_BELOW for one in settings]
        column = lambda values: torch.tensor(list(values), device=device)[:, None]  # noqa: E731
        self._cold = column(self._greedy)
        self._temperature = column(max(one.temperature, GREEDY_BELOW) for one in settings)
        self._top_k = column(one.top_k or vocabulary for one in settings)
        self._top_p = column(float(one.top_p) for one in settings)
        self._min_p = column(float(one.min_p) for one in settings)
        self._penalty = column(float(one.repetition_penalty) for one in settings)
        self._penalises = any(one.repetition_penalty != 1 for one in settings)
        self._orders = any(one.top_k or one.top_p < 1 for one in settings)

    def draw(self, logits: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
        """The tokens (rows,) from logits (rows, vocabulary).

        Args:
            said: (places, vocabulary), what was said at each place; the tokens are added to it.
        """
        scores = logits.float()
        if self._penalises:  # Keskar et al. 2019, section 4.1, as in `Picker`
            lowered = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
            scores = torch.where(said[self._places], lowered, scores)
        pairs = zip(self._greedy, self._pickers, strict=True)
        uniform = [0.0 if greedy else picker.uniform() for greedy, picker in pairs]
        shares = self._shares(scores)
        picked = drawn(shares, torch.tensor(uniform, dtype=torch.float64, device=self._device))
        tokens = torch.where(self._cold[:, 0], scores.argmax(-1), picked)
        if self._penalises:
            said[self._places, tokens] = True
        return tokens

    def _shares(self, scores: torch.Tensor) -> torch.Tensor:
        """As `picking.shares`, each row by its own settings."""
        shares = torch.softmax(scores / self._temperature, dim=-1)
        if self._orders:
            ordered = shares.sort(descending=True, dim=-1).values
            least = ordered.gather(1, self._top_k.clamp(max=shares.shape[1]) - 1)
            ordered = ordered.masked_fill(ordered < least, 0)
            whole = ordered.sum(-1, keepdim=True)
            # a token stays when those before it have not reached top_p yet, so the first always stays
            stays = (ordered.cumsum(-1) - ordered < self._top_p * whole) & (ordered > 0)
            stays |= (self._top_p >= 1) & (ordered > 0)
            last = ordered.gather(1, stays.sum(-1, keepdim=True).clamp(min=1) - 1)
            shares = shares.masked_fill(shares < last, 0)
        return shares.masked_fill(shares < self._min_p * shares.amax(-1, keepdim=True), 0)
