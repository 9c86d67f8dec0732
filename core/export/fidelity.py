"""Comparison of an exported model with the one that was trained, on held-out rows.

Both read the same rows, and at each token of an answer their distributions of the next token are compared:

    KL(p || q) = sum_v p(v) (log p(v) - log q(v))        p: as trained, q: exported; natural logarithm

The model as trained has the base's weights as the run saw them, and the adapter merged in float32. The exported model
has the values of the exported file. Both are computed in float32, so that only the file makes a difference.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel

from core.export.merge import MergedModel
from core.system.counting import counted
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer

# Below both, the verdict is that the answers are the same for all purposes.
_SAME_KL, _SAME_SHARE = 0.001, 0.99
_CLOSE_KL = 0.02
Grade = Literal["same", "close", "different"]
_VERDICTS: dict[Grade, str] = {
    "same": "It answers as it did here.",
    "close": "It is close to the model here; some answers take another turn.",
    "different": "It differs from the model here; expect other answers. Choose more bits, or the base as trained.",
}


class Fidelity(BaseModel):
    """How close an exported model is to the one that was trained.

    Attributes:
        rows: Held-out rows that were read.
        tokens: Tokens of their answers, at which the distributions were compared.
        same_choice: Share of them at which both models find the same token most likely.
        mean_kl: Mean KL divergence, in nats.
        high_kl: Its 99th percentile.
        loss: Mean loss of the model as trained, in nats per token.
        exported_loss: The same of the exported one.
    """

    rows: int
    tokens: int
    same_choice: float
    mean_kl: float
    high_kl: float
    loss: float
    exported_loss: float

    @property
    def grade(self) -> Grade:
        """Return how close the exported model is."""
        if self.mean_kl < _SAME_KL and self.same_choice >= _SAME_SHARE:
            return "same"
        return "close" if self.mean_kl < _CLOSE_KL else "different"

    @property
    def verdict(self) -> str:
        """Return a sentence for the user."""
        return _VERDICTS[self.grade]

    def describe(self) -> str:
        """Return the verdict with its figures."""
        return (
            f"{self.verdict} The most likely next token is the same at {self.same_choice:.1%} of "
            f"{counted(self.tokens, 'token')} in {counted(self.rows, 'held-out row')}; KL divergence "
            f"{self.mean_kl:.2g} on average, {self.high_kl:.2g} at the 99th percentile; loss {self.exported_loss:.4f} "
            f"against {self.loss:.4f}."
        )


def compare(
    trained: MergedModel, exported: Iterable[tuple[str, "torch.Tensor"]], rows: list[dict[str, Any]], progress: Progress
) -> Fidelity:
    """Compare an exported model with the one that was trained.

    Args:
        trained: The model as trained.
        exported: The tensors of the exported file, by their names in transformers.
        rows: Tokenized rows with "input_ids" and "labels".
        progress: Called at each row.
    """
    import tempfile

    from core.models.loading import Precision, load_base

    model = load_base(trained.source.model, Precision("none", compute_dtype="float32")).model
    _fill(model, ((name, trained.read(name)) for name in trained.names))
    with tempfile.TemporaryFile() as scratch:
        spans = []
        for number, (log_p, _) in enumerate(_distributions(model, rows), 1):
            spans.append((scratch.tell(), log_p.shape))
            scratch.write(log_p.numpy().tobytes())
            progress(0.5 * number / len(rows), f"Reading row {number:,} of {len(rows):,} with the model as trained")
        _fill(model, exported)
        return _summarize(model, rows, scratch, spans, progress)


def _summarize(model: Any, rows: list[dict[str, Any]], scratch: Any, spans: list[Any], progress: Progress) -> Fidelity:
    import torch

    kl, same, losses = [], [], ([], [])
    for number, (log_q, labels) in enumerate(_distributions(model, rows), 1):
        place, shape = spans[number - 1]
        scratch.seek(place)
        log_p = torch.from_numpy(np.frombuffer(scratch.read(4 * shape[0] * shape[1]), np.float32).reshape(shape).copy())
        kl.append((log_p.exp() * (log_p - log_q)).sum(-1).numpy())
        same.append((log_p.argmax(-1) == log_q.argmax(-1)).numpy())
        for found, log in zip(losses, (log_p, log_q), strict=True):
            found.append(-log.gather(1, labels[:, None])[:, 0].numpy())
        progress(0.5 + 0.5 * number / len(rows), f"Reading row {number:,} of {len(rows):,} with the exported model")
    # Rounding may give a divergence just below zero.
    divergences = np.maximum(np.concatenate(kl), 0)
    return Fidelity(
        rows=len(rows), tokens=len(divergences), same_choice=float(np.concatenate(same).mean()),
        mean_kl=float(divergences.mean()), high_kl=float(np.quantile(divergences, 0.99)),
        loss=float(np.concatenate(losses[0]).mean()), exported_loss=float(np.concatenate(losses[1]).mean()),
    )  # fmt: skip


def _distributions(model: Any, rows: list[dict[str, Any]]) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
    """Yield each row's log-probabilities at its answers, (tokens, vocabulary) in float32, and its labels (tokens,)."""
    import torch

    from core.data.tokens import IGNORE_INDEX

    device = model.device
    for row in rows:
        ids = torch.tensor([row["input_ids"]], device=device)
        labels = torch.tensor(row["labels"])[1:]
        chosen = (labels != IGNORE_INDEX).nonzero()[:, 0]
        with torch.inference_mode():
            # The logits after token i predict token i + 1.
            logits = model(ids, logits_to_keep=chosen.to(device)).logits[0]
        yield torch.log_softmax(logits.float().cpu(), -1), labels[chosen]


def _fill(model: Any, tensors: Iterable[tuple[str, "torch.Tensor"]]) -> None:
    """Copy tensors into the parameters of a model."""
    for name, tensor in tensors:
        parameter = model.get_parameter(name)
        parameter.data.copy_(tensor)


def held_out_rows(renderer: "Renderer", rows: list[Any], limit: int, max_length: int) -> list[dict[str, Any]]:
    """Return the first held-out rows as tokens, with labels at their answers.

    Args:
        renderer: The renderer with the run's template.
        rows: Numbers and conversations of the held-out rows.
        limit: Rows at most.
        max_length: Tokens at which a row is truncated.
    """
    from core.train.batches import tokenize

    return tokenize(renderer, rows[:limit], max_length, answers_only=True).rows
