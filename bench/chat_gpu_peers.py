"""Peers of bench/chat_gpu.py: transformers, PEFT and Unsloth, and the random model."""

import json
import time
from pathlib import Path

PROMPT_TOKENS, NEW_TOKENS = 200, 100
# A prompt set, as an evaluation has it: prompts, and new tokens of each.
SET_PROMPTS, SET_NEW_TOKENS = 256, 256


def make_model():
    """Return the model with random weights, made on the GPU without reading a file."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=32000, max_position_embeddings=4096, rms_norm_eps=1e-5, pad_token_id=0)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    generator = torch.Generator("cuda").manual_seed(0)
    for name, module in list(model.named_modules()):
        _fill(model, name, module, generator)
    # Its buffers are not parameters, so it is built again on the GPU.
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to("cuda")
    return model.requires_grad_(False).eval()


def _fill(model, name: str, module, generator) -> None:
    """Give a module random weights: linear layers but the head in NF4, norms ones."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    def random_weight():
        weight = torch.empty(module.weight.shape, device="cuda", dtype=torch.bfloat16)  # (outputs, inputs)
        return weight.normal_(0, 0.02, generator=generator)

    if isinstance(module, torch.nn.Linear) and name != "lm_head":
        linear = Linear4bit(module.in_features, module.out_features, bias=False, compute_dtype=torch.bfloat16)
        # Moving the parameter to the GPU quantizes it.
        linear.weight = Params4bit(random_weight(), requires_grad=False, quant_type="nf4").to("cuda")
        model.set_submodule(name, linear)
    elif isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
        module.weight = torch.nn.Parameter(random_weight(), requires_grad=False)
    elif hasattr(module, "weight"):
        module.weight = torch.nn.Parameter(torch.ones_like(module.weight, device="cuda"), requires_grad=False)


def random_ids(length: int, seed: int) -> list[int]:
    """Return random token ids without the special ones."""
    import torch

    return torch.randint(3, 32000, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def time_generate(model, rows: int = 1, **extra) -> tuple[float, list[int]]:
    """Return the seconds in which transformers writes `NEW_TOKENS`, and the first row's tokens.

    Args:
        model: The model, with or without an adapter.
        rows: Equal prompts in one batch.
        **extra: Further arguments of `generate`.
    """
    import torch

    ids = torch.tensor([random_ids(PROMPT_TOKENS, 0)] * rows, device="cuda")  # (rows, PROMPT_TOKENS)
    # The first of two answers warms up.
    for _ in range(2):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS,
                min_new_tokens=NEW_TOKENS, **extra,
            )  # fmt: skip
        torch.cuda.synchronize()
    return time.perf_counter() - began, out[0, PROMPT_TOKENS:].tolist()


def measure_peers(model, adapter: Path) -> tuple[dict[str, float], dict[str | None, list[int]]]:
    """Return tokens per second of transformers and PEFT by way, and the tokens of the base (None) and of "tuned"."""
    from peft import PeftModel

    base_seconds, base_tokens = time_generate(model)
    tuned_model = PeftModel.from_pretrained(model, adapter).eval()
    tuned_seconds, tuned_tokens = time_generate(tuned_model)
    mixed_seconds, _ = time_generate(tuned_model, rows=2, adapter_names=["__base__", "default"])
    tuned_model.unload()
    rates = {
        "transformers, base": NEW_TOKENS / base_seconds,
        "transformers and PEFT, tuned": NEW_TOKENS / tuned_seconds,
        "both, one after the other": 2 * NEW_TOKENS / (base_seconds + tuned_seconds),
        "PEFT's mixed batch, both": 2 * NEW_TOKENS / mixed_seconds,
    }
    return rates, {None: base_tokens, "tuned": tuned_tokens}


def print_unsloth_rate(model: str) -> None:
    """Print the tokens per second of base and tuned with Unsloth, which needs a process of its own."""
    # Before the others, because it patches them.
    from unsloth import FastLanguageModel

    import torch  # isort: skip

    from bench.train_variants import TARGETS

    loaded, _ = FastLanguageModel.from_pretrained(model, max_seq_length=2048, load_in_4bit=True, dtype=torch.bfloat16)
    FastLanguageModel.for_inference(loaded)
    base_seconds, _ = time_generate(loaded)
    loaded = FastLanguageModel.get_peft_model(
        loaded, r=16, lora_alpha=16, lora_dropout=0, bias="none", target_modules=TARGETS
    )
    FastLanguageModel.for_inference(loaded)
    tuned_seconds, _ = time_generate(loaded)
    rate = 2 * NEW_TOKENS / (base_seconds + tuned_seconds)
    print("RESULT " + json.dumps({"Unsloth, both, one after the other": rate}))


def print_continuous_batching_rate() -> None:
    """Print the tokens per second of the base's answers to the prompt set with transformers' continuous batching."""
    from transformers import GenerationConfig

    model = make_model()
    config = GenerationConfig(max_new_tokens=SET_NEW_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    prompts = [random_ids(100 + seed % 100, seed) for seed in range(SET_PROMPTS)]
    # The first eight warm up.
    for inputs in (prompts[:8], prompts):
        began = time.perf_counter()
        results = model.generate_batch(inputs, generation_config=config)
        seconds = time.perf_counter() - began
    count = sum(len(result.generated_tokens) for result in results.values())
    print("RESULT " + json.dumps({"transformers' continuous batching, base, many prompts": count / seconds}))
