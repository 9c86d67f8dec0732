"""One token of every row: the launches, and the graph that replays them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from core.chat.cuda import attention, elementwise, nf4_gemv, quantized_matmul
from core.chat.cuda.adapter_slots import Slots
from core.chat.cuda.lora import Lora
from core.chat.cuda.paged_kv_cache import Pages
from core.chat.cuda.weights import Merged, Weights

_PROGRAMS = 1024  # that a product is shared out among, to keep a large GPU's memory busy
_UNPACKED_FROM = 33  # rows, from which on it is faster to unpack the weights and leave the product to the library
_PIECES = 8  # of x Aᵀ
TURNS = {"qkv": 0, "o": 1, "both": 0, "down": 1}  # of a block's products, which come in this order
_COMPILING = 8  # kernels at once


@dataclass
class State:
    """What is known of the rows on the device, by their places.

    Attributes:
        tokens: (places,), int64: what each goes on with.
        lengths: (places,), int32: tokens in the cache; -1: nobody is there.
        slots: (places,), int32: of the adapter; -1: the base.
        table: (places, pages of a row), int32.
    """

    tokens: torch.Tensor
    lengths: torch.Tensor
    slots: torch.Tensor
    table: torch.Tensor

    @classmethod
    def empty(cls, places: int, pages: int, device: torch.device) -> "State":
        return cls(
            torch.zeros(places, dtype=torch.int64, device=device),
            torch.full((places,), -1, dtype=torch.int32, device=device),
            torch.full((places,), -1, dtype=torch.int32, device=device),
            torch.zeros(places, pages, dtype=torch.int32, device=device),
        )


def by_library(rows: int, dtype: torch.dtype) -> bool:
    """Whether whole weights are multiplied by the library. In float32, which no tensor core takes, they always are."""
    return rows >= _UNPACKED_FROM or dtype == torch.float32


def splits_of(merged: Merged, rows: int, dtype: torch.dtype) -> int:
    """In how many parts a product is computed: programs for all of the GPU, without many sums to be added up."""
    if by_library(rows, dtype):
        return 1
    tile = 16 * nf4_gemv.TILES if rows <= nf4_gemv.ROWS else quantized_matmul.TILE
    return max(1, min(8, merged.width // 512, round(_PROGRAMS / (merged.total // tile))))


class Step:
    """A step of `rows` places, with the room it works in.

    Attributes:
        logits: (rows, vocabulary).
    """

    def __init__(self, weights: Weights, pages: Pages, state: State, slots: Slots, rows: int, tuned: bool):
        self._weights, self._pages, self._state, self._slots, self._rows = weights, pages, state, slots, rows
        self._tuned = tuned
        self._graph: torch.cuda.CUDAGraph | None = None
        kind = {"dtype": weights.dtype, "device": weights.device}
        exact = {"dtype": torch.float32, "device": weights.device}
        self._stream = torch.empty(rows, weights.hidden, **kind)
        self._normed = torch.empty(rows, weights.hidden, **kind)
        self._attended = torch.empty(rows, weights.heads * weights.head, **kind)
        self._opened = torch.empty(rows, weights.inner, **kind)
        groups = weights.blocks[0].groups
        self._out = {
            name: torch.empty(splits_of(merged, rows, weights.dtype), rows, merged.total, **exact)
            for name, merged in groups.items()
        }
        self._lowered = {
            name: torch.zeros(_PIECES, rows, merged.modules * slots.rank, **exact)
            for name, merged in groups.items()
        } if tuned else {}  # fmt: skip
        self._done = torch.zeros(2, dtype=torch.int32, device=weights.device)
        splits = 1 << max(0, min(3, (_PROGRAMS // 2 // (rows * weights.key_heads)).bit_length() - 1))
        self._parts = torch.empty(rows, weights.heads, splits, weights.head, **exact)
        self._sums = torch.empty(rows, weights.heads, splits, 2, **exact)
        self._joining = torch.zeros(rows, weights.key_heads, dtype=torch.int32, device=weights.device)
        self.logits = torch.empty(rows, weights.vocabulary, **kind)

    def run(self) -> None:
        """The step: afterwards the rows' lengths are one more; their next tokens are still to be picked."""
        if self._graph is None:
            self._launch()
        else:
            self._graph.replay()

    def kernels(self) -> list[Callable[[], object]]:
        """Calls that have every kernel compiled; they change nothing that is kept."""
        weights, block, paired = self._weights, self._weights.blocks[0], self._weights.packed
        nobody = torch.full_like(self._state.lengths, -1)

        def norm(added: torch.Tensor | None, paired: bool) -> Callable[[], object]:
            return lambda: elementwise.norm(
                torch.zeros_like(self._stream), added, block.first_norm, weights.eps, self._normed, paired
            )

        inputs = {"qkv": self._normed, "o": self._attended, "both": self._normed, "down": self._opened}
        return [
            *(lambda name=name, x=x: self._product(0, name, x) for name, x in inputs.items()),
            lambda: self._attend(0, self._out["qkv"], nobody),
            norm(None, paired), norm(self._out["o"], paired), norm(self._out["down"], paired),
            norm(self._out["down"], False),
            lambda: elementwise.swiglu(self._out["both"], self._opened, paired),
        ]  # fmt: skip

    def capture(self) -> None:
        """Once without a row, so that the library is ready, too, then for the graph."""
        compiled(self.kernels())
        self._done.zero_()  # they came in any order
        lengths = self._state.lengths.clone()
        self._state.lengths.fill_(-1)
        self._launch()
        self._state.lengths.copy_(lengths)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._launch()
        self._graph = graph

    def _launch(self) -> None:
        weights, state, rows, paired = self._weights, self._state, self._rows, self._weights.packed
        torch.index_select(weights.embedding, 0, state.tokens[:rows], out=self._stream)
        added = None
        for number, block in enumerate(weights.blocks):
            elementwise.norm(self._stream, added, block.first_norm, weights.eps, self._normed, paired)
            projected = self._product(number, "qkv", self._normed)
            self._attend(number, projected, state.lengths)
            added = self._product(number, "o", self._attended)
            elementwise.norm(self._stream, added, block.second_norm, weights.eps, self._normed, paired)
            elementwise.swiglu(self._product(number, "both", self._normed), self._opened, paired)
            added = self._product(number, "down", self._opened)
        elementwise.norm(self._stream, added, weights.last_norm, weights.eps, self._normed, False)
        torch.mm(self._normed, weights.lm_head.t(), out=self.logits)
        state.lengths[:rows] += (state.lengths[:rows] >= 0).int()

    def _attend(self, number: int, projected: torch.Tensor, lengths: torch.Tensor) -> None:
        weights = self._weights
        attention.attend(
            projected, weights.cos, weights.sin, self._pages.keys[number], self._pages.values[number],
            self._state.table, lengths, self._attended, self._parts, self._sums, self._joining,
            weights.scale, weights.packed,
        )  # fmt: skip

    def _product(self, number: int, group: str, x: torch.Tensor) -> torch.Tensor:
        merged, out = self._weights.blocks[number].groups[group], self._out[group]
        given = by_library(self._rows, x.dtype)
        if given:
            _wide_product(x, merged.unpacked(self._weights.room, paired=True), out[0])
        if self._tuned:
            quantized_matmul.product(x, merged, out, self._lora(number, group), given=given)
        elif not given:
            quantized_matmul.product(x, merged, out)
        return out

    def _lora(self, number: int, group: str) -> Lora:
        held, turn = self._slots, TURNS[group]
        return Lora(
            held.a[number][group], held.b[number][group], self._state.slots, self._lowered[group], self._done, turn
        )


def compiled(kernels: list[Callable[[], object]]) -> None:
    """Have kernels compiled side by side: each takes a second, most of it outside Python."""
    run = torch.inference_mode()(lambda kernel: kernel())  # the mode is a thread's own
    # a thread has no context of CUDA before it asks for something, and the library warns of that
    with ThreadPoolExecutor(_COMPILING, initializer=torch.cuda.synchronize) as pool:
        for done in [pool.submit(run, kernel) for kernel in kernels]:
            done.result()


def _wide_product(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """x Wᵀ into out, float32."""
    if x.dtype == torch.float32:
        torch.mm(x, weight.t(), out=out)
    elif x.is_cuda:
        torch.mm(x, weight.t(), out_dtype=torch.float32, out=out)
    else:
        out.copy_(x @ weight.t())


def logits_of(weights: Weights, stream: torch.Tensor) -> torch.Tensor:
    """(rows, vocabulary) of the residual stream (rows, width) behind the last block."""
    from core.kernels.elementwise import rms_norm

    normed = torch.empty_like(stream)
    rms_norm(stream, weights.last_norm, weights.eps, normed)
    return F.linear(normed, weights.lm_head)
