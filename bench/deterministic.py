"""Killed and resumed runs, compared bit by bit with an uninterrupted run, and the cost of it.

    python bench/deterministic.py [--tiny]

A random model of Llama-2-7B's shape in NF4, LoRA rank 16, packed rows of random words whose lengths are distributed
like those of guanaco-llama2-1k. Each run is a real one, by the worker, in a temporary STUDIO_HOME. One is
uninterrupted; one is killed (SIGKILL) after steps 13 and 23 and resumed from the last checkpoint, one of which is
written every 10 steps; one has `deterministic` off. All losses and gradient norms of the first two must be equal, also
those of repeated steps; otherwise the first difference is printed, and the exit status is 1.

`--tiny` uses a model of two small blocks, on a GPU or a CPU. A tokenizer of random words is made by the script.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.data import sources, subset  # noqa: E402
from core.data.recipe import Recipe  # noqa: E402
from core.runs import process  # noqa: E402
from core.runs.config import QLoRAConfig  # noqa: E402
from core.runs.store import NOT_ENDED, Run, RunStore  # noqa: E402
from core.settings import Settings  # noqa: E402

STEPS, SAVE_STEPS, KILL_STEPS = 30, 10, (13, 23)
# Left out of the rates: these steps compile kernels and allocate memory.
WARMUP_STEPS = 4
COMPARED = ("loss", "grad_norm")
TINY_VOCABULARY, VOCABULARY = 2000, 32000
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }} {{ message['content'] }} "
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def make_tokenizer(folder: Path, words: int) -> None:
    """Write a tokenizer with a chat template; its vocabulary has `words` words of one token each."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<unk>", "<s>", "</s>", "user", "assistant"]
    names += [f"w{number}" for number in range(words - len(names))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


def make_tiny_model(folder: Path, tokenizer: Path) -> None:
    """Write a random model of two small blocks with the tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=TINY_VOCABULARY, bos_token_id=1, eos_token_id=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)


def write_rows(path: Path, count: int, words: int, longest: int) -> None:
    """Write conversations of random words whose lengths are distributed like those of guanaco-llama2-1k.

    Args:
        path: The file.
        count: Number of conversations.
        words: Size of the vocabulary.
        longest: Maximum length in tokens; the median is about a third of it.
    """
    rng = random.Random(0)

    def make_text(length: int) -> str:
        return " ".join(f"w{rng.randrange(words - 5)}" for _ in range(max(1, length)))

    with path.open("w") as out:
        for _ in range(count):
            length = min(longest, round(rng.lognormvariate(0, 0.8) * longest / 3))
            turns = [("user", make_text(length // 4)), ("assistant", make_text(length - length // 4))]
            out.write(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}) + "\n")


def steps_of(run: Run) -> list[dict[str, Any]]:
    """Return the events of all steps as they were written, repeated steps included."""
    if not run.events_file.exists():
        return []
    # The last line may be half written.
    lines = run.events_file.read_text().split("\n")[:-1]
    return [event for event in map(json.loads, lines) if event["event"] == "step"]


def wait(run: Run, until: int | None = None) -> None:
    """Wait until the run has finished the step `until`, or without one until it has ended."""
    while run.state().status in NOT_ENDED:
        if until and any(step["step"] >= until for step in steps_of(run)):
            return
        time.sleep(0.02 if until else 0.2)
    if until or run.state().status != "finished":
        raise SystemExit(f"{run.state().status}: {run.state().cause}\n{run.log_tail(40)}")


def train(store: RunStore, config: QLoRAConfig) -> Run:
    """Return a run that was trained without an interruption."""
    run = process.submit(store, config)
    wait(run)
    return run


def train_with_kills(store: RunStore, config: QLoRAConfig) -> Run:
    """Return a run that was killed and resumed after each of `KILL_STEPS`."""
    run = process.submit(store, config)
    for step in KILL_STEPS:
        wait(run, step)
        os.kill(run.saved_state().pid, signal.SIGKILL)
        while run.state().status in NOT_ENDED:
            time.sleep(0.02)
        print(f"Killed after step {steps_of(run)[-1]['step']}, resumed from {process.last_step(run)}.", flush=True)
        process.resume(store, run)
    wait(run)
    return run


def rates(run: Run) -> list[float]:
    """Return tokens per second of each step of an uninterrupted run after the warm-up."""
    return [step["tokens_per_second"] for step in steps_of(run)[WARMUP_STEPS:]]


def differences(whole: Run, resumed: Run) -> list[str]:
    """Return a line per value that differs, in the order in which the values were written."""
    expected = {step["step"]: step for step in steps_of(whole)}
    found = steps_of(resumed)
    lines = [f"step {step} is missing" for step in sorted(expected.keys() - {event["step"] for event in found})]
    for event in found:
        other = expected.get(event["step"], {})
        for name in COMPARED:
            if repr(event[name]) != repr(other.get(name)):
                lines.append(
                    f"step {event['step']}, {name}: {other.get(name)!r} uninterrupted, {event[name]!r} resumed"
                )
    return lines


def print_table(whole: Run, resumed: Run) -> None:
    """Print a row per step: its values, and whether the resumed run has the same."""
    print("| step | loss | gradient norm | in the resumed run |\n|---|---|---|---|")
    events: dict[int, list[dict]] = {}
    for event in steps_of(resumed):
        events.setdefault(event["step"], []).append(event)
    for step in steps_of(whole):
        repeats = events.get(step["step"], [])
        # repr compares all bits of a float.
        equal = bool(repeats) and all(repr(event[name]) == repr(step[name]) for event in repeats for name in COMPARED)
        print(f"| {step['step']} | {step['loss']!r} | {step['grad_norm']!r} | "
              f"{'equal' if equal else 'DIFFERS'}, run {len(repeats)} × |")  # fmt: skip


def prepare(home: Path, tiny: bool) -> tuple[RunStore, dict[str, Any]]:
    """Make the model and the rows in `home`; return the runs' store, and the settings of a run on them."""
    models, words, longest = home / "models", TINY_VOCABULARY if tiny else VOCABULARY, 200 if tiny else 1000
    models.mkdir()
    make_tokenizer(home / "tokenizer", words)
    if tiny:
        make_tiny_model(models / "tiny", home / "tokenizer")
    else:
        # In a process of its own, which frees the GPU's memory when it ends.
        command = [sys.executable, PROJECT / "bench" / "train.py", "--variant", "make", "--model", models / "llama7b"]
        subprocess.run([*command, "--tokenizer", home / "tokenizer"], check=True, stdout=subprocess.DEVNULL)
    settings = Settings(home=home / "studio", models=models).prepare()
    batch = 4 if tiny else 16
    write_rows(home / "rows.jsonl", (STEPS + 2) * batch, words, longest)
    data = sources.open_file(settings, home / "rows.jsonl")
    subset.create(settings, "rows", Recipe(dataset=data.id, held_out_share=0))
    options = {
        "model": "tiny" if tiny else "llama7b-4bit", "quantization": "none" if tiny else "nf4", "subset": "rows",
        "batch_size": batch, "max_length": 256 if tiny else 1024, "lora_rank": 16, "lora_alpha": 16,
        "answers_only": False, "held_out_share": 0, "eval_rows": 0, "max_steps": STEPS, "save_steps": SAVE_STEPS,
    }  # fmt: skip
    return RunStore(settings), options


def print_speeds(measured: dict[str, list[float]], mode: str, tiny: bool) -> None:
    """Print the tokens per second of each mode, and unless the model is tiny the cost of `mode` compared with off."""
    for name, values in measured.items():
        print(f"deterministic {name}: {median(values):,.0f} tokens/s, the median of {len(values)} steps")
    if tiny:
        return
    # Step by step, because both runs have the same rows in the same order.
    cost = 1 - median(on / off for on, off in zip(measured[mode], measured["off"], strict=True))
    print(f"It costs {cost:.1%} of the tokens/s, the median over the steps.")


def main() -> None:
    """Train the three runs and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, for a machine without a GPU")
    parser.add_argument("--mode", choices=["auto", "on"], default="on", help="deterministic of the compared runs")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        store, shared = prepare(Path(home), options.tiny)
        print(f"The model is made ({time.monotonic() - began:.0f} s).", flush=True)
        whole = train(store, QLoRAConfig(**shared, deterministic=options.mode))
        prepared = next(event for event in whole.events() if event.event == "prepared")
        print(next(text for text in prepared.choices if text.startswith("Deterministic")), flush=True)
        resumed = train_with_kills(store, QLoRAConfig(**shared, deterministic=options.mode))
        off = train(store, QLoRAConfig(**shared, deterministic="off"))
        print_table(whole, resumed)
        print_speeds({options.mode: rates(whole), "off": rates(off)}, options.mode, options.tiny)
        print(f"All took {time.monotonic() - began:.0f} s.")
        print(f"The run with deterministic off {'differs' if differences(whole, off) else 'is equal'}.")
        if lines := differences(whole, resumed):
            raise SystemExit(f"{len(lines)} values differ; the first: {lines[0]}")
    print("Every loss and gradient norm is equal.")


if __name__ == "__main__":
    main()
