"""Presets: named starting points for a run, each with the reason for its values."""

from dataclasses import dataclass, field
from typing import Any

from core.runs.config import QLoRAConfig


@dataclass(frozen=True)
class Preset:
    """Values that differ from QLoRAConfig's defaults, and why."""

    name: str
    reason: str
    values: dict[str, Any] = field(default_factory=dict)

    def config(self, **over: Any) -> QLoRAConfig:
        return QLoRAConfig(**(self.values | over))


QUICK_DEMO = Preset(
    "Quick demo",
    "The embedded model learns the Keeper's voice in about two minutes on two CPU cores: 4-bit NF4, small batches for "
    "many updates, and a high learning rate because the run is short.",
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

QLORA_PAPER_7B = Preset(
    "Llama-2-7B, Guanaco (QLoRA paper)",
    "What the QLoRA paper used for 7B and 13B on OpenAssistant: rank 64, alpha 16, dropout 0.1 on all linear layers, "
    "a constant learning rate of 2e-4, batch 16, gradients cut at 0.3, Adam beta2 0.999, NF4 with double quantization, "
    "loss on all text. "
    "Open timdettmers/openassistant-guanaco in the Data tab and cut a subset first; needs a GPU and access to Llama 2.",
    {
        "model": "meta-llama/Llama-2-7b-hf",
        "quantization": "nf4",
        "double_quantization": True,
        "lora_rank": 64,
        "lora_alpha": 16,
        "lora_dropout": 0.1,
        "lora_targets": "all-linear",
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
    },
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (QUICK_DEMO, QLORA_PAPER_7B)}
