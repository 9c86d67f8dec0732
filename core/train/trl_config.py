"""Translation of a run's settings to TRL's SFTConfig."""

from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig

from core.models.loading import resolve_dtype
from core.runs.config import QLoRAConfig

# Optimizers by their names in the form and in transformers.
OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw_32bit": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "lion_8bit": "lion_8bit",
    "paged_lion_8bit": "paged_lion_8bit",
}

# Project under which trackers list all runs.
TRACKER_PROJECT = "qlora-studio"


def make_sft_config(config: QLoRAConfig, output_dir: str, total_steps: int) -> SFTConfig:
    """Return TRL's arguments for a run.

    Args:
        config: The run's settings.
        output_dir: Folder of the checkpoints, inside the run's folder.
        total_steps: Updates of the whole run, of which the warmup is a share.
    """
    dtype, _ = resolve_dtype(config.compute_dtype)
    return SFTConfig(
        output_dir=output_dir,
        # Every rank loads the whole batch and takes its share (StudioTrainer._collate_shard).
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        **_optimizer_arguments(config, total_steps),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        # Set block by block (core/train/activation_checkpointing.py).
        gradient_checkpointing=False,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        seed=config.seed,
        data_seed=config.seed,
        # The callback evaluates itself: before the first step, every `eval_steps`, and after the last step.
        eval_strategy="no",
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 1,
        logging_strategy="steps",
        logging_steps=1,
        # A NaN must be shown, not replaced by the average.
        logging_nan_inf_filter=False,
        # Rows are tokenized and truncated already.
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to=config.report_to,
        # The run's folder is named by its id.
        run_name=Path(output_dir).parent.name,
        project=TRACKER_PROJECT,
        disable_tqdm=True,
        push_to_hub=False,
    )


def _optimizer_arguments(config: QLoRAConfig, total_steps: int) -> dict[str, Any]:
    """Return the arguments of the optimizer and its learning rate schedule."""
    return {
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if config.scheduler == "constant" else config.scheduler,
        "warmup_steps": round(config.warmup_ratio * total_steps),
        "optim": OPTIMIZERS[config.optimizer],
        "adam_beta1": config.adam_beta1,
        "adam_beta2": config.adam_beta2,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
    }
