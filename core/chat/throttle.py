"""How fast the chat writes: as fast as it can, and at its ease while a run trains on the same processors.

Two models that share cores are slower than their shares: each waits for threads of its own that the other keeps from
running. So the run goes first. The chat then keeps to one thread, and rests after each step for as long as makes that
thread busy for `SHARE` of the time.
"""

import time
from collections.abc import Callable

from core.runs.store import RunStore

SHARE = 0.12  # of one processor: while the chat computes, a run on two stands still and finds its caches empty after
THROTTLED_NOTICE = "A run trains on these processors and goes first: the answers come slowly until it has ended."
_LOOKS_EVERY = 2.0  # seconds


class Throttle:
    """Attributes: beside: whether a run trains on the processors that the chat needs."""

    def __init__(self, store: RunStore):
        self._store = store
        self.beside = False
        self._looked = float("-inf")
        self._threads = 0  # of torch, where the chat has the processors to itself

    def step(self, work: Callable[[], object], device: str) -> None:
        """Do a step of a model on a device ("cpu", "cuda"), and rest when somebody else goes first."""
        if device != "cpu":
            work()
            return
        self._look()
        began = time.monotonic()
        work()
        if self.beside:
            time.sleep((time.monotonic() - began) * (1 / SHARE - 1))

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOKS_EVERY:
            return
        import torch

        self._looked = time.monotonic()
        self._threads = self._threads or torch.get_num_threads()
        beside = self._store.active() is not None
        if beside != self.beside:
            torch.set_num_threads(1 if beside else self._threads)  # of this thread alone
            self.beside = beside
