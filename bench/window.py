"""A sliding window of attention in packed training: exactness, and speed beside a model without one.

    python bench/window.py [--steps 8] [--tiny]

First, two layers of Mistral-7B's shape with a window of 4,096 tokens in bf16: the logits of one packed row of 8,192
tokens against eager attention. Then training steps of the studio's trainer on Llama-2-7B's and on Mistral-7B's shape,
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

_SKIPPED = 3  # steps that warm up
_LLAMA = {"intermediate_size": 11008, "num_key_value_heads": 32}
_MISTRAL = {"intermediate_size": 14336, "num_key_value_heads": 8, "sliding_window": 4096}
_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}


def config_of(family: str, tiny: bool, layers: int) -> Any:
    """Return the configuration of Llama-2-7B's or Mistral-7B's shape."""
    from transformers import AutoConfig

    shape = {"vocab_size": 32000, "hidden_size": 4096, "num_attention_heads": 32, "max_position_embeddings": 32768}
    shape |= _MISTRAL if family == "mistral" else _LLAMA
    if tiny:
        shape |= _TINY | ({"sliding_window": 32} if family == "mistral" else {})
    return AutoConfig.for_model(family, **shape, num_hidden_layers=layers, bos_token_id=1, eos_token_id=2)


def rows_of(length: int, count: int) -> list[dict[str, Any]]:
    """Return rows of random tokens, all but the first with loss."""
    import torch

    torch.manual_seed(0)
    ids = torch.randint(3, 32000, (count, length)).tolist()
    return [{"row": number, "input_ids": row, "labels": [-100, *row[1:]]} for number, row in enumerate(ids)]


def difference(tiny: bool, length: int) -> tuple[float, float]:
    """Return how far packed and sdpa's logits are from eager ones, as a share of their standard deviation."""
    import torch
    from transformers import AutoModelForCausalLM

    from core.kernels.attention import PACKED
    from core.train.batches import pack

    place = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_of("mistral", tiny, 2), dtype=torch.bfloat16).to(place).eval()
    batch = pack(rows_of(length, 1))
    logits = {}
    for kind in ("eager", "sdpa", PACKED):
        model.set_attn_implementation(kind)
        given = {name: batch[name].to(place) for name in ("input_ids", "position_ids")}
        packed = {"row_lengths": batch["row_lengths"], "row_bounds": batch["row_bounds"].to(place)}
        with torch.no_grad():
            logits[kind] = model(**given, **(packed if kind == PACKED else {}), use_cache=False).logits.float()
    eager = logits["eager"]
    return tuple(((logits[kind] - eager).pow(2).mean().sqrt() / eager.std()).item() for kind in (PACKED, "sdpa"))


def speed(family: str, tiny: bool, length: int, steps: int) -> float:
    """Return tokens per second of training steps, the median of those after the warm-up."""
    import torch
    from transformers import AutoModelForCausalLM, TrainerCallback

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

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        place = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(place):
            made = AutoModelForCausalLM.from_config(config_of(family, tiny, 2 if tiny else 32), dtype=torch.bfloat16)
        made.save_pretrained(folder)
        del made
        write_tokenizer(folder)
        config = QLoRAConfig(
            model="bench", batch_size=1, max_length=length, lora_rank=16, lora_alpha=16, max_steps=steps, save_steps=0,
        )  # fmt: skip
        base = load_base(Model("bench", "bench", folder, True), Precision("none" if tiny else "nf4"), "auto")
        arguments = make_sft_config(config, f"{folder}/out/checkpoints", steps)
        trainer = StudioTrainer(config, base, rows_of(length, steps), args=arguments)
        print(family, *trainer.choices, sep="\n  ")
        trainer.add_callback(Clock())
        trainer.train()
        del trainer, base
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return length / median(b - a for a, b in zip(times[_SKIPPED - 1 :], times[_SKIPPED:], strict=False))


def write_tokenizer(folder: str) -> None:
    """Write a tokenizer of one token per byte, which the trainer needs and the rows do not."""
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
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8, help="training steps per model, three of them to warm up")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and short rows, for a CPU")
    options = parser.parse_args()
    length = 96 if options.tiny else 8192
    packed, sdpa = difference(options.tiny, length)
    print(f"Logits against eager attention, as a share of their deviation: packed {packed:.2e}, sdpa {sdpa:.2e}")
    rates = {family: speed(family, options.tiny, length, options.steps) for family in ("llama", "mistral")}
    print("| shape | tokens per second | share of Llama's |\n| --- | --- | --- |")
    for family, rate in rates.items():
        print(f"| {family} | {rate:,.0f} | {rate / rates['llama']:.1%} |")


if __name__ == "__main__":
    main()
