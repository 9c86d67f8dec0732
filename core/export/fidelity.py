"""Comparison of exported models with the one that was trained, on held-out rows.

All models read the same rows. At each token of an answer, the distributions of the next token are compared:

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
from core.export.countdown import count_down
from core.export.float_model import FloatModel
from core.export.merge import MergedModel
from core.export.result import Fidelity
from core.system.jobs import Progress, part_of

if TYPE_CHECKING:
    import torch

_SEED = 0
# Filling in the tensors of a model takes this share of the progress, and reading the rows with it takes the rest.
_FILLED = 0.2


class Comparison:
    """Distributions of the model as trained on held-out rows, and the comparison of exported models with them.

    The distributions of the model as trained are computed once and kept in a file. With a vocabulary of 32,000 tokens,
    1,000 answer tokens take 128 MB.
    """

    def __init__(self, model: FloatModel, trained: MergedModel, rows: list[dict[str, Any]]):
        self._model, self._trained, self._rows = model, trained, rows
        # The file has no name, so it disappears when this object does.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        # Offset in the file, and shape, of each row's distributions.
        self._spans: list[tuple[int, tuple[int, ...]]] = []

    def compare(self, exported: "Iterable[tuple[str, torch.Tensor]]", progress: Progress) -> Fidelity:
        """Compare an exported model with the one that was trained.

        Args:
            exported: The tensors of the exported file, by their names in transformers.
            progress: Called at each tensor and each row.
        """
        start = 0.0 if self._spans else 0.5
        if not self._spans:
            self._read_trained(part_of(progress, 0, 0.5))
        rest, tensors = part_of(progress, start, 1), len(self._trained.names)
        self._model.fill(count_down(exported, tensors, part_of(rest, 0, _FILLED), "Reading exported tensors"))
        return self._summarize(part_of(rest, _FILLED, 1))

    def compare_base(self, progress: Progress) -> Fidelity:
        """Compare the base without the adapter, as the run saw it, with the model that was trained."""
        source = self._trained.source
        return self.compare(((name, source.read(name)) for name in source.files), progress)

    def _read_trained(self, progress: Progress) -> None:
        progress(0, "Loading the model to compare with")
        trained = ((name, self._trained.read(name)) for name in self._trained.names)
        tensors, rows = len(self._trained.names), len(self._rows)
        self._model.fill(count_down(trained, tensors, part_of(progress, 0, _FILLED), "Reading tensors as trained"))
        read, text = self._model.distributions(self._rows), "Reading compared rows with the model as trained"
        for log_p, _ in count_down(read, rows, part_of(progress, _FILLED, 1), text):
            self._spans.append((self._file.tell(), tuple(log_p.shape)))
            self._file.write(log_p.numpy().tobytes())

    def _distribution(self, number: int) -> "torch.Tensor":
        """Return the log-probabilities of the model as trained for a row, (tokens, vocabulary)."""
        import torch

        offset, shape = self._spans[number]
        self._file.seek(offset)
        stored = np.frombuffer(self._file.read(4 * shape[0] * shape[1]), np.float32)
        return torch.from_numpy(stored.reshape(shape).copy())

    def _summarize(self, progress: Progress) -> Fidelity:
        divergences, same, losses, rows = [], [], ([], []), []
        read, total = self._model.distributions(self._rows), len(self._rows)
        text = "Reading compared rows with the exported model"
        for number, (log_q, labels) in enumerate(count_down(read, total, progress, text)):
            log_p = self._distribution(number)
            divergences.append((log_p.exp() * (log_p - log_q)).sum(-1).numpy())
            same.append((log_p.argmax(-1) == log_q.argmax(-1)).numpy())
            for found, log in zip(losses, (log_p, log_q), strict=True):
                found.append(-log.gather(1, labels[:, None])[:, 0].numpy())
            rows.append(np.full(len(labels), number))
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
