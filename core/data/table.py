"""Opened data sets on disk, and what is known of them.

    datasets/<id>/about.json               source, columns, counts, complaints, the reading that was detected
    datasets/<id>/rows.parquet             row, line, split, raw (as it stands in the file), trouble, and the source's
                                           own columns under "c." and their names
    datasets/<id>/readings/<key>/          the rows read as conversations in one way (core.data.parse_rows)
    datasets/<id>/readings/<key>/tokens/   their lengths under a tokenizer and template (core.data.lengths)

The folder's name carries a key of the content, so that a data set opened before opens at once.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from core.access import visibility
from core.data.formats import Reading
from core.errors import StudioError
from core.settings import Settings, inside, slug

TRAIN, HELD_OUT = "train", "held-out"
LAYOUT = 3  # of the files below datasets/<id>; a file that was opened in an older one is read again when reopened
GROUP_ROWS = 10_000  # rows a Parquet row group: the unit that is worked on at a time
GROUP_BYTES = 32 * 2**20
SHOWN_COMPLAINTS = 50


class Source(BaseModel):
    """Where rows came from, said so that they can be had again."""

    kind: Literal["bundled", "upload", "folder", "hub"]
    name: str
    key: str  # a hash of the content, or of the Hub's id and commit
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    licence: str | None = None

    def describe(self) -> str:
        parts = [self.name]
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
    """What is known of an opened data set (about.json)."""

    layout: Literal[2, 3] = LAYOUT
    id: str
    source: Source
    rows: int
    splits: dict[str, int]
    columns: list[Column]
    nested: list[str]  # columns of lists and objects: in `raw` only
    detected: Reading
    evidence: str
    runner_up: str = ""  # the next likely format with its evidence
    candidates: list[Reading] = []  # readings to choose from, the likeliest first
    unreadable: int
    complaints: list[str]  # the first, with their lines


def dataset_id(source: Source) -> str:
    return f"{slug(Path(source.name).stem)}-{source.key[:12]}"


def folder(settings: Settings, dataset: str) -> Path:
    return inside(settings.datasets_dir, dataset, "data set name")


def find(settings: Settings, dataset: str | None) -> Dataset:
    """Raises StudioError when there is none, or none that the caller may see: the two are told alike."""
    path = folder(settings, dataset or "none") / "about.json"
    if path.is_file():
        found = Dataset.model_validate_json(path.read_text(encoding="utf-8"))
        if visibility.dataset_is_open(settings, found.id, found.source.kind == "bundled"):
            return found
    opened = ", ".join(d.id for d in opened_datasets(settings)) or "none"
    raise StudioError(f"There is no open data set {dataset!r}. Opened so far: {opened}. Open it first.")


def opened_datasets(settings: Settings) -> list[Dataset]:
    """Every data set that was opened and that the caller may see, the last one last; not those of an older layout."""
    files = sorted(settings.datasets_dir.glob("[!.]*/about.json"), key=lambda path: path.stat().st_mtime)
    found = []
    for path in files:
        try:
            found.append(Dataset.model_validate_json(path.read_text(encoding="utf-8")))
        except ValidationError:
            continue
    return [d for d in found if visibility.dataset_is_open(settings, d.id, d.source.kind == "bundled")]
