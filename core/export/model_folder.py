"""A merged model as a folder that transformers loads, in 16 or 32 bits or in 4."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.export import nf4_folder, safetensors_folder
from core.export.config import ExportConfig
from core.export.merge import MergedModel
from core.system.jobs import Progress

if TYPE_CHECKING:
    import torch


def write(merged: MergedModel, config: ExportConfig, folder: Path, progress: Progress) -> None:
    """Write the weights, the config, the tokenizer and the chat template into a folder."""
    if config.form == "merged-4bit":
        nf4_folder.write_folder(merged, config.dtype, folder, progress)
        return
    safetensors_folder.write_model_files(merged, config.dtype, folder)
    safetensors_folder.write_weights(merged, config.dtype, folder, progress)


def read_weights(merged: MergedModel, config: ExportConfig, folder: Path) -> "Iterator[tuple[str, torch.Tensor]]":
    """Yield the tensors of a folder that `write` filled, by their names."""
    if config.form == "merged-4bit":
        return nf4_folder.read_weights(folder, merged)
    return safetensors_folder.read_weights(folder)


def size_of(merged: MergedModel, config: ExportConfig) -> int:
    """Return the bytes of all tensors, at most."""
    return (nf4_folder if config.form == "merged-4bit" else safetensors_folder).size_of(merged, config.dtype)
