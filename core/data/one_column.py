"""The question about tables of one column: plain text, or cells between characters that no reader knows?

`core.data.delimiter` splits such a column.
"""

from core.data.formats import Detection, Reading
from core.data.readers import kind_of
from core.data.table import Source


def is_one_column(source: Source, columns: int) -> bool:
    """Return whether a file that separates cells has one column."""
    kind = kind_of(source.name) or ""
    return source.kind == "upload" and columns == 1 and kind.startswith((".csv", ".tsv"))


def ask(source: Source, names: list[str], found: Detection) -> Detection:
    """Return the question whether a table of one column is plain text, or the detection if there is no question.

    Args:
        source: The origin of the rows.
        names: Names of the columns of the first rows.
        found: What was detected.
    """
    if not is_one_column(source, len(names)) or found.reading.format != "text":
        return found
    evidence = (
        f"the file has one column, {names[0]!r}: it may be plain text, or characters other than a comma, a semicolon, "
        "a tab or a bar may separate its cells. Choose plain text, or split it"
    )
    return Detection(Reading(format="undecided"), evidence, candidates=[found.reading])
