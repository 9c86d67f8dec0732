"""Time left for texts that a model reads in windows, each of which begins with its longest texts."""

import time
from dataclasses import dataclass, field

from core.runs.progress import duration


@dataclass
class ReadingSpeed:
    """Speed of reading, by tokens: the number of texts would mislead, as the longest ones come first.

    Attributes:
        units: Number of texts, or of rows of several texts, to read.
        tokens: Number of tokens read so far.
        seconds: Time since the reading began.
    """

    units: int
    tokens: int = 0
    seconds: float = 0.0
    _rendered_units: int = 0
    _rendered_tokens: int = 0
    _began: float = field(default_factory=time.monotonic)

    def add_window(self, units: int, tokens: int) -> None:
        """Count the texts of a window before they are read.

        Args:
            units: Its number of units, those included that turned out to have nothing to read.
            tokens: Number of tokens of all its texts.
        """
        self._rendered_units += units
        self._rendered_tokens += tokens

    def add_read(self, tokens: int) -> None:
        """Count tokens that were read."""
        self.tokens += tokens
        self.seconds = time.monotonic() - self._began

    def describe_left(self) -> str:
        """Return the time left, as in ", 2 min 05 s left"; empty if it is not known yet, or if nothing is left."""
        if not self.tokens:
            return ""
        # The windows to come are assumed to have as many tokens per unit as those so far.
        expected = self._rendered_tokens / self._rendered_units * self.units
        left = self.seconds / self.tokens * (expected - self.tokens)
        return f", {duration(max(1, int(left)))} left" if expected > self.tokens else ""
