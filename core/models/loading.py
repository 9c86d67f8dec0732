"""Loading of base models, quantized or not, and of their tokenizers.

Only safetensors are read, and code of a model is never executed. torch is imported only when a function is called.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from core.errors import StudioError
from core.hardware import cpu
from core.hub import client
from core.models import embedded
from core.models.catalogue import Model
from core.models.config_bounds import check_config, load_config
from core.models.model_files import check_attention, check_files, check_weights
from core.models.support import attention_for
from core.models.tokenizer import is_panic
from core.models.trial import check_trial

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Share of the free memory that the unpacked copy of 4-bit weights may take on a CPU.
UNPACKED_SHARE = 0.25


@dataclass(frozen=True)
class Precision:
    """Precision of the base weights.

    Attributes:
        quantization: "nf4", "fp4", "int8" or "none".
        double_quantization: Whether the block scales of 4-bit weights are quantized too.
        compute_dtype: "auto", "bfloat16", "float16" or "float32".
    """

    quantization: str = "nf4"
    double_quantization: bool = True
    compute_dtype: str = "auto"


@dataclass
class LoadedBase:
    """A base model ready for adapters.

    Attributes:
        model: The frozen model.
        tokenizer: Its tokenizer.
        notes: Decisions that were made for the user while loading, each with its reason.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    notes: list[str] = field(default_factory=list)


def device() -> str:
    """Return "cuda" if there is a GPU, or else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_dtype(name: str) -> tuple[str, str]:
    """Return the compute dtype for a setting, and the reason.

    Args:
        name: "auto", or a dtype, which is returned as it is.
    """
    import torch

    if name != "auto":
        return name, "as configured"
    if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] < 8:
        return "float16", "auto: this GPU is older than Ampere and has no fast bfloat16"
    if not torch.cuda.is_available() and not cpu.multiplies_bfloat16():
        return (
            "float32",
            "auto: this processor has no instructions for bfloat16, so bfloat16 would take several times as long",
        )
    return "bfloat16", "auto: it has the range of float32 at half its size"


def load_tokenizer(model: Model) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a model.

    Raises:
        StudioError: There is no such model, no access to it, no fast tokenizer in it, or one that is made to harm.
    """
    from core.models import tokenizer as tokenizers

    with client.explained("model", model.name), readable(model):
        check_config(model)
        check_trial(model)
        tokenizer = tokenizers.read(model.path, model.revision)
    if not tokenizer.is_fast:
        raise StudioError(f"The model {model.name!r} has no fast tokenizer (tokenizer.json). Choose another model.")
    return tokenizer


def load_base(model: Model, precision: Precision, attention: str = "auto") -> LoadedBase:
    """Load a base model, on the GPU if there is one, and freeze its weights.

    Args:
        model: The model.
        precision: How its weights are quantized and computed with.
        attention: A name that transformers' AttentionInterface knows, or "auto" for the one that suits the model.

    Raises:
        StudioError: There is no such model, no access to it, or its files are not a model.
    """
    from transformers import AutoModelForCausalLM

    base, missing = read_weights(model, precision, attention, AutoModelForCausalLM)
    check_missing(model, missing)
    return base


def read_weights(
    model: Model, precision: Precision, attention: str, architecture: Any, labels: int = 0,
    unquantized: list[str] | None = None,
) -> tuple[LoadedBase, list[str]]:  # fmt: skip
    """Load a model as one of transformers' auto classes, and freeze its weights.

    Args:
        model: The model.
        precision: How its weights are quantized and computed with.
        attention: As for `load_base`.
        architecture: The auto class.
        labels: Number of labels of a classifier; 0 for a model without labels.
        unquantized: Modules that are not quantized; None leaves the choice to transformers.

    Returns:
        The model, and the names of the weights that its files lack, which are random numbers.

    Raises:
        StudioError: As for `load_base`.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = load_tokenizer(model)
    name, why = resolve_dtype(precision.compute_dtype)
    dtype = getattr(torch, name)
    options = _load_options(model, precision, attention, dtype, architecture, unquantized)
    if labels:
        options["num_labels"] = labels
    with client.explained("model", model.name), readable(model):
        loaded, report = architecture.from_pretrained(
            model.path, revision=model.revision, trust_remote_code=False, output_loading_info=True, **options
        )
    loaded.requires_grad_(False)
    _keep_only_tokens(loaded)
    base = LoadedBase(loaded, tokenizer, [f"Matrix products are computed in {name} ({why})."])
    if precision.quantization in ("nf4", "fp4") and device() == "cpu":
        _unpack_if_it_fits(base, dtype)
    return base, sorted(report["missing_keys"])


def check_missing(model: Model, missing: list[str]) -> None:
    """Check that the files of a model lack no weights.

    Args:
        model: The model.
        missing: Names of the weights that they lack.

    Raises:
        StudioError: The files lack weights.
    """
    if missing:
        raise StudioError(
            f"The files of the model {model.name!r} lack weights, such as {missing[0]} ({len(missing)} in all), which "
            "would be random numbers. Download it again, or choose another model."
        )


def read_config(model: Model) -> Any:
    """Return the `PretrainedConfig` of a model.

    Raises:
        StudioError: There is no such model, no access to it, or its files are not a model.
    """
    with client.explained("model", model.name), readable(model):
        return load_config(model)


def _keep_only_tokens(model: "PreTrainedModel") -> None:
    """Drop all of a model's generation_config.json except its special tokens.

    The studio samples by its own settings. A static cache or a second forward pass per token, which the file may ask
    for, would take memory and time that nothing here counts on.
    """
    from transformers import GenerationConfig

    # A classifier has no such file.
    if (given := getattr(model, "generation_config", None)) is None:
        return
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    model.generation_config = GenerationConfig(**{name: getattr(given, name, None) for name in names})


def _load_options(
    model: Model, precision: Precision, attention: str, dtype: "torch.dtype", architecture: Any,
    unquantized: list[str] | None,
) -> dict[str, Any]:  # fmt: skip
    """Return the arguments of `from_pretrained` for a base model."""
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    with client.explained("model", model.name), readable(model):
        config = load_config(model)
        check_attention(model, config)
        check_files(model, config)
        # The weights of the embedded model are converted here.
        if model.name != embedded.NAME:
            check_weights(model, config, architecture)
    chosen = attention_for(config) if attention == "auto" else attention
    if chosen is not None:
        options["attn_implementation"] = chosen
    if precision.quantization != "none":
        options["quantization_config"] = _bitsandbytes(precision, dtype, unquantized)
    if device() == "cuda":
        options["device_map"] = {"": 0}
    return options


class readable:
    """Context that turns errors of transformers about unreadable model files into a StudioError."""

    def __init__(self, model: Model):
        self.model = model

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None and _is_of_files(error) and client.explanation(error, "model", self.model.name) is None:
            reason = str(error).strip().splitlines()[0].rstrip(" .:") if str(error).strip() else type(error).__name__
            raise StudioError(
                f"The model {self.model.name!r} could not be loaded: {reason}. "
                "Expected a language model with config.json, tokenizer.json and safetensors weights."
            ) from error


def _is_of_files(error: BaseException) -> bool:
    """Return whether an error while loading comes from the files: anything but a lack of memory and a stop.

    Libraries raise every kind of exception for damaged files, and tokenizers' panics are no Exception. CUDA raises
    RuntimeError.
    """
    if isinstance(error, (StudioError, MemoryError)) or (
        isinstance(error, RuntimeError) and not isinstance(error, RecursionError)
    ):
        return False
    return isinstance(error, Exception) or is_panic(error)


def _bitsandbytes(precision: Precision, dtype: "torch.dtype", unquantized: list[str] | None) -> Any:
    from transformers import BitsAndBytesConfig

    if precision.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=unquantized)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        # Despite its name, this argument also holds for 4 bits.
        llm_int8_skip_modules=unquantized,
        bnb_4bit_quant_type=precision.quantization,
        bnb_4bit_use_double_quant=precision.double_quantization,
        bnb_4bit_compute_dtype=dtype,
    )


def _unpack_if_it_fits(base: LoadedBase, dtype: "torch.dtype") -> None:
    """Unpack 4-bit weights once instead of at every product, if the memory of the CPU allows it.

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
        base.notes.append(f"4-bit weights are unpacked at every product: keeping them unpacked would take {sizes}.")
        return
    for name, layer in layers.items():
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)
        dense = torch.nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        dense.weight = torch.nn.Parameter(weight, requires_grad=False)
        dense.bias = layer.bias
        base.model.set_submodule(name, dense)
    base.notes.append(f"4-bit weights are unpacked once and kept, which is faster on a CPU and fits ({sizes}).")
