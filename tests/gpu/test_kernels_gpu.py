"""The Triton kernels and the fused block on a GPU, against PyTorch, transformers and PEFT."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from core.kernels import attention, elementwise
from core.train.batches import pack
from core.train.kernels import elementwise as training_elementwise
from core.train.kernels.activation_offload import ActivationOffload
from core.train.kernels.patch import fuse_blocks
from core.train.loss import chunked_cross_entropy
from tests.helpers.matched_dropout import match_fused_dropout
from tests.helpers.tiny_model import random_rows

if elementwise.HAS_TRITON:
    from core.train.kernels import unpack_triton

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# A share of a gradient's length: bf16 keeps 8 bits, and both sides round.
TOLERANCE = 0.02


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference, divided by the norm of the expected tensor."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def random_tensor(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(*shape, device="cuda").to(dtype)


def make_strided(rows: int, width: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """Return a matrix with space between its rows, all of it NaN."""
    return torch.full((rows, width + 64), float("nan"), device="cuda", dtype=dtype)[:, :width]


@pytest.fixture
def without_triton(monkeypatch):
    """Return a function that runs another one on PyTorch's operators."""

    def run(work, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(elementwise, "HAS_TRITON", False)
            return work(*arguments)

    return run


@pytest.mark.parametrize(("tokens", "width"), [(7, 96), (300, 4096), (33, 5120)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rms_norm_forward_and_backward_match_pytorch(without_triton, tokens, width, dtype):
    x, weight, gradient, passed = (random_tensor(*s, dtype=dtype) for s in ((tokens, width), (width,), (tokens, width),
                                                                    (tokens, width)))  # fmt: skip

    def both():
        out = make_strided(tokens, width, dtype)
        rstd = elementwise.rms_norm(x, weight, 1e-5, out)
        return out, *training_elementwise.rms_norm_backward(x, weight, rstd, gradient, passed)

    for found, expected in zip(both(), without_triton(both), strict=True):
        assert relative_error(found, expected) < (1e-5 if dtype == torch.float32 else 4e-3)


@pytest.mark.parametrize(("tokens", "heads", "width"), [(10, 3, 32), (100, 40, 128), (64, 32, 64)])
@pytest.mark.parametrize("back", [True, False])
def test_apply_rotary_matches_pytorch(without_triton, tokens, heads, width, back):
    angles = torch.rand(tokens // 2, width // 2, device="cuda").repeat(1, 2) * 6
    cos, sin = angles.cos().bfloat16(), angles.sin().bfloat16()
    joined = random_tensor(tokens, (heads + 2) * width)
    source = joined.view(tokens, heads + 2, width)[:, :heads]

    def rotate():
        out = make_strided(tokens, heads * width).unflatten(1, (heads, width))
        elementwise.apply_rotary(source, out, cos, sin, back)
        return out

    expected = without_triton(rotate)
    assert relative_error(rotate(), expected) < 4e-3
    rest = joined[:, heads * width :].clone()
    elementwise.apply_rotary(source, source, cos, sin, back)
    assert relative_error(source, expected) < 4e-3
    assert torch.equal(joined[:, heads * width :], rest)


@pytest.mark.parametrize(("tokens", "width"), [(5, 100), (300, 11008)])
@pytest.mark.parametrize(("columns", "rank"), [(0, 0), (64, 16), (128, 100)])
def test_swiglu_forward_and_backward_match_pytorch(without_triton, tokens, width, columns, rank):
    given, pulled = random_tensor(tokens, 2 * width), random_tensor(tokens, width)
    lowered, lower = random_tensor(tokens, columns), random_tensor(columns, width)
    lowered[:, rank:] = lower[rank:] = 0

    def both():
        out, gates, gradient = make_strided(tokens, width), given.clone(), make_strided(tokens, width).copy_(pulled)
        elementwise.swiglu(gates, out)
        training_elementwise.swiglu_backward(gates, gradient, lowered, lower, rank)
        return out, gates, gradient

    for found, expected in zip(both(), without_triton(both), strict=True):
        assert relative_error(found, expected) < 4e-3


@pytest.mark.parametrize("width", [40, 5000])
def test_copy_rows_between_strided_matrices_is_exact(width):
    source, out = random_tensor(50, width + 8)[:, :width], make_strided(50, width)
    training_elementwise.copy_rows(source, out)
    assert torch.equal(out, source)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("block", "rank", "columns"), [(64, 16, 64), (128, 7, 128), (64, 0, 0)])
def test_unpack_4bit_equals_bitsandbytes_and_places_factors(kind, nested, block, rank, columns):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight, first = random_tensor(320, 1024) * 0.02, rank and 30
    packed, state = quantize_4bit(weight, quant_type=kind, compress_statistics=nested, blocksize=block)
    both = torch.full((320, 1024 + columns), float("nan"), device="cuda", dtype=torch.bfloat16)
    lower = torch.full((columns, 1024), float("nan"), device="cuda", dtype=torch.bfloat16)
    a, b = random_tensor(rank, 1024, dtype=torch.float32), random_tensor(320, rank, dtype=torch.float32)
    out, pad = both[:, :1024], columns - rank - first
    unpack_triton.unpack_4bit(packed, state, out, a, b, 0.5, first, pad, columns, lower)
    assert torch.equal(out, dequantize_4bit(packed, state))
    placed = (both.clone(), lower.clone())
    if columns:
        both[:, 1024:], lower[:] = float("nan"), float("nan")
        unpack_triton.place_factors(out, a, b, 0.5, first, pad, columns, lower)
    for beside, below in (placed, (both, lower)):
        expected = torch.zeros(320, columns, device="cuda")
        expected[:, first : first + rank] = b * 0.5
        assert torch.equal(beside[:, 1024:], expected.bfloat16())
        assert torch.equal(below[first : first + rank], a.bfloat16())
        assert (below[first + rank :] == 0).all()
        assert below[:first].isnan().all(), "the rows above are another part's"


@pytest.mark.parametrize(("heads", "keys"), [(8, 8), (8, 2)])
def test_packed_attention_kernel_matches_row_by_row(monkeypatch, heads, keys):
    lengths = [1, 130, 64, 517]
    tokens = sum(lengths)
    query, key, value = (random_tensor(1, count, tokens, 64).requires_grad_() for count in (heads, keys, keys))

    def attend_with_gradients():
        out, _ = attention.packed_attention(None, query, key, value, None, row_lengths=lengths)
        pulled = torch.arange(out.numel(), device="cuda").view(out.shape).sin().bfloat16()
        return out, *torch.autograd.grad(out, (query, key, value), pulled)

    assert attention.kernel_name() != "row by row"
    found = attend_with_gradients()
    monkeypatch.setattr(attention, "_kernel_for", lambda _: None)
    for result, expected in zip(found, attend_with_gradients(), strict=True):
        assert relative_error(result, expected) < TOLERANCE


@pytest.mark.parametrize("width", [100, 4096, 11008])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_dropout_zeroes_its_share_and_repeats_by_seed(width, share):
    seed, x, ones = 2**40 + 7, random_tensor(999, width), torch.ones(999, width, device="cuda", dtype=torch.bfloat16)
    left, other = training_elementwise.dropout(ones, share, seed), training_elementwise.dropout(ones, share, seed + 1)
    assert set(left.unique().tolist()) == {0.0, float(torch.tensor(1 / (1 - share)).bfloat16())}
    assert float((left == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert float(((left == 0) & (other == 0)).float().mean()) == pytest.approx(share**2, abs=0.01)
    strided_x = make_strided(999, width).copy_(x)
    expected = x.float() * (left != 0) / (1 - share)
    assert relative_error(training_elementwise.dropout(strided_x, share, seed), expected) < 4e-3
    out = make_strided(999, width).copy_(ones)
    training_elementwise.dropout_backward(x, share, seed, out)
    assert relative_error(out, 1 + x.float() * (left != 0) / (1 - share)) < 4e-3


def make_tuned_model(four_bit: bool, **over) -> torch.nn.Module:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=512, hidden_size=1024, intermediate_size=2816, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, attn_implementation=attention.PACKED,
    )  # fmt: skip
    model = LlamaForCausalLM(shape).to(torch.bfloat16)
    if four_bit:
        import bitsandbytes

        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                packed = bitsandbytes.nn.Linear4bit(
                    module.in_features, module.out_features, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16
                )
                packed.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
                model.set_submodule(name, packed)
    model = get_peft_model(model.cuda().requires_grad_(False), LoraConfig(r=16, target_modules=ALL, **over))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
            if "lora_B" in name:
                parameter.data.normal_(0, 0.02)
    return model.train()


def loss_and_gradients(model, batch):
    model.zero_grad()
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    base = model.get_base_model()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        hidden = base.get_decoder()(**inputs, use_cache=False).last_hidden_state
        total, count = chunked_cross_entropy(hidden, base.lm_head.weight, batch["labels"])
    (total / count).backward()
    return total.item() / count, {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("four_bit", [True, False])
def test_fused_blocks_match_plain_blocks_in_every_memory_mode(four_bit):
    model = make_tuned_model(four_bit)
    batch = pack(random_rows([300, 7, 513, 200]))
    batch = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    expected, wanted = loss_and_gradients(model, batch)
    blocks, notes = fuse_blocks(model.get_base_model())
    assert len(blocks) == 4, notes
    offload = ActivationOffload()
    ways = {"kept": (True, 0, None), "again": (False, 0, None), "offload": (False, 256, offload)}
    for name, (keep, chunk, away) in ways.items():
        for block in blocks:
            block.keep, block.chunk, block.offload = keep, chunk, away
        # Scratch memory holds what the previous pass left.
        for _ in range(2):
            found, gradients = loss_and_gradients(model, batch)
        worst = max(relative_error(gradients[key], wanted[key]) for key in wanted)
        print(f"{name}: loss {found:.5f} for {expected:.5f}, gradients differ by {worst:.4f} at most")
        assert found == pytest.approx(expected, rel=2e-3)
        # The model is four blocks deep, and both sides round to bf16 at every product.
        assert worst < 3 * TOLERANCE


@pytest.mark.parametrize(("keep", "chunk"), [(True, 0), (False, 0), (False, 256)])
def test_fused_blocks_with_same_dropout_match_plain_blocks(keep, chunk):
    lengths = [300, 7, 513, 200]
    model, batch = make_tuned_model(True, lora_dropout=0.1), pack(random_rows(lengths))
    batch = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
    torch.manual_seed(5)
    with match_fused_dropout(model, 0.1, sum(lengths), chunk):
        expected, wanted = loss_and_gradients(model, batch)
    blocks, notes = fuse_blocks(model.get_base_model())
    assert len(blocks) == 4, notes
    for block in blocks:
        block.keep, block.chunk = keep, chunk
    for _ in range(2):
        torch.manual_seed(5)
        found, gradients = loss_and_gradients(model, batch)
    worst = max(relative_error(gradients[key], wanted[key]) for key in wanted)
    print(f"dropout: loss {found:.5f} for {expected:.5f}, gradients differ by {worst:.4f} at most")
    assert found == pytest.approx(expected, rel=2e-3)
    assert worst < 3 * TOLERANCE
