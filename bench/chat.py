"""Two lanes, base and tuned: the engine against transformers with PEFT, one answer after the other.

    python bench/chat.py [--tokens 64] [--repeats 3]

The embedded model with the NF4 weights that a run trains on, greedy, questions of the bundled held-out rows, the same
for both, in random order in one process. Prints tokens/s of both lanes together, the ratio, and the time to the
first token of a prompt of about 200 tokens. tests/core/chat/test_lanes.py holds that the texts are equal. A GPU
has a bench of its own, bench/chat_gpu.py.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

QUESTIONS = 4


def made_adapter(model, folder: Path) -> Path:
    """An adapter on all linear layers, as a run makes one, of random weights."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    shape = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(model, shape)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            parameter.data *= 0.2
    tuned.save_pretrained(folder)
    tuned.unload()
    return folder


def questions(settings, renderer) -> list[list[dict]]:
    """Prompts of about 200 tokens: questions of the held-out rows, one after the other."""
    from core.data import sources, subset
    from core.data.table import HELD_OUT

    subset.ensure_bundled(settings)
    asked = [messages[0]["content"] for _, messages in subset.load(settings, sources.BUNDLED)[HELD_OUT]]
    found = []
    for start in range(0, len(asked), len(asked) // QUESTIONS):
        text, at = asked[start], start + 1
        while len(renderer.prompt_ids([{"role": "user", "content": text}])) < 200:
            text, at = f"{text} {asked[at % len(asked)]}", at + 1
        found.append([{"role": "user", "content": text}])
    return found[:QUESTIONS]


def by_transformers(base, tuned, renderer, conversation, tokens: int) -> float:
    """The seconds that both answers take, one after the other."""
    import torch

    ids = torch.tensor([renderer.prompt_ids(conversation)], device=base.device)
    began = time.perf_counter()
    for model in (base, tuned):
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
                min_new_tokens=tokens,
            )  # fmt: skip
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    import torch
    from peft import PeftModel

    from core.chat.adapters import read_adapter
    from core.chat.lanes import Lanes
    from core.chat.sampling import Sampling
    from core.chat.types import Lane
    from core.models import embedded
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base
    from core.settings import Settings

    settings = Settings().prepare()
    folder = str(embedded.prepare(settings))
    load = lambda: load_base(Model("m", "m", folder, True), Precision())  # noqa: E731
    lanes = Lanes(load())
    lanes._ends = set()  # every answer has its full length, so that all do the same work
    plain = load().model.eval()
    rates: dict[str, list[float]] = {"transformers and PEFT, one after the other": [], "the engine, both lanes": []}
    first = []
    with tempfile.TemporaryDirectory() as scratch:
        adapter = made_adapter(load().model, Path(scratch))
        tuned = PeftModel.from_pretrained(load().model, adapter).eval()
        lanes.adapters.add("tuned", read_adapter(adapter, lanes.model.dtype, lanes.model.device))
        sampling = Sampling(temperature=0, max_new_tokens=options.tokens)
        asked = questions(settings, lanes.renderer())

        def ours(conversation):
            began = time.perf_counter()
            *_, answers = lanes.generate([Lane(conversation, sampling), Lane(conversation, sampling, "tuned")])
            first.append(max(answer.first_token_seconds for answer in answers))
            return time.perf_counter() - began

        def peer(conversation):
            return by_transformers(plain, tuned, lanes.renderer(), conversation, options.tokens)

        ways = dict(zip(rates, (peer, ours), strict=True))
        for way in ways.values():
            way(asked[0])  # warm
        for _ in range(options.repeats):
            for conversation in asked:
                for name in random.sample(list(ways), 2):
                    rates[name].append(2 * options.tokens / ways[name](conversation))
    slow, fast = (median(found) for found in rates.values())
    print("| way | tokens/s, both lanes | ratio | spread |\n|---|---|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {median(found):.1f} | {median(found) / slow:.2f} | {min(found):.1f} to {max(found):.1f} |")
    print(f"\nRatio {fast / slow:.2f}. First token of a prompt of 200: {median(first):.2f} s (most {max(first):.2f}).")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {lanes.model.device}")


if __name__ == "__main__":
    main()
