"""Results of the preflight checks."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One result of the preflight checks.

    Attributes:
        level: A "problem" prevents the run, a "warning" does not, "fine" confirms.
        text: A sentence with the value, what was expected and the next step.
    """

    level: Literal["problem", "warning", "fine"]
    text: str
