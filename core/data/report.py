"""How a data set is read, for the people who decide it: readings to choose from, columns that nothing reads, and a
check that every mapping of a reading names something.

The page, the command line and the API show the same report.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel

from core.data import table
from core.data.formats import FORMATS, Format, Reading, UnusableRow, find_problem, get_format
from core.data.formats.cells import Cells
from core.data.formats.columns import ColumnKind, profile
from core.data.formats.options import ExtraUse
from core.data.parse_rows import ParsedDataset, refuse_unknown_names
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings

FIRST_ROWS = 200  # rows that candidates are tried on and kinds of columns are found from
SHOWN_CANDIDATES = 6
_SHOWN_NAMES = 20
_KINDS: tuple[ColumnKind, ...] = ("prose", "short", "category", "constant", "id", "number", "nested", "empty")
TEXT_KINDS = frozenset(_KINDS[:4])


class Candidate(BaseModel):
    """A reading to choose from.

    Attributes:
        label: the format and the columns that it reads.
        usable: how many of the first rows become conversations.
        rows: how many rows it was tried on.
    """

    reading: Reading
    label: str
    usable: int
    rows: int


class ColumnUse(BaseModel):
    """A column that the format does not read.

    Attributes:
        rows: in how many usable rows it holds something that is not used; None once a use was chosen.
        use: what the user chose; None while nothing was.
    """

    name: str
    kind: ColumnKind
    rows: int | None
    use: ExtraUse | None

    @property
    def is_text(self) -> bool:
        return self.kind in TEXT_KINDS


class Report(BaseModel):
    """What is known of a data set under one reading.

    Attributes:
        evidence: why the rows are read so; the question when `undecided`.
        chosen: whether the user chose the reading.
        columns: those that the format does not read, columns of text first.
    """

    dataset: str
    rows: int
    usable: int
    reading: Reading
    label: str
    undecided: bool
    chosen: bool
    evidence: str
    runner_up: str
    candidates: list[Candidate]
    columns: list[ColumnUse]
    notes: dict[str, int]
    problems: dict[str, int]

    @property
    def unread(self) -> list[ColumnUse]:
        return [column for column in self.columns if column.use is None]


def build_report(settings: Settings, data: Dataset, read: ParsedDataset) -> Report:
    """Return what is known of `data` as `read`."""
    undecided, chosen = read.reading.format == "undecided", read.reading != data.detected
    return Report(
        dataset=data.id,
        rows=data.rows,
        usable=read.usable,
        reading=read.reading,
        label=get_format(read.reading.format).label,
        undecided=undecided,
        chosen=chosen,
        evidence="chosen by you" if chosen else data.evidence,
        runner_up="" if chosen or undecided else data.runner_up,
        candidates=candidates(settings, data) if undecided else [],
        columns=column_uses(settings, data, read),
        notes=read.notes,
        problems=read.problems,
    )


def first_rows(settings: Settings, data: Dataset, count: int = FIRST_ROWS) -> list[dict[str, Any]]:
    """Return the first rows of a data set as objects, without those that could not be read."""
    with pq.ParquetFile(table.folder(settings, data.id) / "rows.parquet") as file:
        batch = next(file.iter_batches(batch_size=count, columns=["raw", "trouble"]), None)
    records = batch.to_pylist() if batch is not None else []
    return [json.loads(record["raw"]) for record in records if record["trouble"] is None]


def candidates(settings: Settings, data: Dataset) -> list[Candidate]:
    """Return the likeliest readings of an undecided data set, each tried on the first rows."""
    rows = first_rows(settings, data)
    return [
        Candidate(
            reading=reading,
            label=reading_label(reading, rows),
            usable=sum(_is_usable(reading, row) for row in rows),
            rows=len(rows),
        )
        for reading in data.candidates[:SHOWN_CANDIDATES]
    ]


def _is_usable(reading: Reading, row: dict[str, Any]) -> bool:
    try:
        return find_problem(reading.parse(row)) is None
    except UnusableRow:
        return False


def reading_label(reading: Reading, rows: Sequence[dict[str, Any]]) -> str:
    """Return a reading's format and columns in words, such as "plain text (text = body)"."""
    form = get_format(reading.format)
    pairs = {slot: name for slot in form.slots if (name := _column(form, reading, slot, rows))}
    words = ", ".join(f"{slot} = {name}" for slot, name in pairs.items())
    return f"{form.label} ({words})" if words else form.label


def _column(form: Format, reading: Reading, slot: str, rows: Sequence[dict[str, Any]]) -> str | None:
    return next((name for row in rows[:5] if (name := Cells(row, form, reading).column(slot))), None)


def column_uses(settings: Settings, data: Dataset, read: ParsedDataset) -> list[ColumnUse]:
    """Return the columns that the format does not read and those given a use, columns of text first."""
    extra = read.reading.extra
    names = [*read.unread, *(name for name in extra if name not in read.unread)]
    if not names:
        return []
    found = profile(first_rows(settings, data))
    kinds: dict[str, ColumnKind] = {column.name: "short" if column.kind == "text" else "number" for column in
                                    data.columns}  # fmt: skip
    kinds |= dict.fromkeys(data.nested, "nested")
    kinds |= {name: column.kind for name, column in found.items()}
    uses = [
        ColumnUse(name=name, kind=kinds.get(name, "short"), rows=read.unread.get(name), use=extra.get(name))
        for name in names
    ]
    return sorted(uses, key=lambda column: (column.use == "ignore", _KINDS.index(column.kind)))


def column_names(settings: Settings, data: Dataset) -> list[str]:
    """Return the names of a data set's columns in the order of its first rows."""
    first = dict.fromkeys(name for row in first_rows(settings, data, 20) for name in row)
    return list(first | dict.fromkeys([*(column.name for column in data.columns), *data.nested]))


def join_names(names: Sequence[str]) -> str:
    """Return names as one line that stays short whatever their number."""
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def check_reading(data: Dataset, reading: Reading) -> None:
    """Check that everything that a user says about a reading can have an effect on `data`.

    Raises:
        StudioError: no format is chosen; a part or column does not exist; a column is named twice; or options for
            labels are given to a format without labels.
    """
    form = get_format(reading.format)
    if reading.format == "undecided":
        names = ", ".join(one.name for one in FORMATS if one.name != "undecided")
        raise StudioError(f"No format is chosen. Choose one of: {names}.")
    refuse_unknown_names(data, reading)
    named = list(reading.columns.values())
    if twice := [name for name in named if named.count(name) > 1]:
        raise StudioError(f"The column {twice[0]!r} is used twice: for several parts of the format. Name it once.")
    if reading.format != "label":
        for name in ("prompt", "labels"):
            field = Reading.model_fields[name]
            if getattr(reading, name) != field.get_default(call_default_factory=True):
                raise StudioError(
                    f"“{field.title}” is read only for text with a label, not for {form.label}. "
                    "Leave it out, or choose text with a label."
                )
