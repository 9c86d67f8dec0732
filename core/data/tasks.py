"""Long operations on an opened dataset as functions for background jobs.

Each reports its progress, and returns at once if its result exists already. Opening a dataset is a job too, whose
functions are in `sources`.
"""

from core.data import lengths, near_duplicates, parse_rows, subset
from core.data.formats import Reading
from core.data.lengths import TokenizerSpec
from core.data.recipe import Recipe
from core.data.table import Dataset
from core.settings import Settings
from core.system.jobs import Progress


def parse_dataset(settings: Settings, data: Dataset, reading: Reading, progress: Progress) -> parse_rows.ParsedDataset:
    """Parse all rows under a reading."""
    return parse_rows.parse_dataset(settings, data, reading, lambda share: progress(share, "Reading the conversations"))


def count_tokens(settings: Settings, data: Dataset, reading: Reading, tokens: TokenizerSpec, progress: Progress) -> str:
    """Count the tokens of every row and return the path of the counts."""
    progress(0, "Loading the tokenizer")
    return str(lengths.count_tokens(settings, data, reading, tokens, lambda share: progress(share, "Counting tokens")))


def find_near_duplicates(settings: Settings, data: Dataset, reading: Reading, progress: Progress) -> str:
    """Find the near duplicates and return the path of their file."""
    progress(0, "Comparing the rows")
    return str(near_duplicates.find(settings, data, reading, lambda share: progress(share * 0.9, "Comparing the rows")))


def create_subset(settings: Settings, name: str, recipe: Recipe, progress: Progress) -> subset.Subset:
    """Create a subset; what its filters need is counted first."""
    return subset.create(settings, name, recipe, progress)
