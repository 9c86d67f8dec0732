"""Summary of a dataset as chips: counts, format with its evidence, notes and problems."""

from collections.abc import Sequence

from components.conversation import chips_html, empty_html
from core.data import parse_rows
from core.data.listing import list_some
from core.data.parse_rows import ParsedDataset
from core.data.report import build_report
from core.data.table import Dataset
from core.settings import Settings
from core.system.counting import noun_for
from studio.data.page_state import State, parse_state
from studio.data.reading_widgets import FORM_ID, FORM_TITLE, TARGETS

# Maximum number of notes, and of problems; a dataset may have far more.
_MAX_CHIPS = 6
_MAX_COMPLAINTS = 3
_MAX_PLACEHOLDERS = 5
_MAX_EXAMPLE_ROWS = 3

# A figure, its meaning, and whether it is a warning.
Chip = tuple[str, str, bool]


def summary_html(settings: Settings, state: State) -> str:
    """Return the summary of the chosen dataset as it is read now; the form's line says how."""
    page = parse_state(state)
    if not page.dataset:
        return empty_html("No dataset is open. Choose one above, upload a file, or open one from the Hub.")
    data = page.find_dataset(settings)
    parsed = parse_rows.parse_dataset(settings, data, page.effective_reading(settings))
    about = build_report(settings, data, parsed)
    chips: list[Chip] = [
        (f"{data.rows:,}", noun_for(data.rows, "row"), False),
        (f"{parsed.usable:,}", "usable", about.undecided),
    ]
    if len(data.splits) > 1:
        chips += [(f"{count:,}", split, False) for split, count in data.splits.items()]
    if not about.undecided:
        chips += _row_chips(data, parsed)
    chips += _complaint_chips(data)
    return chips_html(chips, TARGETS, FORM_ID)


def _row_chips(data: Dataset, parsed: ParsedDataset) -> list[Chip]:
    """Return chips of what was found while the rows were read."""
    chips: list[Chip] = []
    if parsed.ends_on_user:
        ends = noun_for(parsed.ends_on_user, "row ends", "rows end")
        chips.append((f"{parsed.ends_on_user:,}", f"{ends} on a user turn: trained up to the last answer", False))
    if parsed.duplicates:
        chips.append((f"{parsed.duplicates:,}", noun_for(parsed.duplicates, "exact duplicate"), True))
    for note, count in list(parsed.notes.items())[:_MAX_CHIPS]:
        chips.append((f"{count:,}", f"{noun_for(count, 'row')}: {note}", False))
    chips += _more_chips(len(parsed.notes), "more note", "; open a row to read its own", data)
    for reason, count in list(parsed.problems.items())[:_MAX_CHIPS]:
        rows = list_some(parsed.examples.get(reason, []), _MAX_EXAMPLE_ROWS, count)
        chips.append(
            (f"{count:,}", f"{noun_for(count, 'row')} cannot be used: {reason} ({noun_for(count, 'row')} {rows})", True)
        )
    chips += _more_chips(len(parsed.problems), "more reason", " why rows cannot be used", data)
    chips += [("!", f"occurs in no row: {option}", True) for option in parsed.unmatched[:_MAX_CHIPS]]
    if parsed.placeholders:
        names = list_some([f"{{{{{name}}}}}" for name in parsed.placeholders], _MAX_PLACEHOLDERS)
        chips.append(("{{ }}", f"placeholders to fill in under “{FORM_TITLE}”: {names}", True))
    return chips


def _more_chips(count: int, one: str, rest: str, data: Dataset) -> list[Chip]:
    if (more := count - _MAX_CHIPS) <= 0:
        return []
    return [(f"{more:,}", f"{noun_for(more, one)}{rest}: python -m core data about {data.id}", False)]


def _complaint_chips(data: Dataset) -> list[Chip]:
    chips: list[Chip] = [("!", complaint, True) for complaint in data.complaints[:_MAX_COMPLAINTS]]
    if (more := len(data.complaints) - _MAX_COMPLAINTS) > 0:
        # The stored list is itself bounded, hence the plus.
        chips.append((f"{more:,}+", f"more problems of the file: python -m core data about {data.id}", True))
    return chips


def note_chips(notes: Sequence[str]) -> list[Chip]:
    """Return the notes of one row as chips."""
    chips: list[Chip] = [("Note", note, False) for note in notes[:_MAX_CHIPS]]
    if (more := len(notes) - _MAX_CHIPS) > 0:
        chips.append((f"{more:,}", noun_for(more, "more note"), False))
    return chips
