"""Weights of a base model, read from its safetensors files one tensor at a time.

A run trains its adapter on top of weights in 4 bits, which differ from those in the files, so the adapter fits the
4-bit weights. A tensor can therefore be read in two ways: as it is in the files, or as the run saw it, quantized and
dequantized again.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.export.config import BaseWeights
from core.models.catalogue import Model
from core.models.loading import Precision, device, read_config, resolve_dtype
from core.models.model_files import check_files
from core.models.weight_headers import INDEX, WHOLE
from core.system.files import read_json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class WeightFiles:
    """The tensors of a model's files.

    Attributes:
        model: The model, downloaded.
        precision: How the run loaded it.
        base: "as trained": weights of quantized modules are rounded as in the run; "original": as in the files.
    """

    model: Model
    precision: Precision
    base: BaseWeights

    @cached_property
    def config(self) -> Any:
        """Return the model's `PretrainedConfig`.

        Raises:
            StudioError: The files are not a model, or name weights elsewhere.
        """
        config = read_config(self.model)
        check_files(self.model, config)
        return config

    @property
    def files(self) -> dict[str, Path]:
        """Return the file of each tensor by its name in transformers, in the order of the files."""
        return {name: path for name, (path, _) in self._stored.items()}

    @cached_property
    def _stored(self) -> dict[str, tuple[Path, str]]:
        """Return the file of each tensor and its name there, by its name in transformers.

        Raises:
            StudioError: A file is missing, or names tensors otherwise than the model's modules.
        """
        from safetensors import safe_open

        found: dict[str, tuple[Path, str]] = {}
        for path in self._paths():
            with safe_open(path, "pt") as file:
                for stored in file.keys():  # noqa: SIM118
                    if name := self._module_name(stored):
                        found[name] = (path, stored)
        return found

    @cached_property
    def _known(self) -> frozenset[str]:
        """Return the names of the model's tensors in transformers."""
        return frozenset(self._empty_model.state_dict())

    def _module_name(self, stored: str) -> str:
        """Return the name in transformers of a tensor in a file; "" for one that transformers does not read.

        Files such as GPT-2's hold the model without its output layer, so their names lack the first part.
        """
        model = self._empty_model
        for name in (stored, f"{model.base_model_prefix}.{stored}"):
            if name in self._known:
                return name
        if any(re.search(pattern, stored) for pattern in model._keys_to_ignore_on_load_unexpected or ()):
            return ""
        raise StudioError(
            f"The files of the model {self.model.name!r} name the tensor {stored}, which transformers reads under "
            "another name. Such a model cannot be merged here. Export the adapter itself."
        )

    @cached_property
    def linears(self) -> frozenset[str]:
        """Return the names of the weights of linear layers, (out, in), except the output layer's."""
        import torch

        return self._weights_of(torch.nn.Linear)

    @cached_property
    def quantized(self) -> frozenset[str]:
        """Return the names of the weights that the run quantized: of all linear layers except the output layer."""
        return frozenset() if self.precision.quantization == "none" else self.linears | self.transposed

    @cached_property
    def transposed(self) -> frozenset[str]:
        """Return the names of the weights of GPT-2's linear layers, which are stored as (in, out)."""
        from transformers.pytorch_utils import Conv1D

        return self._weights_of(Conv1D)

    def _weights_of(self, kind: type) -> frozenset[str]:
        model = self._empty_model
        output = model.get_output_embeddings()
        found = (name for name, module in model.named_modules() if isinstance(module, kind) and module is not output)
        return frozenset(f"{name}.weight" for name in found)

    @cached_property
    def _empty_model(self) -> Any:
        """Return the model without weights, for the names and kinds of its modules."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.config)

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor."""
        return self._shapes[name]

    @cached_property
    def _shapes(self) -> dict[str, list[int]]:
        from safetensors import safe_open

        shapes: dict[str, list[int]] = {}
        for path in dict.fromkeys(self.files.values()):
            with safe_open(path, "pt") as file:
                names = {name: stored for name, (place, stored) in self._stored.items() if place == path}
                shapes |= {name: file.get_slice(stored).get_shape() for name, stored in names.items()}
        return shapes

    def read(self, name: str) -> "torch.Tensor":
        """Return a tensor in the data type of its file, or as the run saw it."""
        from safetensors import safe_open

        path, stored = self._stored[name]
        with safe_open(path, "pt") as file:
            tensor = file.get_tensor(stored)
        if self.base == "original" or name not in self.quantized:
            return tensor
        if name in self.transposed:
            return round_as_trained(tensor.T.contiguous(), self.precision).T
        return round_as_trained(tensor, self.precision)

    def _paths(self) -> list[Path]:
        from transformers.utils import cached_file

        def locate(name: str) -> Path | None:
            options = {"revision": self.model.revision, "_raise_exceptions_for_missing_entries": False}
            found = cached_file(self.model.path, name, **options)
            return Path(found) if found else None

        index = locate(INDEX)
        names = sorted(set(read_json(index)["weight_map"].values())) if index else [WHOLE]
        paths = {name: locate(name) for name in names}
        if missing := [name for name, path in paths.items() if path is None]:
            raise StudioError(
                f"The model {self.model.name!r} has no file {missing[0]}. Download it again, or choose another run."
            )
        return list(paths.values())


def round_as_trained(weight: "torch.Tensor", precision: Precision) -> "torch.Tensor":
    """Return a weight (out, in) quantized and dequantized as bitsandbytes does it when a run loads the model.

    The result is on the GPU, if there is one.

    Args:
        weight: The weight of a linear layer.
        precision: nf4 or fp4, with the run's compute dtype and double quantization.

    Raises:
        StudioError: The run's quantization is int8, which also rounds the inputs of each product, so no weights alone
            give the same results.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    if precision.quantization not in ("nf4", "fp4"):
        raise StudioError(
            f"Weights in {precision.quantization} cannot be dequantized to those that the run computed with. Choose "
            "the original weights."
        )
    dtype = getattr(torch, resolve_dtype(precision.compute_dtype)[0])
    packed, state = quantize_4bit(
        weight.to(device(), dtype), compress_statistics=precision.double_quantization, quant_type=precision.quantization
    )
    return dequantize_4bit(packed, state).to(dtype)
