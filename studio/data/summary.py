"""The summary of a data set: counts, format with its evidence, notes and problems as chips."""

from collections.abc import Sequence

from components.conversation import chips_html, empty_html, secondary_html
from core.data import parse_rows
from core.data.parse_rows import ParsedDataset
from core.data.report import build_report
from core.data.table import Dataset
from core.settings import Settings
from studio.data.page_state import lens_of

_SHOWN = 6  # notes, problems or notes of a row; a data set may have far more
_SHOWN_COMPLAINTS = 3

Chip = tuple[str, str, bool]


def summary_html(settings: Settings, state: dict) -> str:
    """Return what is in the chosen data set as it is read now."""
    lens = lens_of(state)
    if not lens.dataset:
        return empty_html("Open a data set: choose one above, upload a file, or name one on the Hub.")
    data = lens.data(settings)
    read = parse_rows.parse_dataset(settings, data, lens.read_as(settings))
    about = build_report(settings, data, read)
    chips: list[Chip] = [(f"{data.rows:,}", "rows", False), (f"{read.usable:,}", "usable", about.undecided)]
    chips += [(f"{count:,}", split, False) for split, count in data.splits.items() if len(data.splits) > 1]
    if not about.undecided:
        chips.append((about.label, about.evidence, False))
        chips += _counts(data, read)
    chips += _complaints(data)
    second = secondary_html(f"Second choice: {about.runner_up}.") if about.runner_up else ""
    return chips_html(chips) + second


def _counts(data: Dataset, read: ParsedDataset) -> list[Chip]:
    """Return the chips of what was found while the rows were read."""
    chips: list[Chip] = []
    if read.ends_on_user:
        chips.append((f"{read.ends_on_user:,}", "end on a user turn: trained up to their last answer", False))
    if read.duplicates:
        chips.append((f"{read.duplicates:,}", "exact duplicates", True))
    for note, count in list(read.notes.items())[:_SHOWN]:
        chips.append((f"{count:,}", f"row{'s' * (count != 1)}: {note}", False))
    chips += _more(len(read.notes), "more notes; open a row to read its own", data)
    for reason, count in list(read.problems.items())[:_SHOWN]:
        rows = ", ".join(map(str, read.examples.get(reason, [])[:3]))
        chips.append((f"{count:,}", f"cannot be used: {reason} (row {rows}{', …' if count > 3 else ''})", True))
    chips += _more(len(read.problems), "more reasons why rows cannot be used", data)
    if read.placeholders:
        names = ", ".join(f"{{{{{name}}}}}" for name in list(read.placeholders)[:5])
        chips.append(("{{ }}", f"placeholders to fill under “How the rows are read”: {names}", True))
    return chips


def _more(count: int, words: str, data: Dataset) -> list[Chip]:
    return [(f"{count - _SHOWN:,}", f"{words}: python -m core data about {data.id}", False)] if count > _SHOWN else []


def _complaints(data: Dataset) -> list[Chip]:
    chips: list[Chip] = [("!", words, True) for words in data.complaints[:_SHOWN_COMPLAINTS]]
    if (more := len(data.complaints) - _SHOWN_COMPLAINTS) > 0:
        chips.append((f"{more:,}+", "more complaints: python -m core data about", True))
    return chips


def note_chips(notes: Sequence[str]) -> list[Chip]:
    """Return the notes of one row as chips."""
    chips: list[Chip] = [("Note", note, False) for note in notes[:_SHOWN]]
    return [*chips, (f"{len(notes) - _SHOWN:,}", "more notes", False)] if len(notes) > _SHOWN else chips
