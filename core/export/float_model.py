"""A model in memory in float32 that takes the weights of a merged or exported model, one after another.

The comparison reads held-out rows with it (`core.export.fidelity`), and the importance matrix its inputs
(`core.export.importance`). It is loaded when it is first needed.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import psutil

from core.export.merge import MergedModel
from core.hardware import gpu
from core.models.catalogue import Model

if TYPE_CHECKING:
    import torch

# Bytes per parameter: its value in float32, and a part for activations.
_MEMORY_FACTOR = 5


class FloatModel:
    """A base model in float32."""

    def __init__(self, source: Model):
        self._source = source

    @cached_property
    def model(self) -> Any:
        """Return the model, on the GPU if there is one."""
        from core.models.loading import Precision, load_base

        return load_base(self._source, Precision("none", compute_dtype="float32")).model

    def fill(self, tensors: "Iterable[tuple[str, torch.Tensor]]") -> None:
        """Copy tensors into the parameters, by their names."""
        for name, tensor in tensors:
            self.model.get_parameter(name).data.copy_(tensor)

    def fill_merged(self, merged: MergedModel) -> None:
        """Copy the tensors of a merged model into the parameters."""
        self.fill((name, merged.read(name)) for name in merged.names)

    def distributions(self, rows: list[dict[str, Any]]) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """Yield each row's log-probabilities at its answers, (tokens, vocabulary), and its labels, (tokens,).

        Args:
            rows: Tokenized rows with "input_ids" and "labels".
        """
        import torch

        from core.data.tokens import IGNORE_INDEX

        for row in rows:
            labels = torch.tensor(row["labels"])[1:]
            chosen = (labels != IGNORE_INDEX).nonzero()[:, 0]
            # The logits after token i predict token i + 1.
            logits = self.logits(row, chosen)
            yield torch.log_softmax(logits.float().cpu(), -1), labels[chosen]

    def logits(self, row: dict[str, Any], positions: "torch.Tensor") -> "torch.Tensor":
        """Return a row's logits at some positions, (positions, vocabulary)."""
        import torch

        device = self.model.device
        ids = torch.tensor([row["input_ids"]], device=device)
        with torch.inference_mode():
            return self.model(ids, logits_to_keep=positions.to(device)).logits[0]


def memory_problem(merged: MergedModel) -> str:
    """Return why a model cannot be read in float32, as the rest of a sentence; "" if its weights fit."""
    card = gpu.memory()
    free = card.free if card else psutil.virtual_memory().available
    needed = _MEMORY_FACTOR * sum(prod(merged.shape(name)) for name in merged.names)
    if needed <= free:
        return ""
    return f"that needs {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free"
