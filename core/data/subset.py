"""Subsets: which rows train and which are held out, with the recipe that says how they were chosen.

    subsets/<name>/rows.parquet    split, row (its number in the source), messages
    subsets/<name>/recipe.json     source, recipe, counts and a hash of the conversations

Running a recipe again on the same source gives the same bytes.
"""

import hashlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from core.access import visibility
from core.data import sources, table
from core.data.formats import Message, from_stored
from core.data.parse_rows import MESSAGES
from core.data.recipe import Recipe
from core.data.select_rows import open_rows, select
from core.data.table import HELD_OUT, TRAIN, Source
from core.errors import StudioError, sentences
from core.settings import Settings, inside
from core.system.files import read_json, write_json

SCHEMA = pa.schema([("split", pa.string()), ("row", pa.int64()), ("messages", MESSAGES)])
_BATCH_ROWS = 5000

Record = tuple[str, int, list[Message]]


class Subset(BaseModel):
    """What is known of a subset (recipe.json)."""

    name: str
    source: Source
    recipe: Recipe
    rows: int
    held_out: int
    left_out: dict[str, int]  # rows of the source that are not in it though nobody said so, by reason
    sha256: str  # of the conversations, in order

    def describe(self) -> str:
        """The recipe as a person would say it."""
        return (
            f"{self.rows:,} rows to train on and {self.held_out:,} held out, "
            f"from {self.source.describe()}: {self.recipe.describe()}."
        )


def create(settings: Settings, name: str, recipe: Recipe) -> Subset:
    """Cut a subset and write it under `name`; a subset of the same recipe and name is simply found again.

    Raises:
        StudioError: the name is taken by another recipe or unfit, no such data set, or too few usable rows.
    """
    target = inside(settings.subsets_dir, name, "subset name")
    if recipe.reading == table.find(settings, recipe.dataset).detected:
        recipe = recipe.model_copy(update={"reading": None})
    with FileLock(settings.subsets_dir / ".lock"):
        return _create(settings, target, recipe)


def _create(settings: Settings, target: Path, recipe: Recipe) -> Subset:
    name = target.name
    if (target / "recipe.json").is_file():
        present = find(settings, name)
        if present.recipe == recipe:
            return present
        raise StudioError(f"The subset {name!r} exists already ({present.describe()}) Choose another name.")
    rows = open_rows(settings, recipe)
    chosen = select(rows, recipe)
    scratch = Path(tempfile.mkdtemp(prefix=".cut-", dir=settings.subsets_dir))
    try:
        wanted = set(chosen.split_of)
        records = ((chosen.split_of[row], row, messages) for row, _, messages in rows.usable_rows(wanted))
        sha256 = _write(scratch / "rows.parquet", records)
        subset = Subset(
            name=name,
            source=rows.about.source,
            recipe=recipe,
            rows=sum(split == TRAIN for split in chosen.split_of.values()),
            held_out=sum(split == HELD_OUT for split in chosen.split_of.values()),
            left_out=dict(chosen.left_out),
            sha256=sha256,
        )
        write_json(scratch / "recipe.json", subset.model_dump())
        if target.exists():  # half a folder from an older crash
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return subset


def _write(path: Path, records: Iterator[Record]) -> str:
    """Write the records and return a hash of them."""
    digest = hashlib.sha256()
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while batch := list(itertools.islice(records, _BATCH_ROWS)):
            for record in batch:
                digest.update(json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            table = [{"split": split, "row": row, "messages": messages} for split, row, messages in batch]
            writer.write_table(pa.Table.from_pylist(table, schema=SCHEMA))
    return digest.hexdigest()


def find(settings: Settings, name: str) -> Subset:
    """Raises StudioError when there is none, or none that the caller may see: the two are told alike."""
    path = inside(settings.subsets_dir, name, "subset name") / "recipe.json"
    if path.is_file() and _is_open(settings, found := Subset.model_validate(read_json(path))):
        return found
    known = ", ".join(s.name for s in subsets(settings)) or "none"
    raise StudioError(f"There is no subset {name!r}. Subsets so far: {known}. Cut one in the Data tab first.")


def subsets(settings: Settings) -> list[Subset]:
    files = sorted(settings.subsets_dir.glob("[!.]*/recipe.json"), key=lambda path: path.stat().st_mtime)
    found = [Subset.model_validate(read_json(path)) for path in files]
    return [subset for subset in found if _is_open(settings, subset)]


def _is_open(settings: Settings, subset: Subset) -> bool:
    """Whether the caller may see the data set that it was cut from."""
    return visibility.dataset_is_open(settings, subset.recipe.dataset, subset.source.kind == "bundled")


def read_recipe(path: Path, name: str) -> Recipe:
    """The recipe in a file: one alone, or the recipe.json of a subset or an export.

    Raises StudioError when it is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(value.get("recipe", value))
    except ValidationError as error:
        raise StudioError(f"{name!r} is no recipe.\n{sentences(error)}") from error
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise StudioError(f"{name!r} is no recipe. Expected the recipe.json of a subset or of an export.") from error


def ensure_bundled(settings: Settings) -> Subset:
    """The bundled data set, opened, and all of its rows as the subset "keeper" (with a key behind it, where an
    older version of the data has that name already)."""
    recipe = Recipe(dataset=sources.open_bundled(settings).id)
    name = sources.BUNDLED
    if (settings.subsets_dir / name / "recipe.json").is_file() and find(settings, name).recipe != recipe:
        name = recipe.dataset
    return create(settings, name, recipe)


def stream(settings: Settings, name: str) -> Iterator[Record]:
    """(split, row number in the source, messages) of a subset's rows, in order."""
    find(settings, name)
    with pq.ParquetFile(settings.subsets_dir / name / "rows.parquet") as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for record in batch.to_pylist():
                yield record["split"], record["row"], from_stored(record["messages"])


def load(settings: Settings, name: str) -> dict[str, list[tuple[int, list[Message]]]]:
    """The rows of a subset by split: (row number in the source, messages)."""
    rows: dict[str, list[tuple[int, list[Message]]]] = {TRAIN: [], HELD_OUT: []}
    for split, row, messages in stream(settings, name):
        rows[split].append((row, messages))
    return rows
