"""LoRA by row: each row of a batch gets the adapter of its lane, a row without one is untouched.

The base model's modules and weights stay as they are; adapters work through forward hooks that add to a row's output.
So the base lane's logits are the bare base's, to the bit.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from core.errors import StudioError
from core.files import read_json

_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoraWeights:
    """A (rank, in) and B (out, rank), with alpha / rank in B already."""

    a: torch.Tensor
    b: torch.Tensor


def read_adapter(folder: Path, dtype: torch.dtype, device: torch.device) -> dict[str, LoraWeights]:
    """The LoRA weights of a PEFT adapter by module name.

    Raises StudioError for an adapter that is more than low-rank updates of linear layers.
    """
    config_file, weights_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config_file.is_file() or not weights_file.is_file():
        raise StudioError(f"{folder.name!r} holds no adapter (adapter_config.json and adapter_model.safetensors).")
    config = read_json(config_file)
    unsupported = [
        name for name in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern") if config.get(name)
    ]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unsupported:
        raise StudioError(
            f"The adapter {folder.name!r} is not plain LoRA ({', '.join(unsupported) or config.get('peft_type')}). "
            "Chat answers with plain LoRA adapters only."
        )
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    tensors = load_file(weights_file)
    adapter = {}
    for key, a in tensors.items():
        if key.endswith(".lora_A.weight"):
            name = key.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
            b = tensors[key.replace(".lora_A.", ".lora_B.")].float() * scale
            adapter[name] = LoraWeights(a.to(device, dtype), b.to(device, dtype))
    return adapter


class RowAdapters:
    """Hooks on a base model that add each row's adapter. `rows` says which adapter each row of the batch has."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._adapters: dict[str, dict[str, LoraWeights]] = {}
        self._hooks: dict[str, torch.utils.hooks.RemovableHandle] = {}
        self._rows: list[str | None] = []

    def add(self, key: str, adapter: dict[str, LoraWeights]) -> None:
        modules = dict(self._model.named_modules())
        if missing := [name for name in adapter if name not in modules]:
            raise StudioError(f"The adapter belongs to another model: {missing[0]} is not in this one.")
        self._adapters[key] = adapter
        for name in adapter:
            if name not in self._hooks:
                self._hooks[name] = modules[name].register_forward_hook(self._hook(name))

    def keep_only(self, keys: set[str]) -> None:
        """Forget all other adapters, and the hooks that no adapter needs any more."""
        self._adapters = {key: adapter for key, adapter in self._adapters.items() if key in keys}
        needed = {name for adapter in self._adapters.values() for name in adapter}
        for name in set(self._hooks) - needed:
            self._hooks.pop(name).remove()

    def __contains__(self, key: str) -> bool:
        return key in self._adapters

    def set_rows(self, rows: list[str | None]) -> None:
        """The adapter of each row of the next batches; None is the base. An empty list switches every adapter off."""
        self._rows = list(rows)

    def _hook(self, name: str):
        def add_rows(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
            for index, key in enumerate(self._rows):
                if key is not None and (weights := self._adapters[key].get(name)) is not None:
                    low = F.linear(args[0][index].to(weights.a.dtype), weights.a)
                    output[index] += F.linear(low, weights.b).to(output.dtype)
            return output

        return add_rows
