"""Which models and adapters the fast decoder serves, and in words why not the others."""

import importlib.util

import torch

from core.chat.adapters import Adapter

_FAMILIES = ("LlamaForCausalLM", "MistralForCausalLM")
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_ROTARY = ("default", "linear", "llama3", "yarn")  # whose angles do not change with the length of the text
_ATTENTION, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")


def unsupported_reason(model: torch.nn.Module) -> str | None:
    """Why a model is not decoded by one graph a step, as the rest of a sentence; None when it is."""
    if model.device.type != "cuda":
        return "there is no GPU"
    if torch.cuda.get_device_capability(model.device) < (8, 0):
        return "this GPU is older than Ampere"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    return unsupported_model_reason(model)


def unsupported_model_reason(model: torch.nn.Module) -> str | None:
    """What of a model's shape or weights the fast decoder does not know, as the rest of a sentence."""
    config = model.config
    if type(model).__name__ not in _FAMILIES:
        return f"{type(model).__name__} is not of Llama's shape"
    if getattr(config, "sliding_window", None):
        return "its attention looks through a sliding window"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if width < 32 or width & (width - 1):
        return f"its heads are {width} wide"
    if (kind := getattr(model.model.rotary_emb, "rope_type", "default")) not in _ROTARY:
        return f"its positions are of the kind {kind}"
    if model.dtype not in _DTYPES:
        return f"it computes in {model.dtype}"
    if any(parameter.device != model.device for parameter in model.parameters()):
        return "it lies on several devices"
    whole = (model.model.embed_tokens, model.lm_head)
    if any(type(module) not in (torch.nn.Embedding, torch.nn.Linear) for module in whole):
        return "its first or last layer is quantised"
    linears = [module for layer in model.model.layers for module in modules_of(layer)]
    return next(filter(None, map(_unlike_linear, linears)), None) or _mixed(linears)


def modules_of(layer: torch.nn.Module) -> list[torch.nn.Module]:
    """The seven projections of a block, query first."""
    attention, mlp = layer.self_attn, layer.mlp
    return [*(getattr(attention, name) for name in _ATTENTION), *(getattr(mlp, name) for name in _MLP)]


def names_of(number: int) -> list[str]:
    """The names of the seven projections of a block, in the same order."""
    attention = [f"model.layers.{number}.self_attn.{name}" for name in _ATTENTION]
    return attention + [f"model.layers.{number}.mlp.{name}" for name in _MLP]


def _unlike_linear(module: torch.nn.Module) -> str | None:
    kind = type(module).__name__
    if kind not in ("Linear", "Linear4bit"):
        return f"{kind} is neither whole nor in 4 bits"
    if module.bias is not None:
        return "its projections have biases"
    if module.in_features % 64 or module.out_features % 64:
        return f"a projection from {module.in_features} to {module.out_features} is no multiple of 64"
    if kind == "Linear":
        return None
    state = getattr(module.weight, "quant_state", None)
    if state is None or state.blocksize != 64 or module.weight.dtype != torch.uint8:
        return "its 4-bit weights are packed in another way"
    return None


def _mixed(linears: list[torch.nn.Module]) -> str | None:
    kinds = {(type(m).__name__, bool(getattr(getattr(m.weight, "quant_state", None), "nested", 0))) for m in linears}
    return "its projections are of several kinds" if len(kinds) > 1 else None


def plain_lora(adapter: Adapter, layers: int) -> bool:
    """Whether an adapter is LoRA of the blocks' projections and nothing else."""
    known = {name for number in range(layers) for name in names_of(number)}
    return not adapter.special and not set(adapter.lora) - known
