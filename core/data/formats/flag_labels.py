"""Several columns of 0 and 1 beside a text, each a label that applies to it or not (toxic, obscene, threat).

The names of those that are 1 become the answer, as one offered reading; plain text is the other.
"""

from collections.abc import Iterator

from core.data.formats import columns as names
from core.data.formats.columns import find_column
from core.data.formats.flag_answers import FLAG_VALUES
from core.data.formats.proposal import Columns, Proposal, Rows, count_present
from core.data.formats.reading import Reading
from core.data.formats.values import is_missing
from core.data.listing import list_some

FLAG_PROMPT = "{text}\n\nWhich of these apply: {label}?"
_SHOWN = 4
# At least this many columns that are 0 in all of the first rows are hardly anything else than rare labels.
_MIN_UNUSED = 3


def flag_columns(rows: Rows, found: Columns) -> list[str]:
    """Return the columns of which each value is 0 or 1, if there are several; otherwise none.

    Columns that say which rows are good are no labels.
    """
    flags, varied = [], False
    for name in found:
        values = {str(row[name]).strip().lower() for row in rows if name in row and not is_missing(row[name])}
        if values and values <= FLAG_VALUES.keys() and not find_column([name], names.JUDGMENT_NAMES):
            meanings = {FLAG_VALUES[value] for value in values}
            # A label that applies to all rows says nothing; a rare one may be in none of the first.
            flags += [name] if meanings != {True} else []
            varied = varied or len(meanings) > 1
    return flags if len(flags) > 1 and (varied or len(flags) >= _MIN_UNUSED) else []


def flags_doubt(rows: Rows, found: Columns) -> str:
    """Return the doubt that columns of 0 and 1 are the labels of a text; "" where there are not several."""
    flags = flag_columns(rows, found)
    return f"the columns {list_some(map(repr, flags), _SHOWN)} may be labels of the text, each 1 or 0" if flags else ""


def propose_flags(rows: Rows, found: Columns) -> Iterator[Proposal]:
    """Propose the names of the columns that are 1 as the answer about the only or usual column of text."""
    texts = [name for name, column in found.items() if column.kind in ("prose", "short")]
    text = find_column(texts, names.TEXT_NAMES) or (texts[0] if len(texts) == 1 else None)
    flags = flag_columns(rows, found)
    if not text or not flags:
        return
    columns: dict[str, str] = {} if text == "text" else {"text": text}
    reading = Reading(format="label", columns=columns, extra=dict.fromkeys(flags, "label"), prompt=FLAG_PROMPT)
    evidence = f"the labels {list_some(map(repr, flags), _SHOWN)}, each 1 or 0, beside the text in {text!r}"
    yield Proposal(reading, evidence, count_present(rows, text, *flags), flags_doubt(rows, found))
