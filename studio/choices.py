"""Choices of lists that several tabs show."""

from core.data import subset, table
from core.settings import Settings


def dataset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, id) of every opened dataset that the caller may see, the newest last."""
    return [(f"{d.source.describe()} ({d.rows:,} rows)", d.id) for d in table.opened_datasets(settings)]


def subset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, name) of every subset, the newest first."""
    return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in reversed(subset.subsets(settings))]
