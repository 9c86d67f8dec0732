"""The adapter."""

from typing import Literal

from pydantic import BaseModel, field_validator

from core.runs.config.fields import knob

ALL_LINEAR, ATTENTION, MLP = "all-linear", "attention", "mlp"
# Groups of modules; core/runs/targets.py resolves them on the model.
GROUPS = (ALL_LINEAR, ATTENTION, MLP)


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
        f"Linear layers that get an adapter: '{ALL_LINEAR}' (all but the output layer), '{ATTENTION}', '{MLP}', or "
        "names of modules or their ends, separated by commas, such as q_proj,self_attn.v_proj. Fewer targets train "
        "faster and learn less.",
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
        "Biases to train: none, all of the model's, or those of the adapted layers. Llama has none.",
    )  # fmt: skip
    lora_init: Literal["default", "gaussian", "orthogonal", "pissa", "loftq"] = knob(
        "default", "LoRA", "Initialisation",
        "How the adapter starts. Default and Gaussian: at zero output, so that training starts from the base model. "
        "Orthogonal: from orthogonal matrices, which need an even rank; its output is not zero. PiSSA: from the "
        "weights' largest directions (only without quantization). LoftQ: from what NF4 lost (only with NF4, on a GPU). "
        "The rank of PiSSA and LoftQ is at most the smaller side of every target.",
    )  # fmt: skip
    modules_to_save: str = knob(
        "", "LoRA", "Modules to train whole",
        "Ends of module names, separated by commas, such as lm_head,embed_tokens: for a model that must learn new "
        "tokens. Every module whose name ends so is trained whole. Takes much memory.",
    )  # fmt: skip

    @field_validator("lora_targets")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not any(name.strip() for name in value.split(",")):
            raise ValueError(f"expected {ALL_LINEAR!r}, {ATTENTION!r}, {MLP!r} or module names, separated by commas")
        return value

    @property
    def whole_modules(self) -> list[str]:
        return [name.strip() for name in self.modules_to_save.split(",") if name.strip()]

    @property
    def target_names(self) -> list[str]:
        """Return the groups and module names of Target modules; core/runs/targets.py resolves them on the model."""
        names = [name.strip() for name in self.lora_targets.split(",") if name.strip()]
        return [name.lower() if name.lower() in GROUPS else name for name in names]
