"""Tensor core product mma.m16n8k16, written one thread at a time, for kernels of at most eight rows.

Triton's own `tl.dot` passes operands through shared memory and takes at least 16 rows. These kernels call the
instruction through inline PTX instead, on operands that each thread unpacks in its registers.

Layout: every tensor has one element per thread of the program, so element n belongs to thread n. A warp of 32 threads
multiplies 16 outputs (or ranks) by 8 rows:

    lane = thread % 32 (in the sense of CUDA)    lane group = lane // 4 (0..7)    quarter = lane % 4 (0..3)

    accumulator, float32, 16 outputs x 8 rows          inputs: a block of 64, read by quarters
              row 2q     row 2q+1                      quarter 0   inputs  0..15
    output g    c0         c1                          quarter 1   inputs 16..31
    output g+8  c2         c3                          quarter 2   inputs 32..47
    (g = lane group, q = quarter)                      quarter 3   inputs 48..63

A product does not depend on the order of its inputs as long as both operands agree. So each thread reads the 16 inputs
of its quarter in one contiguous load, and four instructions of 16 inputs cover the block.

Operands are bfloat16 or float16, two to a 32-bit word; sums are float32.
"""

import torch
import triton
import triton.language as tl

# D = A B + C; A is (16, 16) by rows, B is (16, 8) by columns, C and D are (16, 8) in float32.
MMA = "mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32 {{$0, $1, $2, $3}}, {a}, {b}, {c};"
# Eight contiguous 32-bit words: 16 values of 16 bits.
LOAD_WORDS = """
ld.global.v4.b32 {$0, $1, $2, $3}, [$8];
ld.global.v4.b32 {$4, $5, $6, $7}, [$8+16];
"""


def ptx_type(dtype: torch.dtype) -> str:
    """Return PTX's name of a 16-bit float type."""
    return {torch.bfloat16: "bf16", torch.float16: "f16"}[dtype]


@triton.jit
def load_words(address, LOAD: tl.constexpr, PURE: tl.constexpr = True):
    """Load eight 32-bit words at each thread's address.

    address: (threads,), int64. LOAD: the PTX. PURE: whether nothing writes there meanwhile, so that the compiler may
    move the load. Returns eight tensors (threads,), int32.
    """
    return tl.inline_asm_elementwise(
        LOAD, "=r,=r,=r,=r,=r,=r,=r,=r,l", [address],
        dtype=(tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32, tl.int32), is_pure=PURE, pack=1,
    )  # fmt: skip


@triton.jit
def sum_teams(value, TILES: tl.constexpr, TEAMS: tl.constexpr):
    """Add up what the teams of a program hold: (TEAMS * TILES * 32,) to (TILES * 32,), float32."""
    return tl.sum(tl.reshape(value, (TEAMS, 32 * TILES)), 0)
