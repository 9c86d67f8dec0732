"""Check of the disk before an export writes anything."""

from pathlib import Path

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.export import model_folder, safetensors_folder
from core.export.config import FORMS, LLAMA_CPP_TYPES, ExportConfig
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
    whole, sizes = _bytes_without_types(merged, config), file_sizes(merged, config)
    # A ZIP is packed beside its content, and llama.cpp quantizes a file in F16.
    needed = sum(sizes) + (0 if config.is_one_file else max(sizes)) + whole * config.has_llama_cpp_types
    check_free_disk(folder, Quotas().free_gib, needed + _MARGIN_BYTES, "The export", _ADVICE)


def file_sizes(merged: MergedModel, config: ExportConfig) -> list[int]:
    """Return the bytes of each file of an export, at most: one, or one per GGUF type."""
    if "quantization" in FORMS[config.form].settings:
        return bytes_at_most(merged, config.quantization)
    return [_bytes_without_types(merged, config)]


def work_shares(merged: MergedModel, config: ExportConfig) -> list[tuple[float, float]]:
    """Return the shares of the progress between which each file of an export is made, by the bytes that are handled.

    For each file the model is merged in 32 bits, which takes most of the time, and written; if it is compared, its
    weights are read back in 32 bits. Before the first type of llama.cpp, the model is written in F16. With SmolLM2 on
    two cores, Q8_0 took 52 % of the time of Q8_0 and Q4_0, and gets 53 %.
    """
    whole, has_source = _bytes_without_types(merged, config), False
    work = []
    for number, size in enumerate(file_sizes(merged, config)):
        needs_source = "quantization" in FORMS[config.form].settings and config.quantization[number] in LLAMA_CPP_TYPES
        # F16 has half of the bytes of 32 bits.
        work.append(size + 2 * whole * (1 + config.is_compared) + whole * (needs_source and not has_source))
        has_source = has_source or needs_source
    ends = [sum(work[: number + 1]) / max(1, sum(work)) for number in range(len(work))]
    return list(zip([0.0, *ends[:-1]], ends, strict=True))


def _bytes_without_types(merged: MergedModel, config: ExportConfig) -> int:
    """Return the bytes of the files; for GGUF types, those of the F16 file that llama.cpp quantizes."""
    if config.is_model_folder:
        return model_folder.size_of(merged, config)
    if "quantization" in FORMS[config.form].settings:
        return safetensors_folder.size_of(merged, "float16")
    return sum(tensor.numel() * 4 for tensor in merged.adapter.tensors.values())
