"""Events of the table and of the row beside it.

A search or a filter changes the page's state, and the table listens to that.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from studio.data.browse import Browse, BrowseWidgets
from studio.data.page_state import State, parse_state
from studio.data.row_edits import RowEdits, RowEditsWidgets
from studio.data.row_pane import RowPane, RowPaneWidgets
from studio.data.tab_state import ROW_TOOL, TabState
from studio.event_values import name_of, row_number, table_value
from studio.wiring import HEAVY, LATEST_ONLY, PRIVATE, connect

Named = dict[str, gr.blocks.Block]


class PageParts(NamedTuple):
    """Inputs and outputs of a handler that shows a page of the table, by name."""

    inputs: Named
    outputs: Named


def connect_view(do: Browse, widgets: BrowseWidgets, state: TabState) -> None:
    """Connect what changes the view."""
    page = {"state": state.page}
    connect(
        widgets.search.change, do.search, {**page, "text": widgets.search}, page, visitor=True,
        trigger_mode="always_last", show_progress="hidden", api_name="search_rows",
    )  # fmt: skip
    own = partial(connect, visitor=True, **PRIVATE)
    own(widgets.row_kind.input, do.show_kind, {**page, "kind": widgets.row_kind}, page)
    own(widgets.columns.input, do.choose_columns, {**page, "columns": widgets.columns}, page)

    def sort(state: State, event: gr.EventData) -> dict[str, Any]:
        return do.sort(state, name_of(event))

    def toggle_filter(state: State, event: gr.EventData) -> dict[str, Any]:
        return do.toggle_filter(state, table_value(event))

    def remove_filter(state: State, event: gr.EventData) -> dict[str, Any]:
        return do.remove_filter(state, table_value(event))

    def tick(state: State, ticked: Any, event: gr.EventData) -> dict[str, Any]:
        return do.tick(ticked, parse_state(state).existing_row(do.settings, row_number(event)))

    filtered = {**page, "row_kind": widgets.row_kind}
    own(widgets.table.sort_by, sort, page, page)
    own(widgets.table.pick_bar, toggle_filter, page, filtered)
    own(widgets.table.drop_filter, remove_filter, page, {**filtered, "search": widgets.search})
    own(widgets.table.tick_row, tick, {**page, "ticked": state.ticked}, {"ticked": state.ticked})


def connect_pages(do: Browse, widgets: BrowseWidgets, summary: gr.HTML, state: TabState) -> PageParts:
    """Connect the table to the pager and to the page's state.

    Returns:
        Inputs and outputs of a handler that shows a page of the table, by name.
    """
    pager = widgets.pager
    inputs = {
        "state": state.page, "ticked": state.ticked, "opened": state.opened, "page": pager.page, "size": pager.size,
    }  # fmt: skip
    outputs = {
        "table": widgets.table, "page": pager.page, "position": pager.position, "matches": widgets.matches,
        "summary": summary,
    }  # fmt: skip

    def turn_to(number: Callable[[float], float]) -> Callable[..., Any]:
        """Return a handler that shows the page whose number follows from the current one."""

        def turn(state: State, ticked: list, opened: int | None, page: float, size: int) -> Iterator[dict[str, Any]]:
            yield from do.show_page(state, ticked, opened, number(page or 1), size)

        return turn

    # Gradio's own status dims the old rows while the new ones are loaded; data.css hides its spinner.
    turned = partial(connect, inputs=inputs, outputs=outputs, visitor=True, api_visibility="private",
                     show_progress="minimal", show_progress_on=[widgets.table])  # fmt: skip
    turned(state.page.change, do.show_first_page, **LATEST_ONLY)
    turned(pager.back.click, turn_to(lambda page: page - 1))
    turned(pager.forward.click, turn_to(lambda page: page + 1))
    for event in (pager.page.submit, pager.page.blur, pager.size.change):
        turned(event, turn_to(lambda page: page))
    return PageParts(inputs, outputs)


def connect_steps(
    do: Browse, table: gr.HTML, pane: RowPaneWidgets, tools: gr.Tabs, page: PageParts, state: TabState
) -> None:
    """Connect what opens a row: a click in the table, and the steps to the next or the previous one.

    Args:
        do: The handlers.
        table: The table.
        pane: The buttons of the pane.
        tools: The pane's tabs; a click opens the one with the row.
        page: What `connect_pages` returned: a step may turn the page.
        state: The tab's state.
    """

    def step_by(step: int) -> Callable[..., Any]:
        def turn(state: State, ticked: list, opened: int | None, page: float, size: int) -> Iterator[dict[str, Any]]:
            yield from do.step_row(state, ticked, opened, page, size, step)

        return turn

    def step_in_table(
        state: State, ticked: list, opened: int | None, page: float, size: int, event: gr.EventData
    ) -> Iterator[dict[str, Any]]:
        yield from do.step_row(state, ticked, opened, page, size, 1 if event.value == 1 else -1)

    def open_row(state: State, event: gr.EventData) -> dict[str, Any]:
        number = parse_state(state).existing_row(do.settings, row_number(event))
        return {"opened": number, "tools": gr.update(selected=ROW_TOOL)}

    stepped = partial(
        connect, inputs=page.inputs, outputs={**page.outputs, "opened": state.opened}, visitor=True, **PRIVATE
    )
    stepped(pane.previous.click, step_by(-1))
    stepped(pane.next.click, step_by(1))
    stepped(table.step_row, step_in_table)
    opened = {"opened": state.opened, "tools": tools}
    connect(table.open_row, open_row, {"state": state.page}, opened, visitor=True, **PRIVATE)


def connect_row(do: RowPane, widgets: RowPaneWidgets, state: TabState) -> None:
    """Connect the pane to what it shows: the open row, its view, the search, and how the dataset is read."""
    inputs = {"state": state.page, "opened": state.opened, "view": widgets.view, "changes": state.changes}
    outputs = {"row": widgets.row, "row_title": widgets.title}
    seen = (state.opened, widgets.view, state.scope, state.searched, state.changes)
    for event in [value.change for value in seen]:
        # HEAVY, because as tokens the row is rendered by a tokenizer that is read for it.
        connect(
            event, do.show_row, inputs, outputs, visitor=True, api_visibility="private", show_progress="minimal",
            show_progress_on=[widgets.row], **LATEST_ONLY, **HEAVY,
        )  # fmt: skip


def connect_edits(do: RowEdits, widgets: RowEditsWidgets, state: TabState) -> None:
    """Connect what edits, excludes and adds rows for the next subset."""
    page, changes = {"state": state.page}, {"changes": state.changes}
    row = {**page, "opened": state.opened, **changes}
    editor = {"editor": widgets.editor, "editor_box": widgets.editor_box, "problem": widgets.problem}

    def save(state: State, changes: dict, event: gr.EventData) -> dict[str, Any]:
        return do.save(state, changes, table_value(event))

    connect(widgets.edit.click, do.edit, row, editor, **PRIVATE)
    connect(widgets.add.click, do.add, page, editor, **PRIVATE)
    connect(
        widgets.editor.save_turns, save, {**page, **changes}, {**editor, **changes}, trigger_mode="once", **PRIVATE
    )  # fmt: skip
    connect(widgets.editor.cancel_turns, do.close, outputs=editor, **PRIVATE)
    connect(widgets.exclude.click, do.toggle_excluded, row, changes, **PRIVATE)
    connect(widgets.restore.click, do.restore, row, changes, **PRIVATE)
    connect(widgets.discard.click, do.discard, {**page, **changes}, changes, **PRIVATE)
    shown = {
        "changes_text": widgets.changes_text, "discard": widgets.discard, "exclude": widgets.exclude,
        "restore": widgets.restore,
    }  # fmt: skip
    for event in (state.opened.change, state.changes.change, state.scope.change):
        connect(event, do.show, row, shown, visitor=True, **PRIVATE)
