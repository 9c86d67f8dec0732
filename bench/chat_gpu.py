"""Answers on a GPU: the engine's lanes compared with transformers, PEFT and Unsloth.

    python bench/chat_gpu.py [--unsloth-site FOLDER --unsloth-model FOLDER] [--skip-peers]

A random model of Llama-2-7B's shape in NF4 with double quantization, bf16, LoRA rank 16 on all linear layers, greedy.
The peers write 100 tokens after 200, one answer after the other, and both lanes in PEFT's mixed batch; Unsloth runs in
a process of its own, on a folder that `bench/train.py --variant make` wrote. The engine: 1, 2 and 4 lanes after 200 and
2,000 tokens, greedy and sampled, the time to the first token, the first question after loading, 256 prompts x 2 lanes x
256 tokens, the peak memory with two lanes of 4,096 tokens, and the memory that is left after unloading. The floor is
the time to read 3.8 GB of weights once per step at 3.0 TB/s.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.chat_gpu_peers import (  # noqa: E402
    NEW_TOKENS,
    PROMPT_TOKENS,
    SET_NEW_TOKENS,
    SET_PROMPTS,
    make_model,
    measure_peers,
    print_continuous_batching_rate,
    print_unsloth_rate,
    random_ids,
)

FLOOR_SECONDS = 3.8e9 / 3.0e12
CONTINUOUS = "continuous batching"
# Limit of a peer in a process of its own.
_PEER_TIMEOUT_SECONDS = 240
# Tokens that every sequence must have before steps are timed: prompts are read by then.
_SETTLING_TOKENS = 8
_SAMPLED = {"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.1}
LANES = {"base": [None], "tuned": ["tuned"], "base and tuned": [None, "tuned"], "four": [None, "tuned", None, "tuned"]}


def run_in_process(variant: str, options: argparse.Namespace, site: str | None = None) -> dict[str, float]:
    """Return the result of a variant of this script in a process of its own; {} if it failed, with the reason printed.

    Args:
        variant: "Unsloth" or `CONTINUOUS`.
        options: The script's options.
        site: Folder of further packages.
    """
    command = [sys.executable, __file__, "--variant", variant]
    command += ["--unsloth-model", options.unsloth_model] if options.unsloth_model else []
    environment = os.environ | ({"PYTHONPATH": site} if site else {})
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PEER_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{variant} did not finish within {_PEER_TIMEOUT_SECONDS} s.")
        return {}
    result = done.stdout.partition("RESULT ")[2]
    if not result:
        print(f"{variant} failed: {done.stderr[-500:]}")
    return json.loads(result.splitlines()[0]) if result else {}


class TimedSequence:
    """A sequence of a fixed length that records its tokens and the time of the first.

    Attributes:
        sequence: The decoder's sequence.
        tokens: The new tokens so far.
        first_seconds: Seconds from its creation to the first token; 0 before that.
    """

    def __init__(self, ids: list[int], adapter: str | None, length: int, sampling=None):
        from core.chat.decoder import TokenSequence
        from core.chat.sampler import TokenSampler

        self.tokens: list[int] = []
        self.first_seconds = 0.0
        self._length, self._began = length, time.perf_counter()
        # Without a sampler the decoder takes the most likely token on the GPU.
        chosen_by = (
            {"sampler": TokenSampler(sampling, ids), "on_token": self.on_token}
            if sampling
            else {"on_argmax": self.on_token}
        )
        self.sequence = TokenSequence(ids, adapter, self.on_token, max_new_tokens=length, **chosen_by)

    def on_token(self, token: int, _: float = 0.0) -> int | None:
        """Record a token, and return it; None after the last."""
        self.first_seconds = self.first_seconds or time.perf_counter() - self._began
        self.tokens.append(token)
        return token if len(self.tokens) < self._length else None


def answer(
    decoder, lanes: list[str | None], context: int, length: int, sampling=None
) -> tuple[float, list[TimedSequence]]:
    """Answer random prompts, and return the seconds per step once all lanes write, and the sequences.

    Args:
        decoder: The CUDA decoder.
        lanes: The adapter of each lane; None for the base.
        context: Tokens of each prompt.
        length: New tokens of each answer.
        sampling: Sampling settings; None for greedy.
    """
    import torch

    answers = [TimedSequence(random_ids(context, seed), name, length, sampling) for seed, name in enumerate(lanes)]
    decoder.join([one.sequence for one in answers])
    while min(len(one.tokens) for one in answers) < _SETTLING_TOKENS:
        decoder.step()
    torch.cuda.synchronize()
    began, before = time.perf_counter(), len(answers[-1].tokens)
    while decoder.step():
        pass
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / (length - before), answers


def answer_prompt_set(runtime, adapters, prompts: int = SET_PROMPTS, length: int = SET_NEW_TOKENS) -> tuple[float, int]:
    """Answer prompts of 100 to 199 tokens in two lanes as an evaluation does.

    Returns:
        Tokens per second, and the largest number of sequences at once.
    """
    import torch

    from core.chat.cuda.decoder import OFFLINE_CHUNK_TOKENS, CudaDecoder
    from core.evaluate.batch_generate import JOIN_SHARE, MAX_SEQUENCES, PAGED_SHARE

    config = runtime.weights.model.config
    # Keys and values, two bytes each.
    bytes_per_sequence = (200 + length) * 4 * config.num_hidden_layers * config.hidden_size
    decoder = CudaDecoder(runtime, adapters, chunk=OFFLINE_CHUNK_TOKENS)
    limit = min(MAX_SEQUENCES["paged"], int(PAGED_SHARE * torch.cuda.mem_get_info()[0] / bytes_per_sequence))
    waiting = [(100 + seed % 100, seed, name) for seed in range(prompts) for name in (None, "tuned")]
    # The longest first, as in an evaluation, so that the memory that is needed shows early.
    waiting.sort(reverse=True, key=lambda one: one[:2])
    total, began = len(waiting) * length, time.perf_counter()
    active = 0
    while waiting or active:
        if waiting and (not active or limit - active >= round(limit * JOIN_SHARE)):
            new, waiting = waiting[: limit - active], waiting[limit - active :]
            joining = [TimedSequence(random_ids(tokens, seed), name, length).sequence for tokens, seed, name in new]
            decoder.join(sorted(joining, key=lambda sequence: sequence.adapter or ""))
        decoder.step()
        active = len(decoder.sequences)
    return total / (time.perf_counter() - began), limit


def measure_lanes(model, adapter: Path, expected: dict[str | None, list[int]]) -> None:
    """Print all measurements of the engine.

    Args:
        model: The base model.
        adapter: Folder of the adapter "tuned".
        expected: Tokens that transformers wrote, by lane; may be empty.
    """
    import torch

    from core.chat.adapters import RowAdapters, read_adapter
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime

    adapters = RowAdapters(model)
    adapters.add("tuned", read_adapter(adapter, torch.bfloat16, torch.device("cuda")))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    runtime = CudaRuntime(model)
    decoder = CudaDecoder(runtime, adapters)
    torch.cuda.synchronize()
    loaded = time.perf_counter() - began
    _, answers = answer(decoder, LANES["base and tuned"], 200, 16)
    first = answers[0].first_seconds
    print(f"\nKernels made ready in {loaded:.1f} s; first token of the first question {first:.2f} s later.")
    answer(decoder, LANES["base and tuned"], 3900, 196)
    held, reserved = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.max_memory_reserved() / 2**30
    print(f"Two lanes of 4,096 tokens: peak {held:.2f} GiB, {reserved:.2f} GiB with what the allocator keeps.")
    print_lane_table(decoder)
    print_agreement(decoder, expected)
    rate, count = answer_prompt_set(runtime, adapters)
    print(f"256 prompts x 2 lanes x 256 tokens: {rate:,.0f} tok/s, {count} sequences at once.", flush=True)


def print_lane_table(decoder) -> None:
    """Print the speed of each number of lanes and length of context, and of sampling."""
    from core.chat.sampling import Sampling

    print("\n| lanes | context | tok/s together | step ms | of floor | first token ms |\n|---|---|---|---|---|---|")
    for name, lanes in LANES.items():
        for context in (200, 2000):
            # The first answer warms up the kernels and graphs of this shape.
            answer(decoder, lanes, context, 16)
            step, answers = answer(decoder, lanes, context, 160)
            first = max(one.first_seconds for one in answers)
            cells = (name, context, f"{len(lanes) / step:,.0f}", f"{1000 * step:.2f}", f"{FLOOR_SECONDS / step:.0%}")
            print("|", *(f"{cell} |" for cell in (*cells, f"{1000 * first:.0f}")), flush=True)
    sampling = Sampling(**_SAMPLED)
    answer(decoder, LANES["base and tuned"], 200, 16, sampling)
    step, _ = answer(decoder, LANES["base and tuned"], 200, 160, sampling)
    print(f"\nSampled (temperature, top-p, penalty), base and tuned: {2 / step:,.0f} tok/s.")


def print_agreement(decoder, expected: dict[str | None, list[int]]) -> None:
    """Print how many tokens of each lane are those of transformers, from the first on."""
    for name, tokens in expected.items():
        _, (one,) = answer(decoder, [name], PROMPT_TOKENS, NEW_TOKENS)
        pairs = enumerate(zip(one.tokens, tokens, strict=True))
        same = next((index for index, (ours, theirs) in pairs if ours != theirs), NEW_TOKENS)
        print(f"Greedy, {name or 'base'}: the first {same} of {NEW_TOKENS} tokens are those of transformers.")


def main() -> None:
    """Measure the peers and the engine, or run one peer in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unsloth-site", help="a folder with Unsloth and what it needs")
    parser.add_argument("--unsloth-model", help="the 4-bit folder that bench/train.py --variant make wrote")
    parser.add_argument("--skip-peers", action="store_true", help="measure the engine only")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        is_unsloth = options.variant == "Unsloth"
        print_unsloth_rate(options.unsloth_model) if is_unsloth else print_continuous_batching_rate()
        return
    import torch

    from bench.chat import make_adapter

    model = make_model()
    rates, expected = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        adapter = make_adapter(model, Path(scratch))
        if not options.skip_peers:
            rates, expected = measure_peers(model, adapter)
            rates |= run_in_process(CONTINUOUS, options)
        if options.unsloth_model:
            rates |= run_in_process("Unsloth", options, options.unsloth_site)
        print("| way, 200 tokens in, 100 out | tok/s |\n|---|---|")
        for way, rate in rates.items():
            print(f"| {way} | {rate:.1f} |", flush=True)
        measure_lanes(model, adapter, expected)
    del model
    gc.collect()
    # cuBLAS keeps its workspaces otherwise, and they would count as held by the model.
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    print(f"After unloading {torch.cuda.memory_allocated() / 2**20:.0f} MiB are held.")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")


if __name__ == "__main__":
    main()
