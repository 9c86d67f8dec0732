"""Table of the board: a run per row, its gain by each metric with the interval, and what differs between the runs."""

import math
from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from components.data_table import TableColumn, TablePage, TableRow, table_html
from core.evaluate.board import PARENT, TREE, Board, BoardRow, compare_rows
from core.evaluate.board_columns import BoardColumn, columns_that_differ, sort_rows
from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import PairedDifference
from core.evaluate.verdict_groups import outcome_of
from core.evaluate.verdict_text import format_change
from studio.evaluate.verdict_html import why_no_plot
from studio.html import render

# More columns than that would push the metrics out of sight; a comparison of two runs shows all.
_MAX_COLUMNS = 6
_TICK_TWO = (
    "A cell has the change, its 95% interval, and both values. Tick two runs to compare them. Click a run to open its "
    "newest evaluation."
)


def board_html(board: Board, by: str, descending: bool, ticked: Sequence[str]) -> str:
    """Return the table.

    Args:
        board: The board.
        by: As in `sort_rows`.
        descending: The direction.
        ticked: Lanes of the ticked rows.
    """
    rows = sort_rows(board.rows, by, descending)
    differing = columns_that_differ(rows)[:_MAX_COLUMNS]
    has_parents = any(row.to_parent for row in rows)
    columns = [TableColumn(TREE, "Run", wide=True)]
    columns += [
        TableColumn(metric.name, metric.title, numeric=True, note=_note("base", metric)) for metric in board.metrics
    ]
    if has_parents:
        columns.append(
            TableColumn(PARENT, board.metrics[0].title, numeric=True, note=_note("parent", board.metrics[0]))
        )
    columns += [TableColumn(column.name, column.title, short=True) for column in differing]
    columns.append(TableColumn("created", "Run created", short=True))
    titles = {row.lane: row.title for row in rows}
    found = []
    for number, row in enumerate(rows):
        parent = titles.get(row.parent, "")
        cells = [render("evaluate/board_run", title=row.title, parent=parent, depth=row.depth if by == TREE else 0)]
        cells += [_gain(row, metric) for metric in board.metrics]
        if has_parents:
            cells.append(_cell(board.metrics[0], row.to_parent, is_best=False) if row.to_parent else "–")
        cells += [column.values[number] for column in differing]
        cells.append(datetime.fromtimestamp(row.created).strftime("%Y-%m-%d %H:%M"))
        found.append(TableRow(row.lane, cells))
    return table_html(TablePage(columns, found, by, descending, ticked, empty="No run was trained on this subset."))


def _note(before: str, metric: Metric) -> str:
    better = "" if metric.better == "neither" else f"; {metric.better} is better"
    return f"change from {before}{better}"


def _gain(row: BoardRow, metric: Metric) -> str:
    cell = row.cells.get(metric.name)
    return _cell(metric, cell.difference, cell.is_best) if cell else "–"


def _cell(metric: Metric, found: PairedDifference, is_best: bool) -> Markup:
    """Return a difference with its interval and both means."""
    interval = why_no_plot(found)
    if math.isfinite(found.low):
        low, high = (format_change(metric, end).removesuffix(" points") for end in (found.low, found.high))
        interval = f"{low} to {high}"
    return render(
        "evaluate/board_cell",
        change=format_change(metric, found.difference),
        interval=interval,
        values=f"{metric.format(found.first_mean)} → {metric.format(found.second_mean)}",
        outcome=outcome_of(metric, found),
        is_best=is_best,
    )


def pair_html(board: Board, ticked: Sequence[str]) -> str:
    """Return the verdict about two ticked runs and what differs between them, or how to get one."""
    rows = [row for row in board.rows if row.lane in ticked]
    if len(rows) != 2 or not board.metrics:
        hint = f"{len(rows)} runs are ticked. Leave two of them to compare these." if len(rows) > 2 else _TICK_TWO
        return render("evaluate/board_pair", sentence="", hint=hint if board.rows else "", titles=[], columns=[])
    # A child, which comes after its parent in the tree, is judged against it.
    first, second = rows
    columns: list[BoardColumn] = columns_that_differ(rows)
    sentence = compare_rows(board.prompts, board.metrics[0], first, second)
    titles = [first.title, second.title]
    return render("evaluate/board_pair", sentence=sentence, hint="", titles=titles, columns=columns)
