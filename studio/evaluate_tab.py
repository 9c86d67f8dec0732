"""Evaluate tab: base and tuned models answer a set of prompts in a process that outlives the page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block

from components.side_drawer import build_drawer
from core.access import roles
from core.evaluate.store import EvaluationStore
from studio.evaluate.actions import ANSWERS, SCORES, EvaluationActions
from studio.evaluate.board_view import BoardView, build_board, connect_board
from studio.evaluate.classifier_panel import ClassifierActions, connect_classifiers
from studio.evaluate.evaluation_html import none_html, waiting_html
from studio.evaluate.evaluation_layout import ANSWER_DRAWER, EvaluationViewWidgets, build_evaluation_view
from studio.evaluate.evaluation_view import EvaluationView
from studio.evaluate.harness_panel import HarnessActions, connect_harness
from studio.evaluate.judge_panel import JudgeActions, connect_judge
from studio.evaluate.power_hint import PowerHint
from studio.evaluate.prompt_drawer import DrawerWidgets, PromptDrawer, build_prompt_drawer
from studio.evaluate.push_panel import PushActions, PushPanelWidgets, connect_push
from studio.evaluate.start_form import StartForm
from studio.evaluate.start_layout import StartFormWidgets, build_start_form
from studio.evaluate.trace_panel import TraceActions, connect_trace
from studio.evaluate.training_rows import (
    TrainingRows,
    TrainingRowsWidgets,
    build_training_rows,
    connect_training_rows,
)
from studio.handlers import event_handler
from studio.html import read_static
from studio.job_bars import JobBars
from studio.wiring import LATEST_ONLY, UNLIMITED, connect

_POLL_SECONDS = 2
_CHECKING = "Checking the prompts and the models"
OWNER_ONLY = (
    "Only the owner can start evaluations, because they use the machine for hours. "
    "You can ask both models in the Chat tab."
)


@dataclass(frozen=True)
class EvaluateTab:
    """Widgets that studio/app.py connects to other tabs.

    Attributes:
        timer: Polls; active while the tab is visible.
        run: The run whose held-out rows are the prompts.
        evaluation: The selected evaluation, such as one that was just started.
        row_wanted: A training row that the Data tab should open (`studio.source_rows`).
        training_rows: Handlers of the way from an answer to the next run.
        rows: Their widgets.
    """

    timer: gr.Timer
    run: gr.Dropdown
    evaluation: gr.Dropdown
    row_wanted: gr.State
    training_rows: TrainingRows
    rows: TrainingRowsWidgets


def build_evaluate_tab(
    store: EvaluationStore, bars: JobBars, demo: gr.Blocks, changes: list[Callable[..., Any]],
    dataset: gr.Dropdown, tabs: gr.Tabs,
) -> EvaluateTab:  # fmt: skip
    """Build the tab in the open layout.

    Args:
        store: All evaluations.
        bars: Progress bars of all jobs.
        demo: The page, for its load event.
        changes: Events after which runs, adapters or subsets may have changed.
        dataset: The Data tab's list of datasets, which opens the answers.
        tabs: The tabs of the page, to switch to the Data tab.
    """
    view, jobs = EvaluationView(store), bars.jobs
    board = build_board()
    with gr.Row(elem_id="evaluate-columns"):
        with gr.Column(scale=2, min_width=320, elem_id="evaluate-form"):
            form = build_start_form()
        with gr.Column(scale=4, min_width=340, elem_id="evaluate-view"):
            widgets, panels = build_evaluation_view()
        with build_drawer("The answers", ANSWER_DRAWER):
            drawer = build_prompt_drawer()
            rows = build_training_rows()
    ended = gr.State([])
    _connect_form(StartForm(store), form, view, widgets, demo, changes, ended)
    _connect_view(view, widgets, demo)
    _connect_drawer(PromptDrawer(view), drawer, widgets)
    _connect_verdict(view, widgets)
    compared = {"first": widgets.first, "second": widgets.second}
    connect_classifiers(ClassifierActions(view, jobs), panels.classifiers, widgets.evaluation, demo, changes, bars)
    connect_judge(JudgeActions(view, jobs), panels.judge, widgets.evaluation, compared, demo, changes, bars)
    connect_trace(TraceActions(view, jobs), panels.trace, widgets.evaluation, compared, drawer.prompt, bars)
    connect_harness(HarnessActions(view, jobs), panels.harness, widgets.evaluation, compared, demo, changes, bars)
    _connect_actions(EvaluationActions(view, jobs), widgets, panels.push, dataset, tabs, bars)
    connect_board(BoardView(store), board, widgets.evaluation, changes)
    training_rows = TrainingRows(store)
    connect_training_rows(training_rows, rows, widgets.evaluation, widgets.table)
    timer = _connect_polling(view, widgets, changes, ended)
    return EvaluateTab(timer, form.fields["run"], widgets.evaluation, panels.trace.row_wanted, training_rows, rows)


def _connect_form(
    do: StartForm, form: StartFormWidgets, view: EvaluationView, widgets: EvaluationViewWidgets, demo: gr.Blocks,
    changes: list[Callable[..., Any]], ended: gr.State,
) -> None:  # fmt: skip
    fields = form.fields
    chosen = {"run": fields["run"], "lanes": fields["lanes"], "proposed": form.proposed}
    connect(partial(gr.on, [demo.load, *changes]), do.refresh_choices, chosen, form.choice_outputs, **UNLIMITED)
    followed = {"lanes": fields["lanes"], "proposed": form.proposed}
    connect(fields["run"].input, do.follow_run, chosen, followed, **UNLIMITED)
    prompts = {"prompts": fields["prompts"]}
    connect(fields["prompts"].change, do.update_visibility, prompts, form.visibility_outputs, **UNLIMITED)
    planned = {name: fields[name] for name in ("prompts", "run", "subset", "split", "limit", "task", "loss_rows")}
    # At load by an event of its own: a visitor's page makes it, and its refusal shows no toast.
    planning = [*(field.change for field in planned.values()), *changes, ended.change]
    for event in (demo.load, partial(gr.on, planning)):
        connect(event, PowerHint(do.store).describe, planned, {"power": form.power}, **LATEST_ONLY, **UNLIMITED)
    inputs = {"upload": form.upload, **fields}

    def check(upload: str | None, **values: Any) -> Iterator[dict[str, Any]]:
        yield from do.check(upload, **values)
        # Shown at once, because the checks before the worker starts read the prompts and the adapters.
        yield {"status": waiting_html(_CHECKING)}

    marked = {"field_errors": form.errors, "more": form.more, "status": widgets.status}
    checked = connect(form.start.click, check, inputs, marked, **UNLIMITED)
    # Only the page knows what is in sight.
    checked.success(None, js=read_static("show_part.js").replace("PART", "evaluate-status"))
    start = connect(checked.success, do.start, inputs, {"evaluation": widgets.evaluation}, api_name="answers_start")
    shown = {**_seen(widgets), "page": widgets.pager.page}
    connect(start.failure, view.render, shown, widgets.outputs, **UNLIMITED)


def _visitor_status() -> dict[str, Any]:
    """Show visitors that only the owner can use the tab; they can call no other event of it."""
    return {} if roles.caller().is_owner else {"status": none_html(OWNER_ONLY)}


def _seen(widgets: EvaluationViewWidgets) -> dict[str, Block]:
    """Return the components whose values say which evaluation and which of its rows are shown, and how."""
    rows = {"rows": widgets.pager.size, "selection": widgets.selection}
    return {"evaluation_id": widgets.evaluation, **rows, **widgets.comparison}


def _connect_view(do: EvaluationView, widgets: EvaluationViewWidgets, demo: gr.Blocks) -> None:
    evaluation, pager = {"evaluation_id": widgets.evaluation}, widgets.pager
    connect(demo.load, do.list_evaluations, evaluation, {"evaluation": widgets.evaluation}, **UNLIMITED)
    connect(demo.load, _visitor_status, outputs={"status": widgets.status}, visitor=True, **UNLIMITED)
    shown = {**_seen(widgets), "page": pager.page}

    def connect_page(event: Callable[..., Any], offset: int) -> None:
        def show_page(page: float | None, **seen: Any) -> dict[str, Any]:
            return do.show_page(page=(page or 1) + offset, **seen)

        connect(event, show_page, shown, widgets.table_outputs, **UNLIMITED)

    connect_page(pager.back.click, -1)
    connect_page(pager.forward.click, 1)
    for event in (pager.page.submit, pager.page.blur, pager.size.change):
        connect_page(event, 0)


def _connect_drawer(do: PromptDrawer, drawer: DrawerWidgets, widgets: EvaluationViewWidgets) -> None:
    """Show a clicked prompt in the drawer, and again when its answers are to be shown otherwise."""
    chosen = {"evaluation_id": widgets.evaluation, "marks": drawer.marks, **widgets.comparison}

    def show_prompt(event: gr.EventData, **chosen: Any) -> dict[str, Any]:
        return do.show(number=str(event.value), **chosen)

    # By itself and at once: with the view of the other evaluation, which takes longer, it could come after a click on a
    # row of that view, and empty the drawer again.
    connect(widgets.evaluation.change, do.clear, outputs=drawer.outputs, **UNLIMITED)
    connect(widgets.table.open_row, show_prompt, chosen, drawer.outputs, **UNLIMITED)
    connect(drawer.marks.input, do.show, {**chosen, "number": drawer.shown}, drawer.outputs, **UNLIMITED)


def _connect_verdict(do: EvaluationView, widgets: EvaluationViewWidgets) -> None:
    """Connect what is compared, and the numbers of the verdict with the rows behind them."""
    seen = _seen(widgets)
    table = {**widgets.table_outputs, "selection": widgets.selection}
    chosen = {name: seen[name] for name in seen if name != "selection"}
    everything = {**widgets.outputs, "selection": widgets.selection}
    for choice in (widgets.first, widgets.second, widgets.metric):
        connect(choice.input, do.change_comparison, chosen, everything, trigger_mode="always_last", **UNLIMITED)
    connect(widgets.grouping.input, do.show_groups, chosen, {"groups": widgets.groups}, **UNLIMITED)

    def pick_metric(event: gr.EventData, **seen: Any) -> dict[str, Any]:
        return do.change_selection(change={"metric": str(event.value)}, **seen)

    def pick_group(event: gr.EventData, grouping: str | None, **seen: Any) -> dict[str, Any]:
        change = {"grouping": str(grouping or ""), "label": str(event.value)}
        return do.change_selection(change=change, grouping=grouping, **seen)

    def pick_side(side: str, **seen: Any) -> dict[str, Any]:
        return do.change_selection(change={"side": side}, **seen)

    def drop_group(**seen: Any) -> dict[str, Any]:
        return do.change_selection(change={"grouping": "", "label": ""}, **seen)

    connect(widgets.differences.pick_row, pick_metric, seen, table, **UNLIMITED)
    connect(widgets.groups.pick_row, pick_group, seen, table, **UNLIMITED)
    connect(widgets.side.input, pick_side, {**seen, "side": widgets.side}, table, **UNLIMITED)
    connect(widgets.group_filter.click, drop_group, seen, table, **UNLIMITED)


def _connect_polling(
    do: EvaluationView, widgets: EvaluationViewWidgets, changes: list[Callable[..., Any]], ended: gr.State
) -> gr.Timer:
    timer = gr.Timer(_POLL_SECONDS, active=False)
    seen = {"fingerprint": gr.State(""), "list_fingerprint": gr.State("")}
    evaluation, rows = {"evaluation_id": widgets.evaluation}, {"rows": widgets.pager.size}
    connect(
        # Also when the tab is opened: another page may have started an evaluation, and the first tick takes seconds.
        partial(gr.on, [timer.tick, *changes]),
        do.poll,
        {**seen, **_seen(widgets), "page": widgets.pager.page},
        {**seen, "ended": ended, "evaluation": widgets.evaluation, **widgets.outputs},
        trigger_mode="once",
        **UNLIMITED,
    )
    connect(
        widgets.evaluation.change,
        do.select_evaluation,
        {**evaluation, **rows},
        {
            "fingerprint": seen["fingerprint"],
            **widgets.outputs,
            "selection": widgets.selection,
        },
        trigger_mode="always_last",
        **UNLIMITED,
    )
    return timer


def _connect_actions(
    do: EvaluationActions, widgets: EvaluationViewWidgets, push: PushPanelWidgets, dataset: gr.Dropdown, tabs: gr.Tabs,
    bars: JobBars,
) -> None:  # fmt: skip
    connect_push(PushActions(do.store, do.jobs), push, widgets.evaluation, bars)
    # Programs call these events by their API names, which keep the tab's earlier name.
    evaluation, changed = {"evaluation_id": widgets.evaluation}, {"dataset": dataset, "score": widgets.score}
    job = bars.add(widgets.bar, SCORES, ANSWERS, shown=changed, finish=do.finish_elsewhere)
    for action, handler in (("pause", do.pause), ("resume", do.resume), ("stop", do.stop)):
        click = getattr(widgets, action).click
        connect(click, handler, evaluation, api_name=f"answers_{action}", concurrency_limit=None)
    connect(
        widgets.delete.click,
        do.delete,
        {**evaluation, "typed": widgets.typed},
        {"evaluation": widgets.evaluation, "typed": widgets.typed},
        api_name="answers_delete",
    )
    connect(
        widgets.open.click,
        do.open_as_dataset,
        evaluation,
        {**job.outputs, "tabs": tabs},
        show_progress="hidden",
        api_name="answers_open",
    )
    connect(
        widgets.score.click,
        do.score,
        evaluation,
        job.outputs,
        show_progress="hidden",
        api_name="answers_score",
    )
    widgets.download.makes(event_handler(do.write_file), [widgets.evaluation, widgets.kind], **UNLIMITED)
