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


class GGUFTensors:
    """The tensors of a GGUF file, in any type; they are read when they are asked for.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path):
        """Read the table of a file.

        Raises:
            StudioError: The file was deleted, or is damaged.
        """
        import gguf

        self.path = path
        try:
            self._stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        except FileNotFoundError as error:
            raise StudioError(
                f"The file {path.name} was deleted meanwhile. Export it again, or choose another model."
            ) from error
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise StudioError(
                f"The file {path.name} cannot be read as GGUF ({type(error).__name__}: {error}). Export it again."
            ) from error

    @property
    def count(self) -> int:
        """Return the number of values of all tensors."""
        return sum(int(tensor.n_elements) for tensor in self._stored.values())

    def read(self, config: Any, shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, "torch.Tensor"]]:
        """Yield tensors in float32, by their names in transformers.

        Args:
            config: The `PretrainedConfig` of the model.
            shapes: Shapes of the tensors to read, by their names in transformers.

        Raises:
            StudioError: The file lacks one of these tensors, or has another shape for it.
        """
        import gguf
        import torch

        for source, name in gguf_names(config, shapes).items():
            found, expected = self._stored.get(name), gguf_shape(list(shapes[source]), source, config)
            # GGUF lists the sizes of a tensor from the innermost one on.
            shape = None if found is None else [int(size) for size in reversed(found.shape)]
            if shape != expected:
                has = "lacks it" if shape is None else f"has the shape {shape}"
                raise StudioError(
                    f"{self.path.name} does not belong to this base model: its tensor {name} has the shape {expected}, "
                    f"and the file {has}. Choose another file."
                )
            values = torch.from_numpy(gguf.dequantize(found.data, found.tensor_type).copy())
            yield source, from_gguf(values.reshape(expected), source, config)
