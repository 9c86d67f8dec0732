"""Answers on a GPU: the engine's lanes, transformers, PEFT and Unsloth, over a random model of Llama-2-7B's shape.

    python bench/chat_gpu.py [--unsloth-site FOLDER --unsloth-model FOLDER] [--skip-peers]

NF4 with double quantization, bf16, LoRA rank 16 on all linear layers, greedy. The peers answer 100 tokens after 200,
one answer after the other, and both lanes in PEFT's mixed batch; Unsloth in a process of its own, from a folder that
bench/train.py's `make` wrote. The engine: 1, 2 and 4 lanes after 200 and 2,000 tokens, greedy and drawn, the time to
the first token, the first question after loading, 256 prompts x 2 lanes x 256 tokens, the peak of memory with two
lanes of 4,096 tokens, and what is left after unloading. The floor reads 3.8 GB of weights once a step at 3.0 TB/s.
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

FLOOR = 3.8e9 / 3.0e12  # seconds a step
NEW = 100
MANY, MANY_TOKENS = 256, 256  # prompts, and new tokens of each
CONTINUOUS = "continuous batching"
PATIENCE = 240  # seconds for a peer in a process of its own
LANES = {"base": [None], "tuned": ["tuned"], "base and tuned": [None, "tuned"], "four": [None, "tuned", None, "tuned"]}


def llama7b():
    """The model on the GPU, made there: nothing is read."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5, pad_token_id=0)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    generator = torch.Generator("cuda").manual_seed(0)

    def weight(module):
        return torch.empty(module.weight.shape, device="cuda", dtype=torch.bfloat16).normal_(
            0, 0.02, generator=generator
        )

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            made = Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16)
            made.weight = Params4bit(weight(module), requires_grad=False, quant_type="nf4").to("cuda")
            model.set_submodule(name, made)
        elif isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            module.weight = torch.nn.Parameter(weight(module), requires_grad=False)
        elif hasattr(module, "weight"):
            module.weight = torch.nn.Parameter(torch.ones_like(module.weight, device="cuda"), requires_grad=False)
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to("cuda")
    return model.requires_grad_(False).eval()


def random_ids(length: int, seed: int) -> list[int]:
    import torch

    return torch.randint(3, 32000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def generated(model, rows: int = 1, **extra) -> tuple[float, list[int]]:
    """The seconds that transformers takes for `NEW` tokens after 200, and the first row's; the second time counts."""
    import torch

    ids = torch.tensor([random_ids(200, 0)] * rows, device="cuda")
    for _ in range(2):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW,
                min_new_tokens=NEW, **extra,
            )  # fmt: skip
        torch.cuda.synchronize()
    return time.perf_counter() - began, out[0, 200:].tolist()


def by_peers(model, adapter: Path) -> tuple[dict[str, float], dict[str | None, list[int]]]:
    """Tokens/s by way, and what base and tuned say."""
    from peft import PeftModel

    base, said = generated(model)
    tuned_model = PeftModel.from_pretrained(model, adapter).eval()
    tuned, said_tuned = generated(tuned_model)
    mixed, _ = generated(tuned_model, rows=2, adapter_names=["__base__", "default"])
    tuned_model.unload()
    rates = {
        "transformers, base": NEW / base,
        "transformers and PEFT, tuned": NEW / tuned,
        "both, one after the other": 2 * NEW / (base + tuned),
        "PEFT's mixed batch, both": 2 * NEW / mixed,
    }
    return rates, {None: said, "tuned": said_tuned}


def by_unsloth(model: str) -> None:
    """In a process of its own: prints tokens/s of base and tuned."""
    from unsloth import FastLanguageModel  # before the rest, which it patches

    import torch  # isort: skip

    from bench.train_variants import TARGETS

    loaded, _ = FastLanguageModel.from_pretrained(model, max_seq_length=2048, load_in_4bit=True, dtype=torch.bfloat16)
    FastLanguageModel.for_inference(loaded)
    base, _ = generated(loaded)
    loaded = FastLanguageModel.get_peft_model(
        loaded, r=16, lora_alpha=16, lora_dropout=0, bias="none", target_modules=TARGETS
    )
    FastLanguageModel.for_inference(loaded)
    tuned, _ = generated(loaded)
    print("RESULT " + json.dumps({"Unsloth, both, one after the other": 2 * NEW / (base + tuned)}))


def by_continuous_batching() -> None:
    """In a process of its own: prints tokens/s of the base's answers to the many prompts, by transformers' own way."""
    from transformers import GenerationConfig

    model = llama7b()
    asked = GenerationConfig(max_new_tokens=MANY_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    prompts = [random_ids(100 + seed % 100, seed) for seed in range(MANY)]
    for inputs in (prompts[:8], prompts):
        began = time.perf_counter()
        said = model.generate_batch(inputs, generation_config=asked)
        seconds = time.perf_counter() - began
    count = sum(len(one.generated_tokens) for one in said.values())
    print("RESULT " + json.dumps({"transformers' continuous batching, base, many prompts": count / seconds}))


def in_a_process(variant: str, options: argparse.Namespace, site: str | None = None) -> dict[str, float]:
    """What a variant of this script found; {} and why, printed, where it failed."""
    command = [sys.executable, __file__, "--variant", variant]
    command += ["--unsloth-model", options.unsloth_model] if options.unsloth_model else []
    environment = os.environ | ({"PYTHONPATH": site} if site else {})
    try:
        found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"{variant} was not ready after {PATIENCE} s.")
        return {}
    printed = found.stdout.partition("RESULT ")[2]
    if not printed:
        print(f"{variant} failed: {found.stderr[-500:]}")
    return json.loads(printed.splitlines()[0]) if printed else {}


class Counted:
    """A row of so many tokens, and when its first one came."""

    def __init__(self, ids: list[int], adapter: str | None, tokens: int, sampling=None):
        from core.chat.decoder import TokenSequence
        from core.chat.sampler import TokenSampler

        self.said: list[int] = []
        self._tokens, self._began, self.first = tokens, time.perf_counter(), 0.0
        drawn = (
            {"sampler": TokenSampler(sampling, ids), "on_token": self.on_token}
            if sampling
            else {"on_argmax": self.on_token}
        )
        self.row = TokenSequence(ids, adapter, self.on_token, max_new_tokens=tokens, **drawn)

    def on_token(self, token: int, _: float = 0.0) -> int | None:
        self.first = self.first or time.perf_counter() - self._began
        self.said.append(token)
        return token if len(self.said) < self._tokens else None


def answered(decoder, names: list[str | None], context: int, tokens: int, sampling=None) -> tuple[float, list[Counted]]:
    """Seconds a step once all write, and the rows."""
    import torch

    rows = [Counted(random_ids(context, seed), name, tokens, sampling) for seed, name in enumerate(names)]
    decoder.join([one.row for one in rows])
    while min(len(one.said) for one in rows) < 8:
        decoder.step()
    torch.cuda.synchronize()
    began, before = time.perf_counter(), len(rows[-1].said)
    while decoder.step():
        pass
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / (tokens - before), rows


def many(machine, adapters, prompts: int = MANY, tokens: int = MANY_TOKENS) -> tuple[float, int]:
    """Tokens/s of prompts of 100 to 200 tokens x 2 lanes, and how many rows at once, as an evaluation has them."""
    import torch

    from core.chat.cuda.decoder import OFFLINE_CHUNK_TOKENS, CudaDecoder
    from core.evaluate.batch_generate import JOIN_SHARE, MAX_SEQUENCES, PAGED_SHARE

    config = machine.weights.model.config
    a_row = (200 + tokens) * 4 * config.num_hidden_layers * config.hidden_size  # bytes of keys and values
    decoder = CudaDecoder(machine, adapters, chunk=OFFLINE_CHUNK_TOKENS)
    rows = min(MAX_SEQUENCES["paged"], int(PAGED_SHARE * torch.cuda.mem_get_info()[0] / a_row))
    waiting = [(100 + seed % 100, seed, name) for seed in range(prompts) for name in (None, "tuned")]
    waiting.sort(reverse=True, key=lambda one: one[:2])
    total, began = len(waiting) * tokens, time.perf_counter()
    active = 0
    while waiting or active:
        if waiting and (not active or rows - active >= round(rows * JOIN_SHARE)):
            new, waiting = waiting[: rows - active], waiting[rows - active :]
            made = [Counted(random_ids(length, seed), name, tokens) for length, seed, name in new]
            decoder.join(sorted((one.row for one in made), key=lambda row: row.adapter or ""))
        decoder.step()
        active = len(decoder.sequences)
    return total / (time.perf_counter() - began), rows


def by_lanes(model, adapter: Path, said: dict[str | None, list[int]]) -> None:
    import torch

    from core.chat.adapters import RowAdapters, read_adapter
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime
    from core.chat.sampling import Sampling

    adapters = RowAdapters(model)
    adapters.add("tuned", read_adapter(adapter, torch.bfloat16, torch.device("cuda")))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    machine = CudaRuntime(model)
    decoder = CudaDecoder(machine, adapters)
    torch.cuda.synchronize()
    loaded = time.perf_counter() - began
    _, rows = answered(decoder, [None, "tuned"], 200, 16)
    print(f"\nKernels made ready in {loaded:.1f} s; first token of the first question {rows[0].first:.2f} s later.")
    answered(decoder, LANES["base and tuned"], 3900, 196)
    held, reserved = torch.cuda.max_memory_allocated() / 2**30, torch.cuda.max_memory_reserved() / 2**30
    print(f"Two lanes of 4,096 tokens: peak {held:.2f} GiB, {reserved:.2f} GiB with what the allocator keeps.")
    print("\n| lanes | context | tok/s together | step ms | of floor | first token ms |\n|---|---|---|---|---|---|")
    for name, names in LANES.items():
        for context in (200, 2000):
            answered(decoder, names, context, 16)  # warm
            step, rows = answered(decoder, names, context, 160)
            first = max(one.first for one in rows)
            cells = (name, context, f"{len(names) / step:,.0f}", f"{1000 * step:.2f}", f"{FLOOR / step:.0%}")
            print("|", *(f"{cell} |" for cell in (*cells, f"{1000 * first:.0f}")), flush=True)
    drawn = Sampling(temperature=0.7, top_p=0.9, repetition_penalty=1.1)
    answered(decoder, LANES["base and tuned"], 200, 16, drawn)
    step, _ = answered(decoder, LANES["base and tuned"], 200, 160, drawn)
    print(f"\nDrawn (temperature, top-p, penalty), base and tuned: {2 / step:,.0f} tok/s.")
    for name, expected in said.items():
        _, (one,) = answered(decoder, [name], 200, NEW)
        same = next((at for at, pair in enumerate(zip(one.said, expected, strict=True)) if pair[0] != pair[1]), NEW)
        print(f"Greedy, {name or 'base'}: the first {same} of {NEW} tokens are transformers'.")
    rate, rows = many(machine, adapters)
    print(f"256 prompts x 2 lanes x 256 tokens: {rate:,.0f} tok/s, {rows} rows at once.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unsloth-site", help="a folder with Unsloth and what it needs")
    parser.add_argument("--unsloth-model", help="the 4-bit folder that bench/train.py --variant make wrote")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        by_unsloth(options.unsloth_model) if options.variant == "Unsloth" else by_continuous_batching()
        return
    import torch

    from bench.chat import made_adapter

    model = llama7b()
    rates, said = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        adapter = made_adapter(model, Path(scratch))
        if not options.skip_peers:
            rates, said = by_peers(model, adapter)
            rates |= in_a_process(CONTINUOUS, options)
        if options.unsloth_model:
            rates |= in_a_process("Unsloth", options, options.unsloth_site)
        print("| way, 200 tokens in, 100 out | tok/s |\n|---|---|")
        for way, rate in rates.items():
            print(f"| {way} | {rate:.1f} |", flush=True)
        by_lanes(model, adapter, said)
    del model
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    print(f"After unloading {torch.cuda.memory_allocated() / 2**20:.0f} MiB are held.")
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")


if __name__ == "__main__":
    main()
