"""Variants of bench/train.py: the model, the rows, and the trainers of the peers and of the studio."""

import random
import time
from pathlib import Path
from typing import Any

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Rows per step and their maximum length in tokens.
CASES = {"guanaco": (16, 1024), "fixed": (4, 2048)}


def make_model(folder: Path, tokenizer: str) -> None:
    """Write a random model of Llama-2-7B's shape in bf16, and in NF4 to the folder with "-4bit" at its end."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
        dtype="bfloat16",
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    torch.cuda.empty_cache()
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=nf4, device_map={"": 0}, dtype=torch.bfloat16
    )
    model.save_pretrained(f"{folder}-4bit")
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    loaded.pad_token = "<unk>"
    for target in (folder, f"{folder}-4bit"):
        loaded.save_pretrained(target)


def rows_of(case: str, data: str, folder: str, steps: int) -> list[list[int]]:
    """Return the token ids of all rows that the steps take, in their order."""
    batch, length = CASES[case]
    if case == "fixed":
        rng = random.Random(0)
        return [[rng.randrange(3, 32000) for _ in range(length)] for _ in range(batch * steps)]
    import pandas as pd
    from transformers import AutoTokenizer

    texts = list(pd.read_parquet(data).text)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=length)["input_ids"]
    return (ids * (batch * steps // len(ids) + 1))[: batch * steps]


def peer_trainer(variant: str, case: str, folder: str, ids: list[list[int]], out: str, steps: int) -> tuple[Any, float]:
    """Return the trainer of TRL or Unsloth, and the seconds that loading the model took."""
    batch, length = CASES[case]
    checkpointing = not variant.endswith("off")
    load = _load_unsloth if variant.startswith("Unsloth") else _load_transformers
    model, tokenizer, lora, load_seconds = load(folder, length, checkpointing)
    # After Unsloth, which patches these packages.
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=out, max_steps=steps, per_device_train_batch_size=batch, max_length=length, logging_steps=1,
        learning_rate=2e-4, report_to=[], bf16=True, optim="adamw_torch_fused", save_strategy="no", disable_tqdm=True,
        seed=0, gradient_checkpointing=checkpointing, use_liger_kernel="Liger" in variant,
        train_sampling_strategy="sequential", packing=variant.endswith("packed"),
    )  # fmt: skip
    data = Dataset.from_dict({"input_ids": ids})
    # By name, because Unsloth packs rows only if it finds an argument named "args".
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    return trainer, load_seconds


def _load_unsloth(folder: str, length: int, checkpointing: bool) -> tuple[Any, Any, None, float]:
    """Return the model with its adapter, the tokenizer, no further LoRA settings, and the seconds of loading."""
    # Before the others, because it patches them.
    from unsloth import FastLanguageModel

    import torch  # isort: skip

    began = time.monotonic()
    model, tokenizer = FastLanguageModel.from_pretrained(
        folder, max_seq_length=length, load_in_4bit=True, dtype=torch.bfloat16
    )
    load_seconds = time.monotonic() - began
    model = FastLanguageModel.get_peft_model(
        model, r=16, lora_alpha=16, lora_dropout=0, bias="none", target_modules=TARGETS,
        # Its default, which moves activations to the CPU's memory.
        use_gradient_checkpointing=checkpointing and "unsloth",
    )  # fmt: skip
    return model, tokenizer, None, load_seconds


def _load_transformers(folder: str, length: int, checkpointing: bool) -> tuple[Any, Any, Any, float]:
    """Return the model, the tokenizer, the LoRA settings for TRL, and the seconds of loading."""
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    began = time.monotonic()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, device_map={"": 0}, dtype=torch.bfloat16)
    load_seconds = time.monotonic() - began
    lora = LoraConfig(r=16, lora_alpha=16, lora_dropout=0, target_modules=TARGETS, task_type="CAUSAL_LM")
    return model, tokenizer, lora, load_seconds


def studio_trainer(
    variant: str, case: str, folder: str, ids: list[list[int]], out: str, steps: int
) -> tuple[Any, float]:
    """Return the studio's trainer, and the seconds that loading the model took."""
    from core.kernels.attention import PACKED
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base
    from core.runs.config import QLoRAConfig
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    batch, length = CASES[case]
    checkpointing = {"studio, offload": "offload", "studio": "auto", "studio, 10.6 GiB": "auto"}.get(variant, "on")
    config = QLoRAConfig(
        model="bench", batch_size=batch, max_length=length, lora_rank=16, lora_alpha=16, learning_rate=2e-4,
        scheduler="linear", warmup_ratio=0, max_steps=steps, save_steps=0, seed=0, gradient_checkpointing=checkpointing,
        gpu_memory=10.6 if variant == "studio, 10.6 GiB" else 0,
        lora_dropout=0.1 if "dropout" in variant else 0,
        kernels="off" if variant == "studio, no kernels" else "auto",
    )  # fmt: skip
    rows = [{"row": i, "input_ids": row, "labels": [-100, *row[1:]]} for i, row in enumerate(ids)]
    began = time.monotonic()
    base = load_base(Model("bench", "bench", folder, True), Precision(), PACKED)
    load_seconds = time.monotonic() - began
    arguments = make_sft_config(config, out, steps)
    arguments.train_sampling_strategy = "sequential"
    trainer = StudioTrainer(config, base, rows, args=arguments)
    print("\n".join(trainer.notes))
    return trainer, load_seconds
