"""A merged model as files of transformers: safetensors in shards, with config, tokenizer and chat template.

The shards are written one after another, so the memory needed is that of one shard. `model.safetensors.index.json`
names the shard of each tensor, as transformers, vLLM, SGLang and llama.cpp's converter read it.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.export.config import DTYPE_BYTES, DType
from core.export.merge import MergedModel
from core.export.rope_fields import legacy_rope_fields
from core.models.loading import load_tokenizer
from core.system.files import read_json, write_json
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch

# A shard is held in memory while it is filled.
SHARD_BYTES = 2 * 2**30
_TEMPLATE = "chat_template.jinja"


def size_of(merged: MergedModel, dtype: DType) -> int:
    """Return the bytes of all tensors in a data type."""
    return sum(prod(merged.shape(name)) for name in merged.names) * DTYPE_BYTES[dtype]


class ShardWriter:
    """Writer of tensors into numbered shards, each held in memory until it is full.

    Attributes:
        folder: Receives the files.
        shard_bytes: Largest size of a shard; a larger group of tensors gets one of its own.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES):
        self.folder, self.shard_bytes = folder, shard_bytes
        self._held: dict[str, torch.Tensor] = {}
        # Names of the tensors of each shard that was written, under a number until their count is known.
        self._written: list[list[str]] = []
        self._total = 0

    def add(self, tensors: "dict[str, torch.Tensor]") -> None:
        """Add tensors that stay in one shard."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        if self._held and sum(held.nbytes for held in self._held.values()) + size > self.shard_bytes:
            self._write()
        self._held |= tensors
        self._total += size

    def close(self) -> None:
        """Write the last shard, give all their names, and write the index if there are several."""
        self._write()
        count, weight_map = len(self._written), {}
        for number, names in enumerate(self._written, 1):
            file = "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"
            self._place(number).rename(self.folder / file)
            weight_map |= dict.fromkeys(names, file)
        if count > 1:
            index = {"metadata": {"total_size": self._total}, "weight_map": weight_map}
            write_json(self.folder / "model.safetensors.index.json", index)

    def _write(self) -> None:
        from safetensors.torch import save_file

        self._written.append(list(self._held))
        save_file(self._held, self._place(len(self._written)), metadata={"format": "pt"})
        self._held = {}

    def _place(self, number: int) -> Path:
        return self.folder / f"shard-{number}"


def write_weights(
    merged: MergedModel, dtype: DType, folder: Path, progress: Progress, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write the tensors of a merged model as safetensors.

    Args:
        merged: The model.
        dtype: Data type of all tensors.
        folder: Receives the files.
        progress: Called at each tensor.
        shard_bytes: Largest size of a shard; a larger tensor gets one of its own.

    Raises:
        StudioError: A value does not fit into float16.
    """
    writer, total = ShardWriter(folder, shard_bytes), len(merged.names)
    for number, name in enumerate(merged.names, 1):
        writer.add({name: convert(merged.read(name), dtype, name)})
        progress(number / total, f"Merging tensor {number:,} of {total:,}")
    writer.close()


def write_model_files(
    merged: MergedModel, dtype: DType, folder: Path, quantization: dict[str, Any] | None = None
) -> None:  # fmt: skip
    """Write the config, the tokenizer, and the chat template that the adapter was trained with.

    Args:
        merged: The model.
        dtype: Data type that the config names.
        folder: Receives the files.
        quantization: The config's field quantization_config; None for weights that are not quantized.
    """
    import torch
    from transformers import GenerationConfig

    model, config = merged.source.model, merged.source.config
    config.dtype = getattr(torch, dtype)
    config.save_pretrained(folder)
    path = folder / "config.json"
    added = {} if quantization is None else {"quantization_config": quantization}
    write_json(path, read_json(path) | legacy_rope_fields(config) | added)
    tokenizer = load_tokenizer(model)
    template = merged.adapter_folder / _TEMPLATE
    if template.is_file():
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    tokenizer.save_pretrained(folder)
    # The tokens that end an answer, and no settings of sampling.
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    GenerationConfig(**{name: getattr(tokenizer, name, None) for name in names}).save_pretrained(folder)


def convert(tensor: "torch.Tensor", dtype: DType, name: str) -> "torch.Tensor":
    """Return a tensor in a data type, contiguous.

    Raises:
        StudioError: A value does not fit.
    """
    import torch

    converted = tensor.to(getattr(torch, dtype)).contiguous()
    if dtype == "float16" and not torch.isfinite(converted).all():
        raise StudioError(
            f"The tensor {name} has values beyond those of float16, up to {tensor.abs().max():.3g}. Choose bfloat16."
        )
    return converted


def read_weights(folder: Path) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield the tensors of a folder that `write_weights` filled, by their names."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
