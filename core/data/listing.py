"""Counts, ranges and shortened lists of examples, as parts of sentences."""

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


def of_first_rows(count: int, rows: int) -> str:
    """Return how many of the first rows something is about: "3 of the first 200 rows", "all of the first 200 rows"."""
    if rows == count == 1:
        return "the only row"
    return f"{'all' if count == rows else f'{count:,}'} of the first {rows:,} row{'s' * (rows != 1)}"


def number_range(low: str, high: str, unit: str = "") -> str:
    """Return a range such as "1 to 8 characters"; one number if both ends are the same, with the unit's singular.

    Args:
        low: The lower end, as it is shown.
        high: The upper end.
        unit: Plural of what is counted, which ends in an s; empty for a plain number.
    """
    if low != high:
        return f"{low} to {high} {unit}".rstrip()
    return f"{low} {unit.removesuffix('s') if low == '1' else unit}".rstrip()
