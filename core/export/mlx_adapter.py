"""An adapter as a folder of mlx-lm (`mlx_lm.generate --model BASE --adapter-path FOLDER`), as version 0.32.2 reads it.

    adapters.safetensors   NAME.lora_a (inputs, rank), NAME.lora_b (rank, outputs), by the names of transformers
    adapter_config.json    fine_tune_type, num_layers, and lora_parameters: rank, scale, dropout, keys

mlx-lm adds scale * (x A) B with one rank and one scale for all modules. PEFT's factors are transposed, B holds the
scale of its module already, and modules of a smaller rank are filled up with zeros. `keys` names the modules within a
layer; in layers without factors, mlx-lm's own are zero. It was not run here.
"""

from pathlib import Path

from core.errors import StudioError
from core.export.merge import MergedModel
from core.system.files import write_json

WEIGHTS, CONFIG = "adapters.safetensors", "adapter_config.json"
_LAYERS = "model.layers."
# Families whose modules have the same names in mlx-lm as in transformers.
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3")


def write_folder(merged: MergedModel, folder: Path) -> None:
    """Write an adapter's weights and settings, with factors in float32.

    Args:
        merged: The base model with the adapter.
        folder: Receives the files.

    Raises:
        StudioError: mlx-lm has other names for the modules of the base's family, or the adapter is more than plain LoRA
            in the layers.
    """
    import torch
    from safetensors.torch import save_file

    config, lora = merged.source.config, merged.adapter.lora
    _check(config.model_type, list(lora), merged.adapter.special)
    rank = max(one.a.shape[0] for one in lora.values())
    tensors = {}
    for name, one in lora.items():
        missing = rank - one.a.shape[0]
        tensors[f"{name}.lora_a"] = torch.nn.functional.pad(one.a.T, (0, missing)).contiguous()
        tensors[f"{name}.lora_b"] = torch.nn.functional.pad(one.b.T, (0, 0, 0, missing)).contiguous()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "mlx"})
    keys = sorted({name.removeprefix(_LAYERS).partition(".")[2] for name in lora})
    parameters = {"rank": rank, "scale": merged.strength, "dropout": 0.0, "keys": keys}
    layers = config.num_hidden_layers
    write_json(
        folder / CONFIG, {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    )  # fmt: skip


def _check(family: str, modules: list[str], special: str) -> None:
    """Check that mlx-lm can apply an adapter.

    Args:
        family: Name of the base's family in transformers.
        modules: Names of the modules that the adapter changes; none if it is more than plain LoRA.
        special: What it has beside plain LoRA.
    """
    instead = "Export the merged model, which mlx-lm reads, too."
    if family not in _FAMILIES:
        raise StudioError(f"mlx-lm may have other names for the modules of {family}. Known: {', '.join(_FAMILIES)}.")
    if not modules:
        raise StudioError(f"Only plain LoRA is converted for mlx-lm, and this adapter has {special}. {instead}")
    if outside := [name for name in modules if not name.startswith(_LAYERS)]:
        raise StudioError(f"This adapter changes {outside[0]}, which is outside of the layers. {instead}")
