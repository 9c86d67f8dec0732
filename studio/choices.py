"""Choices of lists, and kinds of uploaded files, that several tabs show."""

from core.access import roles
from core.data import readers, subset, table
from core.data.recipe import Recipe
from core.data.subset import Subset
from core.settings import Settings
from core.system.counting import counted

# The browser's file dialog compares the last suffix only: .jsonl.gz must be offered as .gz. Endings that the server
# refuses are accepted here, so that its explanation is shown instead of Gradio's.
UPLOAD_SUFFIXES = [suffix for suffix in readers.SUFFIXES if suffix.count(".") == 1] + [".gz", ".zst", *readers.ADVISED]
UPLOAD_LABEL = "JSONL, JSON, CSV, TSV, YAML, Parquet, Arrow, text; .gz, .zst"
# Prefix of a subset's value in the list of datasets. If the subset is chosen, it is opened as a dataset.
SUBSET_PREFIX = "subset:"


def dataset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, value) of what can be browsed: subsets, then the opened datasets, the newest last.

    The value of a dataset is its id, and that of a subset that was not opened yet its name after `SUBSET_PREFIX`.
    Visitors, who cannot open anything, see no such subsets.
    """
    opened = table.opened_datasets(settings)
    known = {(d.source.name, d.source.key) for d in opened if d.source.kind == "subset"}
    closed = [s for s in subset.subsets(settings) if (s.name, s.sha256) not in known] if roles.caller().is_owner else []
    subsets = [(f"subset {s.name} ({counted(s.rows + s.held_out, 'row')})", f"{SUBSET_PREFIX}{s.name}") for s in closed]
    return subsets + [(f"{d.source.describe()} ({counted(d.rows, 'row')})", d.id) for d in opened]


def own_subsets(settings: Settings) -> list[Subset]:
    """Return the subsets that were created here, the newest last: all but the one of all bundled rows."""
    return [found for found in subset.subsets(settings) if not _comes_with_the_studio(found)]


def _comes_with_the_studio(found: Subset) -> bool:
    return found.source.kind == "bundled" and found.recipe == Recipe(dataset=found.recipe.dataset)


def subset_choices(settings: Settings) -> list[tuple[str, str]]:
    """Return (label, name) of every subset, the newest first."""
    return [(f"{s.name} ({s.rows:,} + {s.held_out:,} held out)", s.name) for s in reversed(subset.subsets(settings))]
