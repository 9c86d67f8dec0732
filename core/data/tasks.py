"""What takes a while with a data set, as functions of a job: each tells how far it is, and is found done when done."""

from collections.abc import Callable

from core.data import lengths, near_duplicates, parse_rows
from core.data.formats import Reading
from core.data.lengths import TokenizerSpec
from core.data.table import Dataset
from core.settings import Settings

Told = Callable[[float, str], None]


def parse_dataset(settings: Settings, data: Dataset, reading: Reading, progress: Told) -> parse_rows.ParsedDataset:
    return parse_rows.parse_dataset(settings, data, reading, lambda share: progress(share, "Reading the conversations"))


def count_tokens(settings: Settings, data: Dataset, reading: Reading, tokens: TokenizerSpec, progress: Told) -> str:
    """Returns the path of the counts."""
    progress(0, "Loading the tokenizer")
    return str(lengths.count_tokens(settings, data, reading, tokens, lambda share: progress(share, "Counting tokens")))


def find_near_duplicates(settings: Settings, data: Dataset, reading: Reading, progress: Told) -> str:
    """Returns the path of the near duplicates."""
    progress(0, "Sketching the rows")
    return str(near_duplicates.find(settings, data, reading, lambda share: progress(share * 0.9, "Sketching the rows")))
