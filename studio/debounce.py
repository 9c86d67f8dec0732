"""Wait until a control that sends an event at every position, such as a slider, has come to rest."""

import itertools
import threading
import time
from collections.abc import Hashable

# Longer than the pause between two presses of an arrow key that is held down.
_RESTING_SECONDS = 0.4


class Debounce:
    """The newest event of each control; the events that it overtook are dropped."""

    def __init__(self, seconds: float = _RESTING_SECONDS):
        """Start without events.

        Args:
            seconds: How long a control must rest.
        """
        self._seconds, self._newest, self._numbers = seconds, {}, itertools.count()
        self._lock = threading.Lock()

    def rests(self, control: Hashable) -> bool:
        """Wait, and return whether no other event of the control came meanwhile."""
        with self._lock:
            number = self._newest[control] = next(self._numbers)
        time.sleep(self._seconds)
        with self._lock:
            if self._newest.get(control) != number:
                return False
            del self._newest[control]
            return True
