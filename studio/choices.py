"""Choices of lists that several tabs show."""

from core.access import roles
from core.data import subset, table
from core.settings import Settings

# Prefix of a subset's value in the list of datasets. If the subset is chosen, it is opened as a dataset.
SUBSET_PREFIX = "subset:"


def dataset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, value) of what can be browsed: subsets, then the opened datasets, the newest last.

    The value of a dataset is its id, and that of a subset that was not opened yet its name after `SUBSET_PREFIX`.
    Visitors, who cannot open anything, see no such subsets.
    """
    opened = table.opened_datasets(settings)
    known = {(d.source.name, d.source.key) for d in opened if d.source.kind == "subset"}
    closed = [s for s in subset.subsets(settings) if (s.name, s.sha256) not in known] if roles.caller().is_owner else []
    subsets = [(f"subset {s.name} ({s.rows + s.held_out:,} rows)", f"{SUBSET_PREFIX}{s.name}") for s in closed]
    return subsets + [(f"{d.source.describe()} ({d.rows:,} rows)", d.id) for d in opened]


def subset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, name) of every subset, the newest first."""
    return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in reversed(subset.subsets(settings))]
