"""Report on a dataset under one reading: candidates, unread columns, notes and problems.

The Data tab, the command line and the API show the same report. `check_reading` validates a reading of a user.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from core.data.check_reading import refuse_unknown_names
from core.data.formats import FORMATS, Format, Reading, UnusableRow, find_problem, get_format
from core.data.formats.cells import Cells
from core.data.formats.columns import ColumnKind, profile
from core.data.formats.options import ExtraUse
from core.data.formats.values import unfold
from core.data.listing import list_some
from core.data.parse_rows import ParsedDataset
from core.data.table import Dataset, first_rows
from core.errors import StudioError
from core.settings import Settings

SHOWN_CANDIDATES = 6
_SHOWN_NAMES = 20
_MAX_LABEL_CODES = 20
_KINDS: tuple[ColumnKind, ...] = ("prose", "short", "category", "constant", "id", "number", "nested", "empty")
TEXT_KINDS = frozenset(_KINDS[:4])


class Candidate(BaseModel):
    """Reading to choose from.

    Attributes:
        reading: The reading.
        label: The format and the columns that it reads.
        usable: Number of the first rows that become conversations.
        rows: Number of rows that it was tried on.
    """

    reading: Reading
    label: str
    usable: int
    rows: int


class ColumnUse(BaseModel):
    """Column that the format does not read.

    Attributes:
        name: Name of the column.
        kind: Kind of its values.
        rows: Number of usable rows in which it is not empty; None if a use is chosen.
        use: Use that the user chose; None if none was chosen.
    """

    name: str
    kind: ColumnKind
    rows: int | None
    use: ExtraUse | None

    @property
    def is_text(self) -> bool:
        """Return whether the column holds text rather than ids, numbers or nested values."""
        return self.kind in TEXT_KINDS


class Report(BaseModel):
    """Report on a dataset under one reading.

    Attributes:
        dataset: Id of the dataset.
        rows: Number of rows.
        usable: Number of usable rows.
        reading: The reading.
        label: Name of the format.
        undecided: Whether no format was detected or chosen.
        chosen: Whether the user chose the reading.
        evidence: Why the format was detected; the question to the user if `undecided`.
        runner_up: The next likely format with its evidence.
        candidates: Readings to choose from if `undecided`.
        columns: Columns that the format does not read, columns of text first.
        notes: Sentences about what was changed or left out, with the number of rows.
        problems: Reasons why rows are unusable, with the number of rows.
        unmatched: Options of the reading that no row needs.
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
    unmatched: list[str] = []

    @property
    def unread(self) -> list[ColumnUse]:
        """Return the columns whose use the user has not chosen."""
        return [column for column in self.columns if column.use is None]


def build_report(settings: Settings, data: Dataset, read: ParsedDataset) -> Report:
    """Return the report on a dataset with its parsed rows."""
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
        unmatched=read.unmatched,
    )


def candidates(settings: Settings, data: Dataset) -> list[Candidate]:
    """Return the likeliest readings of an undecided dataset, each tried on the first rows."""
    rows = first_rows(settings, data)
    tried = [
        Candidate(
            reading=reading,
            label=reading_label(reading, rows),
            usable=sum(_is_usable(reading, row) for row in rows),
            rows=len(rows),
        )
        for reading in data.candidates[:SHOWN_CANDIDATES]
    ]
    # A reading under which no row is usable is no choice beside others.
    return [candidate for candidate in tried if candidate.usable] or tried


def _is_usable(reading: Reading, row: dict[str, Any]) -> bool:
    try:
        return find_problem(reading.parse(row)) is None
    except UnusableRow:
        return False


_AS_JSON = ("an object", "a list")
_EXTRA_WORDS: dict[ExtraUse, str] = {
    "context": "context: ", "system": "system prompt: ", "reasoning": "with the reasoning in ",
    "label": "labels: ", "ignore": "without ",
}  # fmt: skip


def reading_label(reading: Reading, rows: Sequence[dict[str, Any]]) -> str:
    """Return the format and the columns of a reading, for example "plain text (text = body)"."""
    form = get_format(reading.format)
    pairs = {slot: name for slot in form.slots if (name := _column(form, reading, slot, rows))}
    words = ", ".join(f"{slot} = {name}" for slot, name in pairs.items())
    notes = _first_notes(reading, rows)
    written = [slot for slot in pairs if any(f"{slot} is {kind}; it is written as text" in notes for kind in _AS_JSON)]
    words += f"; {' and '.join(written)} written as JSON" if written else ""
    roles = ", ".join(f"{name} = {role}" for name, role in reading.roles.items())
    words += f"; roles: {roles}" if roles else ""
    for use in dict.fromkeys(reading.extra.values()):
        words += f"; {_EXTRA_WORDS[use]}{', '.join(name for name, chosen in reading.extra.items() if chosen == use)}"
    return f"{form.label} ({words})" if words else form.label


def _first_notes(reading: Reading, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the notes of the first usable row."""
    for row in rows[:5]:
        with contextlib.suppress(UnusableRow):
            return reading.read(row).notes
    return []


def _column(form: Format, reading: Reading, slot: str, rows: Sequence[dict[str, Any]]) -> str | None:
    return next((name for row in rows[:5] if (name := Cells(row, form, reading).column(slot))), None)


def label_codes(settings: Settings, data: Dataset, reading: Reading) -> list[str]:
    """Return the numbers that stand for labels in the first rows, in order, so that each can be given a name.

    Empty if the labels are words already, or if there are more of them than a classifier has.
    """
    form, rows = get_format("label"), first_rows(settings, data)
    name = _column(form, reading, "label", rows)
    found = {row[name] for row in rows if name in row and isinstance(row[name], (int, str))} if name else set()
    codes = sorted({text for value in found if (text := str(value).strip()).isdecimal()}, key=int)
    return codes if len(codes) == len(found) <= _MAX_LABEL_CODES else []


def column_uses(settings: Settings, data: Dataset, read: ParsedDataset) -> list[ColumnUse]:
    """Return the columns that the format does not read, with and without a chosen use, columns of text first."""
    extra = read.reading.extra
    names = [*read.unread, *(name for name in extra if name not in read.unread)]
    if not names:
        return []
    # The fields of an object that the reading uses are columns.
    found = profile([unfold(row, (*read.reading.columns.values(), *extra)) for row in first_rows(settings, data)])
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
    """Return the names of a dataset's columns in the order of its first rows."""
    first = dict.fromkeys(name for row in first_rows(settings, data, 20) for name in row)
    return list(first | dict.fromkeys([*(column.name for column in data.columns), *data.nested]))


def join_names(names: Sequence[str]) -> str:
    """Return names joined by commas, shortened to the first twenty."""
    return list_some(names, _SHOWN_NAMES)


def check_reading(data: Dataset, reading: Reading) -> None:
    """Check that every option of a user's reading has an effect on `data`.

    Raises:
        StudioError: No format is chosen, a slot or column does not exist, a column is used twice, or options for labels
            are given to a format without labels.
    """
    form = get_format(reading.format)
    if reading.format == "undecided":
        names = ", ".join(one.name for one in FORMATS if one.name != "undecided")
        raise StudioError(f"No format is chosen. Choose one of: {names}.")
    refuse_unknown_names(data, reading)
    named = list(reading.columns.values())
    if twice := [name for name in named if named.count(name) > 1]:
        raise StudioError(f"The column {twice[0]!r} is used twice: for several parts of the format. Name it once.")
    if reading.roles and not form.names_speakers:
        raise StudioError(
            f"“{Reading.model_fields['roles'].title}” applies only to turns with a speaker, not to {form.label}. Leave "
            "it out, or choose a format with turns."
        )
    if reading.format != "label":
        if flags := [name for name, use in reading.extra.items() if use == "label"]:
            raise StudioError(
                f"The column {flags[0]!r} is used as a label, which applies only to text with a label, not to "
                f"{form.label}. Choose another use, or choose text with a label."
            )
        for name in ("prompt", "labels"):
            field = Reading.model_fields[name]
            if getattr(reading, name) != field.get_default(call_default_factory=True):
                raise StudioError(
                    f"“{field.title}” applies only to text with a label, not to {form.label}. "
                    "Leave it out, or choose text with a label."
                )
