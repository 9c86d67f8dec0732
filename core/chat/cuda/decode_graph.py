"""One decode step: the kernel launches for one token of every sequence, and the CUDA graph that replays them.

A graph replays launches with the addresses it was captured with, so a step works in buffers that never move. R is the
number of slots of the step (its bucket), and P the number of parts of a product:

    residual       (R, hidden)             the residual stream, in the model's dtype
    normed         (R, hidden)             after a norm
    out[g]         (P, R, outputs), fp32   products of group g in P parts; the next kernel adds the parts up
    attended       (R, heads * head_width)
    gated          (R, inner)              after SwiGLU
    logits         (R, vocabulary)
    lora_hidden[g] (8, R, ranks), fp32     x Aᵀ of group g in 8 pieces; only rows with an adapter are read
    done           (2,), int32             counters of finished programs of x Aᵀ, used in turn (protocol: `lora`)
    partial_results (R, heads, splits, head_width), fp32   attention of each split
    partial_stats   (R, heads, splits, 2), fp32            its maximum and its sum of exponentials
    attention_done  (R, key heads), int32  number of finished splits
    scratch        (largest group,)        unpacked weights, where cuBLAS computes the product

    per block:  norm ─▶ qkv ─▶ attend ─▶ o ─▶ norm ─▶ gate_up ─▶ swiglu ─▶ down ─▶ (added by the next norm)

With packed weights the columns of normed, attended and gated, the inputs of the products, are in paired order
(`elementwise`); the norm before `lm_head` writes them in plain order.

A product is computed in parts because 1 to 32 rows give a large GPU too few programs to keep its memory busy. The
kernel of a product depends on the number of rows: 1 to 8 take `nf4_gemv` (packed weights, if the number of inputs is a
multiple of 256), others up to 32 `quantized_matmul`, and more take cuBLAS over weights that are unpacked first, as
float32 always does. The thresholds are measured (bench/LOG.md). LoRA is part of the launch of `nf4_gemv`; otherwise
`_lora_hidden` and `_product` of `quantized_matmul` add it, also to what cuBLAS has computed (`has_base_product`).

Sampling is not part of the graph: it follows each replay (`core.chat.cuda.runtime`) and writes the tokens that the next
replay starts from.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from core.chat.cuda import attention, elementwise, nf4_gemv, quantized_matmul
from core.chat.cuda.adapter_slots import AdapterSlots
from core.chat.cuda.lora import Lora
from core.chat.cuda.paged_kv_cache import PagedCache
from core.chat.cuda.state import State
from core.chat.cuda.weights import MergedLinears, Weights

# Programs that a product is divided among, to keep a large GPU's memory busy.
_TARGET_PROGRAMS = 1024
# From this number of rows on, it is faster to unpack the weights and to leave the product to cuBLAS.
_UNPACK_MIN_ROWS = 33
_MAX_PARTS = 8
_MIN_PART_INPUTS = 512
# Pieces in which x Aᵀ is computed.
_LORA_PIECES = 8
# The counter that a block's product uses (`Lora.counter`): in turn, as products run in this order.
_COUNTERS = {"qkv": 0, "o": 1, "gate_up": 0, "down": 1}
_COMPILE_THREADS = 8


def uses_library(rows: int, dtype: torch.dtype) -> bool:
    """Return whether products are left to cuBLAS over unpacked weights; always in float32, without tensor cores."""
    return rows >= _UNPACK_MIN_ROWS or dtype == torch.float32


def part_count(merged: MergedLinears, rows: int, dtype: torch.dtype) -> int:
    """Return how many parts a product is computed in: enough programs for the GPU, without many sums to add up."""
    if uses_library(rows, dtype):
        return 1
    # The tile depends on the rows alone: it is that of `nf4_gemv` also for weights that `nf4_gemv` does not take.
    tile = 16 * nf4_gemv.TILES if rows <= nf4_gemv.MAX_ROWS else quantized_matmul.TILE
    programs = round(_TARGET_PROGRAMS / (merged.total // tile))
    return max(1, min(_MAX_PARTS, merged.width // _MIN_PART_INPUTS, programs))


class DecodeStep:
    """A decode step of a fixed number of slots, with its buffers.

    Attributes:
        logits: (rows, vocabulary), in the model's dtype: the result.
    """

    def __init__(
        self,
        weights: Weights,
        cache: PagedCache,
        state: State,
        adapter_slots: AdapterSlots,
        rows: int,
        has_adapters: bool,
    ):
        """Allocate the buffers.

        Args:
            weights: The model's weights.
            cache: Keys and values.
            state: State of the sequences.
            adapter_slots: LoRA factors.
            rows: Number of slots that the step computes, from the first one on.
            has_adapters: Whether LoRA is computed.
        """
        self._weights, self._cache, self._state, self._rows = weights, cache, state, rows
        self._adapter_slots, self._has_adapters = adapter_slots, has_adapters
        self._graph: torch.cuda.CUDAGraph | None = None
        kind = {"dtype": weights.dtype, "device": weights.device}
        self._residual = torch.empty(rows, weights.hidden, **kind)  # (R, hidden)
        self._normed = torch.empty(rows, weights.hidden, **kind)  # (R, hidden)
        self._attended = torch.empty(rows, weights.heads * weights.head_width, **kind)  # (R, heads * head_width)
        self._gated = torch.empty(rows, weights.inner, **kind)  # (R, inner)
        self._out, self._lora_hidden = self._product_buffers()
        # Counters of finished x Aᵀ programs; `core.chat.cuda.lora` describes their use.
        self._done = torch.zeros(2, dtype=torch.int32, device=weights.device)  # (counters,), int32
        self._uses_counters = has_adapters and any(
            nf4_gemv.is_supported(self._normed, merged) for block in weights.blocks for merged in block.groups.values()
        )
        self._partial_results, self._partial_stats, self._attention_done = _attention_buffers(weights, rows)
        self.logits = torch.empty(rows, weights.vocabulary, **kind)  # (R, vocabulary)

    def _product_buffers(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Allocate what the products of the groups write: their results, and x Aᵀ of LoRA (empty without adapters).

        All blocks share these buffers: a block has read its results before the next one writes.
        """
        weights, rows = self._weights, self._rows
        groups = weights.blocks[0].groups.items()
        exact = {"dtype": torch.float32, "device": weights.device}
        out = {
            name: torch.empty(part_count(merged, rows, weights.dtype), rows, merged.total, **exact)
            for name, merged in groups
        }  # each (P, R, outputs), float32
        if not self._has_adapters:
            return out, {}
        # Rows without an adapter are not written, and may hold what an earlier sequence left there. The products read
        # only rows whose sequence has an adapter, so it does not matter what the others hold.
        lora_hidden = {
            name: torch.zeros(_LORA_PIECES, rows, merged.count * self._adapter_slots.rank, **exact)
            for name, merged in groups
        }  # each (pieces, R, projections * rank), float32
        return out, lora_hidden

    def run(self) -> None:
        """Run the step. Afterwards every active length is one more, and the next tokens are still to be sampled."""
        if self._graph is None:
            self._launch()
        else:
            self._graph.replay()

    def kernels(self) -> list[Callable[[], object]]:
        """Return calls that compile every kernel of the step; they leave cache and state unchanged."""
        weights, block, paired = self._weights, self._weights.blocks[0], self._weights.is_packed
        # With a length of -1 a kernel writes no keys and values.
        no_lengths = torch.full_like(self._state.lengths, -1)

        def norm(added: torch.Tensor | None, paired: bool) -> Callable[[], object]:
            return lambda: elementwise.norm(
                torch.zeros_like(self._residual), added, block.first_norm, weights.eps, self._normed, paired
            )

        inputs = {"qkv": self._normed, "o": self._attended, "gate_up": self._normed, "down": self._gated}
        return [
            *(lambda name=name, x=x: self._product(0, name, x) for name, x in inputs.items()),
            lambda: self._attend(0, self._out["qkv"], no_lengths),
            norm(None, paired),
            norm(self._out["o"], paired),
            norm(self._out["down"], paired),
            norm(self._out["down"], False),
            lambda: elementwise.swiglu(self._out["gate_up"], self._gated, paired),
        ]

    def capture(self) -> None:
        """Capture the step as a CUDA graph."""
        compile_kernels(self.kernels())
        # The compiling calls ran in any order, so the counters are not as the first product expects them.
        self._done.zero_()
        # Run once without sequences, so that cuBLAS allocates its workspace outside the capture.
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
        weights, state, rows, paired = self._weights, self._state, self._rows, self._weights.is_packed
        torch.index_select(weights.embedding, 0, state.tokens[:rows], out=self._residual)  # (R, hidden)
        added = None
        for number, block in enumerate(weights.blocks):
            # Each norm first adds the product of the half block before to the residual stream.
            elementwise.norm(self._residual, added, block.first_norm, weights.eps, self._normed, paired)
            projected = self._product(number, "qkv", self._normed)  # (P, R, query + key + value)
            self._attend(number, projected, state.lengths)  # (R, heads * head_width)
            added = self._product(number, "o", self._attended)  # (P, R, hidden)
            elementwise.norm(self._residual, added, block.second_norm, weights.eps, self._normed, paired)
            gate_up = self._product(number, "gate_up", self._normed)  # (P, R, 2 * inner)
            elementwise.swiglu(gate_up, self._gated, paired)  # (R, inner)
            added = self._product(number, "down", self._gated)  # (P, R, hidden)
        elementwise.norm(self._residual, added, weights.last_norm, weights.eps, self._normed, False)
        torch.mm(self._normed, weights.lm_head.t(), out=self.logits)  # (R, vocabulary)
        # Slots that take no part stay at -1 (`State.lengths`).
        state.lengths[:rows] += (state.lengths[:rows] >= 0).int()

    def _attend(self, number: int, projected: torch.Tensor, lengths: torch.Tensor) -> None:
        weights = self._weights
        attention.attend(
            projected, weights.cos, weights.sin, self._cache.keys[number], self._cache.values[number],
            self._state.page_table, lengths, self._attended, self._partial_results, self._partial_stats,
            self._attention_done, weights.scale, weights.is_packed,
        )  # fmt: skip

    def _product(self, number: int, group: str, x: torch.Tensor) -> torch.Tensor:
        """Multiply by the weights of a group, LoRA included.

        Args:
            number: Number of the block.
            group: Name in `GROUPS`.
            x: (R, inputs), in the model's dtype.

        Returns:
            (P, R, outputs), float32.
        """
        merged, out = self._weights.blocks[number].groups[group], self._out[group]
        has_base_product = uses_library(self._rows, x.dtype)
        if has_base_product:
            _library_product(x, quantized_matmul.unpacked_weights(merged, self._weights.scratch, paired=True), out[0])
        if self._has_adapters:
            quantized_matmul.product(x, merged, out, self._lora(number, group), has_base_product=has_base_product)
            # A product of another kernel resets no counter. Without this, the next `nf4_gemv` would find its counter
            # still at the goal of an earlier product, and would not wait.
            if self._uses_counters and not nf4_gemv.is_supported(x, merged):
                self._done[1 - _COUNTERS[group]].zero_()
        elif not has_base_product:
            quantized_matmul.product(x, merged, out)
        return out

    def _lora(self, number: int, group: str) -> Lora:
        slots = self._adapter_slots
        return Lora(
            slots.a[number][group],
            slots.b[number][group],
            self._state.adapter_slots,
            self._lora_hidden[group],
            self._done,
            _COUNTERS[group],
        )


def _attention_buffers(weights: Weights, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the buffers of `attention.attend` for the splits of each sequence: results, sums, counters."""
    # A power of two, 1 to 8.
    splits = 1 << max(0, min(3, (_TARGET_PROGRAMS // 2 // (rows * weights.key_heads)).bit_length() - 1))
    exact = {"dtype": torch.float32, "device": weights.device}
    return (
        torch.empty(rows, weights.heads, splits, weights.head_width, **exact),  # (R, heads, splits, head_width)
        torch.empty(rows, weights.heads, splits, 2, **exact),  # (R, heads, splits, 2), float32
        torch.zeros(rows, weights.key_heads, dtype=torch.int32, device=weights.device),  # (R, key heads), int32
    )


def compile_kernels(kernels: list[Callable[[], object]]) -> None:
    """Compile kernels in parallel: each takes about a second, most of it outside Python's lock.

    Args:
        kernels: Calls that launch one kernel each.
    """
    # Inference mode belongs to a thread.
    run = torch.inference_mode()(lambda kernel: kernel())
    # A new thread has no CUDA context until its first CUDA call; cuBLAS warns if it has to create one.
    with ThreadPoolExecutor(_COMPILE_THREADS, initializer=torch.cuda.synchronize) as pool:
        for future in [pool.submit(run, kernel) for kernel in kernels]:
            future.result()


def _library_product(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    """Compute x Wᵀ into `out`.

    Args:
        x: (R, inputs).
        weight: (outputs, inputs), of the same dtype.
        out: (R, outputs), float32.
    """
    if x.dtype == torch.float32:
        torch.mm(x, weight.t(), out=out)
    elif x.is_cuda:
        torch.mm(x, weight.t(), out_dtype=torch.float32, out=out)
    else:
        out.copy_(x @ weight.t())
