"""Estimate of the bytes that an export will write, from the headers of the base model's files and without torch.

`core.export.disk` computes what is needed exactly, once the model is open; the page states this estimate before.
"""

from math import prod
from pathlib import Path

from core.errors import StudioError
from core.export.config import DTYPE_BYTES, FORMS, LLAMA_CPP_TYPES, ExportConfig, GGUFType, most_bits
from core.models import catalogue
from core.models.weight_headers import model_shapes
from core.runs.store import Run
from core.settings import Settings

# Matrices that NF4 leaves in the number format, and that GGUF files have in 8 bits at least.
_OUTSIDE = ("embed", "lm_head", "wte", "wpe")
# Bits of a weight in NF4 with its scales, one byte per 64.
_NF4_BITS = 4.125
_ADAPTER = "adapter_model.safetensors"


def estimate_bytes(settings: Settings, run: Run, adapter: Path, config: ExportConfig) -> int | None:
    """Return about how many bytes the files of an export will have; None if the base model is not on this machine.

    Args:
        settings: The studio's settings.
        run: The run.
        adapter: PEFT's folder of its adapter.
        config: The form and its settings.
    """
    used = FORMS[config.form].settings
    if "base" not in used:
        weights = adapter / _ADAPTER
        return weights.stat().st_size * (1 + len(config.also)) if weights.is_file() else None
    try:
        model = catalogue.locate(settings, run.config().model, run.config().revision)
    except StudioError:
        # `core.export.availability` states this.
        return None
    shapes = model_shapes(model)
    if not shapes:
        return None
    if "quantization" in used:
        return sum(_gguf_bytes(shapes, kind) for kind in config.quantization)
    size = DTYPE_BYTES[config.dtype]
    bits = {
        name: _NF4_BITS if config.form == "merged-4bit" and _is_rounded(name, shape) else 8 * size
        for name, shape in shapes.items()
    }
    return int(sum(prod(shape) * bits[name] for name, shape in shapes.items()) / 8)


def _is_rounded(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and not any(part in name for part in _OUTSIDE)


def _gguf_bytes(shapes: dict[str, tuple[int, ...]], kind: GGUFType) -> int:
    """Return the bytes of a file in a type: matrices in its bits, embeddings in at least 8, vectors in 32."""
    bits = most_bits(kind) if kind in LLAMA_CPP_TYPES else _bits(kind)
    # As `core.export.gguf_file` chooses them.
    outside = max(bits, _bits("Q8_0"))
    sizes = [
        prod(shape) * (32 if len(shape) == 1 else bits if _is_rounded(name, shape) else outside)
        for name, shape in shapes.items()
    ]
    return int(sum(sizes) / 8)


def _bits(kind: GGUFType) -> float:
    """Return the bits of a weight in a type that the package gguf writes, with its scales."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    weights, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return 8 * size / weights
