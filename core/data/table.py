"""Opened datasets on disk and their descriptions.

    datasets/<id>/about.json               source, columns, counts, complaints, the detected reading
    datasets/<id>/rows.parquet             row, line, split, raw (the row as in the file), trouble, and the columns of
                                           the source with COLUMN_PREFIX before their names
    datasets/<id>/reading.json             the reading that the owner applied last (core.data.saved_reading)
    datasets/<id>/readings/<key>/          rows parsed under one reading (core.data.parse_rows)
    datasets/<id>/readings/<key>/tokens/   their lengths under a tokenizer and template (core.data.lengths)
    datasets/<id>/readings/<key>/losses/   their losses under a model (core.data.row_losses)

The id contains a hash of the content, so a dataset that was opened before opens at once.
"""

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from core.access import roles, visibility
from core.data.formats import Reading
from core.errors import StudioError, sentences
from core.settings import Settings, inside, slug
from core.system.files import log_unreadable, modified_ns

TRAIN, HELD_OUT = "train", "held-out"
READING_FILE = "reading.json"
# Keeps the names of the columns of the source apart from those of the studio.
COLUMN_PREFIX = "c."
# Version of the files below datasets/<id> and of the readers that fill them. A source whose folder has an older one is
# imported again when it is opened.
LAYOUT = 6
# Limits of a Parquet row group, the unit of work of one process.
GROUP_ROWS = 10_000
GROUP_BYTES = 32 * 2**20
SHOWN_COMPLAINTS = 50
# Readings are tried on this many rows; the kinds of columns and the marks that most turns share are found from them.
FIRST_ROWS = 200


class Source(BaseModel):
    """Origin of the rows, with all that is needed to open them again.

    Attributes:
        kind: Kind of source.
        name: File name, folder name, Hub id or name of a subset.
        key: Hash of the content, or of the Hub id, configuration, split and commit.
        revision: Commit on the Hub.
        config: Configuration on the Hub.
        split: The only split that was read; None for all.
        licence: License that the source states.
    """

    kind: Literal["bundled", "upload", "folder", "hub", "subset"]
    name: str
    key: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    licence: str | None = None

    def describe(self) -> str:
        """Return the name with configuration, split and revision."""
        parts = [f"subset {self.name}" if self.kind == "subset" else self.name]
        if self.config:
            parts.append(f"configuration {self.config}")
        if self.split:
            parts.append(f"split {self.split}")
        if self.revision:
            parts.append(f"revision {self.revision[:8]}")
        return ", ".join(parts)


class Column(BaseModel):
    """A column of the source that can be shown, sorted and filtered."""

    name: str
    kind: Literal["integer", "number", "flag", "text"]


class Dataset(BaseModel):
    """Description of an opened dataset (about.json).

    Attributes:
        layout: Version of the files in the folder.
        id: Name of the folder.
        source: Origin of the rows.
        rows: Number of rows.
        splits: Number of rows by split.
        columns: Columns that can be shown, sorted and filtered.
        nested: Columns of lists and objects, which are stored in `raw` only.
        detected: The detected reading.
        evidence: Why it was detected, or the question that the user has to answer.
        runner_up: The next likely format with its evidence.
        candidates: Readings to choose from, the likeliest first.
        unreadable: Number of rows that could not be read.
        complaints: The first problems of rows with their lines, and notes on the file.
    """

    layout: Literal[2, 3, 4, 5, 6] = LAYOUT
    id: str
    source: Source
    rows: int
    splits: dict[str, int]
    columns: list[Column]
    nested: list[str]
    detected: Reading
    evidence: str
    runner_up: str = ""
    candidates: list[Reading] = []
    unreadable: int
    complaints: list[str]


def dataset_id(source: Source) -> str:
    """Return the id of a source: its name and a part of its hash."""
    return f"{slug(Path(source.name).stem)}-{source.key[:12]}"


def folder(settings: Settings, dataset: str) -> Path:
    """Return the folder of a dataset.

    Raises:
        StudioError: The id would lead outside the folder of datasets.
    """
    return inside(settings.datasets_dir, dataset, "dataset name")


def find(settings: Settings, dataset: str | None) -> Dataset:
    """Return an opened dataset.

    Raises:
        StudioError: There is no such dataset, or the caller may not see it. The message is the same for both, so that
            it does not reveal which ids exist. To the owner, a damaged about.json is reported as what it is.
    """
    if not dataset:
        raise StudioError("No dataset is chosen. Choose one first, such as with the call /choose.")
    path = folder(settings, dataset) / "about.json"
    if path.is_file():
        try:
            found = Dataset.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            if roles.caller().is_owner:
                reason = sentences(error) if isinstance(error, ValidationError) else str(error)
                raise StudioError(
                    f"The about.json of the dataset {dataset!r} cannot be read: {reason}\nOpen its source again to "
                    "write it anew."
                ) from error
        else:
            if visibility.can_see_dataset(settings, found.id, found.source.kind == "bundled"):
                return found
    opened = ", ".join(d.id for d in opened_datasets(settings)) or "none"
    raise StudioError(f"There is no open dataset {dataset!r}. Opened so far: {opened}. Open it first.")


def layout_of(settings: Settings, dataset: str) -> int | None:
    """Return the layout of a dataset's folder; None if there is none, or if its description is damaged."""
    try:
        about = (folder(settings, dataset) / "about.json").read_text(encoding="utf-8")
        return Dataset.model_validate_json(about).layout
    except (OSError, ValueError):
        return None


def opened_datasets(settings: Settings) -> list[Dataset]:
    """Return the opened datasets that the caller may see, the newest last, without those that cannot be read."""
    files = sorted(settings.datasets_dir.glob("[!.]*/about.json"), key=modified_ns)
    found = []
    for path in files:
        try:
            found.append(Dataset.model_validate_json(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            # Another call has deleted the dataset meanwhile.
            continue
        except (OSError, ValueError) as error:
            # One damaged file, or one of another layout, must not hide the others.
            log_unreadable(path, str(error))
    return [d for d in found if visibility.can_see_dataset(settings, d.id, d.source.kind == "bundled")]


def first_rows(settings: Settings, data: Dataset, count: int = FIRST_ROWS) -> list[dict[str, Any]]:
    """Return those of the first rows of a dataset that could be read."""
    with pq.ParquetFile(folder(settings, data.id) / "rows.parquet") as file:
        batch = next(file.iter_batches(batch_size=count, columns=["raw", "trouble"]), None)
    records = batch.to_pylist() if batch is not None else []
    return [json.loads(record["raw"]) for record in records if record["trouble"] is None]
