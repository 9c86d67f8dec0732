"""Parts of a combined adapter: further adapters by their names, each with its weight."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.runs.store import Run

_MAX_WEIGHT = 4.0


@dataclass(frozen=True)
class Part:
    """An adapter with its weight.

    Attributes:
        run: A run or an imported adapter, by its id.
        adapter: "final", or "step N" for a checkpoint.
        weight: Factor of its change; a negative one takes it away.
    """

    run: str
    adapter: str
    weight: float


@dataclass(frozen=True)
class Combined:
    """A combined adapter.

    Attributes:
        folder: PEFT's folder.
        parts: Each adapter with its weight, in words.
        runs: The runs of all parts.
        notes: Differences between the parts that the combination cannot keep.
    """

    folder: Path
    parts: tuple[str, ...] = ()
    runs: "tuple[Run, ...]" = ()
    notes: list[str] = field(default_factory=list)


def parse_part(text: str) -> Part:
    """Return the part that a text names: RUN, RUN=WEIGHT or "RUN/step 20=WEIGHT"; without a weight, it is 1.

    Raises:
        ValueError: The text names no run, or its weight is no number or out of bounds.
    """
    name, _, weight = text.rpartition("=") if "=" in text else (text, "", "1")
    run, adapter = (each.strip() for each in f"{name}/".split("/", 2)[:2])
    if not run:
        raise ValueError(f"{text!r} names no run: write RUN=WEIGHT, such as {'my-run=0.5'!r}")
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 < abs(number) <= _MAX_WEIGHT:
        raise ValueError(
            f"{text!r} has the weight {weight!r}. Write RUN=WEIGHT with a number between -{_MAX_WEIGHT:g} and "
            f"{_MAX_WEIGHT:g} that is not 0"
        )
    return Part(run, adapter or "final", number)


def parse_parts(texts: list[str]) -> list[Part]:
    """Return the parts that texts name.

    Raises:
        ValueError: One is invalid, or two name the same adapter.
    """
    parts = [parse_part(text) for text in texts]
    names = [f"{part.run}/{part.adapter}" for part in parts]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is named twice: name it once, with its whole weight")
    return parts
