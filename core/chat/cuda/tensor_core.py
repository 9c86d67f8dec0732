"""A tensor core's product (mma.m16n8k16), written a thread at a time, for kernels of at most eight rows.

Every tensor has as many elements as the program has threads, so element n is thread n's. A warp multiplies 16 outputs
(or ranks) by eight rows, of which thread n holds outputs n // 4 and n // 4 + 8 of rows n % 4 * 2 and the next. The
product does not mind in which order the inputs come, as long as both sides agree: so thread n reads 16 inputs in one
go, those from n % 4 * 16 on of every 64.
"""

import torch
import triton
import triton.language as tl

MMA = "mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 {{$0, $1, $2, $3}}, {a}, {b}, {c};"
LOAD = """
ld.global.v4.b32 {$0, $1, $2, $3}, [$8];
ld.global.v4.b32 {$4, $5, $6, $7}, [$8+16];
"""


def kind_of(dtype: torch.dtype) -> str:
    return {torch.bfloat16: "bf16", torch.float16: "f16"}[dtype]


@triton.jit
def words(address, LOAD: tl.constexpr, PURE: tl.constexpr = True):
    """Eight words from a thread's address, by the PTX that is given. PURE: nobody writes there meanwhile."""
    return tl.inline_asm_elementwise(
        LOAD, "=r,=r,=r,=r,=r,=r,=r,=r,l", [address],
        dtype=(tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32), is_pure=PURE, pack=1,
    )  # fmt: skip


@triton.jit
def joined(value, TILES: tl.constexpr, TEAMS: tl.constexpr):
    """The sum of what TEAMS teams of TILES warps hold."""
    return tl.sum(tl.reshape(value, (TEAMS, 32 * TILES)), 0)
