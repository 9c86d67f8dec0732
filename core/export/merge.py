"""A base model with an adapter merged into its weights, read one tensor at a time.

    W' = W + strength * scale * B A        computed in float32, rounded once

W (out, in) is a weight of the base, B (outputs, rank) and A (rank, inputs) are the adapter's factors, and the scale is
alpha / rank. Plain LoRA is merged tensor by tensor, so a model of any size needs the memory of its largest tensor.
Other variants (DoRA, trained modules, biases) are merged by PEFT, which needs the whole model in memory in float32.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from core.chat import peft_model
from core.chat.adapters import Adapter, read_adapter
from core.errors import StudioError
from core.export.base_weights import WeightFiles
from core.models.loading import Precision, device, load_base

if TYPE_CHECKING:
    import torch

_FLOAT32_BYTES = 4
_INSTEAD = "Export the adapter itself."
# Modules that share their weight in a tied model.
_TIED = ("lm_head", "embed_tokens", "embed_in", "embed_out", "wte")


@dataclass(frozen=True)
class MergedModel:
    """Tensors of a base model with an adapter.

    Attributes:
        source: The base's tensors.
        adapter_folder: PEFT's folder of the adapter.
        strength: Factor of the adapter's change; 1 for what was trained.
    """

    source: WeightFiles
    adapter_folder: Path
    strength: float = 1.0

    @cached_property
    def adapter(self) -> Adapter:
        """Return the adapter, with its factors in float32.

        Raises:
            StudioError: The adapter cannot be read or merged.
        """
        import torch

        adapter = read_adapter(self.adapter_folder, torch.float32, torch.device("cpu"))
        if reason := peft_model.unbatched_reason(adapter.config):
            raise StudioError(f"This adapter cannot be merged, because {reason}. {_INSTEAD}")
        is_tied = getattr(self.source.config.get_text_config(), "tie_word_embeddings", False)
        if is_tied and any(name in key for key in adapter.tensors for name in _TIED):
            raise StudioError(
                "This adapter changes the embeddings or the output layer, which share one tensor in this model, so a "
                f"merged one could not hold both. {_INSTEAD}"
            )
        if self.strength != 1 and not adapter.lora:
            raise StudioError(
                f"A strength of {self.strength:g} is possible for plain LoRA only, and this adapter has "
                f"{adapter.special}. Set the strength to 1."
            )
        return adapter

    @property
    def names(self) -> list[str]:
        """Return the names of all tensors, in the order of the base's files."""
        return list(self.source.files)

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor."""
        return self.source.shape(name)

    def read(self, name: str) -> "torch.Tensor":
        """Return a merged tensor on the CPU: in float32 where the adapter changes it, else in the base's data type."""
        if not self._is_plain:
            return self._whole[name]
        weight, module = self.source.read(name), name.removesuffix(".weight")
        update = self.adapter.lora.get(module) if name.endswith(".weight") else None
        if update is None:
            return weight.cpu()
        change = update.b.to(device()) @ update.a.to(device())
        return (weight.to(device(), change.dtype) + self.strength * change).cpu()

    @cached_property
    def _is_plain(self) -> bool:
        """Return whether the adapter changes nothing but weights of linear layers, each (out, in) in one tensor."""
        names = {f"{name}.weight" for name in self.adapter.lora}
        return bool(names) and names <= self.source.linears & set(self.source.files)

    @cached_property
    def _whole(self) -> "dict[str, torch.Tensor]":
        """Return all tensors by their names in transformers, merged by PEFT."""
        self._check_memory()
        model = load_base(self.source.model, Precision("none", compute_dtype="float32")).model
        if self.source.base == "as trained":
            for name in self.source.quantized:
                weight = model.get_parameter(name)
                weight.data = self.source.read(name).to(weight)
        tuned = peft_model.load(model, self.adapter.config, self.adapter.tensors, self.adapter_folder.name)
        try:
            merged = tuned.merge_and_unload(safe_merge=True).state_dict()
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise StudioError(f"PEFT cannot merge this adapter: {error} {_INSTEAD}") from error
        # The output layer of a tied model is listed beside the embeddings that it shares.
        shared = {name for name in merged if name not in self.source.files}
        kept = {merged[name].data_ptr() for name in self.source.files}
        if lost := [name for name in shared if merged[name].data_ptr() not in kept]:
            raise StudioError(f"The merged model has the tensor {lost[0]}, which its files cannot hold. {_INSTEAD}")
        return {name: merged[name].cpu() for name in self.source.files}

    def _check_memory(self) -> None:
        numbers = sum(prod(self.source.shape(name)) for name in self.source.files)
        needed, free = 2 * numbers * _FLOAT32_BYTES, psutil.virtual_memory().available
        if needed > free:
            raise StudioError(
                f"The adapter has {self.adapter.special}, so it is merged with the whole model in float32. That needs "
                f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free. {_INSTEAD}"
            )
