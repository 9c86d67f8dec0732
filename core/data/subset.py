"""Subsets: rows to train on and held-out rows of a dataset, with the recipe that selects them.

    subsets/<name>/rows.parquet    split, row (its number in the source), messages
    subsets/<name>/recipe.json     source, recipe, counts and a hash of the conversations

Running a recipe again on the same source gives the same bytes. A subset copies its messages, so it does not depend on
later changes of the dataset or of the parsers.
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

from core.access import roles, visibility
from core.data import sources, table
from core.data.formats import Message, from_stored
from core.data.parse_rows import MESSAGES
from core.data.recipe import Recipe
from core.data.rows import Rows
from core.data.select_rows import Selection, open_rows, select
from core.data.table import HELD_OUT, TRAIN, Source
from core.errors import StudioError, sentences
from core.settings import MAX_SLUG, Settings, inside, slug
from core.system.counting import counted
from core.system.files import log_unreadable, modified_ns, read_json, write_json
from core.system.jobs import Progress, ignore_progress

SCHEMA = pa.schema([("split", pa.string()), ("row", pa.int64()), ("messages", MESSAGES)])
_BATCH_ROWS = 5000
# Shares of the progress bar that are done after counting tokens or comparing rows, and after selecting them.
_COUNTED_SHARE, _SELECTED_SHARE = 0.7, 0.8

Record = tuple[str, int, list[Message]]


class Subset(BaseModel):
    """Description of a subset (recipe.json).

    Attributes:
        name: Name of the subset.
        source: Where the dataset comes from.
        recipe: How the rows were selected.
        rows: Number of rows to train on.
        held_out: Number of held-out rows.
        left_out: Number of rows that were excluded for reasons other than the filters of the recipe, by reason.
        edited: Number of selected rows whose turns the recipe replaces; subsets of earlier versions have none.
        added: Number of rows to train on that the source does not have.
        sha256: Hash of the conversations in their order.
        held_out_sha256: The same of the held-out rows alone; subsets of earlier versions have none.
    """

    name: str
    source: Source
    recipe: Recipe
    rows: int
    held_out: int
    left_out: dict[str, int]
    edited: int = 0
    added: int = 0
    sha256: str
    held_out_sha256: str = ""

    def describe(self) -> str:
        """Return the size, the source and the recipe in one sentence."""
        return (
            f"{counted(self.rows, 'row')} to train on and {self.held_out:,} held out, "
            f"from {self.source.describe()}: {self.recipe.describe()}."
        )


def create(settings: Settings, name: str, recipe: Recipe, progress: Progress = ignore_progress) -> Subset:
    """Create a subset, or return the existing one if it has the same name and recipe.

    Args:
        settings: The studio's settings.
        name: Name of the subset, which becomes its folder.
        recipe: How its rows are selected.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The name is invalid or used by another recipe, the dataset does not exist, or it has too few
            usable rows.
    """
    target = inside(settings.subsets_dir, name, "subset name")
    recipe = _plain(settings, recipe)
    with FileLock(settings.subsets_dir / ".lock"):
        return _create(settings, target, recipe, progress)


def _plain(settings: Settings, recipe: Recipe) -> Recipe:
    """Return a recipe with the detected reading stored as "detected", so that equal selections have equal recipes."""
    if recipe.reading == table.find(settings, recipe.dataset).detected:
        return recipe.model_copy(update={"reading": None})
    return recipe


def free_name(settings: Settings, name: str, recipe: Recipe) -> str:
    """Return a name under which a recipe can be created where the user chooses none: `name`, or one with a hash."""
    name, recipe = slug(name), _plain(settings, recipe)
    try:
        is_free = not (settings.subsets_dir / name / "recipe.json").is_file() or find(settings, name).recipe == recipe
    except StudioError:
        # The caller may not see the subset of this name.
        is_free = False
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:8]
    return name if is_free else f"{name[: MAX_SLUG - 9]}-{digest}"


def _create(settings: Settings, target: Path, recipe: Recipe, progress: Progress) -> Subset:
    name = target.name
    if (target / "recipe.json").is_file():
        existing = find(settings, name)
        if existing.recipe == recipe:
            return existing
        raise StudioError(f"The subset {name!r} exists already ({existing.describe()}) Choose another name.")
    rows = open_rows(settings, recipe, progress)
    progress(_COUNTED_SHARE, "Selecting the rows")
    chosen = select(rows, recipe)
    progress(_SELECTED_SHARE, "Writing the rows")
    scratch = Path(tempfile.mkdtemp(prefix=".cut-", dir=settings.subsets_dir))
    try:
        added = _added_rows(rows, recipe)
        sha256, held_out_sha256 = _write(
            scratch / "rows.parquet", itertools.chain(_records(rows, recipe, chosen), added)
        )
        subset = Subset(
            name=name,
            source=rows.about.source,
            recipe=recipe,
            rows=sum(split == TRAIN for split in chosen.split_of.values()) + len(added),
            held_out=sum(split == HELD_OUT for split in chosen.split_of.values()),
            left_out=dict(chosen.left_out),
            edited=len(chosen.split_of.keys() & recipe.edited.keys()),
            added=len(added),
            sha256=sha256,
            held_out_sha256=held_out_sha256,
        )
        write_json(scratch / "recipe.json", subset.model_dump())
        # A folder without recipe.json was left by a crash.
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return subset


def _records(rows: Rows, recipe: Recipe, chosen: Selection) -> Iterator[Record]:
    """Yield the selected rows in the order of the file, with the turns of the recipe where it has some."""
    for row, _, messages in rows.usable_rows(set(chosen.split_of)):
        yield chosen.split_of[row], row, recipe.edited.get(row, messages)


def _added_rows(rows: Rows, recipe: Recipe) -> list[Record]:
    """Return the added rows, numbered after the last row of the source, without those left out by hand."""
    first = rows.about.rows
    numbered = enumerate(recipe.added, first)
    return [(TRAIN, number, messages) for number, messages in numbered if number not in recipe.excluded]


def _write(path: Path, records: Iterator[Record]) -> tuple[str, str]:
    """Write the records; return the SHA-256 of all, and that of the held-out ones."""
    digest, held_out = hashlib.sha256(), hashlib.sha256()
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        while batch := list(itertools.islice(records, _BATCH_ROWS)):
            for record in batch:
                line = _line(record)
                digest.update(line)
                if record[0] == HELD_OUT:
                    held_out.update(line)
            table = [{"split": split, "row": row, "messages": messages} for split, row, messages in batch]
            writer.write_table(pa.Table.from_pylist(table, schema=SCHEMA))
    return digest.hexdigest(), held_out.hexdigest()


def _line(record: Record) -> bytes:
    """Return the line of a record that is hashed."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def hash_rows(settings: Settings, name: str) -> str:
    """Return the SHA-256 of the conversations of a subset as they are on disk; unchanged, it is `Subset.sha256`.

    Raises:
        StudioError: There is no such subset.
    """
    digest = hashlib.sha256()
    for record in stream(settings, name):
        digest.update(_line(record))
    return digest.hexdigest()


def find(settings: Settings, name: str) -> Subset:
    """Return a subset.

    Raises:
        StudioError: There is no such subset, or the caller may not see it. The message is the same for both, so that
            it does not reveal which names exist. To the owner, a damaged recipe.json is reported as what it is.
    """
    path = inside(settings.subsets_dir, name, "subset name") / "recipe.json"
    if path.is_file():
        try:
            found = Subset.model_validate(read_json(path))
        except (OSError, ValueError) as error:
            if roles.caller().is_owner:
                raise StudioError(_damaged(name, error)) from error
        else:
            if _can_see(settings, found):
                return found
    known = ", ".join(s.name for s in subsets(settings)) or "none"
    raise StudioError(f"There is no subset {name!r}. Subsets so far: {known}. Create one in the Data tab first.")


def subsets(settings: Settings) -> list[Subset]:
    """Return the subsets that the caller may see, the newest last."""
    files = sorted(settings.subsets_dir.glob("[!.]*/recipe.json"), key=modified_ns)
    found = []
    for path in files:
        try:
            found.append(Subset.model_validate(read_json(path)))
        except FileNotFoundError:
            # Another call has deleted the subset meanwhile.
            continue
        except (OSError, ValueError) as error:
            # One damaged file, or one of another version, must not hide the others.
            log_unreadable(path, str(error))
    return [subset for subset in found if _can_see(settings, subset)]


def _damaged(name: str, error: Exception) -> str:
    reason = sentences(error) if isinstance(error, ValidationError) else str(error)
    return (
        f"The recipe.json of the subset {name!r} cannot be read: {reason}\nIts files are left as they are. Repair "
        "recipe.json, or choose another name and create the subset again."
    )


def _can_see(settings: Settings, subset: Subset) -> bool:
    """Return whether the caller may see the dataset of a subset."""
    return visibility.can_see_dataset(settings, subset.recipe.dataset, subset.source.kind == "bundled")


def read_recipe(path: Path, name: str) -> Recipe:
    """Return the recipe in a file: one on its own, or that in the recipe.json of a subset or of an export.

    Args:
        path: The file.
        name: Name of the file in error messages.

    Raises:
        StudioError: The file cannot be read, or contains no recipe.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Recipe.model_validate(value.get("recipe", value))
    except ValidationError as error:
        taken = "Take the recipe.json of a subset or of an export."
        raise StudioError(f"{name!r} is not a recipe. {taken}\n{sentences(error)}") from error
    except OSError as error:
        raise StudioError(f"The recipe {name!r} cannot be read ({error.strerror}). Check its path.") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise StudioError(f"{name!r} is not a recipe. Expected the recipe.json of a subset or an export.") from error


def ensure_bundled(settings: Settings) -> Subset:
    """Open the bundled dataset and return the subset "keeper" of all its rows.

    If a subset of an older version of the data has that name, the new one is named after the dataset's id.
    """
    recipe = Recipe(dataset=sources.open_bundled(settings).id)
    name = sources.BUNDLED
    if (settings.subsets_dir / name / "recipe.json").is_file() and find(settings, name).recipe != recipe:
        name = recipe.dataset
    return create(settings, name, recipe)


def stream(settings: Settings, name: str) -> Iterator[Record]:
    """Yield (split, row number in the source, messages) of the rows of a subset in their order."""
    find(settings, name)
    with pq.ParquetFile(settings.subsets_dir / name / "rows.parquet") as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for record in batch.to_pylist():
                yield record["split"], record["row"], from_stored(record["messages"])


def load(settings: Settings, name: str) -> dict[str, list[tuple[int, list[Message]]]]:
    """Return the rows of a subset by split, as (row number in the source, messages)."""
    rows: dict[str, list[tuple[int, list[Message]]]] = {TRAIN: [], HELD_OUT: []}
    for split, row, messages in stream(settings, name):
        rows[split].append((row, messages))
    return rows
