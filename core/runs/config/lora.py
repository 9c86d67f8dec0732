"""Settings of the LoRA adapter."""

from typing import Literal

from pydantic import BaseModel, field_validator

from core.runs.config.fields import GENERATES, setting

ALL_LINEAR, ATTENTION, MLP = "all-linear", "attention", "mlp"
# Groups of modules; core/runs/targets.py resolves them on the model.
GROUPS = (ALL_LINEAR, ATTENTION, MLP)


class LoRASettings(BaseModel):
    """Settings of the group “LoRA”."""

    lora_rank: int = setting(
        16, "LoRA", "Rank",
        "Rank of the adapter matrices. Raise it if the task differs much from what the base model does.",
        basic=True, ge=1, le=512,
    )  # fmt: skip
    lora_alpha: int = setting(
        32, "LoRA", "Alpha", "The adapter's output is scaled by alpha / rank. Twice the rank is a common start.",
        basic=True, ge=1, le=2048,
    )  # fmt: skip
    lora_dropout: float = setting(
        0.0, "LoRA", "Dropout", "Share of adapter inputs dropped while training. Raise it if the held-out loss rises.",
        ge=0, lt=1,
    )  # fmt: skip
    lora_targets: str = setting(
        ALL_LINEAR, "LoRA", "Target modules",
        f"Linear layers that get an adapter: '{ALL_LINEAR}' (all but the output layer), '{ATTENTION}', '{MLP}', or "
        "module names or their last parts, separated by commas, such as q_proj,self_attn.v_proj. Fewer targets train "
        "faster and learn less.",
        min_length=1,
    )  # fmt: skip
    lora_rslora: bool = setting(
        False, "LoRA", "Rank-stabilized scaling",
        "Scale by alpha / √rank instead (Kalajdzievski 2023). Try it with ranks of 64 and more.",
    )  # fmt: skip
    lora_dora: bool = setting(
        False, "LoRA", "DoRA",
        "Also train a magnitude for each output (Liu et al. 2024). Slower; try it with ranks below 16.",
    )  # fmt: skip
    lora_bias: Literal["none", "all", "lora_only"] = setting(
        "none", "LoRA", "Bias",
        "Biases to train: none, all of the model, or only those of adapted layers. Llama has no biases.",
    )  # fmt: skip
    lora_init: Literal["default", "gaussian", "orthogonal", "pissa", "loftq"] = setting(
        "default", "LoRA", "Initialization",
        "Initial values of the adapter. Default and Gaussian: its output is zero, so training starts from the base "
        "model. Orthogonal: orthogonal matrices, which need an even rank; the output is not zero. PiSSA: the largest "
        "singular directions of the weights (only without quantization). LoftQ: the quantization error of NF4 (only "
        "with NF4, on a GPU). With PiSSA and LoftQ, the rank is at most the smaller side of every target.",
    )  # fmt: skip
    start_adapter: str = setting(
        "", "LoRA", "Start from adapter",
        "The name of an imported adapter, a run's id, or RUN/step 20: its values are trained further. Rank, Alpha and "
        "the like must be its own. Empty: a new adapter.",
        when=GENERATES,
    )  # fmt: skip
    modules_to_save: str = setting(
        "", "LoRA", "Modules to train whole",
        "Ends of module names, separated by commas, such as lm_head,embed_tokens. Every module whose name ends with "
        "one is fully trained, without an adapter, for a model that must learn new tokens. Takes much memory.",
    )  # fmt: skip

    @field_validator("lora_targets")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not any(name.strip() for name in value.split(",")):
            raise ValueError(f"expected {ALL_LINEAR!r}, {ATTENTION!r}, {MLP!r} or module names, separated by commas")
        return value

    @property
    def whole_modules(self) -> list[str]:
        """Return the ends of names of the modules that are trained without an adapter."""
        return [name.strip() for name in self.modules_to_save.split(",") if name.strip()]

    @property
    def target_names(self) -> list[str]:
        """Return the groups and module names of Target modules; core/runs/targets.py resolves them on the model."""
        names = [name.strip() for name in self.lora_targets.split(",") if name.strip()]
        return [name.lower() if name.lower() in GROUPS else name for name in names]
