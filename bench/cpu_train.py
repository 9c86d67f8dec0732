"""Training steps on the CPU: TRL as it comes, the studio's worker, and the worker without each of its ingredients.

    python bench/cpu_train.py [--steps 8] [--repeats 3]

Same rows (the bundled set), same NF4 model, rank and batch; every variant in a process of its own, in turns. Prints
tokens/s (padding not counted), the ratio to TRL as it comes, and the loss of the first step, which must agree. At the
end: where the time of one of our steps goes, by operator.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

BATCH, SEED = 4, 0
VARIANTS = {
    "TRL as it comes": "SFTTrainer, NF4, its defaults (padding, gradient checkpointing)",
    "TRL, checkpointing off": "the same without recomputing",
    "studio": "unpacked weights, packed rows, chunked loss",
    "studio, weights unpacked each time": "bitsandbytes' own product",
    "studio, rows padded": "sdpa over padded rows",
    "studio, all logits at once": "the model's own logits and cross-entropy",
    "studio, flash attention kernel": "torch's CPU flash kernel for every row",
}


def rows_for(tokenizer, steps: int):
    from core.data import sources, subset
    from core.data.table import TRAIN
    from core.data.tokens import Renderer
    from core.settings import Settings
    from core.train.batches import tokenize

    settings = Settings().prepare()
    subset.ensure_bundled(settings)
    rows = subset.load(settings, sources.BUNDLED)[TRAIN]
    return tokenize(Renderer(tokenizer), rows[: (steps + 2) * BATCH], 1024, True).rows


def trl_trainer(rows, model, out, checkpointing):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    from core.runs.adapter import lora_config
    from core.runs.config import QLoRAConfig

    nf4 = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_pretrained(model, quantization_config=nf4, dtype=torch.bfloat16)
    arguments = SFTConfig(
        output_dir=out, per_device_train_batch_size=BATCH, max_steps=len(rows) // BATCH, learning_rate=1e-3,
        use_cpu=True,
        logging_steps=1, report_to="none", save_strategy="no", disable_tqdm=True, gradient_checkpointing=checkpointing,
        seed=SEED, warmup_steps=0, train_sampling_strategy="sequential",
    )  # fmt: skip
    data = Dataset.from_list([{"input_ids": r["input_ids"], "labels": r["labels"]} for r in rows])
    tokenizer = AutoTokenizer.from_pretrained(model)
    return SFTTrainer(
        base,
        arguments,
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=lora_config(QLoRAConfig(), "all-linear"),
    )


def studio_trainer(rows, model, out, variant):
    from core.kernels import attention
    from core.models import loading
    from core.models.catalogue import Model
    from core.runs.config import QLoRAConfig
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    packing = variant != "studio, rows padded"
    if variant == "studio, weights unpacked each time":
        loading.UNPACKED_SHARE = 0
    if variant == "studio, flash attention kernel":
        attention.MAX_PLAIN_LENGTH = 0
    config = QLoRAConfig(
        batch_size=BATCH, max_steps=len(rows) // BATCH, learning_rate=1e-3, packing=packing, save_steps=0
    )
    base = loading.load_base(Model("m", "m", model, True), loading.Precision(), attention.PACKED if packing else "sdpa")
    arguments = make_sft_config(config, out, config.max_steps)
    arguments.train_sampling_strategy = "sequential"
    trainer = StudioTrainer(config, base, rows, args=arguments)
    if variant == "studio, all logits at once":
        trainer._head = None
    return trainer


def measure(variant: str, model: str, steps: int, profile: bool) -> None:
    """Run one variant in this process and print one JSON line."""
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from transformers import AutoTokenizer, TrainerCallback

    rows = rows_for(AutoTokenizer.from_pretrained(model), steps)
    with tempfile.TemporaryDirectory() as out:
        if variant.startswith("TRL"):
            trainer = trl_trainer(rows, model, out, variant == "TRL as it comes")
        else:
            trainer = studio_trainer(rows, model, out, variant)
        ends = []

        class Clock(TrainerCallback):
            def on_step_end(self, *_, **__):
                ends.append(time.perf_counter())

        trainer.add_callback(Clock())
        if profile:
            from torch.profiler import ProfilerActivity
            from torch.profiler import profile as profiler

            with profiler(activities=[ProfilerActivity.CPU]) as seen:
                trainer.train()
            print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=44))
            return
        trainer.train()
    tokens = sum(len(r["input_ids"]) for r in rows[2 * BATCH :])  # the first two steps warm up
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print("RESULT " + json.dumps({"rate": tokens / (ends[-1] - ends[1]), "loss": float(losses[0])}))


def child(variant: str, model: str, steps: int, profile: bool = False) -> str:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--variant", variant, "--model", model, "--steps", str(steps)]
    done = subprocess.run(
        command + ["--profile"] * profile, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        measure(options.variant, options.model, options.steps, options.profile)
        return
    from core.models import embedded
    from core.settings import Settings

    model = str(embedded.prepare(Settings().prepare()))
    results: dict[str, list[dict]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.repeats):
        for variant in VARIANTS:
            out = child(variant, model, options.steps)
            results[variant].append(json.loads(out.partition("RESULT ")[2]))
    base = median(r["rate"] for r in results["TRL as it comes"])
    print("| variant | tokens/s | × TRL | spread | first loss | |\n|---|---|---|---|---|---|")
    for variant, found in results.items():
        rates = [r["rate"] for r in found]
        print(
            f"| {variant} | {median(rates):.0f} | {median(rates) / base:.2f} | {min(rates):.0f} to {max(rates):.0f} "
            f"| {found[0]['loss']:.4f} | {VARIANTS[variant]} |"
        )
    print(child("studio", model, 2, profile=True))


if __name__ == "__main__":
    main()
