"""Split a table of one column at characters that the reader does not know as a delimiter.

The rows of the opened dataset are enough: the file is not needed again. `core.data.one_column` asks whether to split.
"""

import csv
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator

import pyarrow.parquet as pq

from core.data import parse_rows
from core.data.ingest import ingest
from core.data.one_column import is_one_column
from core.data.readers import SourceRow
from core.data.table import TRAIN, Dataset, folder
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from core.system.jobs import Progress, ignore_progress

MAX_DELIMITER_CHARACTERS = 5
_BATCH_ROWS = 1000
# Tried in this order for a guess; commas, semicolons, tabs and bars are found when the file is read.
_UNUSUAL = ("::", "||", ";;", "~~", "^", "~", "#", "\x01", "\x1f", "¦", "·", "=", "/", ":")
# Share of the lines that must have as many cells as the first.
_MIN_SHARE = 0.95
_SPLIT_SHARE = 0.5
# Name of the column of a file without a header.
_NUMBERED = "column_1"


def guess_delimiter(lines: list[str]) -> str:
    """Return the characters that split nearly all lines into the same number of cells, at least two; "" if none do."""
    for delimiter in _UNUSUAL:
        widths = [line.count(delimiter) for line in lines if line.strip()]
        if widths and widths[0] and sum(width == widths[0] for width in widths) >= _MIN_SHARE * len(widths):
            return delimiter
    return ""


def first_lines(settings: Settings, data: Dataset, count: int = 200) -> list[str]:
    """Return the lines at the start of a table of one column, with its header if it has one."""
    return list(itertools.islice(_lines(settings, data), count))


def split(settings: Settings, data: Dataset, delimiter: str, progress: Progress = ignore_progress) -> Dataset:
    r"""Open a table of one column anew, split into cells at other characters.

    Args:
        settings: The studio's settings.
        data: The opened table.
        delimiter: The characters between two cells; `\t` stands for a tab.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The table has several columns, or the characters do not occur in its header.
    """
    delimiter = delimiter.replace("\\t", "\t")
    if not is_one_column(data.source, len(data.columns)):
        raise StudioError(f"{data.source.name!r} has {len(data.columns):,} columns. Only one column can be split.")
    if not 0 < len(delimiter) <= MAX_DELIMITER_CHARACTERS or set(delimiter) & set('\r\n"'):
        raise StudioError(
            f"{delimiter[:20]!r} cannot be a delimiter. Enter 1 to {MAX_DELIMITER_CHARACTERS} characters that are "
            "between two cells, without quotes and line breaks."
        )
    if delimiter not in first_lines(settings, data, 1)[0]:
        raise StudioError(f"The first line does not contain {delimiter!r}. Enter the characters between its cells.")
    key = hashlib.sha256(f"{data.source.key} split at {delimiter}".encode()).hexdigest()
    source = data.source.model_copy(update={"key": key})
    notes = [f"the one column of the file was split at {delimiter!r}"]
    has_header = data.columns[0].name != _NUMBERED
    rows = ((TRAIN, row) for row in _rows(_lines(settings, data), delimiter, has_header, data.rows, progress))
    made = ingest(settings, source, rows, notes)
    parse_rows.parse_dataset(
        settings, made, made.detected,
        lambda share: progress(_SPLIT_SHARE + (1 - _SPLIT_SHARE) * share, "Reading the conversations"),
    )  # fmt: skip
    return made


def _lines(settings: Settings, data: Dataset) -> Iterator[str]:
    """Yield the header, if there is one, and the cells of a table of one column."""
    name = data.columns[0].name
    if name != _NUMBERED:
        yield name
    with pq.ParquetFile(folder(settings, data.id) / "rows.parquet") as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=["raw", "trouble"]):
            for record in batch.to_pylist():
                yield record["raw"] if record["trouble"] else str(json.loads(record["raw"])[name] or "")


def _rows(
    lines: Iterable[str], delimiter: str, has_header: bool, total: int, progress: Progress
) -> Iterator[SourceRow]:
    header: list[str] = []
    for number, line in enumerate(lines, 1):
        cells = next(csv.reader([line], delimiter=delimiter), []) if len(delimiter) == 1 else line.split(delimiter)
        if not header:
            header = _names(cells) if has_header else [f"column_{index}" for index in range(1, len(cells) + 1)]
            if has_header:
                continue
        progress(_SPLIT_SHARE * number / max(1, total), "Splitting the column")
        if len(cells) != len(header):
            first = "header" if has_header else "first line"
            yield SourceRow(number, None, line, f"has {counted(len(cells), 'column')}, the {first} has {len(header)}")
            continue
        row = dict(zip(header, cells, strict=True))
        yield SourceRow(number, row, json.dumps(row, ensure_ascii=False))


def _names(cells: list[str]) -> list[str]:
    """Return the cells of a header as names that differ."""
    names = [cell.strip() or f"column_{index}" for index, cell in enumerate(cells, 1)]
    return [name if name not in names[:index] else f"{name}_{index + 1}" for index, name in enumerate(names)]
