"""Importance matrix: how strongly each input of each weight matrix is used, for llama.cpp's K-quants and IQ types.

    importance(j) = mean over tokens of x(j)^2        x: the input of a linear layer (inputs,)

Rounding an entry of column j by d changes the output by d x(j), so llama.cpp weighs the errors of a row by it. The
inputs are read by hooks while the merged model, in float32, reads rows of the run in its own chat template; llama.cpp's
tool does the same with running text. The output layer is left out, as there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from core.export.countdown import count_down
from core.export.float_model import FloatModel
from core.export.importance_file import Importance
from core.models.gguf_tensors import name_map
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch


def collect(model: FloatModel, rows: list[dict[str, Any]], dataset: str, progress: Progress) -> Importance:
    """Return the importance matrix of a model on tokenized rows.

    Args:
        model: The model, filled with the weights that will be quantized.
        rows: Rows with "input_ids".
        dataset: Description of the rows.
        progress: Called at each row.
    """
    import torch

    last = torch.tensor([0])
    with _summing(model.model) as sums:
        for row in count_down(rows, len(rows), progress, "Reading rows for the importance matrix"):
            model.logits(row, last)
    tokens = sum(len(row["input_ids"]) for row in rows)
    return Importance({name: total.cpu().numpy() for name, total in sums.items()}, len(rows), tokens, dataset)


@contextmanager
def _summing(model: Any) -> "Iterator[dict[str, torch.Tensor]]":
    """Yield the sums of squared inputs of all linear layers except the output layer; they grow at each forward pass."""
    import torch
    from transformers.pytorch_utils import Conv1D

    names, sums, output = name_map(model.config), {}, model.get_output_embeddings()
    hooks = []
    for path, module in model.named_modules():
        if not isinstance(module, (torch.nn.Linear, Conv1D)) or module is output:
            continue
        if name := names.get_name(f"{path}.weight", try_suffixes=(".weight",)):
            hooks.append(module.register_forward_pre_hook(_adder(sums, name)))
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()


def _adder(sums: "dict[str, torch.Tensor]", name: str) -> Callable[[Any, tuple["torch.Tensor", ...]], None]:
    """Return a hook that adds the squared inputs of a module to its sum."""

    def add(_: Any, inputs: "tuple[torch.Tensor, ...]") -> None:
        squares = inputs[0].float().square().flatten(0, -2).sum(0)
        sums[name] = sums[name] + squares if name in sums else squares

    return add
