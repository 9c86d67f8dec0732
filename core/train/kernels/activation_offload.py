"""What blocks keep, moved to the machine's memory and back beside the arithmetic.

A block's input goes out while the next block computes, and comes back one block ahead of when it is needed. Memory of
the GPU is given back only when its copy has ended, by the order of the main stream.
"""

import torch


class Offload:
    """A stack of tensors: stored in the order of the blocks, fetched in the reverse."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None
        self._host: list[torch.Tensor] = []  # pinned, one a block, kept from step to step
        self._leaving: list[tuple[torch.Tensor, torch.cuda.Event]] = []
        self._coming: dict[int, tuple[torch.Tensor, torch.cuda.Event]] = {}
        self._shapes: list[torch.Size] = []

    def store(self, x: torch.Tensor) -> int:
        """Start to move x out; its number, to fetch it by."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(x.device)
        if self._coming:  # a backward pass that never came to its end
            self._shapes, self._coming = [], {}
        number = len(self._shapes)
        self._shapes.append(x.shape)
        if number == len(self._host):
            self._host.append(torch.empty(0, dtype=x.dtype, pin_memory=True))
        if self._host[number].numel() < x.numel():
            self._host[number] = torch.empty(x.numel(), dtype=x.dtype, pin_memory=True)
        main = torch.cuda.current_stream(x.device)
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            self._host[number][: x.numel()].view(x.shape).copy_(x, non_blocking=True)
            done = self._stream.record_event()
        while self._leaving:  # the block before: its memory may be used again after its copy
            _, ended = self._leaving.pop()
            main.wait_event(ended)
        self._leaving.append((x, done))
        return number

    def fetch(self, number: int) -> torch.Tensor:
        """The tensor of that number, back on the GPU; the one before it starts to come."""
        main = torch.cuda.current_stream()
        while self._leaving:
            _, ended = self._leaving.pop()
            main.wait_event(ended)
        if number not in self._coming:
            self._start(number)
        x, arrived = self._coming.pop(number)
        main.wait_event(arrived)
        if number:
            self._start(number - 1)
        self._shapes = self._shapes[:number]
        return x

    def _start(self, number: int) -> None:
        main, shape = torch.cuda.current_stream(), self._shapes[number]
        x = torch.empty(shape, dtype=self._host[number].dtype, device=main.device)
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            x.copy_(self._host[number][: shape.numel()].view(shape), non_blocking=True)
            self._coming[number] = (x, self._stream.record_event())
