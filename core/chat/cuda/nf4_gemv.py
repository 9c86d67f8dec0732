"""Triton kernel: the product of one to eight rows with 4-bit weights, at the pace that memory gives them.

Written a thread at a time (`core.chat.cuda.tensor_core`), in PTX: each thread reads eight bytes of a weight's row, the
codes that they unpack to are its part of the tensor core's operand already. Nothing goes through shared memory.

For this, of every eight columns of x the even ones come first (`core.chat.cuda.elementwise.placed`).
"""

import functools
import struct

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from core.chat.cuda.elementwise import chained
from core.chat.cuda.lora import FETCH, WAIT, Lora, fetched, lower_piece, lower_product, raise_product, raised, waited
from core.chat.cuda.tensor_core import LOAD, MMA, joined, kind_of, words

ROWS = 8  # at most
GROUP = 256  # inputs that are read at once: four blocks of 64
TILES, TEAMS = 1, 4  # warps of a program: 16 outputs each, and how many share the inputs of a tile

# Two shuffles of bytes look the upper bytes of four codes up, among the first eight and the last eight, one more
# chooses by the nibble's highest bit; the same for lower bytes; then both are zipped to 16-bit numbers.
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
_WORD = """
and.b32 s, {word}, 0x77777777;
shr.u32 m, {word}, 1;
lop3.b32 m, m, 0x44444444, 0x32103210, 0xEA;
{first}
shr.u32 s, s, 16;
shr.u32 m, m, 16;
{second}
"""
_LOAD_WEIGHTS = "\n".join(
    f"ld.global.nc.L1::no_allocate.v2.b32 {{${2 * at}, ${2 * at + 1}}}, [$8+{32 * at}];" for at in range(4)
)


def _constants(codes: tuple[float, ...], dtype: torch.dtype) -> dict[str, str]:
    """The codes' lower and upper bytes as PTX constants, four in each."""
    bits = torch.tensor(codes).to(dtype).view(torch.int16).tolist()
    raw = struct.pack("<16h", *bits)
    planes = {"l": struct.unpack("<4I", raw[0::2]), "h": struct.unpack("<4I", raw[1::2])}
    return {f"{plane}{at}": f"0x{word:08x}" for plane, words in planes.items() for at, word in enumerate(words)}


@functools.cache
def block_product(codes: tuple[float, ...], dtype: torch.dtype) -> str:
    """PTX: 16 outputs of a block of 64 weights.

    $4 and $5 are a thread's words of the upper row, $6 and $7 of the lower, $8 to $15 its x; $16 to $19 the codes'
    bytes l0, l2, h0 and h2, which as constants would be loaded at every use.
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
            kind=kind_of(dtype), a=f"{{p{upper}, p{lower}, p{upper + 1}, p{lower + 1}}}",
            b=f"{{${8 + 2 * number}, ${9 + 2 * number}}}", c="{$0, $1, $2, $3}" if number else "{z, z, z, z}",
        ))  # fmt: skip
    return "{\n" + "\n".join(lines) + "\n}"


@functools.cache
def _held(codes: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """What `block_product` is given as $16 to $19, for each lane of a warp."""
    names = _constants(codes, dtype)
    words = [int(names[name], 16) for name in ("l0", "l2", "h0", "h2")]
    return torch.tensor([words] * 32, dtype=torch.int64, device=device).to(torch.int32)


@functools.cache
def four_bytes(codes: tuple[float, ...], dtype: torch.dtype) -> str:
    """PTX: $4, four bytes, to the codes of their upper halves in $0 and $1, and of their lower halves in $2 and $3."""
    names = _constants(codes, dtype)
    halves = {
        name: _HALF.format(**names, left=f"${at}", right=f"${2 + at}") for at, name in enumerate(("first", "second"))
    }
    return "{\n.reg .b32 s, m, a, b, c, d;\n" + _WORD.format(word="$4", **halves) + "\n}"


@triton.jit
def _scaled(
    sums, bytes_, w0, w1, v0, v1, address, upper, lower, at: tl.constexpr, ASM: tl.constexpr, LOAD: tl.constexpr
):
    """Four sums with one block's products times its sizes added."""
    x0, x1, x2, x3, x4, x5, x6, x7 = words(address + 128 * at, LOAD)
    t0, t1, t2, t3 = bytes_
    d0, d1, d2, d3 = tl.inline_asm_elementwise(
        ASM, "=&f,=&f,=&f,=&f,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r,r",
        [w0, w1, v0, v1, x0, x1, x2, x3, x4, x5, x6, x7, t0, t1, t2, t3],
        dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
    )  # fmt: skip
    c0, c1, c2, c3 = sums
    return c0 + d0 * upper, c1 + d1 * upper, c2 + d2 * lower, c3 + d3 * lower


@triton.jit
def _from(value, lane, SHUFFLE: tl.constexpr):
    """The value that a lane holds."""
    return tl.inline_asm_elementwise(SHUFFLE, "=f,f,r", [value, lane], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit
def _size(sizes, outer_code, outer_sizes, outer_first, offset, place, NESTED: tl.constexpr, OUTER: tl.constexpr):
    size = tl.load(sizes + place)
    if NESTED:
        return tl.load(outer_code + size.to(tl.int32)) * tl.load(outer_sizes + outer_first // OUTER) + offset
    else:
        return size.to(tl.float32)


@triton.jit
def _group_added(
    sums, bytes_, upper_words, lower_words, upper, lower, at, mine,
    ASM: tl.constexpr, LOAD: tl.constexpr, SHUFFLE: tl.constexpr,
):  # fmt: skip
    """Four sums with four blocks' products added, whose sizes the four threads of a row hold, the first `mine`."""
    u0, u1, u2, u3, u4, u5, u6, u7 = upper_words
    l0, l1, l2, l3, l4, l5, l6, l7 = lower_words
    sums = _scaled(sums, bytes_, u0, u1, l0, l1, at, _from(upper, mine, SHUFFLE), _from(lower, mine, SHUFFLE),
                   0, ASM, LOAD)  # fmt: skip
    sums = _scaled(sums, bytes_, u2, u3, l2, l3, at, _from(upper, mine + 1, SHUFFLE),
                   _from(lower, mine + 1, SHUFFLE), 1, ASM, LOAD)  # fmt: skip
    sums = _scaled(sums, bytes_, u4, u5, l4, l5, at, _from(upper, mine + 2, SHUFFLE),
                   _from(lower, mine + 2, SHUFFLE), 2, ASM, LOAD)  # fmt: skip
    return _scaled(sums, bytes_, u6, u7, l6, l7, at, _from(upper, mine + 3, SHUFFLE),
                   _from(lower, mine + 3, SHUFFLE), 3, ASM, LOAD)  # fmt: skip


@triton.jit
def _stored(sums, out, tile, split, rows, total, TILES: tl.constexpr, TEAMS: tl.constexpr):
    c0, c1, c2, c3 = sums
    if TEAMS > 1:
        c0, c1 = joined(c0, TILES, TEAMS), joined(c1, TILES, TEAMS)
        c2, c3 = joined(c2, TILES, TEAMS), joined(c3, TILES, TEAMS)
    thread = tl.arange(0, 32 * TILES)
    o = tile * 16 * TILES + thread // 32 * 16 + thread % 32 // 4
    row = thread % 4 * 2
    target = out + (split * rows + row) * total + o
    tl.store(target, c0, mask=row < rows)
    tl.store(target + total, c1, mask=row + 1 < rows)
    tl.store(target + 8, c2, mask=row < rows)
    tl.store(target + total + 8, c3, mask=row + 1 < rows)


@triton.jit
def _multiplied(
    number, x, weight, held, sizes, outer_code, outer_sizes, outer_offsets, parts, out, lowered, b, slots, done, turn,
    goal, rows, width, total, slot_count, ranks,
    SPLITS: tl.constexpr, TILES: tl.constexpr, TEAMS: tl.constexpr, NESTED: tl.constexpr, OUTER: tl.constexpr,
    PARTS: tl.constexpr, LORA: tl.constexpr, RANK: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
    ASM: tl.constexpr, RAISE: tl.constexpr, WEIGHTS: tl.constexpr, LOAD: tl.constexpr, SHUFFLE: tl.constexpr,
    WAIT: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    tiles = total // (16 * TILES)
    tile, split = number % tiles, number // tiles
    SIZE: tl.constexpr = 32 * TILES * TEAMS
    thread = tl.arange(0, SIZE)
    team, warp = thread // (32 * TILES), thread // 32 % TILES
    lane = thread % 32
    group, quarter = lane // 4, lane % 4
    part = 0
    for module in tl.static_range(1, PARTS):
        part += (tile * 16 * TILES >= tl.load(parts + module)).to(tl.int32)
    first, outer_start = tl.load(parts + part), tl.load(parts + PARTS + part)
    offset = 0.0
    if NESTED:
        offset = tl.load(outer_offsets + part)
    o = tile * 16 * TILES + warp * 16 + group
    blocks = width // 64
    groups = width // 256
    each = tl.cdiv(groups, SPLITS * TEAMS)  # a team of warps has its own share of the inputs
    steps = tl.minimum(each, groups - split * TEAMS * each)
    begin = (split * TEAMS + team) * each
    upper_at = weight.to(tl.int64, bitcast=True) + (o.to(tl.int64) * (width // 2) + quarter * 8)
    lower_at = upper_at + 8 * (width // 2)
    # past the last row it is read again: what comes out there is not stored
    x_at = x.to(tl.int64, bitcast=True) + (tl.minimum(group, rows - 1).to(tl.int64) * width + quarter * 16) * 2
    zero = tl.zeros((SIZE,), tl.float32)
    sums = (zero, zero, zero, zero)
    mine = lane - quarter
    spot = held + lane * 4  # a copy for each lane: what the compiler knows to be the same for all it would move about
    bytes_ = (tl.load(spot), tl.load(spot + 1), tl.load(spot + 2), tl.load(spot + 3))
    step = tl.minimum(begin, groups - 1)
    upper_words, lower_words = words(upper_at + step * 128, WEIGHTS), words(lower_at + step * 128, WEIGHTS)
    if LORA:  # noqa: SIM102  decided when this is compiled
        if split == 0:
            fetched(b, slot_count, o, quarter, total, RANK, FETCH)
    if CHAINED:  # weights may be read while the kernel before still writes x
        gdc_launch_dependents()
        gdc_wait()
    if LORA:  # noqa: SIM102
        if number == 0:
            tl.store(done + 1 - turn, 0)
    for number in tl.range(0, steps):
        now_upper, now_lower = upper_words, lower_words
        step = tl.minimum(begin + number, groups - 1)
        counts = tl.where(begin + number < groups, 1.0, 0.0)  # the last team's share may be less
        # the next are on their way while these are multiplied
        after = tl.minimum(begin + number + 1, groups - 1)
        upper_words, lower_words = words(upper_at + after * 128, WEIGHTS), words(lower_at + after * 128, WEIGHTS)
        # each of the four threads of a row looks one block's size up, and tells the others
        place = o * blocks + step * 4 + quarter
        outer_place = (outer_start * OUTER) + (o - first) * blocks + step * 4
        upper = counts * _size(sizes, outer_code, outer_sizes, outer_place, offset, place, NESTED, OUTER)
        lower = counts * _size(
            sizes, outer_code, outer_sizes, outer_place + 8 * blocks, offset, place + 8 * blocks, NESTED, OUTER
        )
        at = x_at + step * 512
        sums = _group_added(sums, bytes_, now_upper, now_lower, upper, lower, at, mine, ASM, LOAD, SHUFFLE)
    if LORA:  # noqa: SIM102
        if split == 0:
            nothing = waited(done + turn, goal, lane, WAIT)
            slot = tl.load(slots + group, mask=group < rows, other=-1)
            for one in tl.range(0, slot_count):
                asks = (slot == one) & (team == 0)
                if tl.max(asks.to(tl.int32), 0) > 0:
                    sums = raised(
                        sums, lowered, b, one, asks, o, group, quarter, part, rows, total, ranks, nothing,
                        RANK, PIECES, RAISE,
                    )  # fmt: skip
    _stored(sums, out, tile, split, rows, total, TILES, TEAMS)


@triton.jit
def _stream(
    x, weight, held, sizes, outer_code, outer_sizes, outer_offsets, parts, out, lowered, a, b, slots, done, turn,
    goal, rows, width, total, slot_count, ranks,
    SPLITS: tl.constexpr, TILES: tl.constexpr, TEAMS: tl.constexpr, NESTED: tl.constexpr, OUTER: tl.constexpr,
    PARTS: tl.constexpr, LORA: tl.constexpr, RANK: tl.constexpr, PIECES: tl.constexpr, CHAINED: tl.constexpr,
    ASM: tl.constexpr, LOWER: tl.constexpr, RAISE: tl.constexpr, WEIGHTS: tl.constexpr, LOAD: tl.constexpr,
    SHUFFLE: tl.constexpr, WAIT: tl.constexpr, FETCH: tl.constexpr,
):  # fmt: skip
    number = tl.program_id(0)
    if number < goal:  # 0 without LoRA
        if LORA:
            lower_piece(
                x, a, lowered, slots, done + turn, number, rows, width, ranks, TILES * TEAMS, PIECES, LOWER, LOAD,
                CHAINED,
            )  # fmt: skip
    else:
        _multiplied(
            number - goal, x, weight, held, sizes, outer_code, outer_sizes, outer_offsets, parts, out, lowered, b,
            slots, done, turn, goal, rows, width, total, slot_count, ranks, SPLITS, TILES, TEAMS, NESTED, OUTER, PARTS,
            LORA, RANK, PIECES, CHAINED, ASM, RAISE, WEIGHTS, LOAD, SHUFFLE, WAIT, FETCH,
        )  # fmt: skip


_SHUFFLE = "shfl.sync.idx.b32 $0, $1, $2, 0x1f, 0xffffffff;"


def serves(x: torch.Tensor, weights) -> bool:
    """Whether this kernel computes such a product."""
    return (
        x.is_cuda
        and weights.packed
        and len(x) <= ROWS
        and x.dtype in (torch.bfloat16, torch.float16)
        and weights.width % GROUP == 0
    )


def stream(
    x: torch.Tensor, weights, out: torch.Tensor, lora: Lora | None = None, tiles: int = TILES, teams: int = TEAMS
) -> None:
    """As `core.chat.cuda.quantized_matmul.product`.

    Args:
        tiles, teams: warps of a program: each of 16 outputs, and how many share a tile's inputs.
    """
    (rows, width), splits = x.shape, len(out)
    none = weights.parts  # what a kernel is not to read must still be something
    lowered, a, b, slots, done = (out, x, none, none, none)
    turn, goal, count, ranks, rank, pieces = 0, 0, 0, 0, 16, 1
    if lora is not None:
        lowered, a, b, slots, done = lora.lowered, lora.a, lora.b.view(torch.int32), lora.slots, lora.done
        turn, goal, (count, ranks), rank, pieces = lora.turn, lora.programs, a.shape[:2], lora.b.shape[2], len(lowered)
    _stream[(goal + splits * (weights.total // (16 * tiles)),)](
        x, weights.data, _held(weights.codes, x.dtype, x.device), weights.sizes, weights.outer_code,
        weights.outer_sizes, weights.outer_offsets, weights.parts, out, lowered, a, b, slots, done, turn, goal,
        rows, width, weights.total, count, ranks,
        SPLITS=splits, TILES=tiles, TEAMS=teams, NESTED=weights.nested, OUTER=weights.outer, PARTS=weights.modules,
        LORA=lora is not None, RANK=rank, PIECES=pieces, ASM=block_product(weights.codes, x.dtype),
        LOWER=lower_product(x.dtype), RAISE=raise_product(x.dtype), WEIGHTS=_LOAD_WEIGHTS, LOAD=LOAD,
        SHUFFLE=_SHUFFLE, WAIT=WAIT, FETCH=FETCH, CHAINED=chained(x), launch_pdl=chained(x), num_warps=tiles * teams,
    )  # fmt: skip
