"""How the adapter is updated, and by what loss."""

from typing import Literal

from pydantic import BaseModel

from core.runs.config.fields import knob

Optimizer = Literal[
    "adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "adafactor", "lion", "lion_8bit", "paged_lion_8bit"
]
_WITH_BETAS = (
    "adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion", "lion_8bit", "paged_lion_8bit",
)  # fmt: skip


class OptimiserKnobs(BaseModel):
    learning_rate: float = knob(
        2e-4, "Optimiser", "Learning rate", "Lower it when the loss jumps, raise it when nothing moves.",
        basic=True, gt=0, le=1,
        on_resume=True,
    )  # fmt: skip
    scheduler: Literal["constant", "linear", "cosine"] = knob(
        "cosine", "Optimiser", "Schedule",
        "How the learning rate goes after warm-up: stays, falls in a line, or falls along a cosine to 0.",
        on_resume=True,
    )  # fmt: skip
    warmup_ratio: float = knob(
        0.03, "Optimiser", "Warm-up", "Share of the run over which the learning rate rises from 0.", ge=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    optimizer: Optimizer = knob(
        "adamw", "Optimiser", "Optimiser",
        "AdamW fused; the 8-bit ones keep smaller state; the paged ones move state out of a full GPU. Adafactor keeps "
        "almost none. Lion wants a learning rate three to ten times lower.",
    )  # fmt: skip
    adam_beta1: float = knob(
        0.9, "Optimiser", "Beta1", "Memory of the gradients. Seldom changed.", when={"optimizer": _WITH_BETAS},
        ge=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    adam_beta2: float = knob(
        0.999, "Optimiser", "Beta2", "Memory of the squared gradients. Lower it on very noisy losses.",
        when={"optimizer": _WITH_BETAS}, gt=0, lt=1,
        on_resume=True,
    )  # fmt: skip
    weight_decay: float = knob(
        0.0, "Optimiser", "Weight decay", "Pulls the adapter towards zero. Seldom needed for adapters.", ge=0, le=1,
        on_resume=True,
    )  # fmt: skip
    max_grad_norm: float = knob(
        1.0, "Optimiser", "Max gradient norm", "Larger gradients are scaled down to this. 0.3 in the QLoRA paper.",
        gt=0, le=100,
        on_resume=True,
    )  # fmt: skip
    loss: Literal["cross_entropy", "dft"] = knob(
        "cross_entropy", "Optimiser", "Loss",
        "DFT weighs each token by how likely it is already (Wu et al. 2025): outliers pull less. Held-out loss is "
        "cross-entropy either way.",
    )  # fmt: skip
    label_smoothing: float = knob(
        0.0, "Optimiser", "Label smoothing", "Share of each target spread over the vocabulary. For noisy answers.",
        when={"loss": ("cross_entropy",)}, ge=0, lt=1,
    )  # fmt: skip
