"""Peak GPU memory of the presets for GPUs, measured with a random model of Llama-2-7B's shape.

    python bench/card_memory.py [--tokenizer FOLDER] [--grid]

Each preset trains two updates on rows of the maximum length in a process of its own. The peak is the most that torch's
allocator gave out; "on the device" is what it held together with the CUDA context. --grid also measures one model at
several batch sizes, with all blocks, some and none recomputed and offloaded, next to the forecast of each. With
--kernels off it measures transformers' own blocks.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

SHAPES = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
           "num_key_value_heads": 4},
}  # fmt: skip
# Rows and length in tokens of the batches of the grid.
GRID = [(1, 512), (1, 1024), (2, 1024), (4, 1024), (8, 1024), (1, 4096)]


def make_model(folder: Path, shape: str, tokenizer: Path) -> None:
    """Write a random model in bf16 with a tokenizer; `shape` is a key of `SHAPES`."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, **SHAPES[shape])
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="4GB")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def make_rows(length: int, count: int) -> list[dict[str, Any]]:
    """Return rows of random tokens; the last two thirds of each have loss."""
    import torch

    ids = torch.randint(3, 32000, (count, length)).tolist()
    masked = length // 3
    return [
        {"row": number, "input_ids": row, "labels": [-100] * masked + row[masked:]} for number, row in enumerate(ids)
    ]


def make_trainer(folder: str, values: dict[str, Any], count: int) -> Any:
    """Return the studio's trainer with some settings and `count` rows of the maximum length."""
    from core.kernels.attention import PACKED
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base
    from core.runs.config import QLoRAConfig
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    config = QLoRAConfig(**values)
    model = Model("bench", "bench", folder, local=True)
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    base = load_base(model, precision, PACKED)
    scratch = tempfile.mkdtemp()
    return StudioTrainer(config, base, make_rows(config.max_length, count), args=make_sft_config(config, scratch, 2))


def measure_preset(folder: str, values: dict[str, Any]) -> dict[str, float]:
    """Return the memory of two updates of a preset, in GiB."""
    import torch

    values = values | {"model": "bench", "max_steps": 2, "save_steps": 0}
    batch = values.get("batch_size", 8) * values.get("gradient_accumulation", 1)
    torch.cuda.init()
    free_before = torch.cuda.mem_get_info()[0]
    trainer = make_trainer(folder, values, 2 * batch)
    loaded = torch.cuda.memory_allocated()
    trainer.train()
    used = free_before - torch.cuda.mem_get_info()[0]
    return {
        "loaded": loaded / 2**30,
        "peak": torch.cuda.max_memory_allocated() / 2**30,
        "reserved": torch.cuda.max_memory_reserved() / 2**30,
        "device": used / 2**30,
        "total": torch.cuda.mem_get_info()[1] / 2**30,
    }


def measure_grid(folder: str, shape: str, kernels: str) -> list[dict[str, Any]]:
    """Return the peak memory of two updates, in GiB, and the forecast, for each batch of `GRID`."""
    import torch

    from core.models.shape import ModelShape
    from core.runs.config import QLoRAConfig
    from core.runs.forecast import forecast
    from core.train.activation_checkpointing import Planner

    found = []
    trainer = make_trainer(folder, {"model": "bench", "max_length": 64, "save_steps": 0, "kernels": kernels}, 4)
    trainer.model.to("cuda").train()
    base = trainer.model.get_base_model()
    figures = ModelShape.from_config(base.config)
    trainer.create_optimizer()
    for checkpointing in ("off", "on", "offload"):
        for rows, length in GRID:
            if checkpointing == "off" and rows * length > 4096:
                continue
            config = QLoRAConfig(
                batch_size=rows, max_length=length, gradient_checkpointing=checkpointing, kernels=kernels, model="bench"
            )
            examples = make_rows(length, rows)
            trainer.planner = Planner(config, base, trainer.blocks, examples)
            batch = trainer._prepare_inputs(trainer.collate(examples))
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            try:
                for _ in range(2):
                    trainer.compute_loss(trainer.model, batch).backward()
                    trainer.optimizer.step()
                    trainer.model.zero_grad(set_to_none=True)
                peak = torch.cuda.max_memory_allocated() / 2**30
            except torch.OutOfMemoryError:
                peak = float("nan")
            expected = forecast(figures, config, checkpointing != "off", fused=bool(trainer.blocks)).total / 2**30
            figure = {"peak": round(peak, 2), "forecast": round(expected, 2), "× peak": round(expected / peak, 3)}
            found.append({"shape": shape, "checkpointing": checkpointing, "rows": rows, "length": length} | figure)
    return found


def forecast_of(preset: Any) -> tuple[float, float]:
    """Return the forecast peaks of the allocator and of the device, in GiB."""
    from transformers import LlamaConfig

    from core.models.shape import ModelShape
    from core.runs.activation_checkpointing import fuses
    from core.runs.forecast import forecast

    config, shape = preset.config(), LlamaConfig(vocab_size=32000, **SHAPES["7b"])
    found = forecast(
        ModelShape.from_config(shape), config, config.gradient_checkpointing != "off", fused=fuses(config, shape)
    )
    return found.total / 2**30, found.device / 2**30


def run_in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `work` in a new process, so that each measurement starts with an empty GPU."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    """Measure the grid if it is wanted, then the presets, and print their tables."""
    # The worker has the same setting.
    os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--tokenizer", type=Path, default=None, help="folder of a tokenizer (default: the embedded model)"
    )
    parser.add_argument("--grid", action="store_true", help="also measure the batches of the grid")
    parser.add_argument(
        "--kernels", choices=["auto", "off"], default="auto", help="kernels of the grid's runs (default: %(default)s)"
    )
    options = parser.parse_args()
    tokenizer = options.tokenizer
    if tokenizer is None:
        from core.models import embedded
        from core.settings import Settings

        tokenizer = embedded.prepare(Settings().prepare())
    with tempfile.TemporaryDirectory() as scratch:
        for shape in SHAPES if options.grid else ["7b"]:
            folder = Path(scratch) / shape
            run_in_process(make_model, folder, shape, tokenizer)
            if options.grid:
                for line in run_in_process(measure_grid, str(folder), shape, options.kernels):
                    print(json.dumps(line), flush=True)
        print_presets(str(Path(scratch) / "7b"))


def print_presets(folder: str) -> None:
    """Measure each preset for a GPU, and print its row as soon as it is known."""
    from core.runs.presets import CARDS, LONG_CONTEXT

    heads = ("preset", "loaded", "peak", "forecast", "× peak", "on the device", "forecast", "× device")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for preset in (*CARDS, LONG_CONTEXT):
        found = run_in_process(measure_preset, folder, preset.values)
        peak, device = forecast_of(preset)
        figures = (found["loaded"], found["peak"], peak, peak / found["peak"], found["device"], device,
                   device / found["device"])  # fmt: skip
        print(f"| {preset.name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
