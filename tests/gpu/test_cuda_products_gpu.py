"""Products of the CUDA decoder on a GPU, LoRA included, against dequantized weights."""

import itertools

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit

from tests.helpers.cuda_weights import KINDS, pack_linear, relative_distance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]


@pytest.mark.parametrize("kind", KINDS)
# The second width is a multiple of what the kernel for few rows takes.
@pytest.mark.parametrize("width", [1088, 1024])
@pytest.mark.parametrize("rows", [1, 2, 8, 16, 40, 128, 200])
def test_cuda_products_equal_dequantized_weights(kind, rows, width):
    from core.chat.cuda import quantized_matmul
    from core.chat.cuda.adapter_slots import paired
    from core.chat.cuda.lora import Lora
    from core.chat.cuda.weights import MergedLinears

    torch.manual_seed(1)
    linears = [torch.nn.Linear(width, out, bias=False, device="cuda", dtype=torch.bfloat16) for out in (256, 64, 192)]
    if kind != "bf16":
        linears = [pack_linear(linear, kind) for linear in linears]
    dequantized = [
        m.weight if kind == "bf16" else dequantize_4bit(m.weight.data, m.weight.quant_state) for m in linears
    ]
    before = [weight.clone() for weight in dequantized]
    merged = MergedLinears(linears)
    x = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
    a = torch.randn(2, 3 * 16, width, device="cuda", dtype=torch.bfloat16) / 30
    b = torch.randn(2, 512, 16, device="cuda", dtype=torch.bfloat16)
    slots = torch.tensor([(-1, 1, 0)[row % 3] for row in range(rows)], dtype=torch.int32, device="cuda")
    given = paired(x) if merged.is_packed else x
    done = torch.zeros(2, dtype=torch.int32, device="cuda")
    out, alone = (torch.empty(3, rows, 512, device="cuda") for _ in range(2))
    columns = paired(a.flatten(0, 1)).view(a.shape) if merged.is_packed else a
    # Products use the counters alternately.
    for counter in (0, 1, 0):
        lora = Lora(columns, b, slots, torch.zeros(4, rows, 48, device="cuda"), done, counter)
        quantized_matmul.product(given, merged, out, lora)
    quantized_matmul.product(given, merged, alone)
    expected = x.float() @ torch.cat(before).float().T
    assert relative_distance(alone.sum(0), expected) < 3e-3
    for row, slot in enumerate(slots.tolist()):
        if slot >= 0:
            low = (a[slot].float() @ x[row].float()).view(3, 16)
            for at, (start, end) in enumerate(itertools.pairwise([0, 256, 320, 512])):
                expected[row, start:end] += b[slot, start:end].float() @ low[at]
    assert relative_distance(out.sum(0), expected) < 4e-3
    base = slots < 0
    assert torch.equal(out.sum(0)[base], alone.sum(0)[base]), "a row of the base is that of no LoRA"
    # The modules' own weights are views of the merged ones.
    if kind != "bf16":
        for module, weight in zip(linears, before, strict=True):
            assert torch.equal(dequantize_4bit(module.weight.data, module.weight.quant_state), weight)
