"""Check of the names in a reading: parts of the format, columns, and fields of the objects in a column."""

from core.data import formats, table
from core.data.column_statistics import MAX_COLUMNS
from core.data.formats import Reading
from core.data.formats.options import FormatName
from core.data.formats.values import is_named, unfold
from core.data.listing import list_some
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted

_SHOWN_FIELDS = 8


def found_columns(data: Dataset, name: FormatName) -> dict[str, str]:
    """Return by part of a format the columns that detection found for it; empty if it did not consider that format."""
    found = (reading.columns for reading in (data.detected, *data.candidates) if reading.format == name)
    return dict(next(found, {}))


def with_found_columns(data: Dataset, reading: Reading) -> Reading:
    """Return a reading of a user, with the columns that were found for its format if the user names none."""
    if reading.columns:
        return reading
    columns = {part: name for part, name in found_columns(data, reading.format).items() if name not in reading.extra}
    return reading.model_copy(update={"columns": columns})


def refuse_unknown_names(data: Dataset, reading: Reading) -> None:
    """Raise StudioError if an option of `reading` would have no effect on `data`."""
    form = formats.get_format(reading.format)
    if strange := [slot for slot in reading.columns if slot not in form.slots]:
        parts = ", ".join(form.slots) or "none"
        raise StudioError(f"The format {form.label} has no part {strange[0]!r}. Its parts are: {parts}.")
    known = {column.name for column in data.columns} | set(data.nested)
    mapped = [*reading.columns.values(), *reading.extra]
    # Columns past the limit are kept in the raw rows and are not listed, so that their names cannot be checked.
    if len(known) < MAX_COLUMNS and (unknown := [name for name in mapped if not is_named(name, known)]):
        raise StudioError(f"There is no column {unknown[0]!r}. The columns are: {', '.join(sorted(known))}.")
    if twice := [name for name in reading.extra if name in reading.columns.values()]:
        raise StudioError(
            f"The column {twice[0]!r} is used twice: as a part of the format and as another column. Name it once."
        )


def refuse_unknown_fields(settings: Settings, data: Dataset, reading: Reading) -> None:
    """Raise StudioError if `reading` names a field of objects, such as "answer.value", that no row at the start has."""
    columns = {column.name for column in data.columns} | set(data.nested)
    if not any("." in name and name not in columns for name in (*reading.columns.values(), *reading.extra)):
        return
    rows = table.first_rows(settings, data)
    for name in (*reading.columns.values(), *reading.extra):
        if "." not in name or name in columns:
            continue
        found = [unfold(row, (name,)) for row in rows]
        if not rows or any(name in row for row in found):
            continue
        known = sorted({field for row in found for field in row if "." in field and field not in columns})
        fields = f"The fields are: {list_some(known, _SHOWN_FIELDS)}." if known else "The column holds no objects."
        raise StudioError(f"There is no field {name!r} in the first {counted(len(rows), 'row')}. {fields}")
