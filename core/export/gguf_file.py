"""A merged model as one GGUF file, for llama.cpp, Ollama, LM Studio and others.

The `gguf` package quantizes and writes. The file is written tensor by tensor, so the memory needed is that of the
largest one. Vectors stay in float32, as in every GGUF file. In files of fewer than 8 bits, the embeddings and the
output layer have Q8_0: they decide every token, and llama.cpp keeps them in more bits, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.export.config import GGUFType
from core.export.gguf_families import extra_tensors, find_family, from_gguf_rows, to_gguf_rows, write_settings
from core.export.gguf_vocabulary import write_vocabulary
from core.export.merge import MergedModel
from core.models.loading import load_tokenizer
from core.models.shape import ModelShape
from core.system.jobs import Progress

if TYPE_CHECKING:
    import gguf
    import numpy as np
    import torch

_UNQUANTIZED = ("F16", "BF16")
_ENDS = ("token_embd.weight", "output.weight")


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
    merged: MergedModel, kind: GGUFType, path: Path, name: str, progress: Progress, template: str | None = None
) -> None:
    """Write a merged model as GGUF.

    Args:
        merged: The model.
        kind: Type of its matrices.
        path: The file.
        name: Name of the model in the file.
        progress: Called at each tensor.
        template: The chat template.

    Raises:
        StudioError: The model's family or tokenizer cannot be written as GGUF, or a value does not fit into F16.
    """
    import gguf

    config = merged.source.config
    family = find_family(config)
    writer = gguf.GGUFWriter(path, family.architecture)
    write_settings(writer, config, name)
    writer.add_file_type(gguf.LlamaFileType[_file_type(kind)])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_vocabulary(writer, load_tokenizer(merged.source.model), ModelShape.from_config(config).vocabulary, template)
    extra = extra_tensors(config)
    planned = [*(_PlannedTensor("", one, gguf.GGMLQuantizationType.F32) for one in extra), *_plan(merged, kind)]
    for tensor in planned:
        shape = list(extra[tensor.name].shape) if not tensor.source else merged.shape(tensor.source)
        _announce(writer, tensor, shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(planned, 1):
        values = extra[tensor.name] if not tensor.source else merged.read(tensor.source)
        writer.write_tensor_data(_encode(to_gguf_rows(values, tensor.source, config), tensor))
        progress(number / len(planned), f"Writing tensor {number:,} of {len(planned):,}")
    writer.close()


def name_map(config: Any) -> "gguf.TensorNameMap":
    """Return the names of GGUF by those of transformers.

    Args:
        config: The model's `PretrainedConfig`.
    """
    import gguf

    name = find_family(config).architecture
    architecture = next(one for one, known in gguf.MODEL_ARCH_NAMES.items() if known == name)
    return gguf.get_tensor_name_map(architecture, config.num_hidden_layers)


def _plan(merged: MergedModel, kind: GGUFType) -> list[_PlannedTensor]:
    """Return the tensors of the file, in the order of the model's files."""
    names = name_map(merged.source.config)
    planned = []
    for source in merged.names:
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise StudioError(f"GGUF has no name for the tensor {source} of this model. Export a merged model.")
        planned.append(_PlannedTensor(source, name, _kind_of(name, merged.shape(source), kind)))
    return planned


def _kind_of(name: str, shape: list[int], kind: GGUFType) -> "gguf.GGMLQuantizationType":
    """Return the type of a tensor: quantized in blocks of 32 values of a row, where the rows can be divided so."""
    import gguf

    kinds = gguf.GGMLQuantizationType
    if len(shape) == 1:
        return kinds.F32
    chosen = kinds.Q8_0 if kind not in (*_UNQUANTIZED, "Q8_0") and name in _ENDS else kinds[kind]
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
    """Return the values of a tensor as they stand in the file."""
    import gguf
    import numpy as np

    full = values.float().contiguous().numpy()
    if tensor.kind.name == "F16" and np.abs(full).max(initial=0) > np.finfo(np.float16).max:
        raise StudioError(
            f"The tensor {tensor.source} has values beyond those of F16, up to {np.abs(full).max():.3g}. Choose BF16."
        )
    return gguf.quantize(full, tensor.kind)


def _file_type(kind: GGUFType) -> str:
    """Return the name of a file's main type in GGUF's list."""
    return f"MOSTLY_{kind}"


def read_weights(path: Path, merged: MergedModel, kind: GGUFType) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield the tensors of a file that `write_gguf` made, in float32 and by their names in transformers.

    Args:
        path: The file.
        merged: The model that was written.
        kind: The type that it was written with.
    """
    import gguf
    import torch

    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    for tensor in _plan(merged, kind):
        found = stored[tensor.name]
        values = torch.from_numpy(gguf.dequantize(found.data, found.tensor_type).copy())
        values = values.reshape(merged.shape(tensor.source))
        yield tensor.source, from_gguf_rows(values, tensor.source, merged.source.config)
