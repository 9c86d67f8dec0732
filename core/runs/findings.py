"""Results of the preflight checks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One result of the preflight checks.

    Attributes:
        level: With a "problem" the run would fail; a "warning" does not prevent it; "fine" confirms. Starting a run
            itself checks the model and the adapter only.
        text: A sentence with the value, what was expected and the next step.
    """

    level: Literal["problem", "warning", "fine"]
    text: str
