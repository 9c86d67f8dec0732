"""Columns of the rows of a dataset that queries can show, sort and filter by."""

from collections.abc import Mapping

from core.data.row_losses import LossSource, learning_sql
from core.data.table import COLUMN_PREFIX, Dataset
from core.data.view import Fields, ViewField, quote_name

# Files that list only some of the rows, and are joined so that no row is lost; all other files have every row.
SPARSE_FILES = ("duplicates", "near", "losses")
# Columns that every dataset has: name, kind, file.
OWN_COLUMNS = (
    ("row", "integer", "reading"),
    ("split", "text", "reading"),
    ("turns", "integer", "reading"),
    ("language", "text", "reading"),
    ("characters", "integer", "reading"),
    ("answer_characters", "integer", "reading"),
    ("prompt", "text", "reading"),
    ("answer", "text", "reading"),
    ("problem", "text", "reading"),
    ("duplicate_of", "integer", "duplicates"),
)
# Columns of files that are computed later: name, kind, file, SQL expression where it is not the name.
_COMPUTED_COLUMNS = (
    ("near_duplicate_of", "integer", "near", ""),
    ("tokens", "integer", "lengths", ""),
    ("answer_tokens", "integer", "lengths", ""),
)
# Columns of measured losses, in the same form; the second group only where a run was measured.
_LOSS_COLUMNS = (
    ("base_loss", "number", "losses", ""),
    ("loss_tokens", "integer", "losses", "losses.tokens"),
    ("loss_truncated", "flag", "losses", "losses.truncated"),
)
_RUN_COLUMNS = (
    ("tuned_loss", "number", "losses", ""),
    ("loss_fall", "number", "losses", "(losses.base_loss - losses.tuned_loss)"),
    ("learning", "text", "losses", learning_sql()),
)
# The texts of these columns are truncated in the file; the length of all turns together is stored in other columns.
_LENGTHS = {"prompt": "(reading.characters - reading.answer_characters)", "answer": "reading.answer_characters"}


# Columns that a page of rows and the table of the SQL box add.
RESULT_COLUMNS = ("number_", "problem_", "messages", "raw")


def make_fields(
    about: Dataset, files: set[str], losses: LossSource | None = None, renamed: Mapping[str, str] | None = None
) -> Fields:
    """Return the columns of a dataset by name.

    Args:
        about: The dataset.
        files: Names of the files that exist.
        losses: The measurement that the file of losses holds, if there is one.
        renamed: Names of the source's columns in queries, where DuckDB gives them other ones than the file.
    """
    own = [(*column, "") for column in OWN_COLUMNS] + [each for each in _COMPUTED_COLUMNS if each[2] in files]
    if losses:
        own += [*_LOSS_COLUMNS, *(_RUN_COLUMNS if losses.run else ())]
    fields: Fields = {}
    for name, kind, file, expression in own:
        sql = expression or f"{file}.{name}"
        fields[name] = ViewField(
            name=name, kind=kind, file=file, sql=sql, length=_LENGTHS.get(name, f"length({sql})" * (kind == "text"))
        )
    for column in about.columns:
        # A column of the source may have the name of one of the studio's own columns.
        is_taken = column.name in fields or column.name in RESULT_COLUMNS
        name = f"{column.name} (source)" if is_taken else column.name
        stored = COLUMN_PREFIX + column.name
        sql = f"rows.{quote_name((renamed or {}).get(stored, stored))}"
        fields[name] = ViewField(
            name=name, kind=column.kind, file="rows", sql=sql, length=f"length({sql})" * (column.kind == "text")
        )
    return fields


def join_kind(file: str) -> str:
    """Return the kind of join of a file in queries."""
    return "LEFT" if file in SPARSE_FILES else ""
