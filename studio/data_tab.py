"""The Data tab, assembled: open a data set, browse it, know its numbers, cut a subset, export it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.data_table import value_of
from core.settings import Settings
from core.system.jobs import Jobs
from studio.data.browse import SHOWN, Browsing, BrowsingWidgets, build_browsing
from studio.data.open_dataset import Opening, OpeningWidgets, build_opening
from studio.data.page_state import Lens, lens_of
from studio.data.reading_form import ReadingForm, ReadingWidgets, build_reading_form
from studio.data.sql import Asking, AskingWidgets, build_asking
from studio.data.subsets import Cutting, CuttingWidgets, ExportWidgets, build_cutting, build_export, validate_cut
from studio.data.summary import summary_html
from studio.data.token_stats import Numbers, NumbersWidgets, build_numbers
from studio.handlers import event_handler
from studio.job_progress import cancel

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class DataTab:
    """What studio/app.py may link to."""

    cut: gr.State  # the name of the subset that this page cut last
    dataset: gr.Dropdown
    lens: gr.State
    shows_row: list[gr.components.Component]  # what `looking_at` gives values for


@dataclass(frozen=True)
class States:
    """What the page remembers: the lens, the part of it that filters leave alone, the rows ticked, the row opened, the
    subset cut last."""

    lens: gr.State
    scope: gr.State
    ticked: gr.State
    opened: gr.State
    cut: gr.State


def build_data_tab(settings: Settings, jobs: Jobs, demo: gr.Blocks) -> DataTab:
    opening, browsing, numbers = Opening(settings, jobs), Browsing(settings), Numbers(settings, jobs)
    form, cutting, asking = ReadingForm(settings, jobs), Cutting(settings, jobs), Asking(settings)
    states = States(gr.State(Lens().model_dump()), gr.State(""), gr.State([]), gr.State(None), gr.State(None))
    at_top, read = build_opening(), build_reading_form()
    with gr.Row():
        with gr.Column(scale=9, min_width=320):
            rows = build_browsing()
        with gr.Column(scale=5, min_width=320), gr.Tabs(elem_id="data-tools", overflow_behavior="wrap"):
            with gr.Tab("Numbers", id="numbers"):
                counted = build_numbers()
            with gr.Tab("Cut", id="cut"):
                cut = build_cutting()
            with gr.Tab("Export", id="export"):
                exported = build_export()
            with gr.Tab("SQL", id="sql"):
                asked = build_asking()
    job = gr.State(None)
    _wire_opening(opening, at_top, job, demo)
    _wire_reading(form, read, [*at_top.bar.outputs, job, states.lens], states)
    _wire_browsing(browsing, rows, states)
    _wire_numbers(numbers, counted, states, demo)
    _wire_cutting(cutting, cut, exported, asked, states, demo)
    _wire_asking(asking, asked, states)
    _wire_dataset(browsing, at_top.dataset, rows, states)
    states.lens.change(
        event_handler(lambda state: lens_of(state).scope, visitor=True), states.lens, states.scope, **QUIET
    )

    def described(state: dict) -> list:
        return [
            summary_html(settings, state),
            *form.question(state),
            form.column_list(state),
            *form.fields(state),
            browsing.column_choices(state),
            cutting.strata(state),
            asking.columns(state),
        ]

    asks = [read.question, read.words, read.choices, read.box]
    of_reading = [at_top.summary, *asks, read.columns, *read.fields.values()]
    shown = [*of_reading, rows.columns, cut.recipe["stratify_by"], asked.columns]
    states.scope.change(event_handler(described, visitor=True), states.lens, shown, **QUIET)
    return DataTab(states.cut, at_top.dataset, states.lens, [at_top.dataset, states.lens, states.opened])


def _wire_dataset(browsing: Browsing, dataset: gr.Dropdown, rows: BrowsingWidgets, states: States) -> None:
    """Another data set is looked at through the same tokenizer, from its beginning."""

    def chosen(name: str, state: dict) -> tuple:
        """Look at another data set; the calls after it in the same session are about that one."""
        kept = lens_of(state)
        if name == kept.dataset:  # whoever chose it has set the lens too, and perhaps opened a row
            return gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        fresh = Lens(
            dataset=name, model=kept.model, template=kept.template, max_length=kept.max_length, batch=kept.batch
        )
        fresh.data(browsing.settings)
        return fresh.model_dump(), [], None, "", SHOWN[0]

    outputs = [states.lens, states.ticked, states.opened, rows.search, rows.shown]
    dataset.change(
        event_handler(chosen, visitor=True), [dataset, states.lens], outputs, show_progress="hidden", api_name="choose"
    )


def _wire_opening(do: Opening, at_top: OpeningWidgets, job: gr.State, demo: gr.Blocks) -> None:
    followed = [*at_top.bar.outputs, job]
    demo.load(event_handler(do.on_load, visitor=True), None, [at_top.dataset, at_top.folder], **QUIET)
    demo.load(event_handler(do.reattach), None, [*followed, at_top.dataset], **QUIET)
    # Whoever opens a large file must not keep others from opening theirs; `Opening` bounds how many are read at once.
    opened = {"outputs": [*followed, at_top.dataset], "show_progress": "hidden", "concurrency_limit": None}
    at_top.upload.upload(event_handler(do.open_file), at_top.upload, **opened, api_name="open_file")
    at_top.open_hub.click(event_handler(do.open_hub), inputs_kwargs=at_top.hub, **opened, api_name="open_hub")
    at_top.open_folder.click(event_handler(do.open_folder), at_top.folder, **opened, api_name="open_folder")
    at_top.bar.cancel.click(event_handler(lambda number: cancel(do.jobs, number)), job, None, **QUIET)


def _wire_reading(do: ReadingForm, read: ReadingWidgets, followed: list[Any], states: States) -> None:
    lens, fields = states.lens, read.fields
    changed = [fields["columns"], fields["prompt"], fields["labels"]]
    fields["format"].input(event_handler(do.show_format, visitor=True), [lens, fields["format"]], changed, **QUIET)
    read.choices.input(event_handler(do.fill_in, visitor=True), [lens, read.choices], list(fields.values()), **QUIET)
    reads = {"inputs_kwargs": {"state": lens, **fields}, "outputs": followed, "show_progress": "hidden"}
    read.read.click(event_handler(do.read_again), **reads, api_name="read_as")
    answered = read.read_choice.click(event_handler(do.read_again), **reads, api_visibility="private")
    answered.success(event_handler(lambda: gr.update(open=False)), None, read.box, **QUIET)

    def use(extra: str, event: gr.EventData) -> str:
        return do.use_columns(extra, value_of(event))

    used = read.columns.choose(event_handler(use, visitor=True), fields["extra"], fields["extra"], **QUIET)
    used.success(event_handler(do.read_again), **reads, api_visibility="private")
    states.scope.change(
        event_handler(do.about, visitor=True), lens, read.report, show_progress="hidden", api_name="about"
    )


def _wire_browsing(do: Browsing, rows: BrowsingWidgets, states: States) -> None:
    seen = [rows.table, rows.pager.page, rows.pager.position]
    looked = [states.lens, states.ticked, states.opened]

    def at(page: Callable[[float], float]) -> Any:
        def turned(state: dict, ticked: list, opened: int | None, number: float, size: int) -> Any:
            yield from do.page(state, ticked, opened, page(number or 1), size)

        return event_handler(turned, visitor=True)

    paged = [*looked, rows.pager.page, rows.pager.size]
    states.lens.change(at(lambda number: 1), paged, seen, trigger_mode="always_last", **QUIET)
    rows.pager.back.click(at(lambda number: number - 1), paged, seen, **QUIET)
    rows.pager.forward.click(at(lambda number: number + 1), paged, seen, **QUIET)
    for event in (rows.pager.page.submit, rows.pager.page.blur, rows.pager.size.change):
        event(at(lambda number: number), paged, seen, **QUIET)

    lens = states.lens
    rows.search.change(
        event_handler(do.search, visitor=True),
        [lens, rows.search],
        lens,
        trigger_mode="always_last",
        show_progress="hidden",
        api_name="search",
    )
    rows.shown.input(event_handler(do.show, visitor=True), [lens, rows.shown], lens, **QUIET)
    rows.columns.input(event_handler(do.choose_columns, visitor=True), [lens, rows.columns], lens, **QUIET)

    def clicked(change: Callable[[Any, Any], Any]) -> Any:
        def handler(state: Any, event: gr.EventData) -> Any:
            return change(state, value_of(event))

        return event_handler(handler, visitor=True)

    rows.table.sort_by(clicked(lambda state, value: do.sort(state, str(value))), lens, lens, **QUIET)
    for event, change in ((rows.table.pick_bar, do.toggle), (rows.table.drop_filter, do.drop)):
        event(
            clicked(lambda state, value, change=change: (change(state, value), SHOWN[0])),
            lens,
            [lens, rows.shown],
            **QUIET,
        )
    rows.table.tick_row(clicked(do.tick), states.ticked, states.ticked, **QUIET)
    rows.table.open_row(clicked(lambda state, value: value), states.opened, states.opened, **QUIET)
    for event in (states.opened.change, rows.view.change, states.scope.change):
        event(event_handler(do.row, visitor=True), [lens, states.opened, rows.view], rows.row, **QUIET)


def _wire_numbers(do: Numbers, counted: NumbersWidgets, states: States, demo: gr.Blocks) -> None:
    job = gr.State(None)
    followed = {"outputs": [*counted.bar.outputs, job, states.lens], "show_progress": "hidden"}
    demo.load(event_handler(do.on_load), None, counted.model, **QUIET)
    chosen = [counted.model, counted.template, counted.max_length, counted.batch]
    for event in (counted.model.change, counted.template.change, counted.max_length.change, counted.batch.change):
        event(event_handler(do.look_through), [states.lens, *chosen], states.lens, trigger_mode="always_last", **QUIET)
    counted.count.click(event_handler(do.count), states.lens, **followed, api_name="count_tokens")
    counted.near.click(event_handler(do.find_near), states.lens, **followed, api_name="find_near_duplicates")
    counted.bar.cancel.click(event_handler(lambda number: cancel(do.jobs, number)), job, None, **QUIET)
    states.lens.change(event_handler(do.show, visitor=True), states.lens, counted.shown, **QUIET)


def _wire_cutting(
    do: Cutting, cut: CuttingWidgets, out: ExportWidgets, asked: AskingWidgets, states: States, demo: gr.Blocks
) -> None:
    job = gr.State(None)
    lists = [out.subset, out.other]
    made = [*lists, states.cut]
    followed = [*out.bar.outputs, job, out.download, out.written]
    demo.load(event_handler(do.on_load), None, lists, **QUIET)
    form = {"state": states.lens, **cut.recipe}
    picked = {"state": states.lens, "ticked": states.ticked, **cut.recipe}
    sources = [states.lens.change, states.ticked.change, *(widget.change for widget in cut.recipe.values())]
    for event in sources:
        event(event_handler(do.in_words), inputs_kwargs=picked, outputs=cut.words, trigger_mode="always_last", **QUIET)
    for event in (states.scope.change, *(widget.change for widget in cut.recipe.values()), states.cut.change):
        event(event_handler(do.suggest_name), inputs_kwargs=form, outputs=cut.name, trigger_mode="always_last", **QUIET)
    cut.recipe["method"].change(
        event_handler(lambda method: gr.update(visible=method == "stratified")),
        cut.recipe["method"],
        cut.recipe["stratify_by"],
        **QUIET,
    )
    cut.cut.click(
        event_handler(do.cut),
        inputs_kwargs={**picked, "name": cut.name},
        outputs=made,
        validator=event_handler(validate_cut),
        api_name="cut",
    )
    cut.run_file.click(event_handler(do.cut_from_file), [cut.recipe_file, cut.name], made, api_name="run_recipe")
    asked.cut.click(event_handler(do.cut_by_sql), [states.lens, asked.sql, asked.name], made, api_name="cut_by_sql")
    cut.quick.click(
        event_handler(do.quick), states.lens, [*followed, *made], show_progress="hidden", api_name="quick_cut"
    )
    out.subset.change(event_handler(do.describe), out.subset, out.words, **QUIET)
    exported = {"outputs": followed, "show_progress": "hidden"}
    out.export.click(event_handler(do.export), [out.subset, out.form, out.kinds], **exported, api_name="export")
    out.push_button.click(
        event_handler(do.push),
        inputs_kwargs={"name": out.subset, "form": out.form, **out.push},
        **exported,
        api_name="push",
    )
    out.bar.cancel.click(event_handler(lambda number: cancel(do.jobs, number)), job, None, **QUIET)
    for widget in (out.subset, out.form, out.kinds):
        widget.input(event_handler(lambda: (gr.update(visible=False), "")), None, [out.download, out.written], **QUIET)
    for event in (out.subset.change, out.other.change):
        event(event_handler(do.compare), lists, out.comparison, **QUIET)


def _wire_asking(do: Asking, asked: AskingWidgets, states: States) -> None:
    asked.ask.click(event_handler(do.ask), [states.lens, asked.sql], [asked.result, asked.words], api_name="sql")
