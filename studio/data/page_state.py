"""State of one open Data tab: the dataset, how it is read, the tokenizer, and the rows on view.

The browser keeps it as a plain dict in a `gr.State`; `parse_state` turns that into a `PageState`. Which rows are ticked
and which one is open is kept apart, because it changes no query.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from core.data import lengths, near_duplicates, row_losses, saved_reading, table
from core.data.formats import Reading
from core.data.lengths import TokenizerSpec
from core.data.row_losses import LossSource
from core.data.rows import Rows
from core.data.table import Dataset
from core.data.tokens import TemplateName
from core.data.view import View
from core.errors import StudioError
from core.models import embedded
from core.settings import Settings
from studio.event_values import MAX_ENTRIES
from studio.handlers import warn

# A PageState as the page keeps it.
State = dict[str, Any]
# Ticks are sent with every page of the table.
MAX_TICKED = 2_000
ColumnName = Annotated[str, StringConstraints(max_length=2_000)]


def _distinct(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


class PageState(BaseModel):
    """State of one open page: the dataset that it shows, and how.

    Attributes:
        dataset: Id of the dataset; None before one is chosen.
        reading: How its rows are read; None as detected.
        model: Whose tokenizer tokens are counted with.
        template: The chat template that token counts include.
        losses: Key of the measurement whose losses are columns; empty for the newest one.
        max_length: Tokens after which a row is truncated.
        batch: Rows per batch, for the padding statistics.
        view: Search, filters and order of the table.
        columns: Columns of the table, each a query for its histogram; empty for a choice that suits the dataset.
        at_row: Number of the row whose page the table shows first, as after a link; None for the first page.
        counted: Grows when a job has written new counts, so that listeners read them.
    """

    model_config = ConfigDict(extra="forbid")

    dataset: str | None = None
    reading: Reading | None = None
    model: str = embedded.NAME
    template: TemplateName = "auto"
    losses: Annotated[str, StringConstraints(max_length=100)] = ""
    max_length: int = 1024
    batch: int = 8
    view: View = View()
    columns: Annotated[list[ColumnName], AfterValidator(_distinct)] = Field([], max_length=MAX_ENTRIES)
    at_row: int | None = None
    counted: int = 0

    @property
    def scope(self) -> str:
        """Return a key that changes with dataset, reading, tokenizer or counts, and stays the same under filters.

        Parts of the page that depend on the whole dataset listen to this key, so that typing a search does not render
        them again.
        """
        return self.model_dump_json(exclude={"view", "columns", "max_length", "batch", "at_row"})

    @property
    def tokens(self) -> TokenizerSpec:
        """Return the tokenizer and template that lengths are counted with."""
        return TokenizerSpec(self.model, self.template)

    def replace(self, **changes: Any) -> State:
        """Return this state with other values, as the page keeps it.

        Raises:
            pydantic.ValidationError: A value is not one that a `PageState` takes.
        """
        # A link's row decides the page of one view only.
        changes = {"at_row": None} | changes
        # Values of another type are refused by the validation, and need no warning in the log.
        values = self.model_copy(update=changes).model_dump(warnings=False)
        return PageState.model_validate(values).model_dump()

    def find_dataset(self, settings: Settings) -> Dataset:
        """Return the chosen dataset.

        Raises:
            StudioError: None is chosen, or it is no longer there.
        """
        return table.find(settings, self.dataset)

    def existing_row(self, settings: Settings, number: int) -> int:
        """Return the number of a row that the chosen dataset has.

        Raises:
            StudioError: No dataset is chosen, or it has fewer rows.
        """
        about = self.find_dataset(settings)
        if number >= about.rows:
            raise StudioError(f"There is no row {number:,} in {about.id}, which has {about.rows:,}. Reload the page.")
        return number

    def effective_reading(self, settings: Settings) -> Reading:
        """Return the chosen reading, or the detected one."""
        return self.reading or self.find_dataset(settings).detected

    def token_counts_file(self, settings: Settings) -> Path | None:
        """Return the file of token counts, or None if they have not been counted."""
        path = lengths.path_of(settings, self.find_dataset(settings), self.effective_reading(settings), self.tokens)
        return path if path and path.is_file() else None

    def near_duplicates_file(self, settings: Settings) -> Path | None:
        """Return the file of near duplicates, or None if they have not been searched."""
        path = near_duplicates.path_of(settings, self.find_dataset(settings), self.effective_reading(settings))
        return path if path.is_file() else None

    def loss_source(self, settings: Settings) -> LossSource | None:
        """Return the measurement whose losses are columns, or None if there is none."""
        if not self.dataset:
            return None
        found = row_losses.available(settings, self.find_dataset(settings), self.effective_reading(settings))
        return next((source for source in found if self.losses in ("", source.key)), None)

    def open_rows(self, settings: Settings) -> Rows:
        """Return the rows as they are read, with the counts that exist."""
        return Rows(
            settings,
            self.dataset,
            self.effective_reading(settings),
            self.token_counts_file(settings),
            self.near_duplicates_file(settings),
            self.loss_source(settings),
        )


def reading_on_opening(settings: Settings, dataset: str) -> Reading | None:
    """Return how a page reads a dataset that it opens: as it was read last; None as detected.

    Raises:
        StudioError: There is no such dataset.
    """
    data = table.find(settings, dataset)
    try:
        return saved_reading.load(settings, data)
    except StudioError as error:
        # The dataset opens all the same.
        warn(str(error), title="Read as detected")
        return None


def parse_state(state: State | None) -> PageState:
    """Return the state that a page sent; None stands for a fresh page.

    Raises:
        pydantic.ValidationError: It has other fields or values than a `PageState`.
    """
    return PageState.model_validate(state or {})


def open_source_row(source: dict[str, Any], state: State | None) -> dict[str, Any]:
    """Return updates that open one row of a dataset, such as the training row nearest to an answer.

    Args:
        source: `dataset` (its id), `reading` (None as detected) and `row` (its number).
        state: The page's state; its tokenizer and lengths are kept.

    Returns:
        Values for the outputs `dataset`, `state` and `opened`.
    """
    known = parse_state(state).replace(dataset=source["dataset"], view=View())
    row = int(source["row"])
    # Validated as a whole, because `reading` comes from a file.
    shown = PageState.model_validate(known | {"reading": source.get("reading"), "at_row": row})
    return {"dataset": shown.dataset, "state": shown.model_dump(), "opened": row}
