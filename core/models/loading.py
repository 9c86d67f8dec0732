"""Loading a base model, quantised or not, and its tokenizer. Imports torch only when called.

Safetensors only, and never code that a model brings along.
"""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from core.errors import StudioError
from core.hardware import cpu
from core.hub import client
from core.models.catalogue import Model
from core.models.support import attention_for

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Of the memory that is free, what the unpacked copy of 4-bit weights may take on a CPU.
UNPACKED_SHARE = 0.25


@dataclass(frozen=True)
class Precision:
    """How the base weights are kept and computed with."""

    quantization: str = "nf4"  # "nf4", "fp4", "int8" or "none"
    double_quantization: bool = True
    compute_dtype: str = "auto"  # or "bfloat16", "float16", "float32"


@dataclass
class LoadedBase:
    """A base model ready for adapters.

    Attributes:
        choices: what was decided on the user's behalf while loading, each with its reason.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    choices: list[str] = field(default_factory=list)


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_dtype(name: str) -> tuple[str, str]:
    """The number format that products are computed in, and why."""
    import torch

    if name != "auto":
        return name, "as configured"
    if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8:
        return "float16", "auto: this GPU is older than Ampere and has no fast bfloat16"
    if not torch.cuda.is_available() and not cpu.multiplies_bfloat16():
        return (
            "float32",
            "auto: this processor has no instructions for bfloat16, which takes several times as long",
        )
    return "bfloat16", "auto: it has the range of float32 at half its size"


def load_tokenizer(model: Model) -> "PreTrainedTokenizerBase":
    from core.models import tokenizer as tokenizers

    with client.explained("model", model.name), _readable(model):
        tokenizer = tokenizers.read(model.path, model.revision)
    if not tokenizer.is_fast:
        raise StudioError(f"The model {model.name!r} has no fast tokenizer (tokenizer.json). Choose another model.")
    return tokenizer


def load_base(model: Model, precision: Precision, attention: str = "auto") -> LoadedBase:
    """The base model on the GPU if there is one, its weights frozen.

    Args:
        attention: a name that transformers' AttentionInterface knows, or "auto" for the one that suits the model.

    Raises:
        StudioError: no such model, no access, or files that are no model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of an optional CPU kernel of a hub
    tokenizer = load_tokenizer(model)
    name, why = resolve_dtype(precision.compute_dtype)
    dtype = getattr(torch, name)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if attention == "auto":
        with client.explained("model", model.name), _readable(model):
            attention = attention_for(
                AutoConfig.from_pretrained(model.path, revision=model.revision, trust_remote_code=False)
            )
    if attention is not None:
        options["attn_implementation"] = attention
    if precision.quantization != "none":
        options["quantization_config"] = _bitsandbytes(precision, dtype)
    if device() == "cuda":
        options["device_map"] = {"": 0}
    with client.explained("model", model.name), _readable(model):
        loaded = AutoModelForCausalLM.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=False, **options
        )
    loaded.requires_grad_(False)
    base = LoadedBase(loaded, tokenizer, [f"Products are computed in {name} ({why})."])
    if precision.quantization in ("nf4", "fp4") and device() == "cpu":
        _unpack_if_it_fits(base, dtype)
    return base


class _readable:
    """Turns what transformers raises for files that are no model into a sentence."""

    def __init__(self, model: Model):
        self.model = model

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if (
            isinstance(error, (OSError, ValueError, KeyError))
            and client.explanation(error, "model", self.model.name) is None
        ):
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise StudioError(
                f"The model {self.model.name!r} could not be loaded: {reason} "
                "Expected a causal language model with config.json, tokenizer.json and safetensors weights."
            ) from error


def _bitsandbytes(precision: Precision, dtype: "torch.dtype") -> Any:
    from transformers import BitsAndBytesConfig

    if precision.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=precision.quantization,
        bnb_4bit_use_double_quant=precision.double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )


def _unpack_if_it_fits(base: LoadedBase, dtype: "torch.dtype") -> None:
    """On a CPU, unpack the 4-bit weights once instead of at every product, when memory allows.

    bitsandbytes' CPU product unpacks the weights to the compute dtype and multiplies; keeping what it unpacks gives
    the same numbers (test_loading.py) without doing it again each time.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    layers = {name: m for name, m in base.model.named_modules() if isinstance(m, Linear4bit)}
    needed = sum(m.in_features * m.out_features for m in layers.values()) * dtype.itemsize
    free = psutil.virtual_memory().available
    sizes = f"{needed / 2**30:.1f} GiB of {free / 2**30:.1f} GiB free"
    if needed > UNPACKED_SHARE * free:
        base.choices.append(f"4-bit weights are unpacked at every product: keeping them unpacked would take {sizes}.")
        return
    for name, layer in layers.items():
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
        dense = torch.nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        dense.weight = torch.nn.Parameter(weight, requires_grad=False)
        dense.bias = layer.bias
        base.model.set_submodule(name, dense)
    base.choices.append(f"4-bit weights are unpacked once and kept, which is faster on a CPU and fits ({sizes}).")
