"""Keys and values in pages, which rows take as they grow: what is held is what the rows' tokens need, to a page."""

import torch

PAGE = 128  # tokens
_STEP = 8  # pages more at a time
_LARGE = 2**24  # bytes


class Pages:
    """Attributes: keys, values: one (pages, key heads, `PAGE`, head width) a block of the model."""

    def __init__(self, blocks: int, heads: int, width: int, dtype: torch.dtype, device: torch.device):
        empty = torch.empty(0, heads, PAGE, width, dtype=dtype, device=device)
        self.keys, self.values = [empty] * blocks, [empty] * blocks
        self._free: list[int] = []
        self.count = 0

    def short(self, wanted: int) -> bool:
        """Whether so many are not free."""
        return wanted > len(self._free)

    def grow(self, wanted: int) -> None:
        """Make room for so many. What lay somewhere lies elsewhere after: a captured graph is no good any more."""
        count = self.count + -(-(wanted - len(self._free)) // _STEP) * _STEP
        for held in (self.keys, self.values):
            for at in range(len(held)):  # one after the other, so that little is there twice
                if len(held[at]) < count:  # else it was made so by a call that ran out of memory
                    held[at] = _longer(held[at], count)
        self._free += range(self.count, count)
        self.count = count

    def take(self, count: int) -> list[int]:
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give(self, pages: list[int]) -> None:
        self._free += pages

    def free_all(self) -> None:
        self._free = list(range(self.count))


def needed(tokens: int) -> int:
    return -(-tokens // PAGE)


def _longer(tensor: torch.Tensor, count: int) -> torch.Tensor:
    longer = tensor.new_empty(count, *tensor.shape[1:])
    longer[: len(tensor)] = tensor
    if longer.is_cuda and longer.nbytes > _LARGE:
        torch.cuda.empty_cache()  # of the one before this, which nothing else fits into
    return longer
