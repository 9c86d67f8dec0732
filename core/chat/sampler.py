"""One token out of one row of logits, by the settings of an answer."""

import torch

from core.chat.sampling import Sampling

GREEDY_BELOW = 1e-3  # a smaller temperature would divide to infinity
_FEW = 1000  # tokens that mostly hold what top-p keeps


class TokenSampler:
    """Draws a lane's tokens: with random numbers of its own, and a memory of what was said."""

    def __init__(self, sampling: Sampling, said: list[int]):
        """
        Args:
            said: the tokens before the answer; a repetition penalty counts them, too.
        """
        self.sampling, self.said = sampling, set(said)
        self._generator = torch.Generator().manual_seed(sampling.seed)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, whatever was said."""
        return self.sampling.temperature < GREEDY_BELOW and self.sampling.repetition_penalty == 1

    def uniform(self) -> float:
        """The random number, 0 to 1, that draws the next token: one a token, wherever it is drawn."""
        return float(torch.rand((), generator=self._generator))

    def sample(self, logits: torch.Tensor) -> tuple[int, float]:
        """The token, and its log-probability by the model itself, whatever the settings. logits: (vocabulary,)."""
        logits = logits.float().cpu()
        token = self._drawn(logits)
        self.said.add(token)
        return token, float(torch.log_softmax(logits, dim=-1)[token])

    def _drawn(self, scores: torch.Tensor) -> int:
        settings = self.sampling
        if settings.repetition_penalty != 1:
            scores = self._penalised(scores)
        if settings.temperature < GREEDY_BELOW:
            return int(scores.argmax())
        return int(drawn(shares(scores, settings), self.uniform()))

    def _penalised(self, scores: torch.Tensor) -> torch.Tensor:
        """Keskar et al. 2019, section 4.1, with the sign heeded as transformers does."""
        scores, said, penalty = scores.clone(), torch.tensor(sorted(self.said)), self.sampling.repetition_penalty
        scores[said] = torch.where(scores[said] < 0, scores[said] * penalty, scores[said] / penalty)
        return scores


def drawn(probabilities: torch.Tensor, uniform: torch.Tensor | float) -> torch.Tensor:
    """The token where the probabilities (…, vocabulary), which need not sum to 1, add up to `uniform` (…) of their sum.

    Never one without probability: the first whose sum exceeds the share is one that added to it.
    """
    sums = probabilities.double().cumsum(-1)
    share = sums[..., -1] * uniform
    return (sums <= share[..., None]).sum(-1).clamp(max=probabilities.shape[-1] - 1)


def shares(scores: torch.Tensor, settings: Sampling) -> torch.Tensor:
    """The probabilities that are drawn from (vocabulary,); they need not sum to 1."""
    probabilities = torch.softmax(scores / settings.temperature, dim=-1)
    if 0 < settings.top_k < len(probabilities):
        least = probabilities.topk(settings.top_k).values[-1]
        probabilities = probabilities.masked_fill(probabilities < least, 0)
        probabilities /= probabilities.sum()
    if settings.top_p < 1:
        ordered, ids = _likeliest(probabilities, settings.top_p)
        # a token stays when the tokens before it have not reached top_p yet, so the first always stays
        kept = ids[ordered.cumsum(0) - ordered < settings.top_p]
        probabilities = torch.zeros_like(probabilities).index_copy(0, kept, probabilities[kept])
    if settings.min_p:
        probabilities = probabilities.masked_fill(probabilities < settings.min_p * probabilities.max(), 0)
    return probabilities


def _likeliest(probabilities: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities in falling order with their tokens: as many as reach a share, all where few do not.

    To sort a whole vocabulary takes ten times as long, and as long as a small model's step.
    """
    first = probabilities.topk(min(_FEW, len(probabilities)))
    return tuple(first) if float(first.values.sum()) >= share else tuple(probabilities.sort(descending=True))
