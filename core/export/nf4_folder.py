"""A merged model in 4 bits (NF4) as files of transformers, in the form in which bitsandbytes stores its weights.

A weight (out, in) of a linear layer is rounded in blocks of 64 values and stored as

    NAME.weight                                    (out * in / 2, 1), two values per byte
    NAME.weight.absmax                             scale of each block; 8 bits each if they are quantized too
    NAME.weight.quant_map                          the 16 values of NF4
    NAME.weight.nested_absmax, .nested_quant_map   of the scales, if they are quantized too
    NAME.weight.quant_state.bitsandbytes__nf4      shape, data type and block sizes, as JSON in bytes

All other tensors, and the output layer, are stored as they are, in the chosen data type. Weights are read, merged,
rounded and written one by one. The merged weights are no values of NF4 even where the base's were, so they are rounded
once more. The comparison loads the folder with transformers and reads the values that it computes with.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.export.config import DTYPE_BYTES, DType
from core.export.merge import MergedModel
from core.export.safetensors_folder import SHARD_BYTES, ShardWriter, convert, write_model_files
from core.models.loading import device
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch

_KIND = "nf4"
# A byte per block of 64 values if the scales are quantized, or else four; and the tables beside each weight.
_BLOCK, _TABLES_BYTES = 64, 2048


def size_of(merged: MergedModel, dtype: DType) -> int:
    """Return the bytes of all tensors, at most."""
    rounded, scale = _rounded(merged), 1 if merged.source.precision.double_quantization else 4
    total = 0
    for name in merged.names:
        count = prod(merged.shape(name))
        total += (
            (count // 2 + scale * count // _BLOCK + _TABLES_BYTES) if name in rounded else count * DTYPE_BYTES[dtype]
        )
    return total


def write_folder(
    merged: MergedModel, dtype: DType, folder: Path, progress: Progress, shard_bytes: int = SHARD_BYTES
) -> None:
    """Write a merged model in 4 bits with its config and tokenizer.

    Args:
        merged: The model; its scales are quantized too if the run's were.
        dtype: Data type of the products, and of the tensors that are not rounded.
        folder: Receives the files.
        progress: Called at each tensor.
        shard_bytes: Largest size of a shard.

    Raises:
        StudioError: A value does not fit into float16.
    """
    write_model_files(merged, dtype, folder, _settings(merged, dtype).to_dict())
    writer, rounded, total = ShardWriter(folder, shard_bytes), _rounded(merged), len(merged.names)
    for number, name in enumerate(merged.names, 1):
        tensor = convert(merged.read(name), dtype, name)
        writer.add(_round(tensor, name, merged) if name in rounded else {name: tensor})
        progress(number / total, f"Merging and rounding tensor {number:,} of {total:,}")
    writer.close()


def _rounded(merged: MergedModel) -> frozenset[str]:
    """Return the names of the weights that transformers expects in 4 bits: of all linear layers but the output's."""
    return merged.source.linears | merged.source.transposed


def _settings(merged: MergedModel, dtype: DType) -> Any:
    """Return the settings with which transformers loads the folder."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=_KIND, bnb_4bit_compute_dtype=getattr(torch, dtype),
        bnb_4bit_use_double_quant=merged.source.precision.double_quantization,
    )  # fmt: skip


def _round(weight: "torch.Tensor", name: str, merged: MergedModel) -> "dict[str, torch.Tensor]":
    """Return a weight as bitsandbytes stores it, by the names of its parts."""
    from bitsandbytes.functional import quantize_4bit

    if name in merged.source.transposed:
        weight = weight.T.contiguous()
    packed, state = quantize_4bit(
        weight.to(device()), compress_statistics=merged.source.precision.double_quantization, quant_type=_KIND
    )
    parts = {f"{name}.{part}": value.cpu() for part, value in state.as_dict(packed=True).items()}
    return {name: packed.cpu(), **parts}


def read_weights(folder: Path, merged: MergedModel) -> "Iterator[tuple[str, torch.Tensor]]":
    """Load a folder that `write_folder` filled with transformers, and yield the values of its weights in float32.

    Args:
        folder: The folder.
        merged: The model that was written.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, device_map=device(), use_safetensors=True)
    for name in merged.names:
        stored: Any = model.get_parameter(name)
        values = stored.data
        if (state := getattr(stored, "quant_state", None)) is not None:
            values = dequantize_4bit(stored.data, state)
        yield name, (values.T if name in merged.source.transposed else values).to(torch.float32)
