"""Recipes: the selection of a subset in a form that can be stored, described and run again.

A recipe of an earlier version lacks the fields that were added since, and their defaults read it as it was meant. One
of a later version may have fields that would be lost, so unknown fields are refused.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.data.formats import Message, Reading, find_problem, get_format, until_last_answer
from core.data.row_losses import LossSource
from core.data.tokens import TemplateName
from core.data.view import View

Method = Literal["first", "random", "stratified", "shortest", "longest", "picked"]
# Each edited or added row is a part of the recipe. More are better edited in a file.
MAX_CHANGED_ROWS = 2_000


def _check_turns(messages: list[Message]) -> list[Message]:
    """Return the messages of an edited row as they are trained on."""
    if problem := find_problem(messages):
        raise ValueError(f"an edited or added row has {problem}" if problem.startswith("no ") else f"a row {problem}")
    return until_last_answer(messages)


Turns = Annotated[list[Message], Field(max_length=1_000), AfterValidator(_check_turns)]


class Recipe(BaseModel):
    """Selection of a subset from an opened dataset."""

    model_config = ConfigDict(extra="forbid")

    dataset: str = Field(title="Dataset", description="The opened dataset.")
    reading: Reading | None = Field(None, title="Reading", description="How rows are parsed; empty: as detected.")
    view: View = Field(default_factory=View, title="Rows to choose from", description="A search and filters.")
    sql: str = Field(
        "", title="SQL", description="A SELECT over the table rows; only the rows numbered in its column row are used."
    )
    model: str = Field(
        "", title="Tokenizer", description="The model whose tokenizer counts the lengths; empty: characters."
    )
    template: TemplateName = Field("auto", title="Template", description="The chat template that lengths include.")
    losses: LossSource | None = Field(
        None, title="Losses", description="The measured losses that the selection reads; empty: none."
    )
    duplicates: Literal["keep", "exact", "near"] = Field(
        "keep",
        title="Duplicates",
        description="Exact: keep only the first of rows with the same conversation. Near: also of rows that share most "
        "of their words.",
    )
    leaks: Literal["keep", "exclude"] = Field(
        "exclude",
        title="Leaks",
        description="Rows to train on with the same question as a held-out row. Exclude them, or the held-out loss is "
        "too low.",
    )
    rows: int = Field(0, ge=0, title="Rows", description="How many rows to train on; 0 takes all usable rows.")
    method: Method = Field(
        "random",
        title="Which rows",
        description="The first in the order of the table, a random sample, a sample with the same proportions of a "
        "column's values, the shortest, the longest, or those picked in the table.",
    )
    stratify_by: str = Field("", title="In proportion to", description="The column whose proportions are preserved.")
    picked: list[int] = Field(default_factory=list, title="Picked rows", description="Numbers of rows.")
    excluded: list[int] = Field(
        default_factory=list, title="Left out by hand", description="Numbers of rows that are removed at the end."
    )
    edited: dict[int, Turns] = Field(
        default_factory=dict, max_length=MAX_CHANGED_ROWS, title="Edited rows",
        description="Turns that replace those of a row, by its number. The source stays as it is.",
    )  # fmt: skip
    added: list[Turns] = Field(
        default_factory=list, max_length=MAX_CHANGED_ROWS, title="Added rows",
        description="Turns of rows to train on that the source does not have.",
    )  # fmt: skip
    seed: int = Field(0, ge=0, lt=2**32, title="Seed", description="The same seed selects the same rows again.")
    held_out_share: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Held-out share",
        description="Share of the rows that is not trained on but used for evaluation. "
        "Ignored if the dataset has a held-out split of its own.",
    )

    @model_validator(mode="after")
    def _complete(self) -> "Recipe":
        if self.method == "stratified" and not self.stratify_by:
            raise ValueError("a sample in proportion needs a column: choose it under 'In proportion to'")
        if self.method == "picked" and not self.picked:
            raise ValueError("no rows are picked: tick some in the table, or choose another way")
        if self.sql and self.view != View():
            raise ValueError("SQL and search or filters exclude each other: remove one of them")
        return self

    def describe(self) -> str:
        """Return the recipe in words."""
        parts = [_METHODS[self.method].format(rows=f"{self.rows:,} rows" if self.rows else "all usable rows", r=self)]
        if self.method == "picked":
            parts = [f"{len(self.picked):,} rows picked by hand"]
        if self.method in ("random", "stratified") and self.rows:
            parts.append(f"sampled with seed {self.seed}")
        if self.reading:
            parts.append(f"read as {get_format(self.reading.format).label}")
        if words := self.view.describe():
            parts.append(f"of those {words}" if words.startswith("with") else f"of those whose {words}")
        if self.sql:
            parts.append(f"of those that {self.sql!r} gives")
        if self.excluded:
            named = [f"row {row:,}" for row in self.excluded[:_NAMED_ROWS]]
            if more := len(self.excluded) - len(named):
                named.append(f"{more:,} more rows" if more > 1 else "1 more row")
            parts.append(f"without {', '.join(named)}")
        if self.edited:
            parts.append(f"with {_count(len(self.edited))} edited")
        if self.added:
            parts.append(f"with {_count(len(self.added))} added")
        if self.duplicates != "keep":
            parts.append(f"without {self.duplicates} duplicates")
        if self.method in ("shortest", "longest"):
            parts.append(f"counted in tokens of {self.model}" if self.model else "counted in characters")
        if self.losses:
            parts.append(f"by the losses under {self.losses.describe()}")
        return ", ".join(parts)


def _count(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)}"


# Excluded rows that a description names; recipe.json has all of them.
_NAMED_ROWS = 20
_METHODS = {
    "first": "{rows} in order",
    "random": "{rows}",
    "stratified": "{rows} in proportion to {r.stratify_by}",
    "shortest": "the shortest {rows}",
    "longest": "the longest {rows}",
    "picked": "",
}
