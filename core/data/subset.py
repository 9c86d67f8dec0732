"""Subsets: which rows train and which are held out, with the recipe that says how they were chosen.

    subsets/<name>/rows.parquet    split, row (its number in the source), messages
    subsets/<name>/recipe.json     source, recipe, counts and a hash of the conversations

Running a recipe again on the same source gives the same rows and the same hash.
"""

import hashlib
import json
import random
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field

from core.data import formats, sources
from core.data.formats import EXPORT_FORMATS, ExportFormat, Message
from core.data.sources import HELD_OUT, TRAIN
from core.data.table import MESSAGES, Rows, Source
from core.errors import StudioError
from core.files import read_json, replacing, write_json
from core.settings import Settings, inside

SCHEMA = pa.schema([("split", pa.string()), ("row", pa.int64()), ("messages", MESSAGES)])


class Recipe(BaseModel):
    """How a subset is cut from an opened data set."""

    model_config = ConfigDict(extra="forbid")

    dataset: str = Field(title="Data set", description="The opened data set to cut from.")
    rows: int = Field(0, ge=0, title="Rows", description="How many rows to train on; 0 takes all usable rows.")
    method: Literal["first", "random"] = Field(
        "random", title="Which rows", description="The first rows in order, or rows drawn at random."
    )
    seed: int = Field(0, ge=0, lt=2**32, title="Seed", description="The same seed draws the same rows again.")
    held_out_share: float = Field(
        0.1,
        ge=0,
        le=0.5,
        title="Held-out share",
        description="Rows kept from training to measure on, as a share of the rows cut. "
        "Not used when the data set brings a held-out split of its own.",
    )

    def in_words(self) -> str:
        if not self.rows:
            return "all usable rows"
        return f"{self.rows:,} rows, " + ("in order" if self.method == "first" else f"drawn with seed {self.seed}")


class Subset(BaseModel):
    """What is known of a subset (recipe.json)."""

    name: str
    source: Source
    recipe: Recipe
    rows: int
    held_out: int
    left_out: dict[str, int]  # unusable rows of the source, by reason
    sha256: str  # of the conversations, in order

    def in_words(self) -> str:
        """The recipe as a person would say it."""
        pinned = f" at {self.source.revision[:8]}" if self.source.revision else ""
        return (
            f"{self.rows:,} rows to train on and {self.held_out:,} held out, "
            f"from {self.source.name}{pinned}: {self.recipe.in_words()}."
        )


def cut(settings: Settings, name: str, recipe: Recipe) -> Subset:
    """Cut a subset and write it under `name`; a subset of the same recipe and name is simply found again.

    Raises:
        StudioError: the name is taken by another recipe or unfit, no such data set, or too few usable rows.
    """
    target = inside(settings.subsets_dir, name, "subset name")
    rows = Rows(settings, recipe.dataset)
    with FileLock(settings.subsets_dir / ".lock"):
        return _cut(settings, target, rows, recipe)


def _cut(settings: Settings, target: Path, rows: Rows, recipe: Recipe) -> Subset:
    name = target.name
    if (target / "recipe.json").is_file():
        present = find(settings, name)
        if present.recipe == recipe:
            return present
        raise StudioError(f"The subset {name!r} exists already ({present.in_words()}) Choose another name.")
    split_of = _choose(rows, recipe)
    chosen = [(split_of[row], row, messages) for row, _, messages in rows.usable() if row in split_of]
    subset = Subset(
        name=name,
        source=rows.about.source,
        recipe=recipe,
        rows=sum(split == TRAIN for split, _, _ in chosen),
        held_out=sum(split == HELD_OUT for split, _, _ in chosen),
        left_out=rows.about.problems,
        sha256=_hash(chosen),
    )
    scratch = Path(tempfile.mkdtemp(prefix=".cut-", dir=settings.subsets_dir))
    try:
        records = [{"split": split, "row": row, "messages": messages} for split, row, messages in chosen]
        pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), scratch / "rows.parquet", compression="zstd")
        write_json(scratch / "recipe.json", subset.model_dump())
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return subset


def _choose(rows: Rows, recipe: Recipe) -> dict[int, str]:
    """The split of every chosen row, by row number."""
    usable = rows.usable_numbers(TRAIN)
    held_out = rows.usable_numbers(HELD_OUT)
    wanted = recipe.rows or len(usable)
    if not usable or wanted > len(usable):
        raise StudioError(
            f"{wanted:,} rows were asked for, but {rows.about.source.name!r} has {len(usable):,} usable rows to train "
            f"on. Ask for 1 to {len(usable):,}."
            if usable
            else f"{rows.about.source.name!r} has no usable rows to train on."
        )
    draw = random.Random(recipe.seed)
    order = list(usable) if recipe.method == "first" else draw.sample(usable, len(usable))
    train = order[:wanted]
    if not held_out and (share := round(wanted * recipe.held_out_share)):
        rest = order[wanted:]
        draw.shuffle(rest)
        held_out = rest[:share]
        if missing := share - len(held_out):  # no rows are left over: the last of the cut are kept back
            train, held_out = train[:-missing], held_out + train[-missing:]
    return {row: HELD_OUT for row in held_out} | {row: TRAIN for row in train}


def _hash(chosen: Iterable[tuple[str, int, list[Message]]]) -> str:
    digest = hashlib.sha256()
    for split, row, messages in chosen:
        digest.update(json.dumps([split, row, messages], ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def find(settings: Settings, name: str) -> Subset:
    path = inside(settings.subsets_dir, name, "subset name") / "recipe.json"
    if not path.is_file():
        known = ", ".join(s.name for s in subsets(settings)) or "none"
        raise StudioError(f"There is no subset {name!r}. Subsets so far: {known}. Cut one in the Data tab first.")
    return Subset.model_validate(read_json(path))


def subsets(settings: Settings) -> list[Subset]:
    files = sorted(settings.subsets_dir.glob("[!.]*/recipe.json"), key=lambda path: path.stat().st_mtime)
    return [Subset.model_validate(read_json(path)) for path in files]


def ensure_bundled(settings: Settings) -> Subset:
    """The bundled data set, opened, and all of its rows as the subset "keeper" (with a key behind it, where an
    older version of the data has that name already)."""
    recipe = Recipe(dataset=sources.open_bundled(settings).id)
    name = sources.BUNDLED
    if (settings.subsets_dir / name / "recipe.json").is_file() and find(settings, name).recipe != recipe:
        name = recipe.dataset
    return cut(settings, name, recipe)


def load(settings: Settings, name: str) -> dict[str, list[tuple[int, list[Message]]]]:
    """The rows of a subset by split: (row number in the source, messages)."""
    find(settings, name)
    table = pq.read_table(settings.subsets_dir / name / "rows.parquet")
    rows: dict[str, list[tuple[int, list[Message]]]] = {TRAIN: [], HELD_OUT: []}
    for record in table.to_pylist():
        rows[record["split"]].append((record["row"], record["messages"]))
    return rows


def export(settings: Settings, name: str, form: ExportFormat) -> Path:
    """A zip with the subset as JSONL and Parquet in one format, a file a split, and its recipe beside them.

    Returns the path of exports/<name>-<form>.zip; a reader never sees half of it.
    """
    if form not in EXPORT_FORMATS:
        raise StudioError(f"There is no export format {form!r}. Expected one of {', '.join(EXPORT_FORMATS)}.")
    subset = find(settings, name)
    target = settings.exports_dir / f"{subset.name}-{form}.zip"
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, rows in load(settings, name).items():
            if not rows:
                continue
            records = [formats.to_row(formats.until_last_answer(messages), form) for _, messages in rows]
            lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            archive.writestr(f"{split}.jsonl", lines)
            with archive.open(f"{split}.parquet", "w") as stream:
                pq.write_table(pa.Table.from_pylist(records), stream, compression="zstd")
        recipe = subset.model_dump() | {"format": form, "in_words": subset.in_words()}
        archive.writestr("recipe.json", json.dumps(recipe, ensure_ascii=False, indent=2) + "\n")
    return target
