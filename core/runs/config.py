"""QLoRAConfig: every knob of a run, once. The form, the command line, the checks and the saved run come from here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.data.tokens import TemplateName
from core.models import embedded

SCHEMA_VERSION = 1
ALL_LINEAR = "all-linear"

Group = Literal["Model", "LoRA", "Data", "Optimiser", "Batch and length", "Measuring and saving"]


def _knob(default, group: Group, title: str, description: str, **bounds):
    """A field with all that a form, a command line and a reader need to know of it."""
    return Field(default, title=title, description=description, json_schema_extra={"group": group}, **bounds)


class QLoRAConfig(BaseModel):
    """A run of QLoRA fine-tuning (Dettmers et al. 2023, arXiv:2305.14314)."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    model: str = _knob(
        embedded.NAME, "Model", "Base model",
        "The embedded model, a local folder's name, or any Hub id. Larger models need a GPU.",
        min_length=1,
    )  # fmt: skip
    quantization: Literal["nf4", "fp4", "int8", "none"] = _knob(
        "nf4", "Model", "Quantization",
        "How the frozen base weights are kept. NF4 is QLoRA's; int8 and none need more memory and lose less.",
    )  # fmt: skip
    double_quantization: bool = _knob(
        True, "Model", "Double quantization",
        "Also quantize the 4-bit weights' scales: saves about 0.4 bits a weight. Read with nf4 and fp4 only.",
    )  # fmt: skip
    compute_dtype: Literal["bfloat16", "float16", "float32"] = _knob(
        "bfloat16", "Model", "Compute dtype",
        "The number format that products are computed in. float16 only for GPUs older than Ampere.",
    )  # fmt: skip

    lora_rank: int = _knob(
        16, "LoRA", "Rank", "Size of the adapter. Raise it when the task is far from the base model's habits.",
        ge=1, le=512,
    )  # fmt: skip
    lora_alpha: int = _knob(
        32, "LoRA", "Alpha", "The adapter's output is scaled by alpha / rank. Twice the rank is a common start.",
        ge=1, le=2048,
    )  # fmt: skip
    lora_dropout: float = _knob(
        0.0, "LoRA", "Dropout", "Share of adapter inputs dropped while training. Raise it when held-out loss turns up.",
        ge=0, lt=1,
    )  # fmt: skip
    lora_targets: str = _knob(
        ALL_LINEAR, "LoRA", "Target modules",
        "'all-linear', or module names with commas between, such as q_proj,v_proj. Fewer targets train faster "
        "and learn less.",
        min_length=1,
    )  # fmt: skip

    subset: str = _knob("keeper", "Data", "Subset", "The rows to train on, cut in the Data tab.", min_length=1)
    max_length: int = _knob(
        1024, "Batch and length", "Maximum length", "Tokens a row; longer rows are cut. Memory grows with it.",
        ge=16, le=131072,
    )  # fmt: skip
    chat_template: TemplateName = _knob(
        "auto", "Data", "Chat template",
        "The marks put around turns. Auto: the model's own, or Llama 2's where it has none. Change it only for a base "
        "model that is to learn another form.",
    )  # fmt: skip
    answers_only: bool = _knob(
        True, "Data", "Loss on answers only", "Learn to answer, not to ask. Off: every token carries loss."
    )
    packing: bool = _knob(
        True, "Batch and length", "Packing",
        "Lay the rows of a batch end to end instead of padding them to the longest. Each row still attends only to "
        "itself, so the results are the same, sooner.",
    )  # fmt: skip

    learning_rate: float = _knob(
        2e-4, "Optimiser", "Learning rate", "Lower it when the loss jumps, raise it when nothing moves.", gt=0, le=1
    )
    scheduler: Literal["constant", "linear", "cosine"] = _knob(
        "cosine", "Optimiser", "Schedule",
        "How the learning rate goes after warm-up: stays, falls in a line, or falls along a cosine to 0.",
    )  # fmt: skip
    warmup_ratio: float = _knob(
        0.03, "Optimiser", "Warm-up", "Share of the run over which the learning rate rises from 0.", ge=0, lt=1
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"] = _knob(
        "adamw", "Optimiser", "Optimiser",
        "AdamW fused; the 8-bit ones keep smaller state; the paged ones move state out of a full GPU.",
    )  # fmt: skip
    adam_beta2: float = _knob(
        0.999, "Optimiser", "Adam beta2", "Memory of the squared gradients. Lower it on very noisy losses.", gt=0, lt=1
    )
    weight_decay: float = _knob(
        0.0, "Optimiser", "Weight decay", "Pulls the adapter towards zero. Seldom needed for adapters.", ge=0, le=1
    )
    max_grad_norm: float = _knob(
        1.0,
        "Optimiser",
        "Max gradient norm",
        "Larger gradients are scaled down to this. 0.3 in the QLoRA paper.",
        gt=0,
        le=100,
    )

    batch_size: int = _knob(
        8, "Batch and length", "Batch size", "Rows a forward pass. Lower it first when memory runs out.", ge=1, le=1024
    )
    gradient_accumulation: int = _knob(
        1, "Batch and length", "Gradient accumulation",
        "Passes before each update: the effective batch is this times the batch size.",
        ge=1, le=1024,
    )  # fmt: skip
    epochs: float = _knob(
        1.0, "Batch and length", "Epochs", "How often each row is seen. Not read when Steps is set.", gt=0, le=1000
    )
    max_steps: int = _knob(0, "Batch and length", "Steps", "Updates to make; 0 goes by epochs.", ge=0, le=10_000_000)
    gradient_checkpointing: Literal["auto", "on", "off"] = _knob(
        "auto", "Batch and length", "Gradient checkpointing",
        "Recompute instead of keep activations: less memory, a third slower. Auto: on with a GPU, off without.",
    )  # fmt: skip

    seed: int = _knob(
        42,
        "Measuring and saving",
        "Seed",
        "Decides the adapter's start, the order of rows and dropout.",
        ge=0,
        lt=2**32,
    )
    eval_steps: int = _knob(
        20, "Measuring and saving", "Evaluate every",
        "Steps between measurements of the held-out loss, besides the first and the last; 0: only these.",
        ge=0,
    )  # fmt: skip
    eval_rows: int = _knob(
        64, "Measuring and saving", "Held-out rows", "At most this many held-out rows are measured each time; 0: none.",
        ge=0, le=100_000,
    )  # fmt: skip
    save_steps: int = _knob(
        20,
        "Measuring and saving",
        "Checkpoint every",
        "Steps between checkpoints, besides the last; 0: only the last.",
        ge=0,
    )

    @field_validator("lora_targets")
    @classmethod
    def _names_something(cls, value: str) -> str:
        if not any(name.strip() for name in value.split(",")):
            raise ValueError(f"expected {ALL_LINEAR!r} or module names with commas between")
        return value

    @property
    def target_modules(self) -> str | list[str]:
        """What PEFT is given: "all-linear" or a list of module names."""
        if self.lora_targets.strip() == ALL_LINEAR:
            return ALL_LINEAR
        return [name.strip() for name in self.lora_targets.split(",") if name.strip()]


def group_of(field: str) -> str:
    return QLoRAConfig.model_fields[field].json_schema_extra["group"]


TITLES: dict[str, str] = {name: field.title for name, field in QLoRAConfig.model_fields.items()}
