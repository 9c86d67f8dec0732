"""Settings of the optimizer, the learning-rate schedule and the loss."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import setting

Optimizer = Literal[
    "adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "adafactor", "lion", "lion_8bit", "paged_lion_8bit"
]
_WITH_BETAS = (
    "adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion", "lion_8bit", "paged_lion_8bit",
)  # fmt: skip


class OptimizerSettings(BaseModel):
    """Settings of the group “Optimizer”."""

    learning_rate: float = setting(
        2e-4, "Optimizer", "Learning rate",
        "Step size of the optimizer. Lower it if the loss jumps, raise it if the loss hardly falls.",
        basic=True, gt=0, le=1,
        on_resume=True,
    )  # fmt: skip
    scheduler: Literal["constant", "linear", "cosine"] = setting(
        "cosine", "Optimizer", "Schedule",
        "Learning rate after warm-up: constant, or falling to 0 linearly or along a cosine.",
        on_resume=True,
    )  # fmt: skip
    warmup_ratio: float = setting(
        0.03, "Optimizer", "Warm-up", "Share of the run over which the learning rate rises from 0.", ge=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    optimizer: Optimizer = setting(
        "adamw", "Optimizer", "Optimizer",
        "AdamW is fused. The 8-bit optimizers keep a smaller state; the paged ones move it out of a full GPU. "
        "Adafactor keeps almost no state. Lion needs a learning rate three to ten times lower.",
    )  # fmt: skip
    adam_beta1: float = setting(
        0.9, "Optimizer", "Beta1",
        "Decay of the running mean of gradients. Seldom changed.", when={"optimizer": _WITH_BETAS},
        ge=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    adam_beta2: float = setting(
        0.999, "Optimizer", "Beta2",
        "Decay of the running mean of squared gradients. Lower it if the loss is very noisy.",
        when={"optimizer": _WITH_BETAS}, gt=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    weight_decay: float = setting(
        0.0, "Optimizer", "Weight decay", "Decay of the adapter weights toward zero. Seldom needed.", ge=0, le=1,
        on_resume=True,
    )  # fmt: skip
    max_grad_norm: float = setting(
        1.0, "Optimizer", "Max gradient norm",
        "Gradients with a larger norm are scaled down to it. 0.3 in the QLoRA paper.",
        gt=0, le=100,
        on_resume=True,
    )  # fmt: skip
    loss: Literal["cross_entropy", "dft"] = setting(
        "cross_entropy", "Optimizer", "Loss",
        "DFT weights the loss of each token by its probability (Wu et al. 2025), so that outliers count less. Held-out "
        "loss is always cross-entropy.",
    )  # fmt: skip
    label_smoothing: float = setting(
        0.0, "Optimizer", "Label smoothing",
        "Share of the target probability spread over the vocabulary. For noisy answers.",
        when={"loss": ("cross_entropy",)}, ge=0, lt=1,
    )  # fmt: skip
