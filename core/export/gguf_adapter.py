"""An adapter as a GGUF file, for llama.cpp beside a GGUF file of the base model (`llama-cli -m BASE --lora FILE`).

llama.cpp adds alpha / rank * B A to a weight, with one alpha for all modules; with an alpha of 0 the factor is 1. PEFT
may scale each module otherwise, so B holds its factor already and alpha is 0. The rows of B follow those of the weight:
of query and key weights they are reordered (`core.models.gguf_families`).
"""

from pathlib import Path

from core.errors import StudioError
from core.export.merge import MergedModel
from core.models.gguf_families import find_family, to_gguf_rows
from core.models.gguf_tensors import name_map

_SCALED_ALREADY = 0.0


def write_adapter(merged: MergedModel, path: Path, name: str) -> None:
    """Write an adapter as GGUF, with factors in float32.

    Args:
        merged: The base model with the adapter.
        path: The file.
        name: Name of the adapter in the file.

    Raises:
        StudioError: The base's family cannot be written as GGUF, or the adapter is more than plain LoRA.
    """
    import gguf

    config = merged.source.config
    family, lora = find_family(config), merged.adapter.lora
    if not lora:
        raise StudioError(
            f"llama.cpp reads plain LoRA only, and this adapter has {merged.adapter.special}. Export the merged model "
            "as GGUF instead."
        )
    names = name_map(config)
    writer = gguf.GGUFWriter(path, family.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _SCALED_ALREADY)
    for module, update in lora.items():
        weight = f"{module}.weight"
        if (target := names.get_name(weight, try_suffixes=(".weight",))) is None:
            raise StudioError(
                f"GGUF has no name for the module {module}, which the adapter changes. Export the merged model instead."
            )
        writer.add_tensor(f"{target}.lora_a", update.a.contiguous().numpy())
        scaled = merged.strength * to_gguf_rows(update.b, weight, config)
        writer.add_tensor(f"{target}.lora_b", scaled.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
