"""The base model and how its weights are kept."""

from typing import Literal

from pydantic import BaseModel

from core.models import embedded
from core.runs.config.fields import knob


class ModelKnobs(BaseModel):
    model: str = knob(
        embedded.NAME, "Model", "Base model",
        "The embedded model, a local folder's name, or any Hub id. Larger models need a GPU.",
        basic=True, min_length=1,
    )  # fmt: skip
    revision: str = knob(
        "", "Model", "Revision",
        "Branch, tag or commit of a Hub model; empty: main. The run keeps the commit that it stood for.",
    )  # fmt: skip
    quantization: Literal["nf4", "fp4", "int8", "none"] = knob(
        "nf4", "Model", "Quantization",
        "How the frozen base weights are kept. NF4 is QLoRA's; int8 and none need more memory and lose less.",
        basic=True,
    )  # fmt: skip
    double_quantization: bool = knob(
        True, "Model", "Double quantization",
        "Also quantize the 4-bit weights' scales: saves about 0.4 bits a weight.",
        when={"quantization": ("nf4", "fp4")},
    )  # fmt: skip
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = knob(
        "auto", "Model", "Compute dtype",
        "The number format that products are computed in. Auto: bfloat16, float16 on a GPU older than Ampere, or "
        "float32 on a processor that has no instructions for bfloat16.",
    )  # fmt: skip
    attention: Literal["auto", "sdpa", "eager"] = knob(
        "auto", "Model", "Attention",
        "Auto: rows laid end to end where packing is on, else PyTorch's fused attention. Eager for a model that "
        "transforms its attention scores.",
    )  # fmt: skip
    kernels: Literal["auto", "off"] = knob(
        "auto", "Model", "Kernels",
        "Auto: on a GPU, Llama's blocks run fused, which is faster and keeps less; what cannot be fused runs as it is, "
        "and the run says why. Off: the blocks of transformers and PEFT.",
        on_resume=True,
    )  # fmt: skip
