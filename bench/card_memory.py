"""Peak GPU memory of every preset for a card, measured with a random model of Llama-2-7B's shape.

    python bench/card_memory.py [--tokenizer FOLDER] [--grid]

Every preset trains two updates on rows of the maximum length in a process of its own; the peak is what torch's
allocator held at most, and what it held together with the CUDA context. --grid also measures one model at several
batches, with and without gradient checkpointing: what the memory forecast's constants were fitted to.
"""

import argparse
import json
import multiprocessing
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
GRID = [(1, 512), (1, 1024), (2, 1024), (4, 1024), (8, 1024), (1, 4096)]


def make_model(folder: Path, shape: str, tokenizer: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, **SHAPES[shape])
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="4GB")
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def rows_of(length: int, count: int) -> list[dict[str, Any]]:
    import torch

    ids = torch.randint(3, 32000, (count, length)).tolist()
    return [{"row": i, "input_ids": row, "labels": [-100] * (length // 3) + row[length // 3 :]} for i, row in
            enumerate(ids)]  # fmt: skip


def trainer_of(folder: str, values: dict[str, Any], count: int) -> Any:
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base
    from core.runs.config import QLoRAConfig
    from core.train.attention import PACKED
    from core.train.trainer import StudioTrainer, sft_config

    config = QLoRAConfig(**values)
    model = Model("bench", "bench", folder, local=True)
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    base = load_base(model, precision, PACKED)
    scratch = tempfile.mkdtemp()
    return StudioTrainer(config, base, rows_of(config.max_length, count), args=sft_config(config, scratch, 2))


def preset_peak(folder: str, values: dict[str, Any]) -> dict[str, float]:
    """Peak memory of two updates of a preset, in GiB."""
    import torch

    values = values | {"model": "bench", "max_steps": 2, "save_steps": 0}
    batch = values.get("batch_size", 8) * values.get("gradient_accumulation", 1)
    torch.cuda.init()
    free_before = torch.cuda.mem_get_info()[0]
    trainer = trainer_of(folder, values, 2 * batch)
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


def grid(folder: str, shape: str) -> list[dict[str, Any]]:
    """Peaks of one forward and backward pass above what is held before it, in MiB."""
    import torch

    trainer = trainer_of(folder, {"model": "bench", "max_length": 64, "save_steps": 0}, 4)
    trainer.model.to("cuda").train()
    found = []
    for checkpointing in (True, False):
        if checkpointing:
            trainer.model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            trainer.model.gradient_checkpointing_disable()
        for rows, length in GRID:
            if not checkpointing and rows * length > 4096:
                continue
            batch = trainer._prepare_inputs(trainer.collate(rows_of(length, rows)))
            trainer.model.zero_grad(set_to_none=True)
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            try:
                trainer.compute_loss(trainer.model, batch).backward()
                peak = (torch.cuda.max_memory_allocated() - before) / 2**20
            except torch.OutOfMemoryError:
                peak = float("nan")
            found.append({"shape": shape, "checkpointing": checkpointing, "rows": rows, "length": length,
                          "MiB above": round(peak, 1), "before": round(before / 2**20, 1)})  # fmt: skip
    return found


def forecast_of(preset: Any) -> tuple[float, float]:
    """Forecast peak of the allocator and of the device, in GiB."""
    from transformers import LlamaConfig

    from core.runs.forecast import forecast, shape_of

    config = preset.config()
    found = forecast(shape_of(LlamaConfig(vocab_size=32000, **SHAPES["7b"])), config,
                     config.gradient_checkpointing != "off")  # fmt: skip
    return found.total / 2**30, found.device / 2**30


def apart(work: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    from core.runs.presets import CARDS, LONG_CONTEXT

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, default=None, help="a folder with a tokenizer; else the embedded one")
    parser.add_argument("--grid", action="store_true", help="also measure batches one by one")
    options = parser.parse_args()
    tokenizer = options.tokenizer
    if tokenizer is None:
        from core.models import embedded
        from core.settings import Settings

        tokenizer = embedded.prepare(Settings().prepare())
    with tempfile.TemporaryDirectory() as scratch:
        for shape in SHAPES if options.grid else ["7b"]:
            folder = Path(scratch) / shape
            apart(make_model, folder, shape, tokenizer)
            if options.grid:
                for line in apart(grid, str(folder), shape):
                    print(json.dumps(line), flush=True)
        head = ("preset", "loaded", "peak", "forecast", "× peak", "on the device", "forecast", "× device")
        print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
        for preset in (*CARDS, LONG_CONTEXT):
            found = apart(preset_peak, str(Path(scratch) / "7b"), preset.values)
            peak, device = forecast_of(preset)
            figures = (found["loaded"], found["peak"], peak, peak / found["peak"], found["device"], device,
                       device / found["device"])  # fmt: skip
            print(f"| {preset.name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |", flush=True)


if __name__ == "__main__":
    main()
