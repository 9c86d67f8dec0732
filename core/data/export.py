"""Export of a subset: several kinds of files, several formats, with a data card and the recipe.

A row that the format cannot represent is not changed to fit: it is left out, counted by reason, and listed in
recipe.json. The rows are streamed twice, once to find the columns that they need and once per kind of file to write
them. The same subset gives the same bytes.
"""

import csv
import itertools
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from core.data import card, subset
from core.data.formats import EXPORT_FORMATS, ExportFormat, Message, UnwritableRow, to_row, until_last_answer
from core.data.subset_languages import find_languages
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.hub.push import push_folder
from core.hub.target import PushTarget
from core.settings import Settings
from core.system.counting import counted
from core.system.files import replacing, write_json
from core.system.jobs import Progress, ignore_progress

FileKind = Literal["jsonl", "json", "csv", "parquet", "dataset"]
FILE_KINDS: tuple[str, ...] = get_args(FileKind)
FILE_LABELS: dict[str, str] = {
    "jsonl": "JSONL", "json": "JSON", "csv": "CSV", "parquet": "Parquet", "dataset": "datasets folder (save_to_disk)",
}  # fmt: skip
# Names of the splits on the Hub, which does not accept "held-out".
SPLIT_NAMES = {TRAIN: "train", HELD_OUT: "test"}
_BATCH_ROWS = 2000

Row = dict[str, Any]


@dataclass
class ExportResult:
    """Result of an export.

    Attributes:
        path: Path of the zip archive, or URL of the commit.
        rows: Number of rows written.
        not_written: Numbers of the rows that the format cannot represent, by reason.
    """

    path: str
    rows: int
    not_written: dict[str, list[int]] = field(default_factory=dict)

    def describe(self) -> str:
        """Return the numbers of rows that were written and left out in words."""
        missing = sum(map(len, self.not_written.values()))
        reasons = "; ".join(f"{len(rows):,}: {reason}" for reason, rows in self.not_written.items())
        return f"{counted(self.rows, 'row')} written" + (f", {missing:,} left out ({reasons})" if missing else "")


def export(
    settings: Settings, name: str, form: ExportFormat, kinds: list[str], progress: Progress = ignore_progress
) -> ExportResult:
    """Write exports/<name>-<form>.zip, which appears only when it is complete.

    Args:
        settings: The studio's settings.
        name: Name of the subset.
        form: The export format.
        kinds: Kinds of files to write.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such subset, format or kind of file, or no row can be written.
    """
    target = settings.exports_dir / f"{subset.find(settings, name).name}-{form}.zip"
    scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=settings.exports_dir))
    try:
        done = write_folder(settings, name, form, kinds, scratch, progress)
        progress(0.95, "Writing the zip archive")
        with replacing(target) as temporary:
            _zip(scratch, temporary)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ExportResult(str(target), done.rows, done.not_written)


def push(
    settings: Settings,
    name: str,
    form: ExportFormat,
    target: PushTarget,
    progress: Progress = ignore_progress,
    source: str | None = None,
) -> ExportResult:
    """Push a subset to a dataset repository of the Hub as Parquet with its card and recipe.

    Args:
        settings: The studio's settings.
        name: Name of the subset.
        form: The export format.
        target: Where to push.
        progress: Callback for the share that is done, 0 to 1, and the current step.
        source: Where the token of the target is from, if it was not typed.

    Raises:
        StudioError: There is no such subset or format, no row can be written, or the Hub refuses the push.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=settings.exports_dir))
    try:
        done = write_folder(settings, name, form, ["parquet"], scratch, lambda share, text: progress(share * 0.5, text))
        message = f"{name} from QLoRA Studio: {counted(done.rows, 'row')}"
        pushed = push_folder(
            scratch, "dataset", target, message, lambda share, text: progress(0.5 + share * 0.5, text), source
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ExportResult(pushed.url, done.rows, done.not_written)


def write_folder(
    settings: Settings, name: str, form: ExportFormat, kinds: list[str], folder: Path, progress: Progress
) -> ExportResult:
    """Write the files, the card and the recipe of a subset into an empty folder; see `export` for the arguments."""
    if form not in EXPORT_FORMATS:
        raise StudioError(f"There is no export format {form!r}. Expected one of {', '.join(EXPORT_FORMATS)}.")
    if unknown := [kind for kind in kinds if kind not in FILE_KINDS]:
        raise StudioError(f"There is no kind of file {unknown[0]!r}. Expected one of {', '.join(FILE_KINDS)}.")
    if not kinds:
        raise StudioError(f"No kind of file is chosen. Choose one or more of {', '.join(FILE_KINDS)}.")
    found = subset.find(settings, name)
    shape = _RowShape(form)
    progress(0.05, "Checking the rows")
    for split, number, messages in subset.stream(settings, name):
        shape.add(number, messages, split)
    if not shape.rows:
        reasons = "; ".join(f"{len(rows):,} × {reason}" for reason, rows in shape.not_written.items())
        raise StudioError(f"No row of {name!r} can be written in this format ({reasons}). Choose another format.")
    done = ExportResult("", shape.rows, shape.not_written)
    splits = [split for split in (TRAIN, HELD_OUT) if shape.of_split[split]]
    for index, kind in enumerate(kinds):
        progress(0.1 + 0.8 * index / len(kinds), f"Writing {FILE_LABELS[kind]}")
        for split in splits:
            rows = (shape.row(messages) for row_split, row, messages in subset.stream(settings, name)
                    if row_split == split and row not in shape.refused)  # fmt: skip
            _WRITERS[kind](folder, SPLIT_NAMES[split], rows)
    _save_dataset(folder, splits)
    counts = {SPLIT_NAMES[split]: shape.of_split[split] for split in splits}
    recipe = found.model_dump() | {"format": form, "in_words": found.describe(), "not_written": shape.not_written}
    write_json(folder / "recipe.json", recipe)
    text = card.data_card(found, form, kinds, counts, done.not_written, find_languages(settings, name))
    (folder / "README.md").write_text(text, encoding="utf-8")
    return done


class _RowShape:
    """Columns that the rows of an export need, and the rows that cannot be written.

    Attributes:
        form: The export format.
        rows: Number of rows that can be written.
        of_split: Number of these rows by split.
        refused: Numbers of the rows that cannot be written.
        not_written: The same by reason.
    """

    def __init__(self, form: ExportFormat):
        self.form = form
        self.rows = 0
        self.of_split = {TRAIN: 0, HELD_OUT: 0}
        self.refused: set[int] = set()
        self.not_written: dict[str, list[int]] = {}
        self._needed: set[str] = set()
        # Whether prompts and completions are lists of turns: a column has one type, so one such row decides for all.
        self._as_turns = False

    def add(self, number: int, messages: list[Message], split: str) -> None:
        """Add a row in the first pass."""
        try:
            row = to_row(until_last_answer(messages), self.form)
        except UnwritableRow as error:
            self.refused.add(number)
            self.not_written.setdefault(str(error), []).append(number)
            return
        self.rows += 1
        self.of_split[split] += 1
        self._needed |= {name for name, value in row.items() if value not in ("", [])}
        self._as_turns |= isinstance(row.get("prompt"), list)

    def row(self, messages: list[Message]) -> Row:
        """Return an exported row, without the optional columns that are empty in all rows."""
        row = to_row(until_last_answer(messages), self.form, self._as_turns)
        optional = {"system", "history"} - self._needed
        return {name: value for name, value in row.items() if name not in optional}


def _jsonl(folder: Path, split: str, rows: Iterator[Row]) -> None:
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _json(folder: Path, split: str, rows: Iterator[Row]) -> None:
    with (folder / f"{split}.json").open("w", encoding="utf-8", newline="\n") as stream:
        for number, row in enumerate(rows):
            stream.write(("[\n" if not number else ",\n") + json.dumps(row, ensure_ascii=False))
        stream.write("\n]\n")


def _csv(folder: Path, split: str, rows: Iterator[Row]) -> None:
    """Write CSV, with lists as JSON in their cells."""
    with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as stream:
        writer: csv.DictWriter | None = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(stream, list(row))
                writer.writeheader()
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in row.items()})


def _parquet(folder: Path, split: str, rows: Iterator[Row]) -> None:
    """Write Parquet from batches whose inferred types may differ.

    In the first batch a list may be empty in all rows, or no turn may have a weight. So all batches are written to
    files of their own first, and joined under the unified schema.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        parts: list[Path] = []
        schemas: list[pa.Schema] = []
        while batch := list(itertools.islice(rows, _BATCH_ROWS)):
            table = pa.Table.from_pylist(batch)
            schemas.append(table.schema)
            parts.append(Path(scratch) / f"{len(parts)}.parquet")
            pq.write_table(table, parts[-1])
        if not parts:
            return
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with pq.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part).cast(schema))


def _dataset(folder: Path, split: str, rows: Iterator[Row]) -> None:
    (folder / "dataset").mkdir(exist_ok=True)
    _parquet(folder / "dataset", split, rows)


_WRITERS: dict[str, Callable[[Path, str, Iterator[Row]], None]] = {
    "jsonl": _jsonl, "json": _json, "csv": _csv, "parquet": _parquet, "dataset": _dataset,
}  # fmt: skip


def write_rows(folder: Path, name: str, kind: FileKind, rows: Iterator[Row]) -> Path:
    """Write rows as one file and return its path.

    Args:
        folder: The folder of the file.
        name: Name of the file without its ending.
        kind: Kind of the file.
        rows: Rows with the same columns.
    """
    _WRITERS[kind](folder, name, rows)
    return folder / f"{name}.{kind}"


def _save_dataset(folder: Path, splits: list[str]) -> None:
    """Convert the Parquet files in folder/dataset to the files that `load_from_disk` reads."""
    if not (folder / "dataset").is_dir():
        return
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    written = folder / "dataset"
    with tempfile.TemporaryDirectory() as cache:
        tables = {
            SPLIT_NAMES[split]: Dataset.from_parquet(str(written / f"{SPLIT_NAMES[split]}.parquet"), cache_dir=cache)
            for split in splits
        }
        DatasetDict(tables).save_to_disk(str(folder / ".saved"))
    shutil.rmtree(written)
    (folder / ".saved").rename(written)


def _zip(folder: Path, target: Path) -> None:
    """Write the files of a folder as a zip that is the same for the same files: `ZipInfo` dates each to 1980."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w") as stream:
                shutil.copyfileobj(source, stream)
