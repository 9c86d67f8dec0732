"""Report of a dataset (`core.data.report`) on the terminal, with the commands of the next step."""

import json
import shlex
import sys

from core.data import parse_rows
from core.data.formats import Reading, get_format
from core.data.formats.answer_doubts import REFERENCE_NAMES
from core.data.formats.columns import CHOSEN_NAMES, COMPLETION_NAMES, REJECTED_NAMES, find_column
from core.data.formats.options import ExtraUse
from core.data.formats.reasoning_columns import is_reasoning_name
from core.data.listing import list_some, of_first_rows
from core.data.parse_rows import ParsedDataset
from core.data.report import ColumnUse, Report, build_report
from core.data.table import Dataset
from core.settings import Settings
from core.system.counting import counted, noun_for

_MAX_COLUMNS = 20
_MAX_NOTES = 20
_MAX_ROWS = 5


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would execute; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def print_progress(share: float, text: str) -> None:
    """Show progress on one line of a terminal; print nothing if standard error is a file."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}, {share:.0%}", end="" if share < 1 else "\r\033[K", file=sys.stderr, flush=True)


def describe_dataset(data: Dataset) -> str:
    """Return the size and format of a dataset in one line."""
    text = f"{counted(data.rows, 'row')}, {get_format(data.detected.format).label}"
    if data.detected.format == "undecided":
        return f"{text} (see the choices: python -m core data about {data.id})"
    return printable(f"{text} ({data.evidence})")


def read_command(dataset: str, reading: Reading) -> str:
    """Return the command that reads a dataset with these settings."""
    words = ["python", "-m", "core", "data", "read", dataset, "--format", reading.format]
    for name, value in reading.model_dump(exclude={"format"}, exclude_defaults=True).items():
        pairs = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
        plain = isinstance(value, dict) and len(value) == 1 and all(text.isidentifier() for text in _texts(value))
        words += [f"--{name}", "=".join(_texts(value)) if plain else pairs]
    return printable(shlex.join(words))


def _texts(value: dict[str, str]) -> list[str]:
    return [text for pair in value.items() for text in pair]


def print_about(settings: Settings, data: Dataset, reading: Reading | None = None) -> None:
    """Print the report of a dataset.

    Args:
        settings: The settings of the studio.
        data: The dataset.
        reading: How its rows are read; None for the detected reading.
    """
    read = parse_rows.parse_dataset(
        settings, data, reading or data.detected, lambda share: print_progress(share, "Reading the rows")
    )
    about = build_report(settings, data, read)
    _print_counts(data, read, about)
    _print_notes(data, read)
    _print_columns(about)
    for complaint in data.complaints:
        print(f"  {printable(complaint)}")
    if about.chosen:
        command = ["python", "-m", "core", "data", "subset", data.id, "NAME", "--reading"]
        options = read.reading.model_dump_json(exclude_defaults=True)
        print(printable(f"Create a subset: {shlex.join([*command, options])}"))


def _print_counts(data: Dataset, read: ParsedDataset, about: Report) -> None:
    """Print how many rows are usable under the reading, and the reasons against the others."""
    words = "" if about.undecided else f" ({about.evidence})"
    print(printable(f"{data.id}: {counted(data.rows, 'row')}, {read.usable:,} usable, {about.label}{words}."))
    if about.undecided:
        _print_question(about)
    elif about.runner_up:
        print(printable(f"It could also be {about.runner_up}."))
    if read.ends_on_user:
        ending = counted(read.ends_on_user, "row ends", "rows end")
        print(f"{ending} on a user turn: the turns after the last answer are left out.")
    if read.duplicates:
        print(f"{counted(read.duplicates, 'exact duplicate')} of an earlier row.")
    for reason, count in {} if about.undecided else read.problems.items():
        rows = list_some(read.examples[reason], _MAX_ROWS, count)
        print(printable(f"{counted(count, 'row')} cannot be used: {reason} ({noun_for(count, 'row')} {rows})."))


def _print_notes(data: Dataset, read: ParsedDataset) -> None:
    """Print what was changed or left out, the options that no row needs, and the placeholders."""
    for note, count in list(read.notes.items())[:_MAX_NOTES]:
        print(printable(f"Note in {counted(count, 'row')}: {note}."))
    if len(read.notes) > _MAX_NOTES:
        more = counted(len(read.notes) - _MAX_NOTES, "more note")
        print(f"{more}. See those of a row: python -m core data show {data.id} ROW")
    for option in read.unmatched:
        print(printable(f"Occurs in no row: {option}."))
    for name, count in read.placeholders.items():
        print(f"{counted(count, 'row contains', 'rows contain')} the placeholder {{{{{name}}}}}.")


def _print_question(about: Report) -> None:
    print(printable(f"{about.evidence[0].upper()}{about.evidence[1:]}:"))
    for candidate in about.candidates:
        print(printable(f"  {candidate.label}: {of_first_rows(candidate.usable, candidate.rows)} usable"))
        print(f"    {read_command(about.dataset, candidate.reading)}")
    if not about.candidates:
        print(f"  python -m core data read {about.dataset} --format FORMAT --columns PART=COLUMN")


def _print_columns(about: Report) -> None:
    """Print the unused columns, text columns first, and a command that uses the first one."""
    unread = about.unread
    for column in unread[:_MAX_COLUMNS]:
        print(printable(f"The column {column.name!r} is not used ({counted(column.rows, 'row')}{_kind(column)})."))
    if len(unread) > _MAX_COLUMNS:
        print(f"{counted(len(unread) - _MAX_COLUMNS, 'more column is', 'more columns are')} not used.")
    if unread:
        extra = {**about.reading.extra, unread[0].name: _likely_use(unread[0].name)}
        command = read_command(about.dataset, about.reading.model_copy(update={"extra": extra}))
        print(f"Use a column as context, in the system prompt, as reasoning, or ignore it: {command}")


def _likely_use(name: str) -> ExtraUse:
    """Return a use of a column that does not put the answer into the question."""
    if is_reasoning_name(name):
        return "reasoning"
    # A field such as "answer.aliases" belongs to the answer.
    is_answer = find_column(
        [name, name.split(".")[0]], COMPLETION_NAMES + REFERENCE_NAMES + CHOSEN_NAMES + REJECTED_NAMES
    )
    return "ignore" if is_answer else "context"


def _kind(column: ColumnUse) -> str:
    return "" if column.is_text else f", {'a list or object' if column.kind == 'nested' else column.kind}"
