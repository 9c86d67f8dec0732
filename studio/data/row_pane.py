"""The opened row in the pane beside the table: three views of it, the rows before and after it, and a link to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from components.conversation import OPEN_TARGET
from components.html import render as render_text
from core.data import table
from core.errors import StudioError
from core.settings import Settings
from studio.data.page_state import PageState, State, parse_state, reading_on_opening
from studio.data.row_changes import Changes, changes_of
from studio.data.row_edits import RowEditsWidgets, build_row_edits
from studio.data.row_view import VIEWS, row_html
from studio.event_values import parse_index
from studio.html import read_static, render

# Query parameters of a link to a row.
DATASET, ROW = "dataset", "row"


class RowPane:
    """Event handlers of the pane. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def show_row(self, state: State, opened: int | None, view: str, changes: Changes) -> dict[str, Any]:
        """Show the opened row in one of VIEWS, as it was changed, with its title and the link to it."""
        page = parse_state(state)
        is_open = bool(page.dataset) and opened is not None
        link = f"?{urlencode({DATASET: page.dataset, ROW: opened})}" if is_open else ""
        title = render("data/row_title", number=opened, link=link) if is_open else ""
        return {"row_title": title, "row": row_html(self.settings, state, opened, view, changes_of(page, changes))}


def linked_row(settings: Settings, query: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the row that the query of the page's address names, as `open_source_row` takes it; None without one.

    Args:
        settings: The studio's settings.
        query: Query parameters, which anyone may have written.

    Raises:
        StudioError: There is no such dataset or row, or the caller may not see it.
    """
    dataset, row = query.get(DATASET), query.get(ROW, "0")
    if not dataset:
        return None
    # The name is checked like every other one from outside.
    table.find(settings, dataset)
    index = parse_index(row)
    if index is None:
        raise StudioError(f"The link names no row ({row[:40]!r}). Open it without “{ROW}=” to see the dataset.")
    number = PageState(dataset=dataset).existing_row(settings, index)
    return {"dataset": dataset, "row": number, "reading": reading_on_opening(settings, dataset)}


@dataclass(frozen=True)
class RowPaneWidgets:
    """Widgets of the pane."""

    previous: gr.Button
    next: gr.Button
    view: gr.Radio
    title: gr.HTML
    row: gr.HTML
    edits: RowEditsWidgets


def build_row_pane() -> RowPaneWidgets:
    """Build the widgets in the open layout."""
    with gr.Row(elem_id="row-head"):
        previous = gr.Button("↑ Previous", size="sm", scale=0, min_width=84, elem_id="row-previous")
        forward = gr.Button("↓ Next", size="sm", scale=0, min_width=84, elem_id="row-next")
        title = gr.HTML(elem_id="row-title", padding=False)
    view = gr.Radio(VIEWS, value=VIEWS[0], label="Show row as", show_label=False, container=False, elem_id="row-view")
    edits = build_row_edits()
    loading = render_text("text", css_class="qs-skeleton", direction="", text="Loading the row …")
    script = read_static("data_row.js") + OPEN_TARGET
    row = gr.HTML(loading, js_on_load=script, elem_id="row-shown", padding=False, table="rows")
    return RowPaneWidgets(previous, forward, view, title, row, edits)
