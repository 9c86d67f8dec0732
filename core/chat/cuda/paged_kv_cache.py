"""Paged key-value cache: a sequence takes as many pages as its tokens need.

It takes the pages of its prompt and its longest answer when it joins, so that it need not wait for memory in between.
A sequence whose caller gives no limit, and ends it by itself, takes further pages one by one. The cache may grow then.

    page table of a sequence      pages of a block, (pages, key_heads, PAGE_TOKENS, head_width)
    [ 4 | 0 | 7 ]                  0: tokens 128 to 255    4: tokens 0 to 127    7: tokens 256 to 383

All transformer blocks use the same page numbers. Paging after vLLM (Kwon et al. 2023, arXiv:2309.06180).
"""

import torch

PAGE_TOKENS = 128
# The cache grows by multiples of this many pages.
_GROWTH_PAGES = 8
_LARGE_BYTES = 2**24


class PagedCache:
    """Keys and values of all sequences.

    Attributes:
        keys: Per transformer block (pages, key_heads, PAGE_TOKENS, head_width), in the model's dtype.
        values: The same shape.
        count: Number of pages.
    """

    def __init__(self, blocks: int, key_heads: int, head_width: int, dtype: torch.dtype, device: torch.device):
        """Start without pages.

        Args:
            blocks: Number of transformer blocks.
            key_heads: Number of key-value heads.
            head_width: Width of a head.
            dtype: Data type of keys and values.
            device: Device of keys and values.
        """
        # (pages, key_heads, PAGE_TOKENS, head_width), no pages yet
        empty = torch.empty(0, key_heads, PAGE_TOKENS, head_width, dtype=dtype, device=device)
        self.keys, self.values = [empty] * blocks, [empty] * blocks
        self._free: list[int] = []
        self.count = 0

    def lacks(self, pages: int) -> bool:
        """Return whether fewer than `pages` pages are free."""
        return pages > len(self._free)

    def grow(self, pages: int) -> None:
        """Grow until `pages` pages are free.

        Reallocates the cache, so captured CUDA graphs must be rebuilt.
        """
        count = self.count + -(-(pages - len(self._free)) // _GROWTH_PAGES) * _GROWTH_PAGES
        for tensors in (self.keys, self.values):
            # One block after the other, so that only one of them is in memory twice.
            for block in range(len(tensors)):
                # An earlier call may have run out of memory after some blocks.
                if len(tensors[block]) < count:
                    tensors[block] = _enlarged(tensors[block], count)
        self._free += range(self.count, count)
        self.count = count

    def allocate(self, pages: int) -> list[int]:
        """Take free pages; there must be enough (`lacks`)."""
        taken, self._free = self._free[:pages], self._free[pages:]
        return taken

    def free(self, pages: list[int]) -> None:
        """Return pages."""
        self._free += pages

    def free_all(self) -> None:
        """Return all pages."""
        self._free = list(range(self.count))


def pages_for(tokens: int) -> int:
    """Return how many pages a number of tokens takes."""
    return -(-tokens // PAGE_TOKENS)


def _enlarged(tensor: torch.Tensor, count: int) -> torch.Tensor:
    """Copy (pages, ...) into a new tensor of `count` pages."""
    enlarged = tensor.new_empty(count, *tensor.shape[1:])  # (count, key_heads, PAGE_TOKENS, head_width)
    enlarged[: len(tensor)] = tensor
    if enlarged.is_cuda and enlarged.nbytes > _LARGE_BYTES:
        # Release the memory of the tensor before: it is too small for any later one.
        torch.cuda.empty_cache()
    return enlarged
