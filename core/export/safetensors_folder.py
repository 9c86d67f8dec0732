"""A merged model as files of transformers: safetensors in shards, with config, tokenizer and chat template.

The shards are written one after another, so the memory needed is that of one shard. `model.safetensors.index.json`
names the shard of each tensor, as transformers, vLLM, SGLang and llama.cpp's converter read it.
"""

from collections.abc import Iterator
from itertools import groupby
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.export.config import DType
from core.export.merge import MergedModel
from core.models.loading import load_tokenizer
from core.system.files import write_json
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch

_BYTES: dict[DType, int] = {"bfloat16": 2, "float16": 2, "float32": 4}
# A shard is held in memory while it is filled.
SHARD_BYTES = 2 * 2**30
_TEMPLATE = "chat_template.jinja"


def size_of(merged: MergedModel, dtype: DType) -> int:
    """Return the bytes of all tensors in a data type."""
    return sum(prod(merged.shape(name)) for name in merged.names) * _BYTES[dtype]


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
    from safetensors.torch import save_file

    shards = list(_plan_shards(merged, dtype, shard_bytes))
    weight_map, total, done = {}, len(merged.names), 0
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for name in names:
            tensors[name] = convert(merged.read(name), dtype, name)
            done += 1
            progress(done / total, f"Merging tensor {done:,} of {total:,}")
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": size_of(merged, dtype)}, "weight_map": weight_map}
        write_json(folder / "model.safetensors.index.json", index)


def write_model_files(merged: MergedModel, dtype: DType, folder: Path) -> None:
    """Write the config, the tokenizer, and the chat template that the adapter was trained with.

    Args:
        merged: The model.
        dtype: Data type that the config names.
        folder: Receives the files.
    """
    import torch
    from transformers import GenerationConfig

    model, config = merged.source.model, merged.source.config
    config.dtype = getattr(torch, dtype)
    config.save_pretrained(folder)
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


def _plan_shards(merged: MergedModel, dtype: DType, shard_bytes: int) -> Iterator[list[str]]:
    """Yield the names of the tensors of each shard."""
    shard, filled = 0, 0

    def number(name: str) -> int:
        nonlocal shard, filled
        size = prod(merged.shape(name)) * _BYTES[dtype]
        if filled and filled + size > shard_bytes:
            shard, filled = shard + 1, 0
        filled += size
        return shard

    for _, names in groupby(merged.names, key=number):
        yield list(names)


def read_weights(folder: Path) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield the tensors of a folder that `write_weights` filled, by their names."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
