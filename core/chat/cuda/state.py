"""State of the sequences that the CUDA decoder works on: tensors of fixed size, one entry per slot.

Captured CUDA graphs hold the addresses of these tensors, so they are changed in place. More slots need new tensors and
new graphs (`CudaRuntime.reserve`).
"""

from dataclasses import dataclass

import torch


@dataclass
class State:
    """State of all sequences on the device, by slot.

    Attributes:
        tokens: (slots,), int64: the token that each sequence continues with.
        lengths: (slots,), int32: tokens in the cache; -1 where the slot takes no part in decode steps: it is free, or
            the prompt of its sequence is still being read (`CudaRuntime.activate` sets the length afterwards).
        adapter_slots: (slots,), int32: slot of the adapter; -1 for the base.
        page_table: (slots, pages of a sequence), int32: page numbers.
    """

    tokens: torch.Tensor
    lengths: torch.Tensor
    adapter_slots: torch.Tensor
    page_table: torch.Tensor

    @classmethod
    def empty(cls, slots: int, pages: int, device: torch.device) -> "State":
        """Return the state of free slots.

        Args:
            slots: Number of slots.
            pages: Pages of the longest sequence.
            device: Device of the tensors.
        """
        return cls(
            torch.zeros(slots, dtype=torch.int64, device=device),  # tokens: (slots,), int64
            torch.full((slots,), -1, dtype=torch.int32, device=device),  # lengths: (slots,), int32
            torch.full((slots,), -1, dtype=torch.int32, device=device),  # adapter_slots: (slots,), int32
            torch.zeros(slots, pages, dtype=torch.int32, device=device),  # page_table: (slots, pages), int32
        )
