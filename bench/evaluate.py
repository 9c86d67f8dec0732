"""A prompt set answered by base and tuned: an evaluation's batches, and transformers with PEFT.

    python bench/evaluate.py [--prompts 160] [--alone 8] [--tokens 64] [--rounds 3] [--rows 0] [--file FILE]

The embedded model with NF4 weights, greedy; both models answer prompts of the bundled dataset until the answer ends or
reaches the maximum length. transformers answers one by one. In each round both ways answer in random order in one
process: the batches answer all prompts, transformers only some of them, because all would take too long. Prints answers
per minute, tokens per second, the ratio of each round, the shares that the losses of references and scoring add, and
the number of equal texts. With --file, the prompts are those of a dataset's file, such as Guanaco's.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.chat import load_embedded, make_adapter  # noqa: E402

PEER, OURS = "transformers and PEFT, one by one", "an evaluation's batches"


def write_prompts(settings, folder: Path, count: int, file: Path | None) -> Path:
    """Write the first prompts of a dataset's file, or some of the bundled dataset in random order; return the file."""
    from core.data import sources, subset
    from core.evaluate import prompts as prompt_files
    from core.evaluate.config import EvaluationConfig
    from core.evaluate.prompts import parse_prompt
    from core.runs.store import RunStore

    if file:
        config = EvaluationConfig(prompts="file", file=file.name, limit=count)
        prompt_files.write(folder / "prompts.jsonl", RunStore(settings), config, file)
        return folder / "prompts.jsonl"
    subset.ensure_bundled(settings)
    prompts = [parse_prompt(messages, row) for _, row, messages in subset.stream(settings, sources.BUNDLED)]
    random.Random(0).shuffle(prompts)
    path = folder / "prompts.jsonl"
    lines = [
        json.dumps({"messages": prompt.messages, "reference": prompt.reference, "row": prompt.row})
        for prompt in prompts
        if prompt
    ]
    path.write_text("".join(line + "\n" for line in lines[:count]))
    return path


@dataclass
class Answers:
    """Answers of one round.

    Attributes:
        texts: Texts by (prompt, lane).
        tokens: Number of tokens of all answers.
        seconds: Seconds that all answers took.
    """

    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


def answer_with_transformers(models: tuple, generator, count: int, length: int) -> Answers:
    """Answer a random sample of the prompts one by one with `generate`.

    Args:
        models: The lanes' models, base first.
        generator: The evaluation's batches, whose prompts and tokenizer are used.
        count: Number of prompts.
        length: Maximum new tokens.
    """
    import torch

    lanes, prompts = generator.lanes, generator.prompts
    result, began = Answers(), time.perf_counter()
    for number in random.sample(range(len(prompts)), count):
        ids = torch.tensor([lanes.renderer().prompt_ids(prompts[number].messages)], device=lanes.model.device)
        for lane, model in enumerate(models):
            with torch.inference_mode():
                out = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=length
                )
            tokens = [token for token in out[0, ids.shape[1] :].tolist() if token not in lanes._eos]
            result.tokens += len(tokens)
            result.texts[number, lane] = lanes.base.tokenizer.decode(tokens, skip_special_tokens=True)
    result.seconds = time.perf_counter() - began
    return result


def answer_in_batches(generator) -> Answers:
    """Answer all prompts in batches, as an evaluation does."""
    result, began = Answers(), time.perf_counter()
    missing = generator.list_missing([])
    for lines in generator.generate(missing, generator.plan_batch(missing[0].tokens), lambda: True):
        for line in lines:
            result.texts[line["prompt"], line["lane"]] = line["text"]
            result.tokens += line["tokens"]
    result.seconds = time.perf_counter() - began
    return result


def time_scoring(prompts, texts: dict[tuple[int, int], str]) -> float:
    """Return the seconds that scoring takes for the answers of one round, libraries loaded."""
    from core.evaluate.scoring import Scorer

    scorer = Scorer(len(prompts), 2)
    lines = [
        [{"text": texts[number, lane], "tokens": 1, "end": "end"} for lane in (0, 1)] for number in range(len(prompts))
    ]
    scorer.add(0, prompts[0], lines[0])
    began = time.perf_counter()
    for number, prompt in enumerate(prompts):
        scorer.add(number, prompt, lines[number])
    scorer.summaries()
    return time.perf_counter() - began


def time_losses(generator) -> tuple[float, int]:
    """Return the seconds that base and tuned take to read all references, and the tokens of the references."""
    from core.evaluate.likelihood import ReferenceLosses

    losses = ReferenceLosses(generator.lanes, generator.requests, generator.prompts)
    began, tokens = time.perf_counter(), 0
    for lines in losses.compute(losses.list_missing([]), lambda: True):
        tokens += sum(line["tokens"] for line in lines)
    return time.perf_counter() - began, tokens


def prepare(settings, scratch: Path, options: argparse.Namespace) -> tuple[Any, tuple]:
    """Return the evaluation's batches, and the models of transformers and PEFT."""
    from peft import PeftModel

    from core.chat.adapters import read_adapter
    from core.chat.lanes import Lanes
    from core.chat.sampling import Sampling
    from core.chat.types import LaneRequest
    from core.evaluate.batch_generate import BatchGenerator
    from core.evaluate.prompts import Prompts

    adapter = make_adapter(load_embedded(settings).model, scratch)
    tuned = PeftModel.from_pretrained(load_embedded(settings).model, adapter).eval()
    models = load_embedded(settings).model.eval(), tuned
    lanes = Lanes(load_embedded(settings))
    lanes.adapters.add("tuned", read_adapter(adapter, lanes.model.dtype, lanes.model.device))
    sampling = Sampling(temperature=0, max_new_tokens=options.tokens)
    prompts = Prompts(write_prompts(settings, scratch, options.prompts, options.file))
    requests = [LaneRequest([], sampling), LaneRequest([], sampling, "tuned")]
    return BatchGenerator(lanes, requests, prompts, options.rows), models


@dataclass
class Comparison:
    """Results of all rounds: answers per minute and tokens per second by way, and the compared texts."""

    per_minute: dict[str, list[float]] = field(default_factory=lambda: {PEER: [], OURS: []})
    per_second: dict[str, list[float]] = field(default_factory=lambda: {PEER: [], OURS: []})
    compared: int = 0
    equal: int = 0

    def add(self, found: dict[str, Answers], is_warmup: bool) -> None:
        """Add one round; the rates of a warm-up do not count."""
        for way, answers in found.items():
            if not is_warmup:
                self.per_minute[way].append(60 * len(answers.texts) / answers.seconds)
                self.per_second[way].append(answers.tokens / answers.seconds)
        alone, batched = found[PEER].texts, found[OURS].texts
        both = alone.keys() & batched.keys()
        self.compared += len(both)
        self.equal += sum(alone[key] == batched[key] for key in both)

    def print_table(self) -> None:
        """Print the rates of each way, and the ratio of each round."""
        print("| way | answers per minute | spread | tokens/s |\n|---|---|---|---|")
        for way, found in self.per_minute.items():
            speed = median(self.per_second[way])
            print(f"| {way} | {median(found):.0f} | {min(found):.0f} to {max(found):.0f} | {speed:.0f} |")
        rounds = zip(self.per_minute[PEER], self.per_minute[OURS], strict=True)
        ratios = [ours / peer for peer, ours in rounds]
        print(f"\nRatio {median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}, one per round).")


def main() -> None:
    """Answer in rounds, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value, text in (
        ("prompts", 160, "prompts of the set"), ("alone", 8, "prompts that transformers answers per round"),
        ("tokens", 64, "maximum new tokens"), ("rounds", 3, "rounds after one to warm up"),
        ("rows", 0, "answers that decode together; 0: as many as an evaluation has"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} (default: %(default)s)")
    parser.add_argument("--file", type=Path, help="file of a dataset with the prompts; else the bundled dataset")
    options = parser.parse_args()
    import torch

    from core.settings import Settings

    with tempfile.TemporaryDirectory() as scratch:
        generator, models = prepare(Settings().prepare(), Path(scratch), options)
        ways = {
            PEER: lambda: answer_with_transformers(models, generator, options.alone, options.tokens),
            OURS: lambda: answer_in_batches(generator),
        }
        comparison = Comparison()
        for number in range(options.rounds + 1):
            found = {way: ways[way]() for way in random.sample(list(ways), 2)}
            comparison.add(found, is_warmup=number == 0)
        answers = found[OURS]
        # The prompts are read from the folder.
        scoring = time_scoring(generator.prompts, answers.texts)
        losses, tokens = time_losses(generator)
    comparison.print_table()
    share = scoring / answers.seconds
    print(
        f"Loss on references: {tokens / losses:.0f} tokens of references/s, {losses / answers.seconds:.0%} of "
        f"answering; references have {tokens / answers.tokens:.1f} times the tokens of the answers."
    )
    print(f"Scoring: {1000 * scoring / len(answers.texts):.1f} ms per answer, {share:.1%} of answering.")
    sequences = generator.plan_batch(200).sequences
    print(f"{sequences} sequences at once. Equal texts: {comparison.equal} of {comparison.compared} (in bf16, near "
          "ties may fall either way).")  # fmt: skip
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {generator.lanes.model.device}")


if __name__ == "__main__":
    main()
