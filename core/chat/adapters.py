"""Adapters by row: each row of a batch gets the adapter of its lane, a row without one is untouched.

The base model's modules and weights stay as they are; adapters work through forward hooks that change their rows'
output. So the base lane's logits are the bare base's, to the bit.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from core.errors import StudioError
from core.files import read_json

_PREFIX = "base_model.model."
_IDENTITY_ROWS = 1024  # of an identity matrix at once, to read a module's weights through it


@dataclass(frozen=True)
class LoraWeights:
    """Low-rank update of one module: A (rank, in) and B (out, rank), with the scale in B already.

    Attributes:
        magnitude: DoRA's length of each output's weights (out,), None without DoRA (Liu et al. 2024, eq. 5).
    """

    a: torch.Tensor
    b: torch.Tensor
    magnitude: torch.Tensor | None = None


@dataclass(frozen=True)
class Adapter:
    """What a PEFT adapter changes, by module name.

    Attributes:
        biases: values that stand in the place of the module's own.
        whole: weights of modules that were trained as a whole (`modules_to_save`).
    """

    lora: dict[str, LoraWeights]
    biases: dict[str, torch.Tensor] = field(default_factory=dict)
    whole: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    @cached_property
    def modules(self) -> set[str]:
        return {*self.lora, *self.biases, *self.whole}


def read_adapter(folder: Path, dtype: torch.dtype, device: torch.device) -> Adapter:
    """A PEFT adapter: LoRA with its variants (rsLoRA, DoRA), biases, whole modules.

    Raises StudioError for another method, or a folder that holds none.
    """
    config_file, weights_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config_file.is_file() or not weights_file.is_file():
        raise StudioError(f"{folder.name!r} holds no adapter (adapter_config.json and adapter_model.safetensors).")
    config, tensors = read_json(config_file), load_file(weights_file)
    if config.get("peft_type") != "LORA" or any(".lora_embedding_" in key for key in tensors):
        kind = "LoRA of embeddings" if config.get("peft_type") == "LORA" else config.get("peft_type")
        raise StudioError(f"The adapter {folder.name!r} is {kind}. Chat answers with LoRA of linear layers.")
    tensors = {key.removeprefix(_PREFIX): tensor.to(device) for key, tensor in tensors.items()}
    lora = {
        name: LoraWeights(
            tensors[f"{name}.lora_A.weight"].to(dtype),
            (tensors[f"{name}.lora_B.weight"].float() * _scale(config, name)).to(dtype),
            next((tensors[key].to(dtype) for key in _magnitudes(name) if key in tensors), None),
        )
        for name in (key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight"))
    }
    biases, whole = {}, defaultdict(dict)
    for key, tensor in tensors.items():
        name, _, part = key.rpartition(".")
        if ".lora_" in key:
            continue
        if part == "bias" and f"{name}.weight" not in tensors:
            biases[name.removesuffix(".base_layer")] = tensor.to(dtype)
        else:
            whole[name][part] = tensor.to(dtype)
    return Adapter(lora, biases, dict(whole))


def _magnitudes(name: str) -> tuple[str, str]:
    return f"{name}.lora_magnitude_vector", f"{name}.lora_magnitude_vector.weight"


def _scale(config: dict[str, Any], name: str) -> float:
    """alpha / rank, or alpha / sqrt(rank) with rank-stabilised scaling, where patterns may say otherwise by module."""

    def of(what: str, pattern: str) -> float:
        found = config.get(pattern) or {}
        return next((value for key, value in found.items() if name == key or name.endswith(f".{key}")), config[what])

    rank, alpha = of("r", "rank_pattern"), of("lora_alpha", "alpha_pattern")
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


class RowAdapters:
    """Hooks on a base model that add each row's adapter. `set_rows` says which adapter each row of the batch has."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._adapters: dict[str, _Loaded] = {}
        self._hooks: dict[str, torch.utils.hooks.RemovableHandle] = {}
        self._groups: list[tuple[str, slice | torch.Tensor]] = []

    def add(self, key: str, adapter: Adapter) -> None:
        """Raises StudioError when the adapter belongs to another model."""
        modules = dict(self._model.named_modules())
        if missing := sorted(name for name in adapter.modules if name not in modules):
            raise StudioError(f"The adapter belongs to another model: {missing[0]} is not in this one.")
        with torch.inference_mode():
            self._adapters[key] = _Loaded(adapter, modules)
        for name in adapter.modules:
            if name not in self._hooks:
                self._hooks[name] = modules[name].register_forward_hook(self._hook(name))

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget all other adapters, and the hooks that no adapter needs any more."""
        self._adapters = {key: adapter for key, adapter in self._adapters.items() if key in set(keys)}
        needed = {name for loaded in self._adapters.values() for name in loaded.adapter.modules}
        for name in set(self._hooks) - needed:
            self._hooks.pop(name).remove()

    def __contains__(self, key: str) -> bool:
        return key in self._adapters

    def __iter__(self):
        return iter(self._adapters)

    def get(self, key: str) -> Adapter:
        return self._adapters[key].adapter

    def set_rows(self, rows: list[str | None]) -> None:
        """The adapter of each row of the next batches; None is the base. An empty list switches every adapter off."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, key in enumerate(rows):
            if key is not None:
                places[key].append(place)
        self._groups = [(key, self._index(found)) for key, found in places.items()]

    def _index(self, places: list[int]) -> slice | torch.Tensor:
        """The rows of one adapter: a slice, whose rows need no copy, where they lie side by side."""
        if places[-1] - places[0] + 1 == len(places):
            return slice(places[0], places[-1] + 1)
        return torch.tensor(places, device=next(self._model.parameters()).device)

    def _hook(self, name: str):
        def change_rows(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
            for key, rows in self._groups:  # all rows of an adapter in one product
                if not self._adapters[key].changes(name):
                    continue
                changed = output[rows]
                self._adapters[key].change(name, module, args[0][rows], changed)
                if not isinstance(rows, slice):
                    output[rows] = changed
            return output

        return change_rows


class _Loaded:
    """An adapter with what it needs of the base's modules."""

    def __init__(self, adapter: Adapter, modules: dict[str, torch.nn.Module]):
        self.adapter = adapter
        self._lengths = {
            name: weights.magnitude / _length(modules[name], weights)
            for name, weights in adapter.lora.items()
            if weights.magnitude is not None
        }
        self._whole = {name: _module(modules[name], tensors) for name, tensors in adapter.whole.items()}

    def changes(self, name: str) -> bool:
        return name in self.adapter.modules

    def change(self, name: str, module: torch.nn.Module, x: torch.Tensor, out: torch.Tensor) -> None:
        """Change the output (rows, length, out) of some rows in place, as PEFT would have made it."""
        if (whole := self._whole.get(name)) is not None:
            out.copy_(whole(x))
            return
        if (weights := self.adapter.lora.get(name)) is not None:
            added = F.linear(F.linear(x.to(weights.a.dtype), weights.a), weights.b)
            if (ratio := self._lengths.get(name)) is not None:
                bias = getattr(module, "bias", None)
                plain = out if bias is None else out - bias.to(out.dtype)
                added = ratio * added + (ratio - 1) * plain
            out += added.to(out.dtype)
        if (bias := self.adapter.biases.get(name)) is not None:
            out += (bias - module.bias).to(out.dtype)


def _length(module: torch.nn.Module, weights: LoraWeights) -> torch.Tensor:
    """The length of each output's weights, update included (out,). Read through the module, however it keeps them."""
    wide = weights.a.shape[1]
    squares = torch.zeros(weights.b.shape[0], device=weights.a.device)
    bias = getattr(module, "bias", None)
    for start in range(0, wide, _IDENTITY_ROWS):
        rows = torch.eye(wide, dtype=weights.a.dtype, device=weights.a.device)[start : start + _IDENTITY_ROWS]
        columns = module(rows) - (0 if bias is None else bias)
        squares += (columns + F.linear(F.linear(rows, weights.a), weights.b)).float().pow(2).sum(0)
    return squares.sqrt().to(weights.a.dtype)


def _module(original: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """A module like `original` with weights of its own."""
    weight = tensors["weight"]
    if isinstance(original, torch.nn.Embedding):
        return torch.nn.Embedding.from_pretrained(weight)
    if weight.ndim == 2 and type(original).__name__ != "Conv1D":
        made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tensors, device="meta")
    else:
        made = copy.deepcopy(original)
    made.load_state_dict(tensors, assign=True)
    return made.requires_grad_(False)
