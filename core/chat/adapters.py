"""Adapters by row: each row of a batch gets the adapter of its lane, and rows without one stay untouched.

The base model's modules and weights are never changed. An adapter is loaded by PEFT itself onto a second tree of
modules that shares the base's weights (`core.chat.peft_model`), so every matching rule and every variant is PEFT's own.
From there an adapter takes one of two ways:

- together: forward hooks on the base change the output of this adapter's rows, so that base and tuned rows decode in
  one batch. Plain LoRA is two small products; any other PEFT layer is called itself for its rows.
- apart: rows of the adapter run through PEFT's model, one at a time (`core.chat.plain`).

A probe (`core.chat.probe`) decides when the adapter is loaded: it compares a mixed batch with each model alone.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper, get_pattern_key
from safetensors.torch import load_file

from core.chat import peft_model
from core.errors import StudioError

_PREFIX = "base_model.model."
_PART = ".lora_{}.weight"


@dataclass(frozen=True)
class LoraWeights:
    """Low-rank update of one module: A (rank, in) and B (out, rank), with the scale already in B."""

    a: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter that was read from a folder.

    Attributes:
        lora: the plain low-rank updates, by module name.
        special: what the adapter has beside plain LoRA, in words; empty when `lora` is all of it.
        folder: where it lies; None for one that was made in memory.
    """

    lora: dict[str, LoraWeights]
    special: str = ""
    folder: Path | None = None

    @cached_property
    def config(self) -> LoraConfig:
        """PEFT's configuration of the adapter."""
        return peft_model.read_config(self.folder)

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the adapter's file, by its name there."""
        return load_file(self.folder / peft_model.WEIGHTS)


def read_adapter(folder: Path, dtype: torch.dtype, device: torch.device) -> Adapter:
    """Read a PEFT adapter.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors.
        dtype: of the plain low-rank factors.
        device: where the factors lie.

    Raises:
        StudioError: the folder holds no adapter, another method than LoRA, or settings that PEFT cannot apply to an
            untouched base.
    """
    config = peft_model.read_config(folder)
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in load_file(folder / peft_model.WEIGHTS).items()}
    names = [key.removesuffix(_PART.format("A")) for key in tensors if key.endswith(_PART.format("A"))]
    names = [name for name in names if name + _PART.format("B") in tensors]
    lora = {
        name: LoraWeights(
            tensors[name + _PART.format("A")].to(device, dtype),
            (tensors[name + _PART.format("B")].float() * _scale(config, name)).to(device, dtype),
        )
        for name in names
    }
    beside = peft_model.special_settings(config)
    if others := sorted(set(tensors) - {name + _PART.format(part) for name in names for part in "AB"}):
        beside.append(f"{len(others)} tensors that are not plain LoRA, such as {others[0]}")
    return Adapter({} if beside else lora, ", ".join(beside), folder)


def _scale(config: LoraConfig, name: str) -> float:
    """Return alpha / rank, or alpha / sqrt(rank) with rank-stabilised scaling, of one module.

    PEFT's own function finds the pattern that applies to the module (`peft.tuners.lora.model`).
    """
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(ranks.keys(), name), config.r)
    alpha = alphas.get(get_pattern_key(alphas.keys(), name), config.lora_alpha)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


class LayoutError(StudioError):
    """A module's input does not show which values belong to which row of the batch."""


class RowAdapters:
    """Adapters of one base model, by name. `set_rows` gives the adapter of each row of the next batches."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._adapters: dict[str, _Loaded] = {}
        self._hooks: dict[str, torch.utils.hooks.RemovableHandle] = {}
        self._groups: list[tuple[str, slice | torch.Tensor]] = []
        self._shape = (0, 0)  # rows and tokens of the batch that is under way

    def add(self, key: str, adapter: Adapter, together: str = "") -> None:
        """Load an adapter, and find out by a probe how its rows can be decoded.

        Args:
            key: the name that lanes give it.
            adapter: what `read_adapter` found.
            together: why no adapter can be decoded together with the base; empty where the base allows it.

        Raises:
            StudioError: the adapter belongs to another model, or one of its tensors would not be used.
        """
        from core.chat import probe

        tuned = None
        if adapter.folder is not None:
            tuned = peft_model.load(self._model, adapter.config, adapter.tensors, adapter.folder.name)
        elif missing := sorted(set(adapter.lora) - {name for name, _ in self._model.named_modules()}):
            raise StudioError(f"The adapter belongs to another model: {missing[0]} is not in this one.")
        loaded = _Loaded(adapter, tuned, {} if tuned is None or adapter.lora else _own_layers(self._model, tuned))
        loaded.apart = together
        self.remove(key)
        self._adapters[key] = loaded
        if together:
            return
        self._hook_modules(loaded.names)
        if tuned is not None:
            loaded.apart = peft_model.why_apart(adapter.config) or probe.adapter_failure(self._model, self, key, tuned)
        if loaded.apart:
            self._drop_hooks()
        elif adapter.lora:
            loaded.tuned = None  # the factors are all that is needed

    def remove(self, key: str) -> None:
        """Forget one adapter, if it is there."""
        self.keep_only(name for name in list(self._adapters) if name != key)

    def keep_only(self, keys: Iterable[str]) -> None:
        """Forget all other adapters, and remove the hooks that no adapter needs any more."""
        kept = set(keys)
        self._adapters = {key: loaded for key, loaded in self._adapters.items() if key in kept}
        self._drop_hooks()

    def __contains__(self, key: str) -> bool:
        return key in self._adapters

    def __iter__(self):
        return iter(self._adapters)

    def get(self, key: str) -> Adapter:
        return self._adapters[key].adapter

    def unbatched_reason(self, key: str) -> str:
        """Return why rows of an adapter must be decoded apart from others; empty when they need not."""
        return self._adapters[key].apart

    def tuned(self, key: str) -> PeftModel:
        """Return PEFT's model of an adapter whose rows are decoded apart."""
        return self._adapters[key].tuned

    def set_rows(self, rows: list[str | None]) -> None:
        """Set the adapter of each row of the next batches; None is the base. An empty list switches all off."""
        indices: dict[str, list[int]] = defaultdict(list)
        for index, key in enumerate(rows):
            if key is not None:
                indices[key].append(index)
        self._groups = [(key, self._index(found)) for key, found in indices.items()]

    def _index(self, indices: list[int]) -> slice | torch.Tensor:
        """Return the rows of one adapter: as a slice, which needs no copy, where they lie side by side."""
        if indices[-1] - indices[0] + 1 == len(indices):
            return slice(indices[0], indices[-1] + 1)
        return torch.tensor(indices, device=next(self._model.parameters()).device)

    def _hook_modules(self, names: Iterable[str]) -> None:
        """Hook modules, and the model itself to see the shape of each batch."""
        modules = dict(self._model.named_modules())
        if "" not in self._hooks:
            self._hooks[""] = self._model.register_forward_pre_hook(self._see_shape, with_kwargs=True)
        for name in names:
            if name not in self._hooks:
                self._hooks[name] = modules[name].register_forward_hook(self._hook(name))

    def _drop_hooks(self) -> None:
        """Remove the hooks that no adapter needs."""
        needed = {name for loaded in self._adapters.values() if not loaded.apart for name in loaded.names}
        for name in set(self._hooks) - needed - ({""} if needed else set()):
            self._hooks.pop(name).remove()

    def _see_shape(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        self._shape = tuple(ids.shape)

    def _hook(self, name: str):
        def change_rows(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
            groups = [(self._adapters[key], rows) for key, rows in self._groups if self._adapters[key].changes(name)]
            if not groups:
                return output
            x, out = self._by_row(name, args[0]), self._by_row(name, output)
            for loaded, rows in groups:  # all rows of an adapter in one product
                changed = out[rows]
                loaded.change(name, x[rows], changed)
                if not isinstance(rows, slice):
                    out[rows] = changed
            return output

        return change_rows

    def _by_row(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """View a module's input or output with the rows of the batch as its first dimension.

        Some modules see the batch flattened into tokens: (rows * tokens, width) instead of (rows, tokens, width).
        """
        rows, tokens = self._shape
        if isinstance(tensor, torch.Tensor) and tensor.ndim > 1:
            if tensor.shape[0] == rows:
                return tensor
            if tensor.ndim == 2 and tensor.shape[0] == rows * tokens and tensor.is_contiguous():
                return tensor.view(rows, tokens, -1)
        shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise LayoutError(
            f"The adapter changes {name}, which sees {shape} in a batch of {rows} rows of {tokens} tokens, so its rows "
            "cannot be told apart. Ask this adapter in a chat of its own."
        )


class _Loaded:
    """An adapter with PEFT's model of it.

    Attributes:
        layers: PEFT's own layers, by the base module whose output they replace; none for plain LoRA.
        apart: why its rows are decoded apart; empty when they are decoded with others.
    """

    def __init__(self, adapter: Adapter, tuned: PeftModel | None, layers: dict[str, torch.nn.Module]):
        self.adapter, self.tuned, self.layers = adapter, tuned, layers
        self.apart = ""
        self.names = {*adapter.lora, *layers}

    def changes(self, name: str) -> bool:
        return name in self.names

    def change(self, name: str, x: torch.Tensor, out: torch.Tensor) -> None:
        """Change the output (rows, tokens, out) of some rows in place, as PEFT would have made it."""
        if (layer := self.layers.get(name)) is not None:
            out.copy_(layer(x))
            return
        weights = self.adapter.lora[name]
        out += F.linear(F.linear(x.to(weights.a.dtype), weights.a), weights.b).to(out.dtype)


def _own_layers(base: torch.nn.Module, tuned: PeftModel) -> dict[str, torch.nn.Module]:
    """Return the modules of PEFT's model that compute something else than the base's, by the base's names.

    These are PEFT's layers, and modules with weights of their own, such as a norm whose bias was trained.
    """
    theirs = dict(tuned.get_base_model().named_modules())
    found: dict[str, torch.nn.Module] = {}
    for name, module in base.named_modules():
        if any(name.startswith(f"{outer}.") for outer in found):
            continue
        own = theirs.get(name)
        if isinstance(own, BaseTunerLayer | AuxiliaryTrainingWrapper):
            found[name] = own
        elif own is not None:
            pairs = zip(module.parameters(recurse=False), own.parameters(recurse=False), strict=True)
            if any(one is not other for one, other in pairs):
                found[name] = own
    return found
