"""Sums below a table, such as "Total;24;;", which are no rows: as a row, "24" would answer the question "Total".

A line is a sum if it begins with such a word, holds nothing but numbers beside it, and only other such lines follow.
Spreadsheets and the exports of helpdesks write them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from core.data.readers import separated
from core.data.readers.lines import LineSource, SourceRow

_WORDS = frozenset((
    "total", "totals", "grand total", "subtotal", "sum", "count", "average", "mean", "rows", "summe", "gesamt",
    "gesamtsumme", "gesamtergebnis", "zwischensumme", "insgesamt", "anzahl", "durchschnitt", "mittelwert", "somme",
    "moyenne", "nombre", "total général", "suma", "total general", "promedio", "media", "somma", "totale", "totaal",
    "aantal", "soma", "razem", "łącznie", "итого", "всего", "toplam", "合計", "合计", "总计", "总和", "합계",
))  # fmt: skip
_NUMBER = re.compile(r"[-+(]?(?:[^\w\s]|[A-Z]{3})?\s?\d[\d.,'\s\u00a0]*\s?(?:[%€$£¥]|[A-Z]{3})?\)?")


def read(source: LineSource, is_tsv: bool = False) -> Iterator[SourceRow]:
    """Yield the records of a CSV or TSV file as `separated.read` does, without the sums below them.

    Args:
        source: The file.
        is_tsv: Whether tabs are known to separate the cells.

    Raises:
        StudioError: The header cannot be read, or names too many columns.
    """
    return without_sums(separated.read(source, is_tsv), source.note)


def without_sums(rows: Iterator[SourceRow], note: Callable[[str], None]) -> Iterator[SourceRow]:
    """Yield the rows but for the sums at their end, which are noted.

    Args:
        rows: The rows of a table.
        note: Callback for a sentence about the file.
    """
    held: list[SourceRow] = []
    has_rows = False
    for row in rows:
        if has_rows and is_sum(row.row):
            held.append(row)
            continue
        yield from (*held, row)
        held, has_rows = [], True
    for row in held:
        cells = " ".join(str(cell).strip() for cell in (row.row or {}).values() if cell)
        note(f"line {row.line} ({cells[:60]!r}) is a sum below the table and no row; it is not read as a row")


def is_sum(row: dict[str, Any] | None) -> bool:
    """Return whether the cells of a row are a word for a sum, and beside it numbers or nothing."""
    first, *others = [text for cell in (row or {}).values() if (text := str(cell or "").strip())] or [""]
    is_named = first.rstrip(":").strip().casefold() in _WORDS
    return is_named and len(row or {}) > 1 and all(_NUMBER.fullmatch(text) for text in others)
