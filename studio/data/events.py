"""Events of the Data tab that open, read, count and export, each part connected by a function of its own.

Most events change one of the values in `TabState`, and everything that depends on it listens to its change.
"""

from functools import partial
from typing import Any

import gradio as gr

from studio.data.created_card import CreatedCard
from studio.data.losses import LOSSES, RowLosses, RowLossesWidgets
from studio.data.open_dataset import OpenDataset, OpenDatasetWidgets
from studio.data.reading_form import ReadingForm
from studio.data.reading_preview import preview
from studio.data.reading_widgets import ReadingWidgets
from studio.data.sql import SqlWidgets
from studio.data.subset_export import EXPORT, PUSH, ExportSubset, ExportSubsetWidgets
from studio.data.subsets import CREATE, CreateSubset, CreateSubsetWidgets, validate_subset
from studio.data.tab_state import TabState
from studio.data.token_stats import NEAR, TOKENS, TokenStats, TokenStatsWidgets
from studio.event_values import table_value
from studio.job_bars import JobBar, JobBars
from studio.wiring import LATEST_ONLY, PRIVATE, connect


def connect_open_dataset(
    do: OpenDataset, widgets: OpenDatasetWidgets, job: JobBar, state: TabState, demo: gr.Blocks
) -> dict[str, gr.blocks.Block]:
    """Connect what opens datasets, and the lists that are filled when the page loads.

    Returns:
        Outputs of a handler that opens a dataset, by name.
    """
    dataset, panel = widgets.dataset, {"panel": widgets.panel}
    opened = job.outputs
    loaded = {"dataset": dataset, "folder": widgets.folder, "state": state.page, "opened": state.opened}
    connect(demo.load, do.on_load, outputs=loaded, visitor=True, **PRIVATE)
    # Without the file that was uploaded last, so that another one can be dropped.
    shown = {**panel, "upload": widgets.upload}
    connect(widgets.show.click, lambda: {"panel": gr.update(visible=True), "upload": None}, outputs=shown, **PRIVATE)
    connect(widgets.close.click, lambda: {"panel": gr.update(visible=False)}, outputs=panel, **PRIVATE)
    # A large file must not keep others from opening theirs; `MAX_OPENINGS` bounds how many are read at once.
    followed = partial(connect, outputs=opened, show_progress="hidden", concurrency_limit=None)
    uploaded = followed(widgets.upload.upload, do.open_file, {"upload": widgets.upload}, api_name="open_file")
    # Another file can be dropped at once in place of one that could not be opened.
    connect(uploaded.failure, lambda: {"upload": None}, outputs={"upload": widgets.upload}, **PRIVATE)
    followed(widgets.open_hub.click, do.open_hub, widgets.hub, api_name="open_hub")
    followed(widgets.open_folder.click, do.open_folder, {"name": widgets.folder}, api_name="open_folder")
    # Visitors choose in this list, too, so the handler itself refuses what only the owner may open.
    followed(dataset.input, do.open_chosen, {"name": dataset}, visitor=True, api_visibility="private")
    return opened


def connect_split(
    do: OpenDataset, widgets: ReadingWidgets, opened: dict[str, gr.blocks.Block], state: TabState
) -> None:
    """Connect the button that splits a table of one column; `opened` is what `connect_open_dataset` returned."""
    inputs = {"state": state.page, "characters": widgets.characters}
    connect(
        widgets.split.click, do.split_column, inputs, opened, show_progress="hidden", concurrency_limit=None,
        api_visibility="private",
    )  # fmt: skip


def connect_browse_subset(
    do: OpenDataset, export: ExportSubsetWidgets, card: CreatedCard, opened: dict[str, gr.blocks.Block], state: TabState
) -> None:
    """Connect the buttons that open a subset as a dataset.

    Args:
        do: The handlers.
        export: Its button opens the subset that is chosen there.
        card: Its button opens the subset created last.
        opened: What `connect_open_dataset` returned.
        state: The tab's state.
    """
    followed = partial(connect, outputs=opened, show_progress="hidden", concurrency_limit=None)
    followed(export.browse.click, do.open_subset, {"name": export.subset}, api_name="open_subset")
    followed(card.browse.click, do.open_subset, {"name": state.created}, api_visibility="private")


def connect_reading(
    do: ReadingForm, widgets: ReadingWidgets, followed: dict[str, gr.blocks.Block], state: TabState
) -> None:
    """Connect the question, the form and the list of unread columns."""
    page, fields = {"state": state.page}, widgets.fields
    shown = partial(
        connect, handler=partial(preview, do.settings), inputs={**page, **fields}, outputs={"preview": widgets.preview},
        visitor=True, **PRIVATE, **LATEST_ONLY,
    )  # fmt: skip
    texts = [field for field in fields.values() if isinstance(field, gr.Textbox)]
    # A text that is pasted with the mouse is no input to Gradio, so it is read when the field is left.
    edited = [event for text in texts for event in (text.input, text.blur)]
    for event in (widgets.form_box.expand, fields["reasoning"].input, *edited):
        shown(event)
    adapted = {name: fields[name] for name in ("columns", "roles", "prompt", "labels")}
    formatted = connect(
        fields["format"].input, do.show_format, {**page, "form": fields["format"]}, adapted, visitor=True, **PRIVATE
    )
    filled = connect(
        widgets.choices.input, do.fill_in, {**page, "choice": widgets.choices}, dict(fields), visitor=True, **PRIVATE
    )
    for changed in (formatted, filled):
        shown(changed.success)
    read = partial(connect, handler=do.read_again, inputs={**page, **fields}, outputs=followed, show_progress="hidden")
    read(widgets.read.click, api_name="read_as")
    read(widgets.read_choice.click, api_visibility="private")

    def use_columns(extra: str, event: gr.EventData) -> dict[str, Any]:
        return do.use_columns(extra, table_value(event))

    extra = {"extra": fields["extra"]}
    used = connect(widgets.column_uses.choose, use_columns, extra, extra, visitor=True, **PRIVATE)
    read(used.success, api_visibility="private")
    connect(
        state.scope.change, do.about, page, {"report": widgets.report}, visitor=True, show_progress="hidden",
        api_name="describe_dataset",
    )  # fmt: skip


def connect_stats(do: TokenStats, widgets: TokenStatsWidgets, state: TabState, demo: gr.Blocks, bars: JobBars) -> None:
    """Connect the tokenizer's fields and the buttons that count."""
    page = {"state": state.page}
    job = bars.add(widgets.bar, TOKENS, NEAR)
    connect(job.ended.change, do.take_counts, {**page, "ended": job.ended}, page, **PRIVATE)
    connect(demo.load, do.on_load, outputs={"model": widgets.model}, **PRIVATE)
    chosen = {
        "model": widgets.model,
        "template": widgets.template,
        "max_length": widgets.max_length,
        "batch": widgets.batch,
    }
    for widget in chosen.values():
        connect(widget.change, do.choose_tokenizer, {**page, **chosen}, page, **PRIVATE, **LATEST_ONLY)
    followed = partial(connect, inputs=page, outputs={**job.outputs, **page}, show_progress="hidden")
    followed(widgets.count.click, do.count, api_name="count_tokens")
    followed(widgets.find_near.click, do.find_near_duplicates, api_name="find_near_duplicates")
    connect(state.page.change, do.show, page, {"token_stats": widgets.shown}, visitor=True, **PRIVATE)


def connect_losses(do: RowLosses, widgets: RowLossesWidgets, state: TabState, demo: gr.Blocks, bars: JobBars) -> None:
    """Connect the list of models and runs, the text below it, and the button that measures."""
    page, chosen = {"state": state.page}, {"chosen": widgets.model}
    job = bars.add(widgets.bar, LOSSES, box=widgets.box)
    connect(job.ended.change, do.take_losses, {**page, "ended": job.ended}, page, **PRIVATE)
    for event in (demo.load, widgets.model.focus):
        connect(event, do.list_choices, outputs={"loss_model": widgets.model}, **PRIVATE)
    connect(widgets.model.input, do.choose_losses, {**page, **chosen}, page, **PRIVATE)
    connect(
        widgets.measure.click, do.measure, {**page, **chosen}, {**job.outputs, **page}, show_progress="hidden",
        api_name="compute_row_losses",
    )  # fmt: skip
    # The maximum length and the template decide the losses, too; they are not part of the scope.
    for changed in (state.page.change, widgets.model.change):
        connect(changed, do.show, {**page, **chosen}, {"loss_text": widgets.shown}, **PRIVATE, **LATEST_ONLY)


def connect_create(
    do: CreateSubset,
    create: CreateSubsetWidgets,
    sql: SqlWidgets,
    outputs: dict[str, gr.blocks.Block],
    state: TabState,
    bars: JobBars,
) -> None:
    """Connect the form that creates a subset, with its name and description, and the other ways to create one.

    Args:
        do: The handlers.
        create: The form.
        sql: Its query and name create a subset, too.
        outputs: What `subsets.created_updates` updates.
        state: The tab's state.
        bars: Progress bars of all jobs.
    """
    page = {"state": state.page}
    picked = {**page, "ticked": state.ticked, "changes": state.changes, **create.recipe}
    field_events = [widget.change for widget in create.recipe.values()]
    for event in (state.page.change, state.ticked.change, state.changes.change, *field_events):
        connect(event, do.describe_recipe, picked, {"recipe_text": create.recipe_text}, **PRIVATE, **LATEST_ONLY)
    named = {**page, "changes": state.changes, **create.recipe}
    for event in (state.scope.change, state.changes.change, *field_events, state.created.change):
        connect(event, do.suggest_name, named, {"name": create.name}, **PRIVATE, **LATEST_ONLY)
    _connect_method(create)
    job = bars.add(create.bar, CREATE, shown=outputs, finish=do.show_created)
    # Programs take the outputs by position: the subset comes first.
    created = partial(connect, outputs={**outputs, **job.outputs}, show_progress_on=[create.recipe_text])
    by_form = {**picked, "name": create.name}
    created(create.create.click, do.create, by_form, validate=validate_subset, api_name="create_subset")
    by_file = {"upload": create.recipe_file, "name": create.name}
    created(create.run_file.click, do.create_from_file, by_file, api_name="run_recipe")
    created(sql.create.click, do.create_by_sql, {**page, **sql.named}, api_name="create_subset_by_sql")


def _connect_method(create: CreateSubsetWidgets) -> None:
    """Show the column to stratify by only for the method that needs it."""
    connect(
        create.recipe["method"].change,
        lambda method: {"stratify_by": gr.update(visible=method == "stratified")},
        {"method": create.recipe["method"]},
        {"stratify_by": create.recipe["stratify_by"]},
        **PRIVATE,
    )


def connect_export(
    do: ExportSubset,
    export: ExportSubsetWidgets,
    quick: gr.Button,
    created: dict[str, gr.blocks.Block],
    state: TabState,
    demo: gr.Blocks,
    bars: JobBars,
) -> None:
    """Connect export, push and comparison.

    Args:
        do: The handlers.
        export: The widgets.
        quick: Creates a subset and exports it.
        created: What `subsets.created_updates` updates.
        state: The tab's state.
        demo: Its `load` event lists the subsets.
        bars: Progress bars of all jobs.
    """
    lists = {"subset": export.subset, "other": export.other}
    results = {"download": export.download, "written": export.written}
    job = bars.add(export.bar, EXPORT, PUSH, shown=results, finish=do.show_result)
    connect(demo.load, do.on_load, outputs=lists, **PRIVATE)
    connect(
        quick.click, do.create_and_export, {"state": state.page}, {**job.outputs, **created}, show_progress="hidden",
        api_name="create_quick_subset",
    )  # fmt: skip
    followed = partial(connect, outputs=job.outputs, show_progress="hidden")
    chosen = {"name": export.subset, "form": export.form}
    followed(export.export.click, do.export, {**chosen, "kinds": export.kinds}, api_name="export_subset")
    followed(export.push.push.click, do.push, {**chosen, **export.push.fields}, api_name="push_subset")
    _connect_export_lists(do, export, results)


def _connect_export_lists(do: ExportSubset, export: ExportSubsetWidgets, results: dict[str, gr.blocks.Block]) -> None:
    """Connect the chosen subsets to their descriptions; another choice hides the result of the last export."""
    connect(export.subset.change, do.describe, {"name": export.subset}, {"subset_text": export.subset_text}, **PRIVATE)
    for widget in (export.subset, export.form, export.kinds):
        connect(widget.input, do.hide_result, outputs=results, **PRIVATE)
    for event in (export.subset.change, export.other.change):
        connect(
            event,
            do.compare,
            {"left": export.subset, "right": export.other},
            {"comparison": export.comparison},
            **PRIVATE,
        )
