"""Check of the disk before an export writes anything."""

from pathlib import Path

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.export import model_folder, safetensors_folder
from core.export.config import FORMS, ExportConfig
from core.export.gguf_types import bytes_at_most
from core.export.merge import MergedModel

_MARGIN_BYTES = 2**28
_ADVICE = "Delete files in exports/, or choose fewer bits."


def check_disk(merged: MergedModel, config: ExportConfig, folder: Path) -> None:
    """Check that the files of an export and what is written before them fit on the disk.

    Args:
        merged: The model.
        config: The form and its settings.
        folder: The folder of exports.

    Raises:
        StudioError: They do not fit.
    """
    whole = _bytes_without_types(merged, config)
    sizes = bytes_at_most(merged, config.quantization) if "quantization" in FORMS[config.form].settings else [whole]
    # A ZIP is packed beside its content, and llama.cpp quantizes a file in F16.
    needed = sum(sizes) + (0 if config.is_one_file else max(sizes)) + whole * config.has_llama_cpp_types
    check_free_disk(folder, Quotas().free_gib, needed + _MARGIN_BYTES, "The export", _ADVICE)


def _bytes_without_types(merged: MergedModel, config: ExportConfig) -> int:
    """Return the bytes of the files; for GGUF types, those of the F16 file that llama.cpp quantizes."""
    if config.is_model_folder:
        return model_folder.size_of(merged, config)
    if "quantization" in FORMS[config.form].settings:
        return safetensors_folder.size_of(merged, "float16")
    return sum(tensor.numel() * 4 for tensor in merged.adapter.tensors.values())
