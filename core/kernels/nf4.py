"""Unpacking of bitsandbytes' 4-bit weights (NF4 and FP4): layout, PyTorch reference.

A weight (outputs, width) is a flat run of codes, two to a byte, output after output. Every `blocksize` weights (64 as a
rule) share one scale, their absolute maximum (Dettmers et al. 2023, arXiv:2305.14314, section 3):

    weight n  =  code[nibble n] · absmax[n // blocksize]

    byte      |   0   |   1   |   2   |  ...  |   31  |       one block of 64 weights: 32 bytes
    nibble    | hi lo | hi lo | hi lo |  ...  | hi lo |       the upper nibble is the earlier weight
    weight      0   1   2   3   4   5           62  63
    scale     |<------------- absmax[0] ------------->|

`code` holds the 16 values of the data type, float32. With double quantization ("nested") the scales are themselves
quantized: absmax is uint8, and scale b = outer_code[absmax[b]] · outer_absmax[b // outer_blocksize] + offset, with 256
scales to an outer block.

Four Triton kernels read this layout. Those that write weights compute the scale and code · scale in float32, and round
once, to the compute dtype, so their weights equal bitsandbytes' `dequantize_4bit` bit by bit. Those that multiply by
weights round the 16 values of `code` to the compute dtype, and multiply each block's sum by its scale in float32. The
kernels differ in what they write:

- core/train/kernels/unpack_triton.py: one projection into a wider matrix, beside its LoRA factors; decodes by
  `core.kernels.nf4_triton`. Compared bit by bit in tests/gpu/test_kernels_gpu.py.
- core/chat/cuda/quantized_matmul.py, `_unpack`: several merged projections, each with its own outer scales, optionally
  in paired order (core/chat/cuda/elementwise.py); repeats the lines of `decode_blocks`. Compared bit by bit in
  tests/core/chat/cuda/test_cuda_lanes.py (interpreted, float32).
- core/chat/cuda/quantized_matmul.py, `_product`: no unpacked matrix; each block is decoded for one tensor-core product.
- core/chat/cuda/nf4_gemv.py: no unpacked matrix; codes go from registers into the product.

The last two read the bytes as they are stored, and multiply the upper nibbles of several bytes in one product and the
lower ones in another. So the columns of their input x are stored in paired order (core/chat/cuda/elementwise.py has the
figure). `nf4_gemv` divides each block among four threads, as the figure in its docstring shows.
"""

from typing import Any

import torch


def unpack_reference(weight: torch.Tensor, state: Any, out: torch.Tensor) -> None:
    """Write a frozen weight into `out` by PyTorch and bitsandbytes.

    Args:
        weight: (outputs, width), or packed codes, uint8.
        state: QuantState of bitsandbytes for packed codes; None for a weight that is not packed.
        out: (outputs, width), compute dtype, any stride between outputs.
    """
    if state is None:
        out.copy_(weight)
        return
    from bitsandbytes.functional import dequantize_4bit

    out.copy_(dequantize_4bit(weight.data, state))
