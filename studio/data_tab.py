"""The Data tab: open a dataset, browse it, count its tokens, create a subset, export it.

The parts of the tab are in studio/data, and so are most of their events (studio/data/events.py). Here the widgets are
laid out, and what concerns all parts is connected: the choice of a dataset, and what is shown of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.settings import Settings
from core.system.jobs import Jobs
from studio.data.browse import ALL_ROWS, Browse, BrowseWidgets, build_browse
from studio.data.events import (
    TabState,
    connect_create,
    connect_export,
    connect_open_dataset,
    connect_pages,
    connect_reading,
    connect_stats,
    connect_view,
)
from studio.data.open_dataset import OpenDataset, OpenDatasetWidgets, build_open_dataset
from studio.data.page_state import PageState, State, parse_state
from studio.data.reading_form import ReadingForm, ReadingWidgets, build_reading_form
from studio.data.sql import SqlQuery, SqlWidgets, build_sql
from studio.data.subset_export import ExportSubset, ExportSubsetWidgets, build_export_subset
from studio.data.subsets import CreateSubset, CreateSubsetWidgets, build_create_subset
from studio.data.summary import summary_html
from studio.data.token_stats import TokenStats, TokenStatsWidgets, build_token_stats
from studio.job_progress import job_outputs
from studio.wiring import PRIVATE, connect


@dataclass(frozen=True)
class DataTab:
    """Parts of the Data tab that studio/app.py connects to other tabs.

    Attributes:
        dataset: The chosen dataset.
        created: Name of the subset that this page created last.
        row_outputs: Outputs of a handler that opens a row of a dataset (`page_state.open_source_row`).
        state: The page's state, an input of such a handler.
    """

    dataset: gr.Dropdown
    created: gr.State
    row_outputs: dict[str, gr.components.Component]
    state: gr.State


@dataclass(frozen=True)
class _Widgets:
    open_dataset: OpenDatasetWidgets
    reading: ReadingWidgets
    browse: BrowseWidgets
    stats: TokenStatsWidgets
    create: CreateSubsetWidgets
    export: ExportSubsetWidgets
    sql: SqlWidgets


def build_data_tab(settings: Settings, jobs: Jobs, demo: gr.Blocks) -> DataTab:
    """Build the tab in the open layout and connect its events.

    Args:
        settings: The studio's settings.
        jobs: Runs what takes longer than a request.
        demo: Its `load` event fills the lists.
    """
    state = TabState(gr.State(PageState().model_dump()), gr.State(""), gr.State([]), gr.State(None), gr.State(None))
    widgets = _build_widgets()
    browse, reading_form = Browse(settings), ReadingForm(settings, jobs)
    create, query = CreateSubset(settings), SqlQuery(settings)
    opening_job = job_outputs(widgets.open_dataset.bar, gr.State(None))
    connect_open_dataset(OpenDataset(settings, jobs), widgets.open_dataset, opening_job, demo)
    connect_reading(reading_form, widgets.reading, {**opening_job, "state": state.page}, state)
    connect_view(browse, widgets.browse, state)
    connect_pages(browse, widgets.browse, state)
    connect_stats(TokenStats(settings, jobs), widgets.stats, state, demo)
    created = {"subset": widgets.export.subset, "other": widgets.export.other, "created": state.created}
    connect_create(create, widgets.create, widgets.sql, created, state)
    connect_export(ExportSubset(settings, jobs), widgets.export, widgets.create.quick, created, state, demo)
    connect(
        widgets.sql.run.click,
        query.run,
        {"state": state.page, "sql": widgets.sql.sql},
        {"result": widgets.sql.result, "result_text": widgets.sql.result_text},
        api_name="sql",
    )
    _connect_choice(settings, widgets, state)
    parts = (reading_form.question, reading_form.column_list, reading_form.fields, browse.column_choices,
             create.stratify_choices, query.columns)  # fmt: skip
    _connect_descriptions(settings, parts, widgets, state)

    dataset = widgets.open_dataset.dataset
    row_outputs = {"dataset": dataset, "state": state.page, "opened": state.opened}
    return DataTab(dataset, state.created, row_outputs, state.page)


def _connect_descriptions(
    settings: Settings, parts: tuple[Callable[[State], dict[str, Any]], ...], widgets: _Widgets, state: TabState
) -> None:
    """Fill everything that depends on dataset, reading or tokenizer when one of them changes.

    Args:
        settings: The studio's settings.
        parts: Handlers of the tab's parts that return updates by the names of `_described`.
        widgets: The tab's widgets.
        state: The tab's state.
    """

    def describe(state: State) -> dict[str, Any]:
        updates: dict[str, Any] = {"summary": summary_html(settings, state)}
        for part in parts:
            updates |= part(state)
        return updates

    connect(state.scope.change, describe, {"state": state.page}, _described(widgets), visitor=True, **PRIVATE)


def _build_widgets() -> _Widgets:
    open_dataset, reading = build_open_dataset(), build_reading_form()
    with gr.Row():
        with gr.Column(scale=9, min_width=320):
            browse = build_browse()
        with gr.Column(scale=5, min_width=320), gr.Tabs(elem_id="data-tools", overflow_behavior="wrap"):
            with gr.Tab("Token statistics", id="numbers"):
                stats = build_token_stats()
            with gr.Tab("Create subset", id="cut"):
                create = build_create_subset()
            with gr.Tab("Export", id="export"):
                export = build_export_subset()
            with gr.Tab("SQL", id="sql"):
                sql = build_sql()
    return _Widgets(open_dataset, reading, browse, stats, create, export, sql)


def _described(widgets: _Widgets) -> dict[str, gr.blocks.Block]:
    """Return the outputs of `describe` by name."""
    reading = widgets.reading
    return {
        "summary": widgets.open_dataset.summary,
        "question": reading.question,
        "question_text": reading.question_text,
        "choices": reading.choices,
        "form_box": reading.form_box,
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
        if name == known.dataset:
            # Another handler chose it and has set the state too, perhaps with an open row.
            return {}
        # The tokenizer is kept, but a view of another dataset would name columns that are not there.
        fresh = PageState(
            dataset=name, model=known.model, template=known.template, max_length=known.max_length, batch=known.batch
        )
        # This refuses the name of a dataset that is not open.
        fresh.find_dataset(settings)
        return {"state": fresh.model_dump(), "ticked": [], "opened": None, "search": "", "row_kind": ALL_ROWS}

    dataset = widgets.open_dataset.dataset
    outputs = {
        "state": state.page,
        "ticked": state.ticked,
        "opened": state.opened,
        "search": widgets.browse.search,
        "row_kind": widgets.browse.row_kind,
    }
    connect(
        dataset.change, choose, {"name": dataset, "state": state.page}, outputs, visitor=True,
        show_progress="hidden", api_name="choose",
    )  # fmt: skip
    connect(
        state.page.change,
        lambda state: {"scope": parse_state(state).scope},
        {"state": state.page},
        {"scope": state.scope},
        visitor=True,
        **PRIVATE,
    )
