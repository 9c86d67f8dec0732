"""File of an importance matrix, as `llama-imatrix` writes it and llama.cpp's tools read it.

It is a GGUF file with two tensors for each tensor NAME: the sums of its squared inputs, `NAME.in_sum2` (1, inputs), and
the number of tokens, `NAME.counts` (1, 1). The process that quantizes reads it, so this module imports little.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudioError

if TYPE_CHECKING:
    import numpy as np

FILE = "imatrix.gguf"


@dataclass(frozen=True)
class Importance:
    """Sums of the squared inputs of linear layers.

    Attributes:
        sums: By the weight's name in GGUF, (inputs,), float32.
        rows: Rows that were read.
        tokens: Their tokens.
        dataset: Description of the rows.
    """

    sums: "dict[str, np.ndarray]"
    rows: int
    tokens: int
    dataset: str

    @property
    def metadata(self) -> dict[str, str | int]:
        """Return the fields by which a quantized file names its importance matrix, as llama.cpp writes them."""
        return {
            "quantize.imatrix.file": FILE, "quantize.imatrix.dataset": self.dataset,
            "quantize.imatrix.entries_count": len(self.sums), "quantize.imatrix.chunks_count": self.rows,
        }  # fmt: skip


def write(found: Importance, path: Path) -> None:
    """Write an importance matrix as llama.cpp reads it."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [found.dataset])
    writer.add_uint32("imatrix.chunk_count", found.rows)
    writer.add_uint32("imatrix.chunk_size", max(1, found.tokens // max(1, found.rows)))
    for name, sums in found.sums.items():
        writer.add_tensor(f"{name}.in_sum2", sums.reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.full((1, 1), found.tokens, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path: Path) -> "dict[str, np.ndarray]":
    """Return the mean squared inputs of each tensor of an importance matrix, (inputs,) in float32.

    Raises:
        StudioError: The file is no importance matrix.
    """
    import gguf
    import numpy as np

    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    names = [name.removesuffix(".in_sum2") for name in tensors if name.endswith(".in_sum2")]
    if not names:
        raise StudioError(f"{path.name} is no importance matrix: it has no tensor that ends in .in_sum2.")
    return {
        name: np.asarray(tensors[f"{name}.in_sum2"], np.float32).reshape(-1) / float(tensors[f"{name}.counts"].item())
        for name in names
    }
