"""Presets: named starting points for a run, each with the reason for its values.

The presets for GPUs of 8 to 80 GB were chosen with the memory forecast and measured (bench/RESULTS.md).
"""

from dataclasses import dataclass, field
from typing import Any

from core.runs.config import QLoRAConfig

_LLAMA_7B, _LLAMA_13B = "meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf"
_NEEDS = "Needs access to Llama 2; create a subset in the Data tab first."


@dataclass(frozen=True)
class Preset:
    """Named settings that differ from the defaults, with the reason."""

    name: str
    reason: str
    values: dict[str, Any] = field(default_factory=dict)

    def config(self, **over: Any) -> QLoRAConfig:
        """Return the preset's settings, some of them replaced."""
        return QLoRAConfig(**(self.values | over))


QUICK_DEMO = Preset(
    "Quick demo",
    "The embedded model learns the style of the rows, also without a GPU: 4-bit NF4, small batches for many updates, "
    "and a high learning rate because the run is short.",
    {
        "batch_size": 4,
        "max_steps": 64,
        "learning_rate": 2e-3,
        "warmup_ratio": 0.0,
        "max_length": 512,
        "eval_steps": 32,
        "eval_rows": 24,
        "save_steps": 32,
    },
)

_PAPER: dict[str, Any] = {
    "lora_rank": 64,
    "lora_alpha": 16,
    "learning_rate": 2e-4,
    "scheduler": "constant",
    "warmup_ratio": 0.0,
    "answers_only": False,
    "optimizer": "paged_adamw_32bit",
    "adam_beta2": 0.999,
    "max_grad_norm": 0.3,
    "batch_size": 16,
    "max_steps": 1875,
    "max_length": 512,
    "eval_steps": 187,
    "save_steps": 320,
}


def _paper(name: str, model: str, dropout: float) -> Preset:
    return Preset(
        name,
        f"Settings of the QLoRA paper for OpenAssistant: rank 64, alpha 16, dropout {dropout} on all linear layers, a "
        "constant learning rate of 2e-4, batch 16, gradients clipped at 0.3, Adam beta2 0.999, NF4 with double "
        "quantization, loss on all text. Open timdettmers/openassistant-guanaco in the Data tab and create a "
        f"subset first; needs a GPU and access to Llama 2.",
        _PAPER | {"model": model, "lora_dropout": dropout},
    )


QLORA_PAPER_7B = _paper("Llama-2-7B, Guanaco (QLoRA paper)", _LLAMA_7B, 0.1)
QLORA_PAPER_13B = _paper("Llama-2-13B, Guanaco (QLoRA paper)", _LLAMA_13B, 0.1)


def _card(gigabytes: int, why: str, **values: Any) -> Preset:
    common = {"model": _LLAMA_7B, "eval_steps": 100, "save_steps": 100, "keep_checkpoints": 3}
    return Preset(f"{gigabytes} GB card", f"{why} {_NEEDS}", common | values)


CARDS = (
    _card(8, "Llama-2-7B on 8 GB: two rows of 1,024 tokens per pass, sixteen per update, activations recomputed, an "
          "optimizer with 8-bit state that can move out of the GPU.",
          batch_size=2, gradient_accumulation=8, max_length=1024, gradient_checkpointing="on",
          optimizer="paged_adamw_8bit"),
    _card(12, "Llama-2-7B on 12 GB: four rows of 1,024 tokens per pass, sixteen per update, activations recomputed.",
          batch_size=4, gradient_accumulation=4, max_length=1024, gradient_checkpointing="on",
          optimizer="paged_adamw_8bit"),
    _card(16, "Llama-2-7B on 16 GB: eight rows of 1,024 tokens per pass, sixteen per update, activations recomputed.",
          batch_size=8, gradient_accumulation=2, max_length=1024, gradient_checkpointing="on"),
    _card(24, "Llama-2-7B on 24 GB: sixteen rows of 1,024 tokens per pass, activations recomputed.",
          batch_size=16, max_length=1024, gradient_checkpointing="on"),
    _card(80, "Llama-2-7B on 80 GB: eight rows of 1,024 tokens per pass, sixteen per update, nothing recomputed.",
          batch_size=8, gradient_accumulation=2, max_length=1024, gradient_checkpointing="off"),
)  # fmt: skip

LONG_CONTEXT = Preset(
    "Long context",
    "Rows of Llama 2's whole context of 4,096 tokens on a 24 GB card: two per pass, sixteen per update, activations "
    f"recomputed, a lower learning rate because an update has many tokens. {_NEEDS}",
    {
        "model": _LLAMA_7B,
        "max_length": 4096,
        "batch_size": 2,
        "gradient_accumulation": 8,
        "gradient_checkpointing": "on",
        "learning_rate": 1e-4,
        "optimizer": "paged_adamw_8bit",
    },
)

LABEL_TASK = Preset(
    "Label task",
    "Texts with labels, such as sentiment: short rows, three epochs, a low learning rate, and the checkpoint with the "
    "lowest held-out loss; it ends when three evaluation passes in a row are no better.",
    {
        "max_length": 512,
        "epochs": 3.0,
        "learning_rate": 1e-4,
        "batch_size": 16,
        "eval_steps": 25,
        "save_steps": 0,
        "keep_best": True,
        "keep_checkpoints": 2,
        "early_stopping": 3,
    },
)

CLASSIFIER = Preset(
    "Classifier",
    "A head on the embedded model chooses one of the labels of short texts: adapters in the attention only, and a high "
    "learning rate because the run is short. For a larger model or BERT, lower the learning rate.",
    {
        "task": "classify",
        "max_length": 96,
        "epochs": 2.0,
        "learning_rate": 1e-3,
        "lora_targets": "attention",
        "batch_size": 16,
        "eval_steps": 25,
        "eval_rows": 200,
        "save_steps": 25,
    },
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (QUICK_DEMO, QLORA_PAPER_7B, QLORA_PAPER_13B, *CARDS, LONG_CONTEXT, LABEL_TASK, CLASSIFIER)
}
