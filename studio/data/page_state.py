"""What the Data tab looks through: a data set, how it is read, and the tokenizer that lengths are counted under."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.data import lengths, near_duplicates, table
from core.data.formats import Reading
from core.data.lengths import TokenizerSpec
from core.data.rows import Rows
from core.data.table import Dataset
from core.data.tokens import TemplateName
from core.data.view import View
from core.models import embedded
from core.settings import Settings


class Lens(BaseModel):
    """What one open page looks at. Which rows are ticked and which is opened is kept apart: it changes no query."""

    model_config = ConfigDict(extra="forbid")

    dataset: str | None = None
    reading: Reading | None = None  # None: as detected
    model: str = embedded.NAME
    template: TemplateName = "auto"
    max_length: int = 1024
    batch: int = 8
    view: View = View()
    columns: list[str] = []  # none: chosen for the data set
    counted: int = 0  # grows when something was counted, so that whoever listens looks again

    @property
    def scope(self) -> str:
        """What changes when another data set, reading or tokenizer is looked through, and stays under filters."""
        return self.model_dump_json(exclude={"view", "columns", "max_length", "batch"})

    def data(self, settings: Settings) -> Dataset:
        return table.find(settings, self.dataset)

    def read_as(self, settings: Settings) -> Reading:
        return self.reading or self.data(settings).detected

    @property
    def tokens(self) -> TokenizerSpec:
        return TokenizerSpec(self.model, self.template)

    def counts(self, settings: Settings) -> Path | None:
        """The file of token counts, when they have been counted."""
        path = lengths.path_of(settings, self.data(settings), self.read_as(settings), self.tokens)
        return path if path and path.is_file() else None

    def near(self, settings: Settings) -> Path | None:
        path = near_duplicates.path_of(settings, self.data(settings), self.read_as(settings))
        return path if path.is_file() else None

    def rows(self, settings: Settings) -> Rows:
        return Rows(settings, self.dataset, self.read_as(settings), self.counts(settings), self.near(settings))


def lens_of(state: dict | None) -> Lens:
    return Lens.model_validate(state or {})


def looking_at(wanted: dict, state: dict | None) -> tuple[str, dict, int]:
    """A row that is to be shown from elsewhere: its data set, the lens that looks at it, and its number.

    Args:
        wanted: dataset, reading, row.
    """
    found = lens_of(state).model_copy(update={"dataset": wanted["dataset"], "view": View()})
    lens = Lens.model_validate(found.model_dump() | {"reading": wanted.get("reading")})
    return lens.dataset, lens.model_dump(), int(wanted["row"])
