"""Conversion of a run's adapter settings into PEFT's, for preflight and training. Imports PEFT only when called."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.runs.config import QLoRAConfig

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(config: QLoRAConfig, targets: str | list[str], head: Sequence[str] = ()) -> "LoraConfig":
    """Return the LoRA settings of a run as PEFT takes them.

    Args:
        config: The settings of the run.
        targets: Target modules, as core/runs/targets.py resolved them on the model.
        head: Modules of a classifier's head, which are trained whole.
    """
    from peft import LoraConfig
    from peft.utils.constants import SEQ_CLS_HEAD_NAMES

    # PEFT adds the usual names of heads by itself.
    whole = [*config.whole_modules, *(name for name in head if name not in SEQ_CLS_HEAD_NAMES)]

    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets,
        use_rslora=config.lora_rslora,
        use_dora=config.lora_dora,
        # LoftQ needs the quantized weights; the trainer replaces the default initial values once they are loaded.
        init_lora_weights=True if config.lora_init in ("default", "loftq") else config.lora_init,
        bias=config.lora_bias,
        modules_to_save=whole or None,
        task_type="SEQ_CLS" if config.classifies else "CAUSAL_LM",
    )
