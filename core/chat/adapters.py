"""Adapters by batch row: each row of a batch gets the adapter of its lane, and rows without one stay untouched.

The base model's modules and weights are never changed. An adapter is loaded by PEFT itself onto a second tree of
modules that shares the base's weights (`core.chat.peft_model`), so every matching rule and every variant is PEFT's own.
From there its rows are decoded in one of two ways:

- batched: forward hooks on the base change the output of this adapter's rows, so base and tuned rows share one batch.
  Plain LoRA is two small products; any other PEFT layer is called itself for its rows.
- one at a time: the rows run through PEFT's model (`core.chat.plain`).

A probe (`core.chat.adapter_probe`) chooses when the adapter is loaded: it compares a mixed batch with each model alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel

from core.chat import peft_model
from core.chat.adapter_patterns import module_scales
from core.chat.adapter_probe import adapter_failure
from core.errors import StudioError
from core.system.counting import counted

_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class LoraWeights:
    """Low-rank update B A of one module: `a` projects down, and `b`, multiplied by the scale, projects up."""

    a: torch.Tensor  # (rank, inputs)
    b: torch.Tensor  # (outputs, rank)


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter that was read from a folder.

    Attributes:
        lora: Plain low-rank updates, by module name; empty if the adapter is more than that.
        special: What the adapter has beside plain LoRA, for messages; empty if `lora` is all of it.
        folder: Its folder; None for an adapter made in memory.
    """

    lora: dict[str, LoraWeights]
    special: str = ""
    folder: Path | None = None

    @cached_property
    def config(self) -> LoraConfig:
        """Return PEFT's configuration of the adapter."""
        return peft_model.read_config(self.folder)

    @cached_property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all tensors of the adapter's file, by their names there."""
        return peft_model.read_tensors(self.folder, self.config)


class LayoutError(StudioError):
    """A module's input does not show which values belong to which row of the batch."""


def read_adapter(folder: Path, dtype: torch.dtype, device: torch.device) -> Adapter:
    """Read a PEFT adapter.

    Args:
        folder: Holds adapter_config.json and adapter_model.safetensors.
        dtype: Data type of the plain low-rank factors.
        device: Device of the plain low-rank factors.

    Raises:
        StudioError: The folder holds no adapter, another method than LoRA, or settings that PEFT cannot apply to an
            unchanged base.
    """
    config = peft_model.read_config(folder)
    tensors = {key.removeprefix(_PREFIX): tensor for key, tensor in peft_model.read_tensors(folder, config).items()}
    names = [key.removesuffix(_A) for key in tensors if key.endswith(_A) and key.removesuffix(_A) + _B in tensors]
    scales = module_scales(config, names, folder.name)
    lora = {
        name: LoraWeights(
            tensors[name + _A].to(device, dtype),
            # Scaled in float32: the product is rounded once.
            (tensors[name + _B].float() * scales[name]).to(device, dtype),
        )
        for name in names
    }
    special = peft_model.special_settings(config)
    if others := sorted(set(tensors) - {name + part for name in names for part in (_A, _B)}):
        count = counted(len(others), "tensor that is", "tensors that are")
        special.append(f"{count} not plain LoRA, such as {others[0]}")
    return Adapter({} if special else lora, ", ".join(special), folder)


class RowAdapters:
    """Adapters of one base model, by key; `set_rows` assigns them to the rows of the next batches."""

    def __init__(self, model: torch.nn.Module):
        self._model = model
        self._adapters: dict[str, _LoadedAdapter] = {}
        # One hook per module that some adapter changes; "" is the hook of the model itself.
        self._hooks: dict[str, torch.utils.hooks.RemovableHandle] = {}
        self._groups: list[tuple[str, slice | torch.Tensor]] = []
        # Rows and tokens of the batch that is being computed.
        self._shape = (0, 0)

    def add(self, key: str, adapter: Adapter, base_unbatched_reason: str = "") -> None:
        """Load an adapter, and find out by a probe how its rows can be decoded.

        Args:
            key: The adapter's key in lanes.
            adapter: The adapter.
            base_unbatched_reason: Why not even the base may be batched; empty if it may.

        Raises:
            StudioError: The adapter belongs to another model, or one of its tensors would not be used.
        """
        tuned = None
        if adapter.folder is not None:
            tuned = peft_model.load(self._model, adapter.config, adapter.tensors, adapter.folder.name)
        elif missing := sorted(set(adapter.lora) - {name for name, _ in self._model.named_modules()}):
            raise StudioError(f"The adapter belongs to another model: {missing[0]} is not in this one.")
        layers = {} if tuned is None or adapter.lora else peft_model.changed_layers(self._model, tuned)
        loaded = _LoadedAdapter(adapter, tuned, layers, base_unbatched_reason)
        self.remove(key)
        self._adapters[key] = loaded
        if base_unbatched_reason:
            return
        # The probe runs a mixed batch with these hooks.
        self._hook_modules(loaded.names)
        if tuned is not None:
            loaded.unbatched_reason = peft_model.unbatched_reason(adapter.config) or adapter_failure(
                self._model, self, key, tuned
            )
        if loaded.unbatched_reason:
            self._drop_hooks()
        elif adapter.lora:
            # The factors are all that the hooks need; PEFT's model can be freed.
            loaded.tuned = None

    def remove(self, key: str) -> None:
        """Remove one adapter, if it is there."""
        self.keep_only(set(self._adapters) - {key})

    def keep_only(self, keys: Iterable[str]) -> None:
        """Remove all other adapters, and the hooks that no adapter needs any more."""
        kept = set(keys)
        self._adapters = {key: loaded for key, loaded in self._adapters.items() if key in kept}
        self._drop_hooks()

    def __contains__(self, key: str) -> bool:
        return key in self._adapters

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def get(self, key: str) -> Adapter:
        """Return an adapter."""
        return self._adapters[key].adapter

    def unbatched_reason(self, key: str) -> str:
        """Return why an adapter's rows must be decoded one at a time; empty if they may share a batch."""
        return self._adapters[key].unbatched_reason

    def peft_model(self, key: str) -> PeftModel:
        """Return PEFT's model of an adapter, for rows that are decoded one at a time; load it again if it was freed."""
        loaded = self._adapters[key]
        if loaded.tuned is None:
            adapter = loaded.adapter
            loaded.tuned = peft_model.load(self._model, adapter.config, adapter.tensors, adapter.folder.name)
        return loaded.tuned

    def set_rows(self, keys: list[str | None]) -> None:
        """Assign adapters to the rows of the next batches.

        Args:
            keys: One per row; None is the base. An empty list switches all adapters off.
        """
        indices: dict[str, list[int]] = defaultdict(list)
        for index, key in enumerate(keys):
            if key is not None:
                indices[key].append(index)
        self._groups = [(key, self._row_index(found)) for key, found in indices.items()]

    def _row_index(self, indices: list[int]) -> slice | torch.Tensor:
        """Return the rows of one adapter; as a slice if they are adjacent, since a slice needs no copy."""
        if indices[-1] - indices[0] + 1 == len(indices):
            return slice(indices[0], indices[-1] + 1)
        return torch.tensor(indices, device=next(self._model.parameters()).device)

    def _hook_modules(self, names: Iterable[str]) -> None:
        """Hook modules, and the model itself to learn the shape of each batch."""
        modules = dict(self._model.named_modules())
        if "" not in self._hooks:
            self._hooks[""] = self._model.register_forward_pre_hook(self._record_shape, with_kwargs=True)
        for name in names:
            if name not in self._hooks:
                self._hooks[name] = modules[name].register_forward_hook(self._output_hook(name))

    def _drop_hooks(self) -> None:
        """Remove the hooks that no adapter needs."""
        needed = {name for loaded in self._adapters.values() if not loaded.unbatched_reason for name in loaded.names}
        for name in set(self._hooks) - needed - ({""} if needed else set()):
            self._hooks.pop(name).remove()

    def _record_shape(self, module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        self._shape = tuple(ids.shape)  # (rows, tokens)

    def _output_hook(self, name: str) -> Callable[[torch.nn.Module, tuple, torch.Tensor], torch.Tensor]:
        def change_rows(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
            groups = [(self._adapters[key], rows) for key, rows in self._groups if self._adapters[key].changes(name)]
            if not groups:
                return output
            x = self._by_row(name, args[0])  # (rows, tokens, inputs)
            out = self._by_row(name, output)  # (rows, tokens, outputs)
            # All rows of an adapter in one product.
            for loaded, rows in groups:
                changed = out[rows]
                loaded.change(name, x[rows], changed)
                # A slice is a view and was changed in place; an index made a copy.
                if not isinstance(rows, slice):
                    out[rows] = changed
            return output

        return change_rows

    def _by_row(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """View a module's input or output with the rows of the batch as its first dimension.

        Some modules see the batch flattened into tokens: (rows * tokens, width) instead of (rows, tokens, width).

        Raises:
            LayoutError: The tensor has another shape.
        """
        rows, tokens = self._shape
        if isinstance(tensor, torch.Tensor) and tensor.ndim > 1:
            if tensor.shape[0] == rows:
                return tensor
            if tensor.ndim == 2 and tensor.shape[0] == rows * tokens and tensor.is_contiguous():
                return tensor.view(rows, tokens, -1)
        shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise LayoutError(
            f"The adapter changes {name}, which receives {shape} in a batch of {rows} rows of {tokens} tokens, so its "
            "rows cannot be separated. Use this adapter in a chat with one lane."
        )


class _LoadedAdapter:
    """An adapter with PEFT's model of it.

    Attributes:
        tuned: PEFT's model; None once only the plain factors are needed.
        layers: PEFT's own layers, by the base module whose output they replace; empty for plain LoRA.
        unbatched_reason: Why its rows are decoded one at a time; empty if they share a batch.
        names: The base's modules that the adapter changes.
    """

    def __init__(
        self, adapter: Adapter, tuned: PeftModel | None, layers: dict[str, torch.nn.Module], unbatched_reason: str
    ):
        self.adapter, self.tuned, self.layers, self.unbatched_reason = adapter, tuned, layers, unbatched_reason
        self.names = {*adapter.lora, *layers}

    def changes(self, name: str) -> bool:
        return name in self.names

    def change(self, name: str, x: torch.Tensor, out: torch.Tensor) -> None:
        """Change a module's output for some rows in place, to what PEFT computes.

        Args:
            name: The module.
            x: (rows, tokens, inputs), the module's input.
            out: (rows, tokens, outputs), the module's output.
        """
        if (layer := self.layers.get(name)) is not None:
            out.copy_(layer(x))
            return
        weights = self.adapter.lora[name]
        lora_hidden = F.linear(x.to(weights.a.dtype), weights.a)  # (rows, tokens, rank)
        out += F.linear(lora_hidden, weights.b).to(out.dtype)
