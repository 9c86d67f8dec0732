"""Headers of a model's weight files: names and shapes of its tensors, read without torch and without the tensors."""

import json
import struct
from pathlib import Path

from core.models.catalogue import Model
from core.system.files import read_json

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
# A header of 100 MB would have a million tensors.
_MAX_HEADER_BYTES = 100_000_000


def find_file(model: Model, name: str) -> Path | None:
    """Return a file of a model on this machine; None if it has none."""
    if model.local:
        # `core.models.model_files` has checked that the index names files of this folder only.
        path = Path(model.path) / Path(name).name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model.path, name, revision=model.revision)
    return Path(cached) if isinstance(cached, str) else None


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of a safetensors file by its name.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no such file.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError(f"{path.name} has {len(start)} bytes and no header")
        (size,) = struct.unpack("<Q", start)
        content = file.read(min(size, _MAX_HEADER_BYTES))
    try:
        header = json.loads(content)
        return {name: tuple(map(int, about["shape"])) for name, about in header.items() if name != "__metadata__"}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"the header of {path.name} lists no tensors with shapes") from error


def model_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in the files of a model; none if a file is not on this machine or damaged."""
    index = find_file(model, INDEX)
    found: dict[str, tuple[int, ...]] = {}
    try:
        names = sorted(set(read_json(index)["weight_map"].values())) if index else [WHOLE]
        for name in names:
            path = find_file(model, str(name))
            if path is None:
                return {}
            found |= read_shapes(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # The export names what is wrong with a file; here, there is only no size to be shown.
        return {}
    return found
