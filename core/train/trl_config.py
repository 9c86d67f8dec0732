"""The knobs of a run as TRL takes them."""

from pathlib import Path

import torch
from trl import SFTConfig

from core.models.loading import resolve_dtype
from core.runs.config import QLoRAConfig

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

TRACKED_AS = "qlora-studio"  # the project that a tracker files runs under


def sft_config(config: QLoRAConfig, output_dir: str, total_steps: int) -> SFTConfig:
    dtype, _ = resolve_dtype(config.compute_dtype)
    return SFTConfig(
        output_dir=output_dir,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup" if config.scheduler == "constant" else config.scheduler,
        warmup_steps=round(config.warmup_ratio * total_steps),
        optim=OPTIMIZERS[config.optimizer],
        adam_beta1=config.adam_beta1,
        adam_beta2=config.adam_beta2,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        gradient_checkpointing=False,  # set block by block (core/train/checkpointing.py)
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        seed=config.seed,
        data_seed=config.seed,
        eval_strategy="no",  # the worker decides when: first, every so many steps, last
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 1,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN is news, not noise
        max_length=None,  # rows come cut
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to=config.report_to,
        run_name=Path(output_dir).parent.name,  # a run's checkpoints lie in its own folder
        project=TRACKED_AS,
        disable_tqdm=True,
        push_to_hub=False,
    )
