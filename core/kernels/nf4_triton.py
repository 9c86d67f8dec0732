"""Triton function that turns packed 4-bit codes into numbers; the kernel that unpacks a weight for training inlines it.

core/kernels/nf4.py shows the layout of the codes, and names the chat's kernels, which have their own code for it.
"""

import triton
import triton.language as tl


@triton.jit
def decode_blocks(packed, code, block, scale, is_block, HALF: tl.constexpr):
    """Return the weights of the upper and of the lower nibbles of some blocks, each (BLOCKS, HALF), float32.

    packed: codes, uint8, two to a byte. code: (16,), float32. block: (BLOCKS,), block numbers. scale: (BLOCKS,),
    float32, each block's absmax. is_block: (BLOCKS,), false past the last block. HALF: bytes of a block.
    `tl.interleave` of the two results gives the weights in their order.
    """
    byte_index = tl.arange(0, HALF)[None, :]  # (1, HALF)
    # The byte's number is computed in 64 bits, so that the size of a weight has no limit of 2 GiB.
    byte = tl.load(packed + block[:, None].to(tl.int64) * HALF + byte_index, mask=is_block[:, None], other=0)
    byte = byte.to(tl.int32)  # (BLOCKS, HALF)
    upper = tl.load(code + (byte >> 4)) * scale[:, None]  # (BLOCKS, HALF), float32
    lower = tl.load(code + (byte & 15)) * scale[:, None]  # (BLOCKS, HALF), float32
    return upper, lower
