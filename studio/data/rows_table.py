"""The table of one page of rows as HTML: columns with histograms, cells, and marks of what a search has found."""

import pandas as pd

from components.data_table import TableBar, TableColumn, TablePage, TableRow, table_html
from core.data.histogram import Histogram, format_number
from core.data.listing import number_range
from core.data.rows import Rows
from core.data.view import View
from core.system.counting import counted
from studio.data.page_state import PageState

TITLES = {
    "row": "row", "split": "split", "turns": "turns", "language": "language", "characters": "characters",
    "answer_characters": "characters in answers", "prompt": "prompt", "answer": "answer", "problem": "problem",
    "duplicate_of": "duplicate of", "near_duplicate_of": "near duplicate of", "tokens": "tokens",
    "answer_tokens": "tokens in answers", "base_loss": "base loss", "loss_tokens": "tokens with loss",
    "loss_truncated": "truncated for the loss", "tuned_loss": "tuned loss", "loss_fall": "loss fall",
    "learning": "learning",
}  # fmt: skip


def rows_html(
    page: PageState, rows: Rows, frame: pd.DataFrame, known: dict[str, Histogram | None], ticked: list[int],
    opened: int | None,
) -> str:  # fmt: skip
    """Return the table of a page of rows.

    Args:
        page: The state that the rows belong to.
        rows: The dataset.
        frame: The rows, from `Rows.page`.
        known: The histogram of each column; None where it is not computed yet.
        ticked: Numbers of the ticked rows.
        opened: Number of the open row.
    """
    columns = [_column(page, rows, name, found) for name, found in known.items()]
    shown = []
    for record in frame.to_dict("records"):
        # pandas gives NaN for a row without a problem.
        problem = record["problem_"] if isinstance(record["problem_"], str) else None
        cells = [_cell(rows, name, record, problem) for name in known]
        shown.append(TableRow(int(record["number_"]), cells, warn=problem is not None))
    return table_html(
        TablePage(
            columns,
            shown,
            sort=page.view.sort,
            descending=page.view.descending,
            ticked=frozenset(ticked),
            opened=opened,
            filters=[(chosen.describe(), chosen.model_dump_json()) for chosen in page.view.filters],
            search=page.view.search,
            empty=_describe_no_match(page.view),
            clear=_clear_title(page.view),
        )
    )


def _describe_no_match(view: View) -> str:
    """Return what hides all rows: the search, the filters, or both."""
    if view.search and view.filters:
        return f"No row that passes the filters contains “{view.search}”."
    return f"No row contains “{view.search}”." if view.search else "No row passes the filters."


def _clear_title(view: View) -> str:
    """Return the title of the button that shows all rows again; "" if nothing hides any."""
    titles = [title for title, is_on in (("search", view.search), ("filters", view.filters)) if is_on]
    return f"Clear {' and '.join(titles)}" if titles else ""


def _column(page: PageState, rows: Rows, name: str, found: Histogram | None) -> TableColumn:
    field = rows.fields[name]
    return TableColumn(
        name,
        TITLES.get(name, name),
        numeric=field.kind in ("integer", "number"),
        wide=field.kind == "text" and name not in ("split", "language"),
        note=_note(found) if found and found.bars else "",
        bars=_bars(page, found) if found and found.bars else [],
    )


def _bars(page: PageState, found: Histogram) -> list[TableBar]:
    largest = max(bar.count for bar in found.bars) or 1
    name = found.column.replace("_", " ") + (" length" if found.kind == "lengths" else "")
    return [
        TableBar(
            height=bar.count / largest,
            title=f"{name} {bar.label}: {counted(bar.count, 'row')}",
            value=bar.chosen.model_dump_json(),
            on=bar.chosen in page.view.filters,
        )
        for bar in found.bars
    ]


def _note(found: Histogram) -> str:
    """Return the values or the range of a column, and how many of its cells are empty."""
    empty = f", {found.empty:,} empty" if found.empty else ""
    if found.kind == "values":
        return f"{len(found.bars)} values{empty}" if len(found.bars) > 1 else f"{found.bars[0].label}{empty}"
    low, high = found.bars[0].chosen.low or 0, found.bars[-1].chosen.high or 0
    unit = "characters" if found.kind == "lengths" else ""
    return number_range(format_number(low), format_number(high), unit) + empty


def _cell(rows: Rows, name: str, record: dict, problem: str | None) -> str:
    """Return a cell's text; of a row that cannot be used, the prompt is its raw text and the answer the reason."""
    value = record[name]
    if problem is not None and name == "prompt":
        return record["raw"]
    if problem is not None and name == "answer":
        return f"⚠ cannot be used: {problem}"
    if value is None or pd.isna(value):
        return ""
    kind = rows.fields[name].kind
    if kind == "integer":
        return f"{int(value):,}"
    return format_number(value) if kind == "number" else str(value)
