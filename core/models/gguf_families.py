"""Model families that can be written as GGUF: their architecture's name there, and what differs from transformers.

The names of the tensors come from the `gguf` package. Their values differ in three ways:

- llama.cpp rotates neighboring values of a head, transformers the values of its two halves; so the rows of the query
  and key weights of Llama and Mistral are reordered:

      transformers  (heads, 2, width / 2, inputs)   the first halves of a head, then the second halves
      GGUF          (heads, width / 2, 2, inputs)   pairs

- Gemma multiplies by 1 + w in its norms, and GGUF stores 1 + w.
- GPT-2 stores its weights as (in, out), and GGUF stores all as (out, in).

Source: llama.cpp's docs/development/HOWTO-add-model.md and its converter. Tests compare the tensors with those of the
converter byte by byte.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.models.shape import ModelShape

if TYPE_CHECKING:
    import torch

_QUERY, _KEY = ("q_proj.weight", "q_proj.bias"), ("k_proj.weight", "k_proj.bias")
_TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
CONVERT_INSTEAD = "Export a merged model, and convert it with llama.cpp's converter."
# Layers of the Gemma models whose attention llama.cpp scales by hidden size / heads in place of the head width.
_GEMMA_27B = {"gemma2": 46, "gemma3_text": 62}


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        label: Name for the user.
        architecture: Name of llama.cpp's architecture.
        has_pairs: Whether llama.cpp rotates pairs, so that query and key rows are reordered.
        adds_one: Whether norms multiply by 1 + w.
        is_transposed: Whether weights are stored as (in, out).
        rope_types: Types of rotary positions that llama.cpp computes as transformers does.
        problem: Returns what else llama.cpp computes differently for a config, as the rest of a sentence; "" if
            nothing.
    """

    label: str
    architecture: str
    has_pairs: bool = False
    adds_one: bool = False
    is_transposed: bool = False
    rope_types: tuple[str, ...] = ("default", "linear")
    problem: Callable[[Any], str] = lambda config: ""


def _expect(config: Any, **expected: tuple[Any, ...]) -> str:
    """Return the first field of a config with another value than llama.cpp computes with; "" if there is none."""
    for name, values in expected.items():
        if (found := getattr(config, name, None)) not in values:
            return f"{name} is {found!r}, and llama.cpp computes with {' or '.join(repr(value) for value in values)}"
    return ""


def _gemma_problem(config: Any) -> str:
    shape, is_second = ModelShape.from_config(config), config.model_type == "gemma2"
    is_27b = shape.layers == _GEMMA_27B[config.model_type]
    scalar = shape.hidden // shape.heads if is_27b else shape.head_width
    if is_second and None in (config.attn_logit_softcapping, config.final_logit_softcapping):
        return "the logits of Gemma 2 are not capped, and llama.cpp always caps them"
    if is_second and not shape.is_tied:
        return "the output layer is not the embeddings, and llama.cpp reads no other for Gemma 2"
    return _expect(
        config, hidden_activation=("gelu_pytorch_tanh",), query_pre_attn_scalar=(scalar, float(scalar)),
        use_bidirectional_attention=(None, False), attention_bias=(False,),
        **({} if is_second else {"attn_logit_softcapping": (None,)}),
    )  # fmt: skip


def _gpt2_problem(config: Any) -> str:
    return _expect(
        config, activation_function=("gelu_new", "gelu_pytorch_tanh"), scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,), add_cross_attention=(False,),
    )  # fmt: skip


def _silu_problem(config: Any) -> str:
    return _expect(config, hidden_act=("silu",))


_LLAMA_ROPE = ("default", "linear", "llama3")
# By `model_type` of the config. llama.cpp treats Mistral as a Llama.
FAMILIES = {
    "llama": Family("Llama", "llama", has_pairs=True, rope_types=_LLAMA_ROPE, problem=_silu_problem),
    "mistral": Family("Mistral", "llama", has_pairs=True, problem=_silu_problem),
    "qwen2": Family("Qwen 2", "qwen2", problem=_silu_problem),
    "qwen3": Family("Qwen 3", "qwen3", problem=_silu_problem),
    "gemma2": Family("Gemma 2", "gemma2", adds_one=True, problem=_gemma_problem),
    "gemma3_text": Family("Gemma 3", "gemma3", adds_one=True, problem=_gemma_problem),
    "phi3": Family("Phi-3", "phi3", rope_types=("default", "longrope"), problem=_silu_problem),
    "gpt2": Family("GPT-2", "gpt2", is_transposed=True, problem=_gpt2_problem),
}


def check_type(model_type: str) -> Family:
    """Return the family of a model by its type.

    Args:
        model_type: The type, as config.json states it.

    Raises:
        StudioError: Models of this type cannot be written as GGUF.
    """
    if found := FAMILIES.get(model_type):
        return found
    labels = ", ".join(one.label for one in FAMILIES.values())
    raise StudioError(
        f"Models of the type {model_type!r} cannot be written as GGUF here. Expected one of: {labels}. "
        f"{CONVERT_INSTEAD}"
    )


def find_family(config: Any) -> Family:
    """Return the family of a model.

    Args:
        config: The model's `PretrainedConfig`.

    Raises:
        StudioError: The family, its rotary positions or another setting of the model cannot be written as GGUF.
    """
    family = check_type(config.model_type)
    for rope in (rope_of(config), rope_of(config, "sliding_attention")):
        if (kind := rope.get("rope_type", "default")) not in family.rope_types:
            raise StudioError(
                f"Rotary positions of the type {kind!r} cannot be written as GGUF here for {family.label}. Expected "
                f"one of: {', '.join(family.rope_types)}. {CONVERT_INSTEAD}"
            )
    if problem := family.problem(config):
        raise StudioError(f"This model cannot be written as GGUF: {problem}. Export a merged model instead.")
    return family


def notes(config: Any) -> list[str]:
    """Return what llama.cpp computes differently for some texts, as sentences for the user."""
    found = []
    if config.model_type == "phi3" and (window := config.sliding_window):
        found.append(
            f"llama.cpp reads Phi-3 without its sliding window: texts of more than {window:,} tokens get "
            "other answers than here."
        )
    if rope_of(config).get("rope_type") == "longrope":
        original = config.original_max_position_embeddings
        found.append(
            f"llama.cpp chooses the rotary factors by the size of its context and not by the text: for texts of up to "
            f"{original:,} tokens start it with -c {original}."
        )
    return found


def rope_of(config: Any, layers: str = "full_attention") -> dict[str, Any]:
    """Return the settings of the rotary positions.

    Args:
        config: The model's `PretrainedConfig`.
        layers: The kind of layers, for a model whose kinds have settings of their own.
    """
    found = dict(getattr(config, "rope_parameters", None) or {})
    return dict(found[layers] or {}) if layers in found else found


def longrope_factor(config: Any) -> float:
    """Return the factor of the attention with longrope: sqrt(1 + ln s / ln original), with s = maximum / original.

    Maximum and original are the numbers of positions of the model and of its pre-training (LongRoPE, arXiv:2402.13753).
    """
    rope, original = rope_of(config), config.original_max_position_embeddings
    scale = config.max_position_embeddings / original
    plain = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
    return float(rope.get("attention_factor") or plain)


def extra_tensors(config: Any) -> "dict[str, torch.Tensor]":
    """Return tensors that transformers computes from its config and llama.cpp reads from the file, by GGUF's names.

    For Llama 3 these are the factors (width / 2,) by which its long-context scaling divides each rotary frequency, for
    longrope those of short and of long texts.
    """
    import torch

    rope = rope_of(config)
    if rope.get("rope_type") == "longrope":
        return {
            f"rope_factors_{name}.weight": torch.tensor(rope[f"{name}_factor"], dtype=torch.float32)
            for name in ("long", "short")
        }
    if rope.get("rope_type") != "llama3":
        return {}
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    width = ModelShape.from_config(config).head_width
    plain = 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    return {"rope_freqs.weight": plain / scaled}


def to_gguf(tensor: "torch.Tensor", name: str, config: Any) -> "torch.Tensor":
    """Return a tensor as GGUF stores it, in float32.

    Args:
        tensor: The tensor of transformers.
        name: Its name there.
        config: The model's `PretrainedConfig`.
    """
    family, values = FAMILIES[config.model_type], tensor.float()
    if family.adds_one and name.endswith("norm.weight"):
        return values + 1
    if family.is_transposed and name.endswith(_TRANSPOSED):
        return values.T
    return to_gguf_rows(values, name, config)


def from_gguf(tensor: "torch.Tensor", name: str, config: Any) -> "torch.Tensor":
    """Return a tensor as transformers stores it; the inverse of `to_gguf`."""
    family = FAMILIES[config.model_type]
    if family.adds_one and name.endswith("norm.weight"):
        return tensor - 1
    if family.is_transposed and name.endswith(_TRANSPOSED):
        return tensor.T
    return from_gguf_rows(tensor, name, config)


def gguf_shape(shape: list[int], name: str, config: Any) -> list[int]:
    """Return the shape that `to_gguf` gives a tensor."""
    return shape[::-1] if FAMILIES[config.model_type].is_transposed and name.endswith(_TRANSPOSED) else shape


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
