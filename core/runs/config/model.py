"""Settings of the base model, its quantization and its kernels."""

from typing import Literal

from pydantic import BaseModel

from core.models import embedded
from core.runs.config.fields import GENERATES, setting

Quantization = Literal["nf4", "fp4", "int8", "none"]
ComputeDType = Literal["auto", "bfloat16", "float16", "float32"]


class ModelSettings(BaseModel):
    """Settings of the group “Model”."""

    model: str = setting(
        embedded.NAME, "Model", "Base model",
        "The embedded model, the name of a local folder, or a Hub id. Larger models need a GPU.",
        basic=True, min_length=1,
    )  # fmt: skip
    revision: str = setting(
        "", "Model", "Revision",
        "Branch, tag or commit of a Hub model; empty: main. The run records the commit.",
    )  # fmt: skip
    quantization: Quantization = setting(
        "nf4", "Model", "Quantization",
        "Format of the frozen base weights. NF4 is the format of QLoRA; int8 and none need more memory and are more "
        "accurate.",
        basic=True,
    )  # fmt: skip
    double_quantization: bool = setting(
        True, "Model", "Double quantization",
        "Also quantize the scales of the 4-bit weights: saves about 0.4 bits per weight.",
        when={"quantization": ("nf4", "fp4")},
    )  # fmt: skip
    compute_dtype: ComputeDType = setting(
        "auto", "Model", "Compute dtype",
        "Data type of matrix products. Auto: bfloat16, float16 on a GPU older than Ampere, or float32 on a processor "
        "without bfloat16 instructions.",
    )  # fmt: skip
    attention: Literal["auto", "sdpa", "eager"] = setting(
        "auto", "Model", "Attention",
        "Auto: attention over packed rows if packing is on, else PyTorch's fused attention. Eager for a model that "
        "transforms its attention scores.",
    )  # fmt: skip
    kernels: Literal["auto", "off"] = setting(
        "auto", "Model", "Kernels",
        "Auto: on a GPU, Llama's blocks run as fused kernels, which are faster and need less memory. Blocks that "
        "cannot be fused use transformers and PEFT, and the run shows the reason. Off: all blocks use transformers "
        "and PEFT.",
        when=GENERATES,
        on_resume=True,
    )  # fmt: skip
