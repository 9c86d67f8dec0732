"""The adapter."""

from typing import Literal

from pydantic import BaseModel, field_validator

from core.runs.knobs import knob

ALL_LINEAR, ATTENTION = "all-linear", "attention"
# What the projections of attention are called in the families that transformers knows.
ATTENTION_MODULES = (
    "q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "out_proj", "c_attn", "query_key_value", "attention.dense",
)  # fmt: skip


class LoRAKnobs(BaseModel):
    lora_rank: int = knob(
        16, "LoRA", "Rank", "Size of the adapter. Raise it when the task is far from the base model's habits.",
        basic=True, ge=1, le=512,
    )  # fmt: skip
    lora_alpha: int = knob(
        32, "LoRA", "Alpha", "The adapter's output is scaled by alpha / rank. Twice the rank is a common start.",
        basic=True, ge=1, le=2048,
    )  # fmt: skip
    lora_dropout: float = knob(
        0.0, "LoRA", "Dropout", "Share of adapter inputs dropped while training. Raise it when held-out loss turns up.",
        ge=0, lt=1,
    )  # fmt: skip
    lora_targets: str = knob(
        ALL_LINEAR, "LoRA", "Target modules",
        f"'{ALL_LINEAR}', '{ATTENTION}', or the model's own module names with commas between, such as q_proj,v_proj. "
        "Fewer targets train faster and learn less.",
        min_length=1,
    )  # fmt: skip
    lora_rslora: bool = knob(
        False, "LoRA", "Rank-stabilised scaling",
        "Scale by alpha / √rank instead (Kalajdzievski 2023). Try it with ranks of 64 and more.",
    )  # fmt: skip
    lora_dora: bool = knob(
        False, "LoRA", "DoRA",
        "Also learn a magnitude for each output (Liu et al. 2024). Slower; try it with ranks below 16.",
    )  # fmt: skip
    lora_bias: Literal["none", "all", "lora_only"] = knob(
        "none", "LoRA", "Bias",
        "Whether biases are trained too; Llama has none.",
    )  # fmt: skip
    lora_init: Literal["default", "gaussian", "orthogonal", "pissa", "loftq"] = knob(
        "default", "LoRA", "Initialisation",
        "How the adapter starts. Default: at nothing, so that training starts from the base model. PiSSA: from the "
        "weights' largest directions (only without quantization). LoftQ: from what NF4 lost (only with NF4, on a GPU).",
    )  # fmt: skip
    modules_to_save: str = knob(
        "", "LoRA", "Modules to train whole",
        "Names with commas between, such as lm_head,embed_tokens: for a model that must learn new tokens. Takes much "
        "memory.",
    )  # fmt: skip

    @field_validator("lora_targets")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not any(name.strip() for name in value.split(",")):
            raise ValueError(f"expected {ALL_LINEAR!r}, {ATTENTION!r} or module names with commas between")
        return value

    @property
    def whole_modules(self) -> list[str]:
        return [name.strip() for name in self.modules_to_save.split(",") if name.strip()]

    @property
    def target_modules(self) -> str | list[str]:
        """What PEFT is given: "all-linear" or a list of module names."""
        chosen = self.lora_targets.strip()
        if chosen == ALL_LINEAR:
            return ALL_LINEAR
        if chosen == ATTENTION:
            return list(ATTENTION_MODULES)
        return [name.strip() for name in chosen.split(",") if name.strip()]
