"""CUDA decoder without a GPU: support, layouts, sampling, and the kernels in Triton's interpreter."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit

from core.chat.adapters import Adapter, LoraWeights
from core.chat.cuda import support
from core.chat.cuda.batch_sampler import BatchSampler
from core.chat.lanes import Lanes
from core.chat.sampler import TokenSampler, sample_inverse_cdf
from core.chat.sampling import Sampling
from core.models.fast_paths import projections
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import pack_in_nf4, tiny_llama

PROJECT = Path(__file__).resolve().parents[4]
SHAPE = {"hidden_size": 128, "intermediate_size": 192, "head_dim": 32}


def test_lanes_without_gpu_use_the_pytorch_decoder_with_the_reason(tokenizer):
    base = LoadedBase(tiny_llama(vocab_size=len(tokenizer)), tokenizer)
    lanes = Lanes(base)
    assert type(lanes.decoder().batched).__name__ == "Decoder"
    assert lanes.decoding_note == "Answers are decoded by the standard decoder, because there is no GPU."
    assert "the CUDA decoder is switched off (STUDIO_FAST_CHAT=0)" in Lanes(base, fast=False).decoding_note


def test_cuda_support_accepts_plain_lora_of_the_projections_only():
    weights = LoraWeights(torch.zeros(4, 128), torch.zeros(128, 4))
    name = "model.layers.1.self_attn.q_proj"
    assert support.is_plain_lora(Adapter({name: weights}), 2)
    assert not support.is_plain_lora(Adapter({name: weights}), 1), "a block that the model has not"
    assert not support.is_plain_lora(Adapter({"lm_head": weights}), 2)
    assert not support.is_plain_lora(Adapter({}, special="use_dora"), 2)


def test_sample_inverse_cdf_never_returns_a_token_without_probability():
    shares = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).expand(5, -1)
    found = sample_inverse_cdf(shares, torch.tensor([0.0, 0.49, 0.5, 0.51, 1 - 1e-9], dtype=torch.float64))
    assert found.tolist() == [1, 1, 3, 3, 3]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1, top_p=0.8, seed=1),
        Sampling(temperature=0.7, top_k=5, top_p=1, seed=2),
        Sampling(temperature=1.5, top_k=50, top_p=0.95, min_p=0.05, repetition_penalty=1.2, seed=3),
        Sampling(temperature=0, repetition_penalty=1.3),
    ],
    ids=lambda one: f"temperature {one.temperature}",
)
def test_batch_sampler_equals_each_token_sampler_alone(sampling):
    """Two such sequences and a third of other settings in slots 3, 0 and 1, for twenty tokens."""
    others = Sampling(temperature=0.9, seed=9)
    seen = torch.zeros(4, 300, dtype=torch.uint8)
    samplers = [TokenSampler(one, [5, 7]) for one in (sampling, sampling, others)]
    slots = [3, 0, 1]
    for slot, sampler in zip(slots, samplers, strict=True):
        seen[slot, sorted(sampler.seen_ids)] = 1
    together = BatchSampler(
        [(slot, TokenSampler(p.sampling, [5, 7])) for slot, p in zip(slots, samplers, strict=True)], 300, "cpu"
    )
    generator, tokens = torch.Generator().manual_seed(0), torch.zeros(4, dtype=torch.int64)
    for _ in range(20):
        logits = torch.randn(300, generator=generator) * 3
        values = together.sample(logits.expand(3, -1), seen, tokens)
        expected = [sampler.sample(logits) for sampler in samplers]
        assert tokens[slots].tolist() == [token for token, _ in expected]
        torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5)


INTERPRETED = """
import sys; sys.path.insert(0, sys.argv[1])
from tests.core.chat.cuda.test_cuda_lanes import kernels_agree, picks_agree
kernels_agree(); picks_agree(); print("agreed")
"""


def picks_agree():
    """Compare the interpreted sampling kernel to its PyTorch reference."""
    from core.chat.cuda import sample_kernel
    from core.chat.sampler import MIN_TEMPERATURE

    settings = [
        Sampling(temperature=0), Sampling(temperature=1, top_p=0.8), Sampling(temperature=0.7, top_k=5, top_p=0.9),
        Sampling(temperature=1.5, top_p=1, min_p=0.05, repetition_penalty=1.2), Sampling(temperature=1, top_p=1),
    ]  # fmt: skip
    # Halves, so that some tokens are equally likely.
    logits = (torch.randn(6, 300, generator=torch.Generator().manual_seed(0)) * 6).round() / 2
    slots = [3, 0, 5, 1, 2]
    seen = (torch.rand(6, 300) < 0.3).to(torch.uint8)
    pairs = [(slot, TokenSampler(one, [])) for slot, one in zip(slots, settings, strict=True)]
    sampler = BatchSampler(pairs, 300, "cpu")
    rows = torch.tensor([4, 3, 2, 1, 0])
    for step in range(4):
        uniform = torch.rand(5, generator=torch.Generator().manual_seed(step))
        found, counted = torch.zeros(6, dtype=torch.int64), seen.clone()
        values = torch.zeros(5, 2, dtype=torch.float64)
        sample_kernel.sample(
            logits, rows, sampler._settings, uniform, counted, sampler._slots, found, values, MIN_TEMPERATURE
        )
        expected, kept = torch.zeros(6, dtype=torch.int64), seen.clone()
        reference = sampler._sample_in_torch(logits[rows], kept, expected, uniform)
        assert found.tolist() == expected.tolist()
        assert torch.equal(counted, kept)
        torch.testing.assert_close(values, reference, rtol=0, atol=1e-5)


def kernels_agree():
    """Interpreted kernels against dequantized weights, and the decoder without graphs against the plain one."""
    from core.chat.cuda import quantized_matmul
    from core.chat.cuda.adapter_slots import paired
    from core.chat.cuda.lora import Lora
    from core.chat.cuda.weights import MergedLinears

    torch.manual_seed(0)
    model = pack_in_nf4(tiny_llama(num_hidden_layers=1, **SHAPE))
    modules = projections(model.model.layers[0])[:3]
    whole = torch.cat([dequantize_4bit(m.weight.data, m.weight.quant_state) for m in modules])
    merged, x = MergedLinears(modules), torch.randn(3, 128)
    a, b, slots = torch.randn(2, 48, 128), torch.randn(2, 256, 16), torch.tensor([-1, 1, 0], dtype=torch.int32)
    out, done = torch.zeros(2, 3, 256), torch.zeros(2, dtype=torch.int32)
    columns = paired(a.flatten(0, 1)).view(a.shape)
    quantized_matmul.product(paired(x), merged, out, Lora(columns, b, slots, torch.zeros(2, 3, 48), done, 0))
    expected = x @ whole.T
    for row, slot in ((1, 1), (2, 0)):
        low = (a[slot] @ x[row]).view(3, 16)
        expected[row] += torch.cat([part @ low[at] for at, part in enumerate(b[slot].split([128, 64, 64]))])
    torch.testing.assert_close(out.sum(0), expected, rtol=1e-4, atol=1e-4)

    unpacked = torch.empty(256, 128)
    quantized_matmul.unpack(merged, unpacked, True)
    assert torch.equal(unpacked, paired(whole))
    decoders_agree(model)


def decoders_agree(model):
    """Compare the CUDA decoder without graphs to the PyTorch decoder: through kernels alone, and unpacked weights."""
    from core.chat.adapters import RowAdapters
    from core.chat.cuda import decode_graph
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime
    from core.chat.decoder import Decoder, TokenSequence

    rows = RowAdapters(model)
    name = "model.layers.0.mlp.down_proj"
    rows.add("tuned", Adapter({name: LoraWeights(torch.randn(4, 192), torch.randn(128, 4))}))
    outputs, runtime, uses_library = [], CudaRuntime(model, uses_graphs=False), decode_graph.uses_library
    decode_graph.uses_library = lambda rows, dtype: False
    for make in (Decoder, *[lambda _, rows: CudaDecoder(runtime, rows, chunk=12)] * 2):
        decoder = make(model, rows)
        outputs.append([])

        def take(logits, to):
            to.append(logits.clone())
            return int(logits.argmax()) if len(to) < 3 else None

        for length, adapter in ((9, None), (20, "tuned")):
            outputs[-1].append([])
            decoder.join(
                [TokenSequence(list(range(3, 3 + length)), adapter, lambda one, to=outputs[-1][-1]: take(one, to))]
            )
        while decoder.step():
            pass
        if make is not Decoder:
            # It returns true in float32.
            decode_graph.uses_library = uses_library
            runtime._steps.clear()
            # This sequence is left over, and the next decoder reuses its pages.
            decoder.join([TokenSequence([5, 6], None, lambda logits: 7)])
    for plain, *others in zip(*outputs, strict=True):
        for fast in others:
            torch.testing.assert_close(torch.stack(fast), torch.stack(plain), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed here")
def test_interpreted_kernels_equal_the_pytorch_decoder(monkeypatch):
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = [sys.executable, "-c", INTERPRETED, str(PROJECT)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.stdout.endswith("agreed\n"), found.stderr[-2000:]
