"""Sliding-window attention in packed training: exactness, and speed compared with no window.

    python bench/window.py [--steps 8] [--tiny]

First, two layers of Mistral-7B's shape with a window of 4,096 tokens in bf16: the logits of one packed row of 8,192
tokens against eager attention. Then training steps of the studio's trainer on the shapes of Llama-2-7B and Mistral-7B,
random weights in NF4, the same length, one after the other in one process. `--tiny` runs all of it on a CPU.
"""

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

# The first steps compile kernels and allocate memory.
_WARMUP_STEPS = 3
_LENGTH, _TINY_LENGTH = 8192, 96
_LLAMA = {"intermediate_size": 11008, "num_key_value_heads": 32}
_MISTRAL = {"intermediate_size": 14336, "num_key_value_heads": 8, "sliding_window": 4096}
_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}


def make_config(family: str, tiny: bool, layers: int) -> Any:
    """Return the configuration of Llama-2-7B's or Mistral-7B's shape."""
    from transformers import AutoConfig

    shape = {"vocab_size": 32000, "hidden_size": 4096, "num_attention_heads": 32, "max_position_embeddings": 32768}
    shape |= _MISTRAL if family == "mistral" else _LLAMA
    if tiny:
        shape |= _TINY | ({"sliding_window": 32} if family == "mistral" else {})
    return AutoConfig.for_model(family, **shape, num_hidden_layers=layers, bos_token_id=1, eos_token_id=2)


def make_rows(length: int, count: int) -> list[dict[str, Any]]:
    """Return rows of random tokens; all but the first token of each have loss."""
    import torch

    torch.manual_seed(0)
    ids = torch.randint(3, 32000, (count, length)).tolist()
    return [{"row": number, "input_ids": row, "labels": [-100, *row[1:]]} for number, row in enumerate(ids)]


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def compare_logits(tiny: bool, length: int) -> tuple[float, float]:
    """Return the RMS differences of packed and sdpa logits from eager ones, in standard deviations of the logits."""
    import torch
    from transformers import AutoModelForCausalLM

    from core.kernels.attention import PACKED
    from core.train.batches import pack

    device = _device()
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(make_config("mistral", tiny, 2), dtype=torch.bfloat16).to(device).eval()
    batch = pack(make_rows(length, 1))
    inputs = {name: batch[name].to(device) for name in ("input_ids", "position_ids")}  # (1, length) each
    packed = {"row_lengths": batch["row_lengths"], "row_bounds": batch["row_bounds"].to(device)}
    logits = {}
    for kind in ("eager", "sdpa", PACKED):
        model.set_attn_implementation(kind)
        with torch.no_grad():
            # (1, length, vocabulary)
            logits[kind] = model(**inputs, **(packed if kind == PACKED else {}), use_cache=False).logits.float()
    eager = logits["eager"]
    return tuple(((logits[kind] - eager).pow(2).mean().sqrt() / eager.std()).item() for kind in (PACKED, "sdpa"))


def measure_speed(family: str, tiny: bool, length: int, steps: int) -> float:
    """Return tokens per second of training steps, the median of those after the warm-up."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        _save_model(folder, family, tiny)
        times = _train(folder, family, tiny, length, steps)
    # Free the model before the next family is loaded.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    ends = zip(times[_WARMUP_STEPS - 1 :], times[_WARMUP_STEPS:], strict=False)
    return length / median(end - begin for begin, end in ends)


def _save_model(folder: str, family: str, tiny: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with torch.device(_device()):
        config = make_config(family, tiny, 2 if tiny else 32)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    _save_tokenizer(folder)


def _train(folder: str, family: str, tiny: bool, length: int, steps: int) -> list[float]:
    """Train on rows of one length, and return the times at which the steps ended, in seconds."""
    import torch
    from transformers import TrainerCallback

    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base
    from core.runs.config import QLoRAConfig
    from core.train.trainer import StudioTrainer
    from core.train.trl_config import make_sft_config

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.monotonic())

    config = QLoRAConfig(
        model="bench", batch_size=1, max_length=length, lora_rank=16, lora_alpha=16, max_steps=steps, save_steps=0,
    )  # fmt: skip
    base = load_base(Model("bench", "bench", folder, True), Precision("none" if tiny else "nf4"), "auto")
    arguments = make_sft_config(config, f"{folder}/out/checkpoints", steps)
    trainer = StudioTrainer(config, base, make_rows(length, steps), args=arguments)
    print(family, *trainer.notes, sep="\n  ")
    trainer.add_callback(Clock())
    trainer.train()
    return times


def _save_tokenizer(folder: str) -> None:
    """Write a tokenizer with one token per byte: the trainer needs a tokenizer, the rows do not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    ).save_pretrained(folder)


def main() -> None:
    """Print the differences of the logits and the table of speeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8, help="training steps per model, three of them to warm up")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and short rows, for a CPU")
    options = parser.parse_args()
    length = _TINY_LENGTH if options.tiny else _LENGTH
    packed, sdpa = compare_logits(options.tiny, length)
    print(f"Logits against eager attention, as a share of their deviation: packed {packed:.2e}, sdpa {sdpa:.2e}")
    rates = {family: measure_speed(family, options.tiny, length, options.steps) for family in ("llama", "mistral")}
    print("| shape | tokens per second | share of Llama's |\n| --- | --- | --- |")
    for family, rate in rates.items():
        print(f"| {family} | {rate:,.0f} | {rate / rates['llama']:.1%} |")


if __name__ == "__main__":
    main()
