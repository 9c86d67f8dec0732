"""Throttle of the chat while a run trains on the same processors.

Two models that share cores are both slower than their share: each waits at its barriers for threads that the other one
keeps from running. So the run has priority. The chat then uses one thread, and sleeps after each step so long
that the thread is busy for `BUSY_SHARE` of the time.
"""

import time
from collections.abc import Callable

from core.runs.store import RunStore

# Share of one processor. On two cores a run waits while the chat computes, and then its caches are cold.
BUSY_SHARE = 0.12
THROTTLED_NOTICE = "A run trains on these processors and has priority. Answers are slow until it has ended."
_CHECK_SECONDS = 2.0


class Throttle:
    """Throttle of one engine's steps.

    Attributes:
        is_active: Whether a run trains on the processors that the chat needs.
    """

    def __init__(self, store: RunStore):
        self._store = store
        self.is_active = False
        self._checked_at = float("-inf")
        # Number of torch's threads without a run; 0 before the first step.
        self._threads = 0

    def step(self, work: Callable[[], object], device: str) -> None:
        """Run one step of the model, and sleep afterwards if a run has priority.

        Args:
            work: The step.
            device: Kind of device it runs on. On "cuda" nothing is throttled.
        """
        if device != "cpu":
            work()
            return
        self._check()
        started = time.monotonic()
        work()
        if self.is_active:
            time.sleep((time.monotonic() - started) * (1 / BUSY_SHARE - 1))

    def _check(self) -> None:
        if time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return
        import torch

        self._checked_at = time.monotonic()
        self._threads = self._threads or torch.get_num_threads()
        is_active = self._store.active() is not None
        if is_active != self.is_active:
            # The setting belongs to the calling thread, so the page's other torch work keeps its threads.
            torch.set_num_threads(1 if is_active else self._threads)
            self.is_active = is_active
