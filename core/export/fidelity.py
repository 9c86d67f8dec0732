"""Comparison of exported models with the one that was trained, on held-out rows.

All read the same rows, and at each token of an answer their distributions of the next token are compared:

    KL(p || q) = sum_v p(v) (log p(v) - log q(v))        p: as trained, q: exported; natural logarithm

The model as trained has the base's weights as the run saw them, and the adapter merged in float32. An exported model
has the values of the exported file. Both are computed in float32, so that only the file makes a difference. The
difference of their losses has a paired interval over rows (`core.evaluate.statistics.paired`).
"""

import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluate.statistics import paired
from core.export.float_model import FloatModel
from core.export.merge import MergedModel
from core.export.result import Fidelity
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer

_SEED = 0


class Comparison:
    """What the model as trained says about held-out rows, and the comparison of exported models with it.

    Its distributions are computed once and kept in a file: of a vocabulary of 32,000 tokens, 1,000 answer tokens take
    128 MB.
    """

    def __init__(self, model: FloatModel, trained: MergedModel, rows: list[dict[str, Any]]):
        self._model, self._trained, self._rows = model, trained, rows
        # It has no name, and is gone with this object.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        # Offset in the file, and shape, of each row's distributions.
        self._spans: list[tuple[int, tuple[int, ...]]] = []

    def compare(self, exported: "Iterable[tuple[str, torch.Tensor]]", progress: Progress) -> Fidelity:
        """Compare an exported model with the one that was trained.

        Args:
            exported: The tensors of the exported file, by their names in transformers.
            progress: Called at each row.
        """
        start = 0.0 if self._spans else 0.5
        if not self._spans:
            self._read_trained(lambda share, stage: progress(share / 2, stage))
        self._model.fill(exported)
        return self._summarize(lambda share, stage: progress(start + (1 - start) * share, stage))

    def _read_trained(self, progress: Progress) -> None:
        self._model.fill_merged(self._trained)
        total = len(self._rows)
        for number, (log_p, _) in enumerate(self._model.distributions(self._rows), 1):
            self._spans.append((self._file.tell(), tuple(log_p.shape)))
            self._file.write(log_p.numpy().tobytes())
            progress(number / total, f"Reading row {number:,} of {total:,} with the model as trained")

    def _distribution(self, number: int) -> "torch.Tensor":
        """Return the log-probabilities of the model as trained for a row, (tokens, vocabulary)."""
        import torch

        offset, shape = self._spans[number]
        self._file.seek(offset)
        stored = np.frombuffer(self._file.read(4 * shape[0] * shape[1]), np.float32)
        return torch.from_numpy(stored.reshape(shape).copy())

    def _summarize(self, progress: Progress) -> Fidelity:
        divergences, same, losses, rows = [], [], ([], []), []
        total = len(self._rows)
        for number, (log_q, labels) in enumerate(self._model.distributions(self._rows)):
            log_p = self._distribution(number)
            divergences.append((log_p.exp() * (log_p - log_q)).sum(-1).numpy())
            same.append((log_p.argmax(-1) == log_q.argmax(-1)).numpy())
            for found, log in zip(losses, (log_p, log_q), strict=True):
                found.append(-log.gather(1, labels[:, None])[:, 0].numpy())
            rows.append(np.full(len(labels), number))
            progress((number + 1) / total, f"Reading row {number + 1:,} of {total:,} with the exported model")
        # Rounding may give a divergence just below zero.
        kl = np.maximum(np.concatenate(divergences), 0)
        first, second = (np.concatenate(found).astype(np.float64) for found in losses)
        difference = paired.compare(paired.PairedScores(first, second, np.concatenate(rows)), seed=_SEED)
        return Fidelity(
            rows=total, tokens=len(kl), same_choice=float(np.concatenate(same).mean()), mean_kl=float(kl.mean()),
            high_kl=float(np.quantile(kl, 0.99)), loss=float(first.mean()), exported_loss=float(second.mean()),
            difference=_interval(difference),
        )  # fmt: skip


def _interval(found: paired.PairedDifference) -> tuple[float, float] | None:
    """Return the interval of a difference of losses; None if the rows are too few or too uneven for one."""
    if found.problem == "identical":
        return 0.0, 0.0
    return (found.low, found.high) if np.isfinite(found.low) else None


def tokenize_rows(renderer: "Renderer", rows: list[Any], max_length: int) -> list[dict[str, Any]]:
    """Return rows as tokens, with labels at their answers; rows that cannot be rendered are left out.

    Args:
        renderer: The renderer with the run's template.
        rows: Numbers and conversations.
        max_length: Tokens at which a row is truncated.
    """
    from core.train.batches import tokenize

    return tokenize(renderer, rows, max_length, answers_only=True).rows
