"""Cache of keys and values that grows without a copy at each step.

transformers' own cache concatenates at each decode step, so a batch of long sequences is copied for each token: 64
sequences of 1,000 tokens are 2.7 GiB with the embedded model in float32. Here a layer allocates memory for more tokens
than it has, and a step only writes its token:

    keys   (B, key_heads, tokens, head_width)          a view of the first columns of
    buffer (B, key_heads, tokens + free, head_width)

A layer holds no other reference to the buffer than its view: where rows are selected, padded or concatenated, `keys`
and `values` are other tensors, and the buffer is freed. Then the next step allocates another one.
"""

import torch
from transformers import Cache, DynamicLayer

# Tokens for which a new buffer has memory beyond those that are written into it at once.
FREE_TOKENS = 64


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer: a `DynamicLayer` that copies earlier tokens only once in `FREE_TOKENS` tokens."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the keys and values of T tokens, (B, key_heads, T, head_width); return those of all tokens."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = _append(self.keys, key_states), _append(self.values, value_states)
        return self.keys, self.values


def _append(states: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """Return `states` (B, heads, tokens, width), which may have no element yet, with `added` (B, heads, T, width)."""
    tokens = states.shape[-2] if states.numel() else 0
    end = tokens + added.shape[-2]
    buffer = _buffer_of(states) if tokens else None
    if buffer is None or buffer.shape[-2] < end:
        batch, heads, _, width = added.shape
        buffer = added.new_empty(batch, heads, end + FREE_TOKENS, width)
        if tokens:
            buffer[:, :, :tokens] = states
    buffer[:, :, tokens:end] = added
    return buffer[:, :, :end]


def _buffer_of(states: torch.Tensor) -> torch.Tensor | None:
    """Return the buffer (B, heads, tokens + free, width) whose first columns `states` is; None if it has none."""
    batch, heads, _, width = states.shape
    columns = states.stride(1) // width
    shape = batch, heads, columns, width
    stride = heads * columns * width, columns * width, width, 1
    has_buffer = states.storage_offset() == 0 and states.stride() == stride
    fills_storage = states.untyped_storage().nbytes() == batch * heads * columns * width * states.itemsize
    return states.as_strided(shape, stride) if has_buffer and fills_storage else None


def make_growing_cache() -> Cache:
    """Return an empty cache; its layers are made as the model uses them, and each keeps all tokens."""
    return Cache(layer_class_to_replicate=GrowingLayer)
