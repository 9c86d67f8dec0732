"""A merged model as one GGUF file, for llama.cpp, Ollama, LM Studio and others.

The `gguf` package quantizes and writes. The file is written tensor by tensor, so the memory needed is that of the
largest one. Vectors stay in float32, as in every GGUF file. In types of fewer than 8 bits, the embeddings and the
output layer are stored in Q8_0: they matter for every token, and llama.cpp gives them more bits, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.errors import StudioError
from core.export.config import GGUFType
from core.export.gguf_settings import write_settings
from core.export.gguf_vocabulary import strips_as_phi, write_vocabulary
from core.export.merge import MergedModel
from core.models.gguf_families import extra_tensors, find_family, gguf_shape, to_gguf
from core.models.gguf_tensors import GGUFTensors, gguf_names
from core.models.loading import load_tokenizer
from core.system.jobs import Progress

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import torch

# Types of `write_gguf`: F32 is for files that are quantized further.
FileType = GGUFType | Literal["F32"]
_UNQUANTIZED = ("F32", "F16", "BF16")
_EMBEDDINGS_AND_OUTPUT = ("token_embd.weight", "output.weight")
# llama.cpp adds this tensor to others, and stores it in float32 in every type.
_POSITIONS = "position_embd.weight"


class OutOfRangeError(StudioError):
    """A value of a tensor does not fit into F16."""


@dataclass(frozen=True)
class _PlannedTensor:
    """A tensor of the file.

    Attributes:
        source: Name in transformers; "" for one that is computed from the config.
        name: Name in GGUF.
        kind: Its GGML type.
    """

    source: str
    name: str
    kind: "gguf.GGMLQuantizationType"


def write_gguf(
    merged: MergedModel, kind: FileType, path: Path, name: str, progress: Progress, template: str | None = None,
    metadata: dict[str, str | int] | None = None,
) -> None:  # fmt: skip
    """Write a merged model as GGUF.

    Args:
        merged: The model.
        kind: Type of its matrices; F32 for a file that is quantized further.
        path: The file.
        name: Name of the model in the file.
        progress: Called at each tensor.
        template: The chat template.
        metadata: Further fields.

    Raises:
        StudioError: The model's family or tokenizer cannot be written as GGUF.
        OutOfRangeError: A value does not fit into F16.
    """
    import gguf

    config = merged.source.config
    writer = _open_writer(merged, kind, path, name, template, metadata or {})
    extra = extra_tensors(config)
    planned = [*(_PlannedTensor("", one, gguf.GGMLQuantizationType.F32) for one in extra), *_plan(merged, kind)]
    for tensor in planned:
        _announce(writer, tensor, list(extra[tensor.name].shape) if not tensor.source else _shape(merged, tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(planned, 1):
        values = extra[tensor.name] if not tensor.source else merged.read(tensor.source)
        writer.write_tensor_data(_encode(to_gguf(values, tensor.source, config), tensor))
        progress(number / len(planned), f"Writing tensor {number:,} of {len(planned):,}")
    writer.close()


def _open_writer(
    merged: MergedModel, kind: FileType, path: Path, name: str, template: str | None, metadata: dict[str, str | int]
) -> "gguf.GGUFWriter":  # fmt: skip
    """Return a writer of the file with all fields but the tensors."""
    import gguf

    config = merged.source.config
    writer = gguf.GGUFWriter(path, find_family(config).architecture)
    tokenizer = load_tokenizer(merged.source.model)
    # By this name, llama.cpp knows that spaces after special tokens are dropped.
    write_settings(writer, config, f"{name} (Phi-3)" if strips_as_phi(tokenizer) else name)
    writer.add_file_type(gguf.LlamaFileType[_file_type(kind)])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in metadata.items():
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)
    write_vocabulary(writer, tokenizer, config.vocab_size, template)
    return writer


def _plan(merged: MergedModel, kind: FileType) -> list[_PlannedTensor]:
    """Return the tensors of the file, in the order of the model's files."""
    config = merged.source.config
    return [
        _PlannedTensor(source, name, _kind_of(name, gguf_shape(merged.shape(source), source, config), kind))
        for source, name in _names(merged).items()
    ]


def _names(merged: MergedModel) -> dict[str, str]:
    """Return the names of GGUF by those of transformers, in the order of the model's files."""
    return gguf_names(merged.source.config, merged.names)


def _shape(merged: MergedModel, tensor: _PlannedTensor) -> list[int]:
    return gguf_shape(merged.shape(tensor.source), tensor.source, merged.source.config)


def _kind_of(name: str, shape: list[int], kind: FileType) -> "gguf.GGMLQuantizationType":
    """Return the type of a tensor; F16 if its rows cannot be divided into the chosen type's blocks of 32 values."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if len(shape) == 1 or name == _POSITIONS:
        return kinds.F32
    chosen = kinds.Q8_0 if kind not in (*_UNQUANTIZED, "Q8_0") and name in _EMBEDDINGS_AND_OUTPUT else kinds[kind]
    block, _ = gguf.GGML_QUANT_SIZES[chosen]
    return kinds.F16 if shape[-1] % block else chosen


def _announce(writer: "gguf.GGUFWriter", tensor: _PlannedTensor, shape: list[int]) -> None:
    """Add a tensor's name, shape and size to the table of the file."""
    import gguf
    import numpy as np

    stored = gguf.quant_shape_to_byte_shape(shape, tensor.kind) if _is_packed(tensor) else shape
    dtype = {"F32": np.float32, "F16": np.float16}.get(tensor.kind.name, np.uint8)
    size = int(np.prod(stored)) * np.dtype(dtype).itemsize
    raw = tensor.kind if _is_packed(tensor) else None
    writer.add_tensor_info(tensor.name, stored, np.dtype(dtype), size, raw_dtype=raw)


def _is_packed(tensor: _PlannedTensor) -> bool:
    return tensor.kind.name not in ("F32", "F16")


def _encode(values: "torch.Tensor", tensor: _PlannedTensor) -> "np.ndarray":
    """Return the values of a tensor as the file stores them."""
    import gguf
    import numpy as np

    full = values.float().contiguous().numpy()
    if tensor.kind.name == "F16" and np.abs(full).max(initial=0) > np.finfo(np.float16).max:
        raise OutOfRangeError(
            f"The tensor {tensor.source} has values beyond those of F16, up to {np.abs(full).max():.3g}. Choose BF16."
        )
    return gguf.quantize(full, tensor.kind)


def _file_type(kind: FileType) -> str:
    """Return the name of a file's main type in GGUF's list."""
    return "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"


def read_weights(path: Path, merged: MergedModel) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Return the tensors of a file that holds a merged model, in float32 and by their names in transformers.

    Args:
        path: A file of `write_gguf`, in any type, or one that llama.cpp made of it.
        merged: The model that was written.
    """
    shapes = {name: merged.shape(name) for name in merged.names}
    return GGUFTensors(path).read(merged.source.config, shapes)


def size_of(merged: MergedModel, kind: FileType) -> int:
    """Return the bytes of all tensors of a file of `write_gguf`."""
    import gguf
    import numpy as np

    shapes = [(tensor.kind, _shape(merged, tensor)) for tensor in _plan(merged, kind)]
    return sum(int(np.prod(gguf.quant_shape_to_byte_shape(shape, kind))) for kind, shape in shapes)
