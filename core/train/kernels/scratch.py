"""Scratch memory for unpacked weights, shared by all fused blocks of a model."""

import torch


class ScratchBuffers:
    """Memory for unpacked weights that all blocks share, one buffer for each kind of projection group.

    A block's weights stay in a buffer until another block unpacks its own there. `owner` names their group, so that a
    backward pass right after its forward pass does not unpack again.
    """

    def __init__(self) -> None:
        # By slot: (elements,), compute dtype; `take` views it as a matrix.
        self._buffers: dict[str, torch.Tensor] = {}
        # By slot: the group whose weights, with its current factors, are unpacked there.
        self.owner: dict[str, object] = {}
        # When memory is short, all groups but the largest (gate_up) share one slot.
        self.tight = False

    def slot(self, name: str) -> str:
        """Return the name of the slot of a projection group."""
        return "rest" if self.tight and name in ("qkv", "o", "down") else name

    def take(self, slot: str, rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
        """Return the slot's buffer as an uninitialized matrix (rows, columns).

        The caller may use it until the slot is taken again.

        Args:
            slot: Name of the slot.
            rows: Rows of the matrix.
            columns: Columns of the matrix.
            like: A tensor of the dtype and device wanted.
        """
        size, held = rows * columns, self._buffers.get(slot)
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            # Drop the old buffer before allocating: both need not exist at once.
            del held
            self._buffers.pop(slot, None)
            self.owner.pop(slot, None)
            self._buffers[slot] = held = torch.empty(size, dtype=like.dtype, device=like.device)  # (rows · columns,)
        return held[:size].view(rows, columns)
