"""One page of an evaluation's answers: the rows of a selection, and the controls above the table that name it."""

from typing import Any

import gradio as gr

from components.pager import clamp_page, position_text
from core.evaluate.answers_file import AnswerReader
from core.evaluate.metrics import METRICS
from core.evaluate.prompts import Prompts
from studio.evaluate.evaluation_html import NOT_ANSWERED, answers_html
from studio.evaluate.row_selection import NEUTRAL_SIDES, SIDES, SelectedRows, Selection

_NO_ROW = "No row is in this selection. Choose All, or remove the group."


def page_of_answers(
    answers: AnswerReader, asked: Prompts, titles: list[str], page: float | None, rows: int, selected: SelectedRows,
    selection: Selection,
) -> dict[str, Any]:  # fmt: skip
    """Return one page of the table, its number and position, and the choices of sides with their numbers of rows.

    Args:
        answers: The answers.
        asked: The prompts.
        titles: Titles of the lanes.
        page: The wanted page.
        rows: Rows per page.
        selected: The rows of the selection.
        selection: The selection.
    """
    number = clamp_page(page, len(selected.prompts), rows)
    shown = selected.prompts[(number - 1) * rows : number * rows]
    metric = METRICS.get(selection.metric)
    changes = [selected.changes.get(index, "") for index in shown] if selected.changes and metric else None
    finished = [(index, asked[index], answers.read(index)) for index in shown]
    is_filtered = selection.side != "all" or bool(selection.grouping)
    change = f"change of {metric.title}" if metric else ""
    table = answers_html(titles, finished, change, changes, _NO_ROW if is_filtered else NOT_ANSWERED)
    names = NEUTRAL_SIDES if metric and metric.better == "neither" else SIDES
    sides = [(f"{names[side]} ({count:,})", side) for side, count in selected.counts.items()]
    return {
        "table": table,
        "page": number,
        "position": position_text(number, len(selected.prompts), rows),
        "side": gr.update(choices=sides, value=selection.side, visible=len(sides) > 1),
        "group_filter": gr.update(
            value=f"{selection.grouping}: {selection.label} ✕", visible=bool(selection.grouping)
        ),
    }  # fmt: skip
