"""Counts of what was found while rows were parsed, added up over groups of rows."""

from collections import Counter
from dataclasses import dataclass, field

from core.data.formats import Reading


@dataclass
class Counts:
    """Numbers of rows of a group in which something was found.

    Attributes:
        placeholders: By name of an unfilled {{name}} placeholder.
        unread: By name of a non-empty column that the format does not read.
        notes: By sentence about what was changed or left out.
        applied: Options that had an effect, by field and key.
    """

    placeholders: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    applied: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "Counts") -> None:
        """Add the counts of another group."""
        self.placeholders.update(other.placeholders)
        self.unread.update(other.unread)
        self.notes.update(other.notes)
        self.applied |= other.applied


def unmatched_options(reading: Reading, applied: set[tuple[str, str]]) -> list[str]:
    """Return the options with a key per value that had no effect on any row, as the form writes them."""
    return [
        f"{Reading.model_fields[field].title}: {key} = {value}"
        for field in ("roles", "labels", "placeholders")
        for key, value in getattr(reading, field).items()
        if (field, key) not in applied
    ]
