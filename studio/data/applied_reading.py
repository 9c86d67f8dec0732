"""A reading that a job has applied: the dataset keeps it, and every page that shows the dataset takes it."""

from typing import Any

from core.data import saved_reading
from core.data.parse_rows import ParsedDataset
from core.data.table import Dataset
from core.settings import Settings
from core.system.counting import verb_for
from core.system.jobs import Job
from studio.data.page_state import State, parse_state
from studio.handlers import info, warn

READ = "read"


def show_applied(settings: Settings, done: Job) -> None:
    """Let the dataset keep the reading that a job has applied, and say so."""
    _, data, reading = done.arguments
    saved_reading.save(settings, data, reading)
    _notify(data, done.result)


def take_applied(state: State, done: Job) -> dict[str, Any]:
    """Return the update of a page whose dataset a job has read again; none for a page that shows another dataset."""
    page = parse_state(state)
    _, data, reading = done.arguments
    if data.id != page.dataset:
        return {}
    # Filters may name columns or values that exist under the old reading only.
    view = page.view.model_copy(update={"filters": []})
    return {"state": page.replace(reading=reading, view=view)}


def _notify(data: Dataset, parsed: ParsedDataset) -> None:
    """Show how many rows are usable under the reading that was applied, and that it is kept."""
    title = f"Applied to {data.source.name}"
    kept = "The dataset keeps this reading, for new pages too; subsets keep theirs."
    if parsed.usable:
        info(f"{parsed.usable:,} of {data.rows:,} rows {verb_for(parsed.usable)} usable. {kept}", title=title)
    else:
        reason = next(iter(parsed.problems), "no text")
        warn(f"No row can be used as it is read now ({reason}). Choose another format or other columns.", title=title)
