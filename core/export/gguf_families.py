"""Model families that can be written as GGUF: their architecture's name there, and what differs from transformers.

The names of the tensors come from the `gguf` package. llama.cpp rotates neighboring values of a head, transformers the
values of its two halves; so the rows of the query and key weights of Llama and Mistral are reordered:

    transformers  (heads, 2, width / 2, inputs)   the first halves of a head, then the second halves
    GGUF          (heads, width / 2, 2, inputs)   pairs

Source: llama.cpp, docs/development/HOWTO-add-model.md and its converter.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.models.shape import ModelShape

if TYPE_CHECKING:
    import gguf
    import torch

_QUERY, _KEY = ("q_proj.weight", "q_proj.bias"), ("k_proj.weight", "k_proj.bias")


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        label: Name for the user.
        architecture: Name of llama.cpp's architecture.
        has_pairs: Whether llama.cpp rotates pairs, so that query and key rows are reordered.
    """

    label: str
    architecture: str
    has_pairs: bool


# By `model_type` of the config. Mistral is a Llama to llama.cpp.
FAMILIES = {
    "llama": Family("Llama", "llama", has_pairs=True),
    "mistral": Family("Mistral", "llama", has_pairs=True),
    "qwen2": Family("Qwen 2", "qwen2", has_pairs=False),
    "qwen3": Family("Qwen 3", "qwen3", has_pairs=False),
}
_ROPE_TYPES = ("default", "linear", "llama3")


def find_family(config: Any) -> Family:
    """Return the family of a model.

    Args:
        config: The model's `PretrainedConfig`.

    Raises:
        StudioError: The family, or its rotary positions, cannot be written as GGUF.
    """
    family = FAMILIES.get(config.model_type)
    if family is None:
        labels = ", ".join(one.label for one in FAMILIES.values())
        raise StudioError(
            f"Models of the type {config.model_type!r} cannot be written as GGUF here. Expected one of: {labels}. "
            "Export a merged model, and convert it with llama.cpp's converter."
        )
    if (kind := _rope(config).get("rope_type", "default")) not in _ROPE_TYPES:
        raise StudioError(
            f"Rotary positions of the type {kind!r} cannot be written as GGUF here. Expected one of: "
            f"{', '.join(_ROPE_TYPES)}. Export a merged model, and convert it with llama.cpp's converter."
        )
    return family


def write_settings(writer: "gguf.GGUFWriter", config: Any, name: str) -> None:
    """Write the sizes and constants of a model.

    Args:
        writer: Receives them.
        config: The model's `PretrainedConfig`.
        name: Name of the model.
    """
    import gguf

    shape, rope = ModelShape.from_config(config), _rope(config)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    if window := getattr(config, "sliding_window", None):
        writer.add_sliding_window(window)


def extra_tensors(config: Any) -> "dict[str, torch.Tensor]":
    """Return tensors that transformers computes from its config and llama.cpp reads from the file, by GGUF's names.

    For Llama 3 these are the factors (width / 2,) by which its long-context scaling divides each rotary frequency.
    """
    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return {}
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    width = ModelShape.from_config(config).head_width
    plain = 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return {"rope_freqs.weight": plain / scaled}


def to_gguf_rows(tensor: "torch.Tensor", name: str, config: Any) -> "torch.Tensor":
    """Return a tensor with its rows in GGUF's order.

    Args:
        tensor: (out, in) or (out,).
        name: Its name in transformers.
        config: The model's `PretrainedConfig`.
    """
    heads = _paired_heads(name, config)
    if not heads:
        return tensor
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape)


def from_gguf_rows(tensor: "torch.Tensor", name: str, config: Any) -> "torch.Tensor":
    """Return a tensor with its rows in the order of transformers; the inverse of `to_gguf_rows`."""
    heads = _paired_heads(name, config)
    if not heads:
        return tensor
    pairs = tensor.reshape(heads, tensor.shape[0] // heads // 2, 2, *tensor.shape[1:])
    return pairs.swapaxes(1, 2).reshape(tensor.shape)


def _paired_heads(name: str, config: Any) -> int:
    """Return the number of heads whose rows are reordered in a tensor; 0 for a tensor that stays as it is."""
    if not FAMILIES[config.model_type].has_pairs:
        return 0
    shape = ModelShape.from_config(config)
    return shape.heads if name.endswith(_QUERY) else shape.key_heads if name.endswith(_KEY) else 0


def _rope(config: Any) -> dict[str, Any]:
    """Return the settings of the rotary positions."""
    return dict(getattr(config, "rope_parameters", None) or {})
