"""The argument of commands about one opened dataset."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.data import table
from core.data.check_reading import with_found_columns
from core.data.formats import Reading
from core.data.report import check_reading
from core.data.rows import Rows
from core.settings import Settings


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
