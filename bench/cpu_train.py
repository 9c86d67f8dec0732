"""Training steps on the CPU: TRL, the studio's trainer, and the trainer without each optimization.

    python bench/cpu_train.py [--steps 8] [--repeats 3]

The same rows (bundled data), NF4 model, rank and batch; each variant in a process of its own, in turns. Prints tokens
per second (padding not counted), the ratio to TRL, and the loss of the first step, which must agree; then a profile of
the studio's steps by operator.
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
# Steps before the rates are measured.
WARMUP_STEPS = 2
VARIANTS = {
    "TRL as it comes": "SFTTrainer, NF4, its defaults (padding, gradient checkpointing)",
    "TRL, checkpointing off": "the same without recomputing",
    "studio": "unpacked weights, packed rows, chunked loss",
    "studio, weights unpacked each time": "bitsandbytes' own product",
    "studio, rows padded": "sdpa over padded rows",
    "studio, all logits at once": "the model's own logits and cross-entropy",
    "studio, flash attention kernel": "torch's CPU flash kernel for every row",
}


def make_rows(tokenizer, steps: int) -> list[dict]:
    """Return the rows of `steps` steps after the warm-up, as token ids with labels."""
    from core.data import sources, subset
    from core.data.table import TRAIN
    from core.data.tokens import Renderer
    from core.settings import Settings
    from core.train.batches import tokenize

    settings = Settings().prepare()
    subset.ensure_bundled(settings)
    rows = subset.load(settings, sources.BUNDLED)[TRAIN]
    return tokenize(Renderer(tokenizer), rows[: (steps + WARMUP_STEPS) * BATCH], 1024, True).rows


def trl_trainer(rows, model, out, checkpointing):
    """Return TRL's trainer.

    Args:
        rows: The rows that `make_rows` returned.
        model: Folder of the model.
        out: Folder for its output.
        checkpointing: Whether activations are recomputed.
    """
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
    """Return the studio's trainer, without the optimization that the variant names; arguments as `trl_trainer`."""
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
        # Without the head's own path, the loss is computed from all logits.
        trainer._head = None
    return trainer


def measure(variant: str, model: str, steps: int, profile: bool) -> None:
    """Run one variant in this process, and print one line of JSON, or a profile."""
    import logging

    from transformers import AutoTokenizer

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    rows = make_rows(AutoTokenizer.from_pretrained(model), steps)
    with tempfile.TemporaryDirectory() as out:
        if variant.startswith("TRL"):
            trainer = trl_trainer(rows, model, out, variant == "TRL as it comes")
        else:
            trainer = studio_trainer(rows, model, out, variant)
        if profile:
            print_profile(trainer)
            return
        ends = record_step_ends(trainer)
        trainer.train()
    tokens = sum(len(row["input_ids"]) for row in rows[WARMUP_STEPS * BATCH :])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print("RESULT " + json.dumps({"rate": tokens / (ends[-1] - ends[WARMUP_STEPS - 1]), "loss": float(losses[0])}))


def record_step_ends(trainer) -> list[float]:
    """Return a list that receives the time at the end of each training step, in seconds."""
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.perf_counter())

    trainer.add_callback(Clock())
    return ends


def print_profile(trainer) -> None:
    """Train, and print the operators sorted by the time that each takes itself."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CPU]) as profile:
        trainer.train()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=44))


def run_in_process(variant: str, model: str, steps: int, profile: bool = False) -> str:
    """Return the output of `measure` in a new process."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, __file__, "--variant", variant, "--model", model, "--steps", str(steps)]
    done = subprocess.run(
        command + ["--profile"] * profile, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{variant} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    """Compare the variants, or run one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8, help="timed training steps (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="processes per variant (default: %(default)s)")
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
            output = run_in_process(variant, model, options.steps)
            results[variant].append(json.loads(output.partition("RESULT ")[2]))
    base = median(r["rate"] for r in results["TRL as it comes"])
    print("| variant | tokens/s | × TRL | spread | first loss | |\n|---|---|---|---|---|---|")
    for variant, found in results.items():
        rates = [r["rate"] for r in found]
        print(
            f"| {variant} | {median(rates):.0f} | {median(rates) / base:.2f} | {min(rates):.0f} to {max(rates):.0f} "
            f"| {found[0]['loss']:.4f} | {VARIANTS[variant]} |"
        )
    print(run_in_process("studio", model, 2, profile=True))


if __name__ == "__main__":
    main()
