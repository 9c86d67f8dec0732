"""Lists of examples in sentences, which say how many more there are."""

from collections.abc import Iterable, Sequence


def list_some(examples: Sequence[object] | Iterable[object], most: int, total: int | None = None) -> str:
    """Return the first `most` examples joined by commas, with the number of the others: "0, 10 and 4 more".

    Args:
        examples: The examples, or the first of them.
        most: Number of examples that are shown.
        total: Number of examples there are; None for the length of `examples`.
    """
    items = list(examples)
    shown = items[:most]
    more = (len(items) if total is None else total) - len(shown)
    return ", ".join(map(str, shown)) + (f" and {more:,} more" if more > 0 and shown else "")
