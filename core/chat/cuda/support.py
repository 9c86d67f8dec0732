"""Models and adapters that the CUDA decoder supports, and the reasons against all others."""

import importlib.util

import torch

from core.chat.adapters import Adapter

_FAMILIES = ("LlamaForCausalLM", "MistralForCausalLM")
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
# Kinds of rotary embedding whose angles do not depend on the length of the text.
_ROTARY = ("default", "linear", "llama3", "yarn")
_ATTENTION, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")
_MIN_COMPUTE_CAPABILITY = (8, 0)
_MIN_HEAD_WIDTH = 32
# Outputs and inputs are computed in tiles of so many; it is also bitsandbytes' block size.
_TILE = 64


def unsupported_reason(model: torch.nn.Module) -> str | None:
    """Return why a model is not decoded by CUDA graphs, as the rest of a sentence; None if it is."""
    if model.device.type != "cuda":
        return "there is no GPU"
    if torch.cuda.get_device_capability(model.device) < _MIN_COMPUTE_CAPABILITY:
        return "this GPU is older than Ampere"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return unsupported_model_reason(model)


def unsupported_model_reason(model: torch.nn.Module) -> str | None:
    """Return what the CUDA decoder does not support of a model's architecture or weights; None if nothing."""
    config = model.config
    if type(model).__name__ not in _FAMILIES:
        return f"{type(model).__name__} does not have Llama's architecture"
    if getattr(config, "sliding_window", None):
        return "its attention uses a sliding window"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Triton's ranges are powers of two.
    if width < _MIN_HEAD_WIDTH or width & (width - 1):
        return f"its heads are {width} wide"
    if (kind := getattr(model.model.rotary_emb, "rope_type", "default")) not in _ROTARY:
        return f"its positions are of the kind {kind}"
    if model.dtype not in _DTYPES:
        return f"it computes in {model.dtype}"
    if any(parameter.device != model.device for parameter in model.parameters()):
        return "it is spread over several devices"
    unquantized = (model.model.embed_tokens, model.lm_head)
    if any(type(module) not in (torch.nn.Embedding, torch.nn.Linear) for module in unquantized):
        return "its first or last layer is quantized"
    linears = [module for layer in model.model.layers for module in projections(layer)]
    return next(filter(None, map(_unsupported_linear_reason, linears)), None) or _mixed_kinds_reason(linears)


def is_plain_lora(adapter: Adapter, layers: int) -> bool:
    """Return whether an adapter is LoRA of the blocks' projections and nothing else.

    Args:
        adapter: The adapter.
        layers: Number of the model's blocks.
    """
    known = {name for number in range(layers) for name in projection_names(number)}
    return not adapter.special and not set(adapter.lora) - known


def projections(layer: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the seven projections of a block: q, k, v, o, gate, up, down."""
    attention, mlp = layer.self_attn, layer.mlp
    return [*(getattr(attention, name) for name in _ATTENTION), *(getattr(mlp, name) for name in _MLP)]


def projection_names(number: int) -> list[str]:
    """Return the names of the seven projections of a block, in the same order."""
    attention = [f"model.layers.{number}.self_attn.{name}" for name in _ATTENTION]
    return attention + [f"model.layers.{number}.mlp.{name}" for name in _MLP]


def _unsupported_linear_reason(module: torch.nn.Module) -> str | None:
    kind = type(module).__name__
    if kind not in ("Linear", "Linear4bit"):
        return f"{kind} is neither unquantized nor in 4 bits"
    if module.bias is not None:
        return "its projections have biases"
    if module.in_features % _TILE or module.out_features % _TILE:
        return f"a projection from {module.in_features} to {module.out_features} is no multiple of 64"
    if kind == "Linear":
        return None
    state = getattr(module.weight, "quant_state", None)
    if state is None or state.blocksize != _TILE or module.weight.dtype != torch.uint8:
        return "its 4-bit weights are packed in another way"
    return None


def _mixed_kinds_reason(linears: list[torch.nn.Module]) -> str | None:
    # The launches of all blocks share their constants, so one kind must serve all.
    kinds = {(type(m).__name__, bool(getattr(getattr(m.weight, "quant_state", None), "nested", 0))) for m in linears}
    return "its projections are of several kinds" if len(kinds) > 1 else None
