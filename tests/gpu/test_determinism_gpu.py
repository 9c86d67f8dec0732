"""Packed attention on a GPU repeats its gradients bit by bit where `deterministic` is on."""

import pytest
import torch

from core.kernels.attention import packed_attention
from core.runs.config import QLoRAConfig
from core.train.determinism import set_mode

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

# One long row, whose gradients many blocks add to, and short ones beside it.
LENGTHS = [3000, 17, 500, 64]


@pytest.fixture(autouse=True)
def mode_restored():
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled


def gradients() -> list[torch.Tensor]:
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (1, 8, sum(LENGTHS), 128)
    parts = [torch.randn(shape, generator=generator, device="cuda", dtype=torch.bfloat16) for _ in range(4)]
    leaves = [part.requires_grad_() for part in parts[:3]]
    out, _ = packed_attention(torch.nn.Module(), *leaves, None, row_lengths=LENGTHS)
    return list(torch.autograd.grad(out, leaves, parts[3].transpose(1, 2)))


def test_packed_attention_gradients_repeat_bit_exact():
    set_mode(QLoRAConfig(deterministic="on"), True, lambda: None)
    first = gradients()
    for _ in range(10):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(gradients(), first, strict=True))
