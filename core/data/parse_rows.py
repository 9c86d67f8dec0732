"""Parsing of all rows of a dataset under one reading, stored beside the rows.

    readings/<key>/about.json        the reading, counts, reasons
    readings/<key>/rows.parquet      row, problem, turns, characters, language, prompt, answer, messages, search, …
    readings/<key>/duplicates.parquet   row, duplicate_of: the first row with the same conversation

Every reading of a dataset has its own folder, named by a hash of its options and of the parsers' version. The folder
of the detected reading is made when the dataset is opened.
"""

import hashlib
import json
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import BaseModel

from core.data import formats, table
from core.data.check_reading import refuse_unknown_fields, refuse_unknown_names
from core.data.formats import Parsed, Reading, RepeatedMarks, UnusableRow
from core.data.formats.withdrawn import withdrawn_notes
from core.data.ingest import remove_leftovers, replace_surrogates
from core.data.languages import language_detector
from core.data.parallel import map_row_groups
from core.data.row_counts import Counts, unmatched_options
from core.data.table import GROUP_ROWS, Dataset
from core.settings import Settings
from core.system.files import read_json, write_json

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("loss", pa.bool_())]))
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("split", pa.string()),
        ("problem", pa.string()),
        ("ends_on_user", pa.bool_()),
        ("turns", pa.int32()),
        ("characters", pa.int64()),
        ("answer_characters", pa.int64()),
        ("language", pa.string()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("conversation_hash", pa.int64()),
        ("prompt_hash", pa.int64()),
        ("messages", MESSAGES),
        ("notes", pa.list_(pa.string())),
        ("search", pa.string()),
    ]
)
# Characters of a prompt or an answer that the table of rows shows.
SHOWN_CHARACTERS = 240
# Cells of other columns are included in the search up to this length.
_MAX_SEARCHED_CHARACTERS = 200
# Row numbers that are kept per problem.
_MAX_EXAMPLES = 5
# Version of the parsers in core.data.formats. Increase it when they give other messages: rows are parsed again then.
_PARSERS_VERSION = 13
_HALF_CHARACTER = "half of an emoji or of another character (a lone surrogate) is replaced by \ufffd"
# Roles whose first message the table of rows shows.
_SHOWN_ROLES = ("user", "assistant", "text")


class ParsedDataset(BaseModel):
    """Summary of a dataset under one reading (about.json).

    Attributes:
        key: Name of the folder.
        reading: The reading options.
        usable: Number of rows that are conversations with an answer.
        ends_on_user: Number of usable rows whose last turn is no answer (`ends_without_answer`): mostly a user's, hence
            the name of the field and the column, which stored folders have.
        problems: Reasons why rows are unusable, with the number of rows.
        examples: The first row numbers of each problem.
        placeholders: Names of unfilled {{name}} placeholders, with the number of rows.
        duplicates: Number of rows that repeat an earlier conversation exactly.
        unread: Columns that the format does not read, with the number of usable rows in which they are not empty.
        notes: Sentences about what was changed or left out, with the number of usable rows.
        unmatched: Options of the reading that no row needs, such as the name of a label that does not occur.
    """

    key: str
    reading: Reading
    usable: int
    ends_on_user: int
    problems: dict[str, int]
    examples: dict[str, list[int]]
    placeholders: dict[str, int]
    duplicates: int
    unread: dict[str, int] = {}
    notes: dict[str, int] = {}
    unmatched: list[str] = []


def reading_key(reading: Reading) -> str:
    """Return the name of the folder of a reading."""
    return hashlib.sha256(f"{_PARSERS_VERSION}{reading.model_dump_json()}".encode()).hexdigest()[:12]


def folder(settings: Settings, dataset: str, reading: Reading) -> Path:
    """Return the folder of a dataset under a reading."""
    return table.folder(settings, dataset) / "readings" / reading_key(reading)


def parse_dataset(
    settings: Settings, data: Dataset, reading: Reading, progress: Callable[[float], None] = lambda share: None
) -> ParsedDataset:
    """Parse all rows of a dataset under a reading, or return the stored result.

    Args:
        settings: The studio's settings.
        data: The dataset.
        reading: How its rows are parsed.
        progress: Callback for the share of rows that are parsed, 0 to 1.

    Raises:
        StudioError: The reading names a slot that the format does not have, or a column that the dataset does not
            have.
    """
    # Readings made by the detection are valid by construction.
    if reading != data.detected and reading not in data.candidates:
        refuse_unknown_names(data, reading)
        refuse_unknown_fields(settings, data, reading)
    target = folder(settings, data.id, reading)
    with FileLock(settings.datasets_dir / f".{data.id}.lock"):
        try:
            return ParsedDataset.model_validate(read_json(target / "about.json"))
        except (OSError, ValueError):
            # The dataset was not parsed yet, or its description is damaged: parse the rows, and replace what is there.
            pass
        target.parent.mkdir(exist_ok=True)
        remove_leftovers(target.parent, ".derive-")
        scratch = Path(tempfile.mkdtemp(prefix=".derive-", dir=target.parent))
        try:
            about = _parse_dataset(scratch, settings, data, reading, progress)
            write_json(scratch / "about.json", about.model_dump())
            if target.exists():
                shutil.rmtree(target)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return about


def _parse_dataset(
    scratch: Path, settings: Settings, data: Dataset, reading: Reading, progress: Callable[[float], None]
) -> ParsedDataset:
    source = table.folder(settings, data.id) / "rows.parquet"
    about = ParsedDataset(
        key=reading_key(reading), reading=reading, usable=0, ends_on_user=0, problems={}, examples={},
        placeholders={}, duplicates=0,
    )  # fmt: skip
    problems: Counter[str] = Counter()
    counts = Counts()
    marks = reading.find_marks(table.first_rows(settings, data))
    columns = ["row", "split", "raw", "trouble"]
    with pq.ParquetWriter(scratch / "rows.parquet", SCHEMA, compression="zstd") as writer:
        for rows, found in map_row_groups(source, columns, make_row_parser, (reading, marks), progress):
            writer.write_table(rows, row_group_size=GROUP_ROWS)
            counts.add(found)
            about.ends_on_user += sum(rows["ends_on_user"].to_pylist())
            for row, problem in zip(rows["row"].to_pylist(), rows["problem"].to_pylist(), strict=True):
                if problem is None:
                    about.usable += 1
                    continue
                problems[problem] += 1
                examples = about.examples.setdefault(problem, [])
                if len(examples) < _MAX_EXAMPLES:
                    examples.append(row)
    about.problems = dict(problems.most_common())
    about.placeholders = dict(counts.placeholders.most_common())
    about.unread, about.notes = dict(counts.unread.most_common()), dict(counts.notes.most_common())
    about.unmatched = unmatched_options(reading, counts.applied)
    about.duplicates = find_duplicates(scratch)
    return about


def find_duplicates(scratch: Path) -> int:
    """Write the rows that repeat an earlier conversation exactly, and return their number."""
    with duckdb.connect() as base:
        base.execute(
            "CREATE TABLE found AS SELECT row, min(row) OVER (PARTITION BY conversation_hash) AS duplicate_of "
            "FROM read_parquet($file) WHERE problem IS NULL QUALIFY duplicate_of < row ORDER BY row",
            {"file": str(scratch / "rows.parquet")},
        )
        found = base.execute("SELECT * FROM found").fetch_arrow_table()
    pq.write_table(found, scratch / "duplicates.parquet")
    return len(found)


def make_row_parser(reading: Reading, marks: RepeatedMarks) -> Callable[[pa.Table], tuple[pa.Table, Counts]]:
    """Return a function that parses a group of raw rows and counts what it found in them.

    Called once per worker process: loading the language detector takes longer than parsing a group.
    """
    language = language_detector()

    def read(group: pa.Table) -> tuple[pa.Table, Counts]:
        counts = Counts()
        records = [_make_record(given, reading, marks, language, counts) for given in group.to_pylist()]
        return pa.Table.from_pylist(records, schema=SCHEMA), counts

    return read


def _make_record(
    given: dict[str, Any],
    reading: Reading,
    marks: RepeatedMarks,
    language: Callable[[str], str | None],
    counts: Counts,
) -> dict[str, Any]:
    """Return the stored record of a raw row, and add to `counts`."""
    conversation, problem, fields = _parse_row(given, reading, marks)
    messages, notes = conversation.messages, [replace_surrogates(note) for note in conversation.notes]
    counts.applied |= conversation.applied
    counts.placeholders.update({name for m in messages for name in formats.PLACEHOLDER.findall(m["content"])})
    if problem is None:
        counts.unread.update(unread := [replace_surrogates(name) for name in conversation.unread])
        notes += withdrawn_notes({name: fields.get(name) for name in conversation.unread})
        counts.notes.update(notes)
        notes += [f"the column {name!r} is not used" for name in unread]
    texts = [m["content"] for m in messages]
    first = {role: next((m["content"] for m in messages if m["role"] == role), None) for role in _SHOWN_ROLES}
    prompt, answer = first["user"], first["assistant"] or first["text"]
    others = [str(value) for value in fields.values() if isinstance(value, (str, int, float)) and value != ""]
    # Search looks into all turns and short cells of other columns; if the row is unusable, into its raw text.
    searched = [text for text in others if len(text) <= _MAX_SEARCHED_CHARACTERS] if messages else [given["raw"]]
    return {
        "row": given["row"],
        "split": given["split"],
        "problem": problem,
        "ends_on_user": problem is None and formats.ends_without_answer(messages),
        "turns": sum(m["role"] != "system" for m in messages),
        "characters": sum(map(len, texts)),
        "answer_characters": sum(len(m["content"]) for m in messages if m["role"] in ("assistant", "text")),
        "language": language(f"{(prompt or '')[:150]} {(answer or '')[:150]}".replace("\n", " ")),
        "prompt": prompt and prompt[:SHOWN_CHARACTERS],
        "answer": answer and answer[:SHOWN_CHARACTERS],
        "conversation_hash": hash_text(json.dumps(messages)) if messages else None,
        "prompt_hash": hash_text(" ".join(fold_text(prompt or answer or "").split())) if messages else None,
        "messages": messages,
        "notes": notes,
        "search": fold_text(replace_surrogates("\n".join([*texts, *searched]))),
    }


def _parse_row(
    given: dict[str, Any], reading: Reading, marks: RepeatedMarks
) -> tuple[Parsed, str | None, dict[str, Any]]:
    """Return the parsed conversation of a raw row, the reason why it is unusable or None, and its fields."""
    nothing = Parsed([], [], [])
    if given["trouble"] is not None:
        return nothing, "cannot be read", {}
    fields = json.loads(given["raw"])
    try:
        conversation = reading.read(fields, marks)
    except UnusableRow as error:
        return nothing._replace(applied=error.applied), replace_surrogates(str(error)), fields
    messages = [{**m, "content": replace_surrogates(m["content"])} for m in conversation.messages]
    notes = conversation.notes + [_HALF_CHARACTER] * (messages != conversation.messages)
    conversation = conversation._replace(messages=messages, notes=notes)
    return conversation, formats.find_problem(messages) if messages else "no text", fields


def fold_text(text: str) -> str:
    """Return text in the form that search compares: without differences of case and of Unicode composition."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def hash_text(text: str) -> int:
    """Return 64 bits of BLAKE2b as the signed integer that Parquet stores."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)
