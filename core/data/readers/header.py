"""Search for the header of a separated file: title lines above it, remarks below it, and the names of its columns."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from core.data.formats import columns as usual
from core.data.formats.columns import find_column
from core.data.readers.lines import MARK, MAX_COLUMNS, MAX_NAME_CHARACTERS
from core.errors import StudioError

NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
# A longer cell in the line below a title is a value, not the name of a column.
_MAX_NAME_BELOW_TITLE = 100
# An unpadded title is recognized by at least this many lines of one width below it.
_MIN_EVEN_RECORDS = 3
_MAX_SURE_NAME = 40
_SENTENCE_ENDS = (".", "!", "?", ":", ",", ";", "…", "。", "！", "？")
# Cells of a line below the header that describes the columns: remarks in brackets, types, rules, ids of surveys.
_REMARK = re.compile(r"\(.*\)|\[.*\]|<.*>", re.DOTALL)
_TYPE = re.compile(
    r"(?:string|str|text|char|varchar|n?varchar ?\(\w+\)|integer|int|int64|float|double|number|bool|boolean|date|"
    r"datetime|object|required|optional|mandatory|(?:open-ended )?response)\.?",
    re.IGNORECASE,
)
_RULE = re.compile(r":?[-=_*]{2,}:?")
_IMPORT_ID = re.compile(r"""\{["']ImportId["'].*\}""", re.DOTALL)
# Names that columns of texts, conversations and labels have in public datasets.
KNOWN_NAMES = (
    *usual.PROMPT_NAMES, *usual.COMPLETION_NAMES, *usual.TURN_NAMES, *usual.TEXT_NAMES, *usual.SURE_LABEL_NAMES,
    *usual.CHOSEN_NAMES, *usual.SYSTEM_NAMES,
)  # fmt: skip
_ADVICE = "Remove the lines above the header and open the file again"


def _filled(record: list[str]) -> int:
    return sum(bool(cell.strip().strip(MARK)) for cell in record)


def _looks_like_names(record: list[str]) -> bool:
    cells = [text for cell in record if (text := cell.strip())]
    return (
        len(set(cells)) == len(cells)
        and all(len(cell) <= _MAX_NAME_BELOW_TITLE and "\n" not in cell for cell in cells)
        and not any(NUMBER.fullmatch(cell) for cell in cells)
    )


def _is_even(records: Sequence[list[str]]) -> bool:
    """Return whether records have one width and no cell begins with a space, as it does in prose with commas."""
    return (
        len(records) >= _MIN_EVEN_RECORDS
        and len({len(record) for record in records}) == 1
        and not any(cell.startswith(" ") for record in records for cell in record)
    )


def count_titles(records: Sequence[list[str]], name: str = "") -> int:
    """Return how many records of a sample are above the header, such as a title and empty lines.

    A spreadsheet pads a title to the width of the table: only the first cell is filled. A line with more filled cells
    is a header, since columns may lack a name.

    Args:
        records: The records at the start of the file under one delimiter, without those of empty lines.
        name: Name of the file for the user; "" while the delimiter is not certain either.

    Raises:
        StudioError: The first line may be a title, but the line of the header is not certain, and `name` is given.
    """
    filled = [_filled(record) for record in records]
    if not records or filled[0] > 1 or (filled[0] and not records[0][0].strip()):
        return 0
    start = next((index for index, count in enumerate(filled) if count > 1), 0)
    usual = Counter(filled[1:]).most_common(1)[0][0] if filled[1:] else 0
    if not start or usual < 2 or start + 1 == len(records):
        return 0
    are_names = _looks_like_names(records[start])
    title = records[0][0].strip().strip(MARK)[:60]
    if all(len(record) == len(records[start]) for record in records[:start]):
        if filled[start] >= usual and are_names:
            return start
        if name:
            raise StudioError(
                f"{name!r} begins with {title!r}, which looks like a title, but it is not certain where the header "
                f"is: the line below it has {filled[start]} filled cells, and most lines have {usual}. {_ADVICE}."
            )
    elif name and are_names and _is_even(records[start:]):
        raise StudioError(
            f"Line 1 of {name!r} is a single text ({title!r}), but all lines below it have {len(records[start])} "
            f"cells. If it is a title: {_ADVICE.lower()}. If it names the only column: put its values into quotes."
        )
    return 0


def are_column_names(record: list[str]) -> bool:
    """Return whether each cell of a record is a short name, and none a sentence."""
    return (
        all(cell.strip(f"{MARK} ") and len(cell) <= _MAX_SURE_NAME for cell in record)
        and not any(cell.rstrip().endswith(_SENTENCE_ENDS) for cell in record)
        and _looks_like_names(record)
    )


def has_known_name(record: Sequence[str]) -> bool:
    """Return whether a column has a name that public datasets use."""
    return find_column(record, KNOWN_NAMES) is not None


def count_remarks(records: Sequence[list[str]]) -> int:
    """Return how many records below the header describe the columns and are no rows.

    Args:
        records: The records at the start of the file, without the header.
    """
    # Surveys write the texts of the questions between the header and the ids.
    if len(records) > 2 and _filled(records[1]) and _all_match(records[1], _IMPORT_ID):
        return 2
    count = 0
    while count + 1 < len(records) and (kind := _remark_kind(records[count])):
        rest = records[count + 1 :]
        # If most rows look so, the first ones are rows, too.
        if 2 * sum(_all_match(record, kind) for record in rest) >= len(rest):
            break
        count += 1
    return count


def _remark_kind(record: list[str]) -> re.Pattern[str] | None:
    if _filled(record) < 2:
        return None
    return next((kind for kind in (_REMARK, _TYPE, _RULE, _IMPORT_ID) if _all_match(record, kind)), None)


def _all_match(record: list[str], kind: re.Pattern[str]) -> bool:
    return all(kind.fullmatch(cell.strip()) for cell in record if cell.strip())


def column_names(record: list[str], sample: Iterable[list[str]], name: str) -> list[str]:
    """Return the unique names of the columns of a header.

    Args:
        record: The header.
        sample: Some of the records below it: a delimiter at the end of the header makes a column if it holds values.
        name: Name of the file for the user.

    Raises:
        StudioError: The header names too many columns, or has too long names.
    """
    used = max((number for row in sample for number, cell in enumerate(row, 1) if cell.strip()), default=1)
    while len(record) > used and not record[-1].strip():
        record = record[:-1]
    if len(record) > MAX_COLUMNS or any(len(cell) > MAX_NAME_CHARACTERS for cell in record):
        raise StudioError(
            f"The header of {name!r} has {len(record):,} columns and names of up to "
            f"{max(map(len, record)):,} characters. Expected at most {MAX_COLUMNS:,} columns, named in at most "
            f"{MAX_NAME_CHARACTERS:,} characters."
        )
    return _unique_names(record)


def count_named(names: list[str]) -> int:
    """Return how many columns remain without those at the end that are named by their position.

    All columns of a file without a header have such names; they all remain.
    """
    count = len(names)
    while count and names[count - 1] == f"column_{count}":
        count -= 1
    return count or len(names)


def _unique_names(record: list[str]) -> list[str]:
    """Return unique column names: an empty one is named by its position, a repeated one gets a number."""
    names: dict[str, None] = {}
    for position, cell in enumerate(record, 1):
        name = plain = cell.strip().lstrip(MARK) or f"column_{position}"
        suffix = 2
        while name in names:
            name, suffix = f"{plain}_{suffix}", suffix + 1
        names[name] = None
    return list(names)
