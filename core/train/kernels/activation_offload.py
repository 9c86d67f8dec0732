"""Offload of the inputs of blocks to the machine's memory, and back before their backward pass.

Copies run on a separate stream, beside the arithmetic on the main stream:

    main stream    block 0 | block 1 | block 2 | ...       backward 2 | backward 1 | backward 0
    copy stream      store 0 | store 1 | store 2                fetch 1 | fetch 0

A block's input leaves while the next block computes, and returns one block ahead of its use. Its GPU memory may be used
again only after the copy has ended; the main stream waits for that, never the host.
"""

import torch


class ActivationOffload:
    """A stack of tensors: stored in the order of the blocks, fetched in the reverse order."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None
        # Pinned, one flat buffer per block, kept from step to step: pinning memory takes longer than the copy.
        self._host: list[torch.Tensor] = []
        # Tensors being copied out. Holding them here keeps PyTorch's allocator from using their memory again.
        self._leaving: list[tuple[torch.Tensor, torch.cuda.Event]] = []
        # Tensors being copied back, by block.
        self._returning: dict[int, tuple[torch.Tensor, torch.cuda.Event]] = {}
        self._shapes: list[torch.Size] = []

    def store(self, x: torch.Tensor) -> int:
        """Start copying x (tokens, hidden) to the machine's memory.

        Returns:
            The number to fetch it by.
        """
        if self._stream is None:
            self._stream = torch.cuda.Stream(x.device)
        if self._returning:
            # The backward pass before did not reach its end: start anew.
            self._shapes, self._returning = [], {}
        number = len(self._shapes)
        self._shapes.append(x.shape)
        if number == len(self._host):
            self._host.append(torch.empty(0, dtype=x.dtype, pin_memory=True))  # (0,)
        if self._host[number].numel() < x.numel():
            self._host[number] = torch.empty(x.numel(), dtype=x.dtype, pin_memory=True)  # (tokens · hidden,)
        main = torch.cuda.current_stream(x.device)
        # The copy may begin when the main stream has computed x.
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            self._host[number][: x.numel()].view(x.shape).copy_(x, non_blocking=True)
            done = self._stream.record_event()
        # The input of the block before: after its copy, the main stream may use its memory again.
        self._release_leaving(main)
        self._leaving.append((x, done))
        return number

    def fetch(self, number: int) -> torch.Tensor:
        """Return a stored tensor on the GPU, and start copying back the one before it."""
        main = torch.cuda.current_stream()
        self._release_leaving(main)
        if number not in self._returning:
            self._start_return(number)
        x, arrived = self._returning.pop(number)
        main.wait_event(arrived)
        if number:
            self._start_return(number - 1)
        self._shapes = self._shapes[:number]
        return x

    def _release_leaving(self, main: torch.cuda.Stream) -> None:
        """Make the main stream wait for the copies of the tensors that leave, and drop these tensors."""
        while self._leaving:
            _, ended = self._leaving.pop()
            main.wait_event(ended)

    def _start_return(self, number: int) -> None:
        main, shape = torch.cuda.current_stream(), self._shapes[number]
        x = torch.empty(shape, dtype=self._host[number].dtype, device=main.device)  # (tokens, hidden)
        # The new memory may still be in use by work queued on the main stream.
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            x.copy_(self._host[number][: shape.numel()].view(shape), non_blocking=True)
            self._returning[number] = (x, self._stream.record_event())
