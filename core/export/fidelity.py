"""Comparison of an exported model with the one that was trained, on held-out rows.

Both read the same rows, and at each token of an answer their distributions of the next token are compared:

    KL(p || q) = sum_v p(v) (log p(v) - log q(v))        p: as trained, q: exported; natural logarithm

The model as trained has the base's weights as the run saw them, and the adapter merged in float32. The exported model
has the values of the exported file. Both are computed in float32, so that only the file makes a difference.
"""

from collections.abc import Iterable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from core.export.countdown import count_down
from core.export.merge import MergedModel
from core.export.result import Fidelity
from core.hardware import gpu
from core.system.jobs import Progress, part_of

# Bytes per parameter: its value in float32, and a part for activations.
_MEMORY_FACTOR = 5
# Share of the comparison that each reading of all tensors takes.
_FILLED = 0.1

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer


def compare(
    trained: MergedModel, exported: Iterable[tuple[str, "torch.Tensor"]], rows: list[dict[str, Any]], progress: Progress
) -> Fidelity:
    """Compare an exported model with the one that was trained.

    Args:
        trained: The model as trained.
        exported: The tensors of the exported file, by their names in transformers.
        rows: Tokenized rows with "input_ids" and "labels".
        progress: Called at each tensor and each row.
    """
    import tempfile

    from core.models.loading import Precision, load_base

    progress(0, "Loading the model to compare with")
    model = load_base(trained.source.model, Precision("none", compute_dtype="float32")).model
    merged, tensors = ((name, trained.read(name)) for name in trained.names), len(trained.names)
    _fill(model, count_down(merged, tensors, part_of(progress, 0, _FILLED), "Reading tensors as trained"))
    with tempfile.TemporaryFile() as scratch:
        spans = []
        read = _distributions(model, rows)
        text = "Reading compared rows with the model as trained"
        for log_p, _ in count_down(read, len(rows), part_of(progress, _FILLED, 0.5), text):
            spans.append((scratch.tell(), log_p.shape))
            scratch.write(log_p.numpy().tobytes())
        _fill(model, count_down(exported, tensors, part_of(progress, 0.5, 0.5 + _FILLED), "Reading exported tensors"))
        return _summarize(model, rows, scratch, spans, part_of(progress, 0.5 + _FILLED, 1))


def _summarize(model: Any, rows: list[dict[str, Any]], scratch: Any, spans: list[Any], progress: Progress) -> Fidelity:
    import torch

    kl, same, losses = [], [], ([], [])
    read = _distributions(model, rows)
    text = "Reading compared rows with the exported model"
    for number, (log_q, labels) in enumerate(count_down(read, len(rows), progress, text)):
        place, shape = spans[number]
        scratch.seek(place)
        log_p = torch.from_numpy(np.frombuffer(scratch.read(4 * shape[0] * shape[1]), np.float32).reshape(shape).copy())
        kl.append((log_p.exp() * (log_p - log_q)).sum(-1).numpy())
        same.append((log_p.argmax(-1) == log_q.argmax(-1)).numpy())
        for found, log in zip(losses, (log_p, log_q), strict=True):
            found.append(-log.gather(1, labels[:, None])[:, 0].numpy())
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


def memory_problem(merged: MergedModel) -> str:
    """Return why a model cannot be compared, as the rest of a sentence; "" if its weights in float32 fit."""
    card = gpu.memory()
    free = card.free if card else psutil.virtual_memory().available
    needed = _MEMORY_FACTOR * sum(prod(merged.shape(name)) for name in merged.names)
    if needed <= free:
        return ""
    return f"that needs {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"


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
