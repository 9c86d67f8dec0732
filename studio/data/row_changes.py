"""Rows that are edited, excluded or added for the next subset, by dataset.

The changes are a part of the page's state and then of the recipe; the dataset stays as it is.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.data.recipe import MAX_CHANGED_ROWS, Recipe, Turns
from studio.data.page_state import PageState

# Changes by the id of the dataset, as the page keeps them.
Changes = dict[str, Any]


class RowChanges(BaseModel):
    """Changes of the rows of one dataset."""

    model_config = ConfigDict(extra="forbid")

    edited: dict[int, Turns] = Field(default_factory=dict, max_length=MAX_CHANGED_ROWS)
    added: list[Turns] = Field(default_factory=list, max_length=MAX_CHANGED_ROWS)
    excluded: Annotated[list[int], Field(max_length=MAX_CHANGED_ROWS)] = []

    def describe(self) -> str:
        """Return how many rows are changed, such as "2 edited, 1 excluded"; "" if none is."""
        counts = {"edited": len(self.edited), "added": len(self.added), "excluded": len(self.excluded)}
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


_BY_DATASET: TypeAdapter[dict[str, RowChanges]] = TypeAdapter(dict[str, RowChanges])


def changes_of(page: PageState, changes: Changes | None) -> RowChanges:
    """Return the changes of the chosen dataset.

    Raises:
        pydantic.ValidationError: The changes have another form than those that a page keeps.
    """
    return _BY_DATASET.validate_python(changes or {}).get(page.dataset or "", RowChanges())


def with_changes(page: PageState, changes: Changes | None, new: RowChanges) -> Changes:
    """Return the changes of all datasets with new ones of the chosen dataset, as the page keeps them.

    Raises:
        pydantic.ValidationError: There are too many.
    """
    # Validated again, because the lists of a model can be changed in place.
    checked = RowChanges.model_validate(new.model_dump())
    kept = {**_BY_DATASET.validate_python(changes or {}), page.dataset or "": checked}
    return {name: one.model_dump() for name, one in kept.items() if one.describe()}


def in_recipe(recipe: Recipe, found: RowChanges) -> Recipe:
    """Return a recipe with the changes."""
    return Recipe.model_validate(recipe.model_dump() | found.model_dump())
