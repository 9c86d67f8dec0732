"""Two lanes on a CPU, base and tuned: the chat's engine compared with transformers and PEFT.

    python bench/chat.py [--tokens 64] [--repeats 3]

The embedded model with NF4 weights, greedy. transformers and PEFT answer one lane after the other. Both get the same
questions of the bundled held-out rows, in random order in one process. Prints the tokens per second of both lanes
together, the ratio, and the time to the first token of a prompt of about 200 tokens. tests/core/chat/test_lanes.py
checks that the texts are equal; bench/chat_gpu.py measures a GPU.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

QUESTIONS = 4
MIN_PROMPT_TOKENS = 200
PEER, OURS = "transformers and PEFT, one after the other", "the engine, both lanes"


def make_adapter(model: Any, folder: Path) -> Path:
    """Save an adapter of random weights on all linear layers, in the form in which a run saves one.

    Args:
        model: Base model; it is unchanged afterwards.
        folder: Folder to write it to.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    shape = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    tuned = get_peft_model(model, shape)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            # Smaller values, so that the tuned model still writes text.
            parameter.data *= 0.2
    tuned.save_pretrained(folder)
    tuned.unload()
    return folder


def make_questions(settings: Any, renderer: Any) -> list[list[dict]]:
    """Return conversations of at least `MIN_PROMPT_TOKENS`, made of questions of the held-out rows."""
    from core.data import sources, subset
    from core.data.table import HELD_OUT

    subset.ensure_bundled(settings)
    questions = [messages[0]["content"] for _, messages in subset.load(settings, sources.BUNDLED)[HELD_OUT]]
    conversations = []
    for start in range(0, len(questions), len(questions) // QUESTIONS):
        text, following = questions[start], start + 1
        while len(renderer.prompt_ids([{"role": "user", "content": text}])) < MIN_PROMPT_TOKENS:
            text, following = f"{text} {questions[following % len(questions)]}", following + 1
        conversations.append([{"role": "user", "content": text}])
    return conversations[:QUESTIONS]


def time_transformers(base: Any, tuned: Any, renderer: Any, conversation: list[dict], tokens: int) -> float:
    """Return the seconds that both models take for their answers, one after the other."""
    import torch

    ids = torch.tensor([renderer.prompt_ids(conversation)], device=base.device)  # (1, prompt tokens)
    began = time.perf_counter()
    for model in (base, tuned):
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
                min_new_tokens=tokens,
            )  # fmt: skip
    return time.perf_counter() - began


def load_embedded(settings: Any) -> Any:
    """Load the embedded model with the default precision of a run."""
    from core.models import embedded
    from core.models.catalogue import Model
    from core.models.loading import Precision, load_base

    return load_base(Model("m", "m", str(embedded.prepare(settings)), True), Precision())


class Comparison:
    """Both ways to answer, over the same weights and adapter.

    Attributes:
        first_token_seconds: First-token times of the engine's answers, the slower lane of each question.
    """

    def __init__(self, settings: Any, scratch: Path, tokens: int):
        from peft import PeftModel

        from core.chat.adapters import read_adapter
        from core.chat.lanes import Lanes

        self.tokens = tokens
        self.lanes = Lanes(load_embedded(settings))
        # Without end tokens every answer has its full length, so that both ways do the same work.
        self.lanes._eos = set()
        adapter = make_adapter(load_embedded(settings).model, scratch)
        self.base = load_embedded(settings).model.eval()
        self.tuned = PeftModel.from_pretrained(load_embedded(settings).model, adapter).eval()
        self.lanes.adapters.add("tuned", read_adapter(adapter, self.lanes.model.dtype, self.lanes.model.device))
        self.first_token_seconds: list[float] = []

    def time_engine(self, conversation: list[dict]) -> float:
        """Return the seconds that the engine takes for both answers."""
        from core.chat.sampling import Sampling
        from core.chat.types import LaneRequest

        sampling = Sampling(temperature=0, max_new_tokens=self.tokens)
        began = time.perf_counter()
        *_, answers = self.lanes.generate(
            [LaneRequest(conversation, sampling), LaneRequest(conversation, sampling, "tuned")]
        )
        self.first_token_seconds.append(max(answer.first_token_seconds for answer in answers))
        return time.perf_counter() - began

    def time_peer(self, conversation: list[dict]) -> float:
        """Return the seconds that transformers and PEFT take for both answers."""
        return time_transformers(self.base, self.tuned, self.lanes.renderer(), conversation, self.tokens)

    def measure(self, questions: list[list[dict]], repeats: int) -> dict[str, list[float]]:
        """Return the tokens per second of each way for each question and repeat."""
        ways: dict[str, Callable[[list[dict]], float]] = {PEER: self.time_peer, OURS: self.time_engine}
        for way in ways.values():
            # The first answer of each warms up.
            way(questions[0])
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for conversation in questions:
                for name in random.sample(list(ways), 2):
                    rates[name].append(2 * self.tokens / ways[name](conversation))
        return rates


def print_table(rates: dict[str, list[float]]) -> None:
    """Print a row per way, with its ratio to the peer."""
    slow = median(rates[PEER])
    print("| way | tokens/s, both lanes | ratio | spread |\n|---|---|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {median(found):.1f} | {median(found) / slow:.2f} | {min(found):.1f} to {max(found):.1f} |")


def main() -> None:
    """Measure both ways, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per answer (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over the questions (default: %(default)s)")
    options = parser.parse_args()
    import torch

    from core.settings import Settings

    settings = Settings().prepare()
    with tempfile.TemporaryDirectory() as scratch:
        comparison = Comparison(settings, Path(scratch), options.tokens)
        rates = comparison.measure(make_questions(settings, comparison.lanes.renderer()), options.repeats)
    print_table(rates)
    first = comparison.first_token_seconds
    print(f"\nRatio {median(rates[OURS]) / median(rates[PEER]):.2f}. First token of a prompt of {MIN_PROMPT_TOKENS}: "
          f"{median(first):.2f} s (at most {max(first):.2f}).")  # fmt: skip
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {comparison.lanes.model.device}")


if __name__ == "__main__":
    main()
