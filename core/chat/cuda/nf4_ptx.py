"""PTX that unpacks 4-bit weights to 16-bit values in registers, and multiplies them; the kernels insert it as strings.

A 4-bit index stands for one of 16 code values (core/kernels/nf4.py has the layout), given here in bfloat16 or
float16. No table is looked up per weight. The 16 codes are eight 32-bit words: their upper bytes (h0 to h3, four per
word) and lower bytes (l0 to l3). In `unpack_bytes_ptx` all eight are constants of the instructions. In
`block_product_ptx` four are constants, and four are in registers, loaded once per thread (`code_words`).
The instruction prmt picks four bytes out of eight by four selectors:

    four indices  i0 i1 i2 i3, 4 bits each
    a = prmt(h0, h1, lower 3 bits)        the upper bytes, if the index is 0 to 7
    b = prmt(h2, h3, lower 3 bits)        the upper bytes, if it is 8 to 15
    a = prmt(a, b, highest bit)           the upper bytes
    c = the same with l0 to l3            the lower bytes
    left, right = prmt(c, a, ...)         zipped to two words of two 16-bit codes

`left` holds the codes of upper nibbles (even weights), and `right` those of lower nibbles (odd weights); x is in paired
order to match (`elementwise`).
"""

import functools
import struct

import torch

from core.chat.cuda.tensor_core import MMA, ptx_type

# Four 4-bit indices to four 16-bit codes. s holds the lower three bits of each index, and m selects by the highest bit.
# h0 to h3 are the upper bytes of the 16 codes, four per word, and l0 to l3 the lower bytes.
_HALF = """
prmt.b32 a, {h0}, {h1}, s;
prmt.b32 b, {h2}, {h3}, s;
prmt.b32 a, a, b, m;
prmt.b32 c, {l0}, {l1}, s;
prmt.b32 d, {l2}, {l3}, s;
prmt.b32 c, c, d, m;
prmt.b32 {left}, c, a, 0x7351;
prmt.b32 {right}, c, a, 0x6240;
"""
# A word of eight indices: the first four, then the others after a shift by 16 bits.
_WORD = """
and.b32 s, {word}, 0x77777777;
shr.u32 m, {word}, 1;
lop3.b32 m, m, 0x44444444, 0x32103210, 0xEA;
{first}
shr.u32 s, s, 16;
shr.u32 m, m, 16;
{second}
"""
# Eight bytes of each of four blocks, 32 bytes apart; weights are read once, so they bypass the first-level cache.
LOAD_WEIGHTS = "\n".join(
    f"ld.global.nc.L1::no_allocate.v2.b32 {{${2 * at}, ${2 * at + 1}}}, [$8+{32 * at}];" for at in range(4)
)


def _constants(codes: tuple[float, ...], dtype: torch.dtype) -> dict[str, str]:
    """Return the lower and upper bytes of the 16 codes as PTX constants l0 to l3 and h0 to h3, four bytes in each."""
    bits = torch.tensor(codes).to(dtype).view(torch.int16).tolist()
    raw = struct.pack("<16h", *bits)
    planes = {"l": struct.unpack("<4I", raw[0::2]), "h": struct.unpack("<4I", raw[1::2])}
    return {f"{plane}{at}": f"0x{word:08x}" for plane, words in planes.items() for at, word in enumerate(words)}


@functools.cache
def block_product_ptx(codes: tuple[float, ...], dtype: torch.dtype) -> str:
    """Return PTX that multiplies a block of 64 weights, for 16 outputs and 8 rows.

    $0 to $3: the thread's four products, float32. $4, $5: its packed weights of the upper output. $6, $7: of the lower
    output. $8 to $15: its words of x. $16 to $19: the codes' bytes l0, l2, h0 and h2, in registers (`code_words`).
    """
    names = _constants(codes, dtype) | {"l0": "$16", "l2": "$17", "h0": "$18", "h2": "$19"}
    lines = [".reg .b32 s, m, a, b, c, d;", ".reg .b32 p<16>;", ".reg .f32 z;", "mov.f32 z, 0f00000000;"]
    for word in range(4):
        halves = {
            name: _HALF.format(**names, left=f"p{4 * word + at}", right=f"p{4 * word + 2 + at}")
            for at, name in enumerate(("first", "second"))
        }
        lines.append(_WORD.format(word=f"${4 + word}", **halves))
    for number, (upper, lower) in enumerate(((0, 8), (2, 10), (4, 12), (6, 14))):
        lines.append(MMA.format(
            kind=ptx_type(dtype), a=f"{{p{upper}, p{lower}, p{upper + 1}, p{lower + 1}}}",
            b=f"{{${8 + 2 * number}, ${9 + 2 * number}}}", c="{$0, $1, $2, $3}" if number else "{z, z, z, z}",
        ))  # fmt: skip
    return "{\n" + "\n".join(lines) + "\n}"


@functools.cache
def code_words(codes: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return $16 to $19 of `block_product_ptx` for each thread of a warp: (32, 4), int32.

    Each thread has a copy. Values that the compiler takes for uniform would be moved to a register at each use.
    """
    names = _constants(codes, dtype)
    words = [int(names[name], 16) for name in ("l0", "l2", "h0", "h2")]
    return torch.tensor([words] * 32, dtype=torch.int64, device=device).to(torch.int32)


@functools.cache
def unpack_bytes_ptx(codes: tuple[float, ...], dtype: torch.dtype) -> str:
    """Return PTX that unpacks four bytes ($4) to 16-bit codes.

    The codes of the upper nibbles are in $0 and $1, those of the lower nibbles in $2 and $3.
    """
    names = _constants(codes, dtype)
    halves = {
        name: _HALF.format(**names, left=f"${at}", right=f"${2 + at}") for at, name in enumerate(("first", "second"))
    }
    return "{\n.reg .b32 s, m, a, b, c, d;\n" + _WORD.format(word="$4", **halves) + "\n}"
