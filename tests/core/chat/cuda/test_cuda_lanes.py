"""What of the fast decoder a machine without a GPU can test: the choice, the layouts, and the kernels interpreted."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit, Params4bit

from core.chat.adapters import Adapter, LoraWeights
from core.chat.cuda import support
from core.chat.cuda.batch_sampler import Drawing
from core.chat.lanes import Lanes
from core.chat.sampler import TokenSampler, drawn
from core.chat.sampling import Sampling
from core.models.loading import LoadedBase
from tests.helpers.tiny_model import tiny_llama

PROJECT = Path(__file__).resolve().parents[4]
SHAPE = {"hidden_size": 128, "intermediate_size": 192, "head_dim": 32}


def served(**over):
    return tiny_llama(**({"dtype": torch.bfloat16} | SHAPE | over))


def packed(model, double=True):
    """The model with its projections in NF4, as bitsandbytes packs them."""
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            made = Linear4bit(module.in_features, module.out_features, bias=False, quant_type="nf4")
            weight = Params4bit(module.weight.data, False, quant_type="nf4", compress_statistics=double)
            made.weight = weight._quantize("cpu")
            model.set_submodule(name, made)
    return model


def test_without_a_gpu_the_model_itself_decodes_and_it_is_said(tokenizer):
    base = LoadedBase(tiny_llama(vocab_size=len(tokenizer)), tokenizer)
    lanes = Lanes(base)
    assert type(lanes.decoder().together).__name__ == "Decoder"
    assert "there is no GPU" in lanes.decoding_note
    assert "switched off" in Lanes(base, fast=False).decoding_note


@pytest.mark.parametrize("double", [True, False])
def test_llamas_in_4_bits_16_or_32_are_served(double):
    assert support.unlike(packed(served(), double)) is None
    assert support.unlike(served()) is None
    assert support.unlike(served(dtype=torch.float32)) is None


@pytest.mark.parametrize(
    ("over", "reason"),
    [
        ({"head_dim": 16}, "heads are 16 wide"),
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"attention_bias": True}, "biases"),
        ({"intermediate_size": 200}, "no multiple of 64"),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "positions are of the kind"),
        ({"dtype": torch.float64}, "computes in torch.float64"),
    ],
)
def test_what_is_not_served_has_its_reason(over, reason):
    assert reason in support.unlike(served(**over))


def test_mixed_weights_are_not_served():
    model = served()
    one = packed(served()).model.layers[0].mlp.up_proj
    model.model.layers[0].mlp.up_proj = one
    assert "several kinds" in support.unlike(model)


def test_adapters_that_are_more_than_lora_go_the_plain_way():
    weights = LoraWeights(torch.zeros(4, 128), torch.zeros(128, 4))
    name = "model.layers.1.self_attn.q_proj"
    assert support.plain_lora(Adapter({name: weights}), 2)
    assert not support.plain_lora(Adapter({name: weights}), 1), "a block that the model has not"
    assert not support.plain_lora(Adapter({"lm_head": weights}), 2)
    assert not support.plain_lora(Adapter({}, special="use_dora"), 2)


def test_a_token_without_probability_is_never_drawn():
    shares = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]]).expand(5, -1)
    found = drawn(shares, torch.tensor([0.0, 0.49, 0.5, 0.51, 1 - 1e-9], dtype=torch.float64))
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
def test_rows_drawn_together_are_drawn_as_each_alone(sampling):
    """Two such rows and a third of other settings at places 3, 0 and 1, for twenty tokens."""
    others = Sampling(temperature=0.9, seed=9)
    said = torch.zeros(4, 300, dtype=torch.uint8)
    alone = [TokenSampler(one, [5, 7]) for one in (sampling, sampling, others)]
    places = [3, 0, 1]
    for place, picker in zip(places, alone, strict=True):
        said[place, sorted(picker.said)] = 1
    together = Drawing(
        [(place, TokenSampler(p.sampling, [5, 7])) for place, p in zip(places, alone, strict=True)], 300, "cpu"
    )
    generator, tokens = torch.Generator().manual_seed(0), torch.zeros(4, dtype=torch.int64)
    for _ in range(20):
        logits = torch.randn(300, generator=generator) * 3
        values = together.draw(logits.expand(3, -1), said, tokens)
        expected = [picker.sample(logits) for picker in alone]
        assert tokens[places].tolist() == [token for token, _ in expected]
        torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5)


INTERPRETED = """
import sys; sys.path.insert(0, sys.argv[1])
from tests.core.chat.cuda.test_cuda_lanes import kernels_agree, picks_agree
kernels_agree(); picks_agree(); print("agreed")
"""


def picks_agree():
    """The interpreted kernel that picks against PyTorch's way."""
    from core.chat.cuda import sample_kernel
    from core.chat.sampler import GREEDY_BELOW

    settings = [
        Sampling(temperature=0), Sampling(temperature=1, top_p=0.8), Sampling(temperature=0.7, top_k=5, top_p=0.9),
        Sampling(temperature=1.5, top_p=1, min_p=0.05, repetition_penalty=1.2), Sampling(temperature=1, top_p=1),
    ]  # fmt: skip
    places, logits = [3, 0, 5, 1, 2], torch.randn(6, 300, generator=torch.Generator().manual_seed(0)) * 3
    said = (torch.rand(6, 300) < 0.3).to(torch.uint8)
    drawing = Drawing([(place, TokenSampler(one, [])) for place, one in zip(places, settings, strict=True)], 300, "cpu")
    rows = torch.tensor([4, 3, 2, 1, 0])
    for step in range(4):
        uniform = torch.rand(5, generator=torch.Generator().manual_seed(step))
        found, counted = torch.zeros(6, dtype=torch.int64), said.clone()
        values = torch.zeros(5, 2, dtype=torch.float64)
        sample_kernel.sample(
            logits, rows, drawing._settings, uniform, counted, drawing._places, found, values, GREEDY_BELOW
        )
        expected, kept = torch.zeros(6, dtype=torch.int64), said.clone()
        told = drawing._drawn(logits[rows], kept, expected, uniform)
        assert found.tolist() == expected.tolist()
        assert torch.equal(counted, kept)
        torch.testing.assert_close(values, told, rtol=0, atol=1e-5)


def kernels_agree():
    """Interpreted kernels against dequantised weights, and the decoder without graphs against the plain one."""
    from core.chat.cuda import quantized_matmul
    from core.chat.cuda.adapter_slots import paired
    from core.chat.cuda.lora import Lora
    from core.chat.cuda.weights import Merged

    torch.manual_seed(0)
    model = packed(tiny_llama(num_hidden_layers=1, **SHAPE))
    modules = support.modules_of(model.model.layers[0])[:3]
    whole = torch.cat([dequantize_4bit(m.weight.data, m.weight.quant_state) for m in modules])
    merged, x = Merged(modules), torch.randn(3, 128)
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
    """Without graphs against the plain one: rows that go through kernels alone, and through unpacked weights."""
    from core.chat.adapters import RowAdapters
    from core.chat.cuda import decode_graph
    from core.chat.cuda.decoder import CudaDecoder
    from core.chat.cuda.runtime import CudaRuntime
    from core.chat.decoder import Decoder, TokenSequence

    rows = RowAdapters(model)
    name = "model.layers.0.mlp.down_proj"
    rows.add("tuned", Adapter({name: LoraWeights(torch.randn(4, 192), torch.randn(128, 4))}))
    said, machine, by_library = [], CudaRuntime(model, graphs=False), decode_graph.by_library
    decode_graph.by_library = lambda rows, dtype: False
    for make in (Decoder, *[lambda _, rows: CudaDecoder(machine, rows, chunk=12)] * 2):
        decoder = make(model, rows)
        said.append([])

        def take(logits, to):
            to.append(logits.clone())
            return int(logits.argmax()) if len(to) < 3 else None

        for length, adapter in ((9, None), (20, "tuned")):
            said[-1].append([])
            decoder.join(
                [TokenSequence(list(range(3, 3 + length)), adapter, lambda one, to=said[-1][-1]: take(one, to))]
            )
        while decoder.step():
            pass
        if make is not Decoder:
            decode_graph.by_library = by_library  # which in float32 says yes
            machine._steps.clear()
            decoder.join(
                [TokenSequence([5, 6], None, lambda logits: 7)]
            )  # and is left so: the next one's rows have its pages
    for plain, *others in zip(*said, strict=True):
        for fast in others:
            torch.testing.assert_close(torch.stack(fast), torch.stack(plain), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed here")
def test_interpreted_kernels_agree_with_the_plain_decoder(monkeypatch):
    """In a process of its own: Triton decides when it is imported whether it interprets."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = [sys.executable, "-c", INTERPRETED, str(PROJECT)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.stdout.endswith("agreed\n"), found.stderr[-2000:]
