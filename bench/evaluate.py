"""A prompt set answered by base and tuned: an evaluation's batches against transformers with PEFT, one by one.

    python bench/evaluate.py [--prompts 160] [--alone 8] [--tokens 64] [--rounds 3] [--rows 0]

The embedded model with the NF4 weights that a run trains on, greedy, an answer of each model to every prompt of the
bundled data set until it ends by itself or at the length. Each round both ways answer in random order in one process:
the batches all prompts, transformers a sample of the same ones, as it would take too long otherwise. Prints answers a
minute, tokens/s, the ratio of each round and how many texts are equal.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.chat import made_adapter  # noqa: E402


def prompts_file(settings, folder: Path, count: int) -> Path:
    from core.data import sources, subset
    from core.evaluate.prompts import parse_prompt

    subset.ensure_bundled(settings)
    found = [parse_prompt(messages, row) for _, row, messages in subset.stream(settings, sources.BUNDLED)]
    random.Random(0).shuffle(found)
    path = folder / "prompts.jsonl"
    lines = [json.dumps({"messages": p.messages, "reference": p.reference, "row": p.row}) for p in found if p]
    path.write_text("".join(line + "\n" for line in lines[:count]))
    return path


def by_transformers(models, lanes, prompts, chosen: list[int], tokens: int) -> tuple[dict, int, float]:
    """Texts by (prompt, lane), tokens, seconds."""
    import torch

    began, found, total = time.perf_counter(), {}, 0
    for number in chosen:
        ids = torch.tensor([lanes.renderer().prompt_ids(prompts[number].messages)], device=lanes.model.device)
        for lane, model in enumerate(models):
            with torch.inference_mode():
                out = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens
                )
            said = [token for token in out[0, ids.shape[1] :].tolist() if not lanes.is_end(token)]
            total += len(said)
            found[number, lane] = lanes.base.tokenizer.decode(said, skip_special_tokens=True)
    return found, total, time.perf_counter() - began


def by_batches(generator) -> tuple[dict, int, float]:
    """Texts by (prompt, lane), tokens, seconds."""
    began, found, total = time.perf_counter(), {}, 0
    tasks = generator.list_tasks([])
    for lines in generator.generate(tasks, generator.plan_batch(tasks[0].tokens), lambda: True):
        for line in lines:
            found[line["prompt"], line["lane"]] = line["text"]
            total += line["tokens"]
    return found, total, time.perf_counter() - began


def made(settings, scratch: Path, options):
    """The lanes with everything that is to be answered, and the two models of transformers and PEFT."""
    from peft import PeftModel

    from core.chat.adapters import read_adapter
    from core.chat.lanes import Lanes
    from core.chat.sampling import Sampling
    from core.chat.types import LaneRequest
    from core.evaluate.batch_generate import BatchGenerator
    from core.evaluate.prompts import Prompts
    from core.models import embedded
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base

    folder = str(embedded.prepare(settings))

    def load():
        return load_base(Model("m", "m", folder, True), Precision())

    adapter = made_adapter(load().model, scratch)
    models = load().model.eval(), PeftModel.from_pretrained(load().model, adapter).eval()
    lanes = Lanes(load())
    lanes.adapters.add("tuned", read_adapter(adapter, lanes.model.dtype, lanes.model.device))
    sampling = Sampling(temperature=0, max_new_tokens=options.tokens)
    prompts = Prompts(prompts_file(settings, scratch, options.prompts))
    asked = [LaneRequest([], sampling), LaneRequest([], sampling, "tuned")]
    return BatchGenerator(lanes, asked, prompts, options.rows), models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("prompts", 160), ("alone", 8), ("tokens", 64), ("rounds", 3), ("rows", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    import torch

    from core.settings import Settings

    with tempfile.TemporaryDirectory() as scratch:
        generator, models = made(Settings().prepare(), Path(scratch), options)
        ways = {
            "transformers and PEFT, one by one": lambda: by_transformers(
                models, generator.lanes, generator.prompts,
                random.sample(range(len(generator.prompts)), options.alone), options.tokens,
            ),
            "an evaluation's batches": lambda: by_batches(generator),
        }  # fmt: skip
        rates, speeds, same, compared = {way: [] for way in ways}, {way: [] for way in ways}, 0, 0
        for number in range(options.rounds + 1):
            texts = {}
            for way in random.sample(list(ways), 2):
                texts[way], tokens, seconds = ways[way]()
                if number:  # the first round warms up
                    rates[way].append(60 * len(texts[way]) / seconds)
                    speeds[way].append(tokens / seconds)
            alone, batched = texts.values() if len(texts) == 2 else ({}, {})
            both = alone.keys() & batched.keys()
            compared, same = compared + len(both), same + sum(alone[key] == batched[key] for key in both)
    slow, fast = rates.values()
    ratios = [b / a for a, b in zip(slow, fast, strict=True)]
    print("| way | answers a minute | spread | tokens/s |\n|---|---|---|---|")
    for way, found in rates.items():
        print(f"| {way} | {median(found):.0f} | {min(found):.0f} to {max(found):.0f} | {median(speeds[way]):.0f} |")
    print(f"\nRatio {median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}, a round each).")
    sequences = generator.plan_batch(200).sequences
    print(
        f"{sequences} rows at once. Equal texts: {same} of {compared} (in bf16, where a near-tie may fall either way)."
    )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {generator.lanes.model.device}")


if __name__ == "__main__":
    main()
