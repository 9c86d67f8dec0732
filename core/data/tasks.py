"""What takes a while with a data set, as functions of a job: each tells how far it is, and is found done when done."""

from collections.abc import Callable

from core.data import lengths, near_duplicates, parse_rows
from core.data.formats import Reading
from core.data.lengths import Tokens
from core.data.table import Dataset
from core.settings import Settings

Told = Callable[[float, str], None]


def read_as(settings: Settings, data: Dataset, reading: Reading, progress: Told) -> parse_rows.Derived:
    return parse_rows.derive(settings, data, reading, lambda share: progress(share, "Reading the conversations"))


def count_tokens(settings: Settings, data: Dataset, reading: Reading, tokens: Tokens, progress: Told) -> str:
    """Returns the path of the counts."""
    progress(0, "Loading the tokenizer")
    return str(lengths.count(settings, data, reading, tokens, lambda share: progress(share, "Counting tokens")))


def find_near(settings: Settings, data: Dataset, reading: Reading, progress: Told) -> str:
    """Returns the path of the near duplicates."""
    progress(0, "Sketching the rows")
    return str(near_duplicates.find(settings, data, reading, lambda share: progress(share * 0.9, "Sketching the rows")))
