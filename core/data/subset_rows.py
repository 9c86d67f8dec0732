"""Open a subset as a dataset of its own, so that its rows can be browsed, searched and edited like any others.

The dataset holds the rows as they were selected, in the subset's order, with their number in the source. It is a copy
under `datasets/`: removing it removes nothing of the subset.
"""

import json
from collections.abc import Iterator

from core.data import parse_rows, subset
from core.data.formats import Message, Reading
from core.data.ingest import find_opened, ingest
from core.data.readers import SourceRow
from core.data.table import Dataset, Source
from core.settings import Settings
from core.system.jobs import Progress, ignore_progress

# Turns with role and content, from which nothing is removed a second time.
READING = Reading(format="messages", columns={"messages": "messages"}, extra={"source_row": "ignore"})
_WRITE_SHARE = 0.5


def source_of(found: subset.Subset) -> Source:
    """Return the source of the dataset that shows a subset; another recipe under the same name gives another one."""
    return Source(kind="subset", name=found.name, key=found.sha256, licence=found.source.licence)


def open_subset(settings: Settings, name: str, progress: Progress = ignore_progress) -> Dataset:
    """Open a subset as a dataset, or return the dataset that shows it already.

    Args:
        settings: The studio's settings.
        name: Name of the subset.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such subset.
    """
    found = subset.find(settings, name)
    source = source_of(found)
    if opened := find_opened(settings, source):
        return opened
    total = max(1, found.rows + found.held_out)
    data = ingest(settings, source, _rows(settings, name, total, progress), reading=READING)
    share_of_all = 1 - _WRITE_SHARE
    parse_rows.parse_dataset(
        settings,
        data,
        READING,
        lambda share: progress(_WRITE_SHARE + share_of_all * share, "Reading the conversations"),
    )
    return data


def _rows(settings: Settings, name: str, total: int, progress: Progress) -> Iterator[tuple[str, SourceRow]]:
    for index, (split, row, messages) in enumerate(subset.stream(settings, name)):
        progress(_WRITE_SHARE * index / total, f"Reading row {index + 1:,} of {total:,}")
        fields: dict[str, list[Message] | int] = {"messages": messages, "source_row": row}
        yield split, SourceRow(index + 1, fields, json.dumps(fields, ensure_ascii=False))
