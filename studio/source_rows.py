"""Training rows that other tabs name and the Data tab opens."""

import time
from typing import Any

from core.data import table
from core.data.subset import Subset
from core.errors import StudioError
from core.settings import Settings


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
            f"{dataset.rows:,} rows. The subset's export has it."
        )
    # The time makes a second click on the same row a change, which the Data tab reacts to.
    return {"dataset": dataset.id, "reading": source.get("reading"), "row": int(row), "at": time.monotonic()}
