"""Loss of given tokens under a base and its adapters, by batched forward passes without generation.

Evaluations need the losses alone; the API server also asks for the most likely tokens at each position.

Texts are padded on the left, as in `core.chat.decoder`, whose probe has compared such batches with transformers'
generate. All targets therefore stand at the end of a batch, and the texts before them need no logits:

    ids of two texts        targets             columns with logits
    _ _ a b c d             . . . . c d         . . . x x .
    e f g h i j             . . . . . j         (the logits of a column predict the next one)

A batch is read in chunks of columns with a key-value cache, so the logits in memory are bounded by a chunk. Texts that
no batch computes rightly run by themselves (`Lanes.needs_own_pass`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from transformers import DynamicCache

from core.chat.plain import RotaryState
from core.data.tokens import IGNORE_INDEX
from core.hardware import gpu

if TYPE_CHECKING:
    from core.chat.lanes import Lanes

# Tokens of a batch. On a CPU more do not make the products faster. On a GPU the launches of a forward pass take longer
# than its products: on an H200, about 950 passes over a million tokens of a small model took 95 s in batches of 4,096
# tokens. As many as fit are read at once, as their keys and values lie beside the cache of the answers.
BATCH_TOKENS = {"cpu": 2048, "cuda": 4096}
_MOST_TOKENS, _MEMORY_SHARE = 16384, 0.25
# Logits that a chunk of a batch may have, in floats: 128 MiB as float32 on a CPU, 1 GiB on a GPU.
CHUNK_LOGITS = {"cpu": 32 * 2**20, "cuda": 256 * 2**20}
_MAX_CHUNK_TOKENS = 512


@dataclass(frozen=True)
class TargetText:
    """A text with the tokens whose loss is wanted.

    Attributes:
        ids: Its tokens.
        labels: The same tokens where the loss is wanted, IGNORE_INDEX elsewhere.
        adapter: Key of the adapter that computes it; None for the base.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    adapter: str | None = None

    @property
    def first(self) -> int:
        """Return the index of the first token with a loss; nothing predicts the first token of a text."""
        return next((at for at, label in enumerate(self.labels) if at and label != IGNORE_INDEX), len(self.labels))


@dataclass(frozen=True)
class TokenScores:
    """Losses of the targets of one text, with the most likely tokens at their positions.

    Attributes:
        losses: Losses in nats, (targets,), float64.
        top_ids: The most likely tokens, most likely first, (targets, top), int64.
        top_losses: Their losses in nats, (targets, top), float64. A target that is the most likely token has the same
            loss here as in `losses`.
    """

    losses: np.ndarray
    top_ids: np.ndarray
    top_losses: np.ndarray


def token_losses(lanes: "Lanes", texts: Sequence[TargetText]) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Yield, batch by batch, the index of each text and the losses of its targets in nats, (targets,), float64.

    Args:
        lanes: The loaded base with its adapters.
        texts: The texts, each with at least one target.
    """
    for batch in token_scores(lanes, texts):
        yield [(index, scores.losses) for index, scores in batch]


def token_scores(lanes: "Lanes", texts: Sequence[TargetText], top: int = 0) -> Iterator[list[tuple[int, TokenScores]]]:
    """Yield, batch by batch, the index of each text and the scores of its targets.

    Args:
        lanes: The loaded base with its adapters.
        texts: The texts, each with at least one target.
        top: Number of the most likely tokens that are wanted at each position.
    """
    batched: list[int] = []
    for index, text in enumerate(texts):
        if lanes.needs_own_pass(text.adapter, len(text.ids)):
            yield [(index, _scores_alone(lanes, text, top))]
        else:
            batched.append(index)
    # Texts of similar length together, so that little is padded; within a length, those of one adapter side by side.
    batched.sort(key=lambda index: (-len(texts[index].ids), texts[index].adapter or ""))
    limit = _batch_tokens(lanes, sum(len(texts[index].ids) for index in batched))
    while batched:
        rows = max(1, limit // len(texts[batched[0]].ids))
        # Sorted, so that the rows of an adapter are one slice of the batch.
        now = sorted(batched[:rows], key=lambda index: texts[index].adapter or "")
        batched = batched[rows:]
        yield list(zip(now, _scores_of_batch(lanes, [texts[index] for index in now], top), strict=True))


def _batch_tokens(lanes: "Lanes", wanted: int) -> int:
    """Return how many tokens a batch may have: on a GPU, as many as fit into a quarter of its free memory.

    Args:
        lanes: The loaded base with its adapters.
        wanted: Number of tokens of all texts. The memory is only read if they are more than a small batch.
    """
    device = lanes.model.device.type
    least = BATCH_TOKENS.get(device, BATCH_TOKENS["cpu"])
    memory = gpu.memory() if device == "cuda" and wanted > least else None
    fitting = int(memory.free * _MEMORY_SHARE / lanes.bytes_per_token()) if memory else least
    return min(max(least, fitting), _MOST_TOKENS)


@torch.inference_mode()
def _scores_of_batch(lanes: "Lanes", texts: list[TargetText], top: int) -> list[TokenScores]:
    """Return the scores of the targets of each text, computed as one batch."""
    device = lanes.model.device
    longest = max(len(text.ids) for text in texts)
    # Padding is masked, so any id does.
    ids = _pad_left([text.ids for text in texts], longest, 0, device)  # (B, longest)
    labels = _pad_left([text.labels for text in texts], longest, IGNORE_INDEX, device)  # (B, longest)
    mask = _pad_left([[1] * len(text.ids) for text in texts], longest, 0, device)  # (B, longest)
    # The column before the first target of any text is the first one whose logits are needed.
    first = min(longest - len(text.ids) + text.first for text in texts) - 1
    vocabulary = lanes.model.get_input_embeddings().weight.shape[0]
    limit = CHUNK_LOGITS.get(device.type, CHUNK_LOGITS["cpu"])
    chunk = max(1, min(_MAX_CHUNK_TOKENS, limit // (vocabulary * len(texts))))
    positions = (mask.cumsum(-1) - 1).clamp(min=0)  # (B, longest)
    found = _Scores.empty(len(texts), longest, top, device)
    cache = DynamicCache()
    lanes.adapters.set_rows([text.adapter for text in texts])
    try:
        # The last column predicts nothing.
        for start, end in _chunks(first, longest - 1, chunk):
            kept = torch.arange(start if start >= first else end, end, device=device)  # (K,)
            out = lanes.model(
                input_ids=ids[:, start:end],
                attention_mask=mask[:, :end],
                position_ids=positions[:, start:end],
                past_key_values=cache,
                use_cache=True,
                # A chunk without targets still needs one column: models refuse an empty selection.
                logits_to_keep=kept - start if len(kept) else 1,
            )
            if len(kept):
                found.put(kept + 1, _score(out.logits, labels[:, kept + 1], top))
    finally:
        lanes.adapters.set_rows([])
    return [found.of(at, longest - len(text.ids) + text.first, text) for at, text in enumerate(texts)]


def _chunks(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of the columns that are read at once.

    Args:
        first: The first column with logits; columns before it are read in the largest chunks.
        end: The end of all columns.
        size: Columns of a chunk with logits.
    """
    bounds = [*range(0, first, _MAX_CHUNK_TOKENS), *range(max(first, 0), end, size)]
    yield from zip(bounds, [*bounds[1:], end], strict=True)


@torch.inference_mode()
def _scores_alone(lanes: "Lanes", text: TargetText, top: int) -> TokenScores:
    """Return the scores of the targets of a text that runs by itself, by the whole model or PEFT's model."""
    is_peft = text.adapter is not None and lanes.adapters.unbatched_reason(text.adapter)
    model = lanes.adapters.peft_model(text.adapter) if is_peft else lanes.model
    ids = torch.tensor([list(text.ids)], device=lanes.model.device)  # (1, length)
    labels = torch.tensor([list(text.labels)], device=lanes.model.device)  # (1, length)
    # PEFT's model applies its adapter itself; the hooks on the base must not apply one as well.
    lanes.adapters.set_rows([] if is_peft else [text.adapter])
    try:
        with RotaryState(lanes.model):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    finally:
        lanes.adapters.set_rows([])
    return _score(logits[:, text.first - 1 : -1], labels[:, text.first :], top).of(0, 0, text)


def _is_target(text: TargetText) -> torch.Tensor:
    """Return which tokens from the first target on have a loss, (length - first,), bool."""
    return torch.tensor(list(text.labels[text.first :])) != IGNORE_INDEX


@dataclass
class _Scores:
    """Scores of a batch.

    Attributes:
        losses: Loss of each label, 0 where there is none, (B, K), float64.
        top_ids: The most likely tokens, (B, K, top), int64.
        top_losses: Their losses, (B, K, top), float64.
    """

    losses: torch.Tensor
    top_ids: torch.Tensor
    top_losses: torch.Tensor

    @classmethod
    def empty(cls, rows: int, length: int, top: int, device: torch.device) -> "_Scores":
        """Return scores that are all 0, (rows, length)."""
        losses = torch.zeros(rows, length, dtype=torch.float64, device=device)  # (B, length)
        top_losses = losses.new_zeros(rows, length, top)  # (B, length, top)
        return cls(losses, top_losses.long(), top_losses)

    def put(self, columns: torch.Tensor, part: "_Scores") -> None:
        """Write the scores of some columns."""
        self.losses[:, columns] = part.losses
        self.top_ids[:, columns], self.top_losses[:, columns] = part.top_ids, part.top_losses

    def of(self, row: int, first: int, text: TargetText) -> TokenScores:
        """Return the scores of the targets of a text, whose first target is in column `first` of a row."""
        wanted = _is_target(text)
        parts = (self.losses, self.top_ids, self.top_losses)
        return TokenScores(*(part[row, first:].cpu()[wanted].numpy() for part in parts))


def _score(logits: torch.Tensor, labels: torch.Tensor, top: int) -> _Scores:
    """Return the scores of labels.

    Args:
        logits: (B, K, vocabulary).
        labels: (B, K).
        top: Number of the most likely tokens.
    """
    losses, found = [], []
    # One row at a time: its logits are copied to float32.
    for row, own in zip(logits, labels, strict=True):
        logprobs = F.log_softmax(row.float(), dim=-1)  # (K, vocabulary)
        losses.append(F.nll_loss(logprobs, own, ignore_index=IGNORE_INDEX, reduction="none"))
        found.append(logprobs.topk(top, dim=-1))
    ids, values = torch.stack([one.indices for one in found]), torch.stack([one.values for one in found])
    return _Scores(torch.stack(losses).double(), ids, -values.double())


def _pad_left(rows: Sequence[Sequence[int]], length: int, value: int, device: torch.device) -> torch.Tensor:
    """Return rows of unequal length as one tensor, (rows, length), int64, padded on the left."""
    return torch.tensor([[value] * (length - len(row)) + list(row) for row in rows], device=device)
