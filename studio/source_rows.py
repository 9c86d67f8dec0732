"""Training rows that the Chat and Evaluate tabs list and the Data tab opens."""

import time
from typing import Any

from markupsafe import Markup

from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.chat import nearest
from core.data import table
from core.data.subset import Subset
from core.errors import StudioError
from core.settings import Settings
from core.system.counting import counted
from studio.html import render

_COLUMNS = [
    TableColumn("row", "Row", numeric=True),
    TableColumn("score", "Match", numeric=True),
    TableColumn("question", "Question", wide=True),
    TableColumn("answer", "Trained on", wide=True),
]


def nearest_rows_html(settings: Settings, known: Subset, model: str, answer: str, advice: str) -> Markup:
    """Return the training rows nearest to an answer: what they are, and a table whose rows can be opened.

    Args:
        settings: The studio's settings.
        known: The subset that the model was trained on.
        model: The model's title.
        answer: The answer's text.
        advice: What to do with the rows.
    """
    rows = [
        TableRow(row.row, [f"{row.row:,}", f"{row.score:.1f}", row.prompt, row.answer])
        for row in nearest.nearest(settings, known.name, answer)
    ]
    note = (
        f"The rows of {known.name}, which {model} was trained on, that have the largest number of rare words in common "
        f"with this answer. {advice}"
    )
    empty = "No training row has a word in common with this answer."
    found = Markup(table_html(TablePage(_COLUMNS, rows, plain=True, empty=empty)))
    return render("nearest_rows", note=note, method=nearest.METHOD, table=found)


def source_of(known: Subset) -> dict[str, Any]:
    """Return where the rows of a subset are: the dataset, and how it is read."""
    # Not the whole recipe: it may list thousands of rows, and the page keeps this.
    return known.recipe.model_dump(include={"dataset", "reading"})


def row_to_open(settings: Settings, source: dict[str, Any], row: int) -> dict[str, Any]:
    """Return the row that the Data tab should open: its dataset, how that is read, and the row's number.

    Args:
        settings: The studio's settings.
        source: As `source_of` returns it.
        row: The row's number in a subset.

    Raises:
        StudioError: The dataset does not exist, or the row was added to the subset and is in no dataset.
    """
    dataset = table.find(settings, source["dataset"])
    if int(row) >= dataset.rows:
        raise StudioError(
            f"Row {int(row):,} was added to the subset and is not in its dataset {dataset.id}, which has "
            f"{counted(dataset.rows, 'row')}. The subset's export has it."
        )
    # The time makes a second click on the same row a change, which the Data tab reacts to.
    return {"dataset": dataset.id, "reading": source.get("reading"), "row": int(row), "at": time.monotonic()}
