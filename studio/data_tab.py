"""The Data tab: open a dataset, browse it, count its tokens, create a subset, export it.

The parts of the tab are in studio/data, and so are most of their events (studio/data/events.py). Here the widgets are
laid out, and what concerns all parts is connected: the choice of a dataset, and what is shown of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.settings import Settings
from core.system.jobs import Job
from studio.choices import SUBSET_PREFIX
from studio.data.applied_reading import READ, show_applied, take_applied
from studio.data.browse import ALL_ROWS, Browse, BrowseWidgets, build_browse
from studio.data.created_card import CreatedCard, build_created_card
from studio.data.events import (
    connect_browse_subset,
    connect_create,
    connect_export,
    connect_losses,
    connect_open_dataset,
    connect_reading,
    connect_split,
    connect_stats,
)
from studio.data.losses import RowLosses, RowLossesWidgets, build_row_losses
from studio.data.open_dataset import OPEN, OpenDataset, OpenDatasetWidgets, build_open_dataset
from studio.data.page_state import PageState, State, parse_state, reading_on_opening
from studio.data.reading_form import ReadingForm
from studio.data.reading_widgets import ReadingWidgets, build_reading_form
from studio.data.row_edits import RowEdits
from studio.data.row_pane import RowPane, RowPaneWidgets, build_row_pane
from studio.data.sql import SqlQuery, SqlWidgets, build_sql
from studio.data.subset_export import ExportSubset, ExportSubsetWidgets, build_export_subset
from studio.data.subsets import CreateSubset, CreateSubsetWidgets, build_create_subset
from studio.data.tab_state import CREATE_TOOL, EXPORT_TOOL, ROW_TOOL, TabState
from studio.data.token_stats import TokenStats, TokenStatsWidgets, build_token_stats
from studio.data.view_events import connect_edits, connect_pages, connect_row, connect_steps, connect_view
from studio.job_bars import JobBars
from studio.wiring import PRIVATE, connect


@dataclass(frozen=True)
class DataTab:
    """Parts of the Data tab that studio/app.py connects to other tabs.

    Attributes:
        dataset: The chosen dataset.
        created: Name of the subset that this page created last.
        row_outputs: Outputs of a handler that opens a row of a dataset (`page_state.open_source_row`).
        state: The page's state, an input of such a handler.
        train: The button that trains on the subset created last.
        tools: The tools beside the table, of which one creates a subset (`tab_state.CREATE_TOOL`).
    """

    dataset: gr.Dropdown
    created: gr.State
    row_outputs: dict[str, gr.components.Component]
    state: gr.State
    train: gr.Button
    tools: gr.Tabs


@dataclass(frozen=True)
class _Widgets:
    open_dataset: OpenDatasetWidgets
    reading: ReadingWidgets
    browse: BrowseWidgets
    tools: gr.Tabs
    row: RowPaneWidgets
    stats: TokenStatsWidgets
    losses: RowLossesWidgets
    create: CreateSubsetWidgets
    export: ExportSubsetWidgets
    sql: SqlWidgets
    created: CreatedCard
    show_create: gr.Button


def build_data_tab(settings: Settings, bars: JobBars, demo: gr.Blocks) -> DataTab:
    """Build the tab in the open layout and connect its events.

    Args:
        settings: The studio's settings.
        bars: Progress bars of all jobs.
        demo: Its `load` event fills the lists.
    """
    state = TabState(
        page=gr.State(PageState().model_dump()), scope=gr.State(""), searched=gr.State(""), ticked=gr.State([]),
        opened=gr.State(None), changes=gr.State({}), created=gr.State(None),
    )  # fmt: skip
    widgets, jobs = _build_widgets(), bars.jobs
    browse, reading_form = Browse(settings), ReadingForm(settings, jobs)
    create, query = CreateSubset(settings, jobs), SqlQuery(settings)
    _connect_opening(OpenDataset(settings, jobs), reading_form, widgets, state, demo, bars)
    connect_view(browse, widgets.browse, state)
    page = connect_pages(browse, widgets.browse, widgets.open_dataset.summary, state)
    connect_steps(browse, widgets.browse.table, widgets.row, widgets.tools, page, state)
    connect_row(RowPane(settings), widgets.row, state)
    connect_edits(RowEdits(settings), widgets.row.edits, state)
    connect_stats(TokenStats(settings, jobs), widgets.stats, state, demo, bars)
    connect_losses(RowLosses(settings, jobs), widgets.losses, state, demo, bars)
    created = _created_outputs(widgets, state)
    connect_create(create, widgets.create, widgets.sql, created, state, bars)
    connect_export(ExportSubset(settings, jobs), widgets.export, widgets.create.quick, created, state, demo, bars)
    _connect_query(query, widgets, state)
    _connect_card(widgets)
    _connect_choice(settings, widgets, state)
    parts = (reading_form.question, reading_form.column_list, reading_form.fields, browse.column_choices,
             create.stratify_choices, query.columns)  # fmt: skip
    _connect_descriptions(parts, widgets, state)

    dataset = widgets.open_dataset.dataset
    row_outputs = {"dataset": dataset, "state": state.page, "opened": state.opened}
    return DataTab(dataset, state.created, row_outputs, state.page, widgets.created.train, widgets.tools)


def _connect_opening(
    opener: OpenDataset, reading_form: ReadingForm, widgets: _Widgets, state: TabState, demo: gr.Blocks,
    bars: JobBars,
) -> None:  # fmt: skip
    """Connect what opens a dataset or reads it again; all of it shows its progress in one bar."""

    def finish(done: Job) -> dict[str, Any]:
        if not done.kind.startswith(READ):
            return opener.show_opened(done)
        show_applied(opener.settings, done)
        return {}

    def take_reading(state: State, ended: int | None) -> dict[str, Any]:
        done = jobs.find(ended)
        return take_applied(state, done) if done and done.kind.startswith(READ) else {}

    jobs, page = bars.jobs, {"state": state.page}
    shown = {"dataset": widgets.open_dataset.dataset, "panel": widgets.open_dataset.panel}
    job = bars.add(widgets.open_dataset.bar, OPEN, READ, shown=shown, finish=finish)
    connect(job.ended.change, take_reading, {**page, "ended": job.ended}, page, **PRIVATE)
    opened = connect_open_dataset(opener, widgets.open_dataset, job, state, demo)
    connect_split(opener, widgets.reading, opened, state)
    connect_browse_subset(opener, widgets.export, widgets.created, opened, state)
    applied = {**job.outputs, **page, "form_box": widgets.reading.form_box}
    connect_reading(reading_form, widgets.reading, applied, state)


def _created_outputs(widgets: _Widgets, state: TabState) -> dict[str, gr.blocks.Block]:
    """Return what `subsets.created_updates` updates, by name."""
    return {
        "subset": widgets.export.subset,
        "other": widgets.export.other,
        "created": state.created,
        "dataset_list": widgets.open_dataset.dataset,
        **widgets.created.outputs,
    }


def _connect_query(query: SqlQuery, widgets: _Widgets, state: TabState) -> None:
    """Connect the SQL box."""
    connect(
        widgets.sql.run.click,
        query.run,
        {"state": state.page, "sql": widgets.sql.sql},
        {"result": widgets.sql.result, "result_text": widgets.sql.result_text},
        show_progress="hidden",
        api_name="run_sql",
    )


def _connect_card(widgets: _Widgets) -> None:
    """Connect the buttons that open another tool or close the card of a new subset."""
    tools, card = {"tools": widgets.tools}, {"card": widgets.created.card}

    def select(tool: str) -> Callable[[], dict[str, Any]]:
        return lambda: {"tools": gr.update(selected=tool)}

    connect(widgets.show_create.click, select(CREATE_TOOL), outputs=tools, **PRIVATE)
    connect(widgets.created.export.click, select(EXPORT_TOOL), outputs=tools, **PRIVATE)
    for button in (widgets.created.dismiss, widgets.created.train):
        connect(button.click, lambda: {"card": gr.update(visible=False)}, outputs=card, **PRIVATE)


def _connect_descriptions(
    parts: tuple[Callable[[State], dict[str, Any]], ...], widgets: _Widgets, state: TabState
) -> None:
    """Fill everything that depends on dataset, reading or tokenizer when one of them changes.

    Args:
        parts: Handlers of the tab's parts that return updates by the names of `_described`.
        widgets: The tab's widgets.
        state: The tab's state.
    """

    def describe(state: State) -> dict[str, Any]:
        updates: dict[str, Any] = {}
        for part in parts:
            updates |= part(state)
        return updates

    connect(state.scope.change, describe, {"state": state.page}, _described(widgets), visitor=True, **PRIVATE)


def _build_widgets() -> _Widgets:
    open_dataset, reading = build_open_dataset(), build_reading_form()
    with gr.Row(elem_id="data-work"):
        with gr.Column(scale=9, min_width=320):
            browse = build_browse()
        with gr.Column(scale=7, min_width=320, elem_id="data-pane"):
            with gr.Tabs(elem_id="data-tools", overflow_behavior="wrap", selected=ROW_TOOL) as tools:
                with gr.Tab("Row", id=ROW_TOOL, elem_id="tool-row"):
                    row = build_row_pane()
                with gr.Tab("Token statistics", id="numbers"):
                    stats, losses = build_token_stats(), build_row_losses()
                with gr.Tab("Create subset", id=CREATE_TOOL, elem_id="tool-create"):
                    create = build_create_subset()
                with gr.Tab("Export", id=EXPORT_TOOL):
                    export = build_export_subset()
                with gr.Tab("SQL", id="sql"):
                    sql = build_sql()
            created = build_created_card()
            show_create = gr.Button("Create subset …", variant="primary", elem_id="show-create")
    return _Widgets(open_dataset, reading, browse, tools, row, stats, losses, create, export, sql, created, show_create)


def _described(widgets: _Widgets) -> dict[str, gr.blocks.Block]:
    """Return the outputs of `describe` by name."""
    reading = widgets.reading
    return {
        "question": reading.question,
        "question_text": reading.question_text,
        "choices": reading.choices,
        "split_row": reading.split_row,
        "characters": reading.characters,
        "form_box": reading.form_box,
        "runner_up": reading.runner_up,
        "column_uses": reading.column_uses,
        **reading.fields,
        "table_columns": widgets.browse.columns,
        "stratify_by": widgets.create.recipe["stratify_by"],
        "sql_columns": widgets.sql.columns,
    }


def _connect_choice(settings: Settings, widgets: _Widgets, state: TabState) -> None:
    def choose(name: str, state: State) -> dict[str, Any]:
        """Choose a dataset; later calls in the same session use it."""
        known = parse_state(state)
        if name == known.dataset or name.startswith(SUBSET_PREFIX):
            # A subset is opened first. A dataset may have been chosen by another handler, with an open row.
            return {}
        # The tokenizer is kept, but a view of another dataset would name columns that are not there.
        fresh = PageState(
            dataset=name, model=known.model, template=known.template, max_length=known.max_length, batch=known.batch,
            # This refuses the name of a dataset that is not open.
            reading=reading_on_opening(settings, name),
        )  # fmt: skip
        opened = 0 if fresh.find_dataset(settings).rows else None
        return {"state": fresh.model_dump(), "ticked": [], "opened": opened, "search": "", "row_kind": ALL_ROWS,
                "form_box": gr.update(open=False)}  # fmt: skip

    dataset = widgets.open_dataset.dataset
    outputs = {
        "state": state.page,
        "ticked": state.ticked,
        "opened": state.opened,
        "search": widgets.browse.search,
        "row_kind": widgets.browse.row_kind,
        "form_box": widgets.reading.form_box,
    }
    connect(
        dataset.change, choose, {"name": dataset, "state": state.page}, outputs, visitor=True,
        show_progress="hidden", api_name="choose_dataset",
    )  # fmt: skip
    connect(
        state.page.change,
        lambda state: {"scope": (shown := parse_state(state)).scope, "searched": shown.view.search},
        {"state": state.page},
        {"scope": state.scope, "searched": state.searched},
        visitor=True,
        **PRIVATE,
    )
