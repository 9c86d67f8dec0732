"""The argument of commands about one opened dataset."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.data import table
from core.data.check_reading import with_found_columns
from core.data.formats import Reading
from core.data.report import check_reading
from core.data.rows import Rows
from core.errors import StudioError
from core.settings import Settings


def refuse_options(given: set[str], reason: str) -> None:
    """Raise StudioError for options that would have no effect.

    Args:
        given: Names of the fields of these options that the user gave.
        reason: Why they have no effect, as the beginning of a sentence.
    """
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise StudioError(
            f"{reason}, so {options} would have no effect. Leave {'it' if len(given) == 1 else 'them'} out."
        )


class OneDataset(BaseModel):
    """An opened dataset and how its rows are read."""

    dataset: CliPositionalArg[str] = Field(description="An opened dataset.")
    reading: Reading | None = Field(None, description="How its rows are read; detected by default.")

    def find(self, settings: Settings) -> tuple[table.Dataset, Reading]:
        """Return the dataset and the reading.

        Raises:
            StudioError: The dataset does not exist, or the given reading does not fit it.
        """
        data = table.find(settings, self.dataset)
        reading = with_found_columns(data, self.reading) if self.reading else data.detected
        if self.reading:
            check_reading(data, reading)
        return data, reading

    def rows(self, settings: Settings, near: Path | None = None) -> Rows:
        """Return the parsed rows.

        Args:
            settings: The settings of the studio.
            near: File of near duplicates, as `near_duplicates.find` returns it.
        """
        data, reading = self.find(settings)
        return Rows(settings, data.id, reading, near=near)
