"""Tensors of a GGUF file by their names in transformers, in float32.

`gguf` dequantizes every type of llama.cpp, so what is read are the exact weights of the file. The file is mapped into
memory and read tensor by tensor. The report of an export and the lanes of the chat that answer with a file both read
it here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.models.gguf_families import find_family, from_gguf, gguf_shape

if TYPE_CHECKING:
    import gguf
    import torch


def name_map(config: Any) -> "gguf.TensorNameMap":
    """Return the names of GGUF by those of transformers.

    Args:
        config: The model's `PretrainedConfig`.
    """
    import gguf

    name = find_family(config).architecture
    architecture = next(one for one, known in gguf.MODEL_ARCH_NAMES.items() if known == name)
    return gguf.get_tensor_name_map(architecture, config.num_hidden_layers)


def gguf_names(config: Any, names: Iterable[str]) -> dict[str, str]:
    """Return the names of GGUF by those of transformers, in the same order.

    Args:
        config: The model's `PretrainedConfig`.
        names: Names of tensors in transformers.

    Raises:
        StudioError: GGUF has no name for one of them.
    """
    known, found = name_map(config), {}
    for source in names:
        name = known.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise StudioError(f"GGUF has no name for the tensor {source} of this model. Export a merged model.")
        found[source] = name
    return found


def read_tensors(path: Path, config: Any, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield tensors of a file that holds a merged model, in float32 and by their names in transformers.

    Args:
        path: The file, in any type.
        config: The `PretrainedConfig` of the model.
        shapes: Shapes of the tensors to read, by their names in transformers.

    Raises:
        StudioError: The file cannot be read, lacks one of these tensors, or has another shape for it.
    """
    import gguf
    import torch

    stored = {tensor.name: tensor for tensor in _open(path).tensors}
    for source, name in gguf_names(config, shapes).items():
        expected = gguf_shape(list(shapes[source]), source, config)
        found = stored.get(name)
        # GGUF lists the sizes of a tensor from the innermost one on.
        if found is None or [int(size) for size in reversed(found.shape)] != expected:
            has = f"has it as {[int(size) for size in reversed(found.shape)]}" if found is not None else "lacks it"
            raise StudioError(
                f"{path.name} is no file of this base model: the tensor {name} is {expected} there, and the file {has}."
            )
        values = torch.from_numpy(gguf.dequantize(found.data, found.tensor_type).copy())
        yield source, from_gguf(values.reshape(expected), source, config)


def _open(path: Path) -> "gguf.GGUFReader":
    """Return a reader of a file.

    Raises:
        StudioError: The file was deleted, or is damaged.
    """
    import gguf

    try:
        return gguf.GGUFReader(path)
    except FileNotFoundError as error:
        raise StudioError(f"The file {path.name} was deleted meanwhile. Export it again, or choose another.") from error
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise StudioError(
            f"The file {path.name} cannot be read as GGUF ({type(error).__name__}: {error}). Export it again."
        ) from error
