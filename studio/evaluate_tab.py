"""The Answers tab, assembled: a whole prompt set answered by base and tuned, in a process that outlives the page."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import empty_html
from core.access import roles
from core.evaluate.store import EvaluationStore
from core.system.jobs import Jobs
from studio.evaluate.evaluation_view import Watching, WatchingWidgets, build_watching
from studio.evaluate.start_form import Asking, AskingWidgets, build_asking
from studio.handlers import event_handler
from studio.job_progress import cancel, job_outputs
from studio.wiring import connect

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
_EVERY_SECONDS = 2
CLOSED = "Answers to many prompts are the owner's alone: they take the machine for hours. Ask both models in Chat."


@dataclass(frozen=True)
class EvaluateTab:
    """What studio/app.py may link to."""

    timer: gr.Timer  # beats while the tab is seen


def build_evaluate_tab(
    store: EvaluationStore, jobs: Jobs, demo: gr.Blocks, runs_changed: list[Callable[..., Any]],
    dataset: gr.Dropdown, tabs: gr.Tabs,
) -> EvaluateTab:  # fmt: skip
    """Build the tab.

    Args:
        runs_changed: events after which there may be other runs, adapters or subsets.
        dataset, tabs: where the result is opened.
    """
    asking, watching = Asking(store), Watching(store, jobs)
    with gr.Row(elem_id="answers-columns"):
        with gr.Column(scale=2, min_width=320):
            asked = build_asking()
        with gr.Column(scale=4, min_width=340):
            shown = build_watching()
    _wire_asking(asking, asked, shown, demo, runs_changed)
    _wire_result(watching, shown, dataset, tabs)
    return EvaluateTab(_wire_watching(watching, shown, demo))


def _wire_asking(
    do: Asking, asked: AskingWidgets, shown: WatchingWidgets, demo: gr.Blocks, runs_changed: list[Callable[..., Any]]
) -> None:
    fields = asked.fields
    chosen = [fields["run"], fields["lanes"]]
    gr.on([demo.load, *runs_changed], event_handler(do.lists), chosen, asked.lists, **QUIET)
    fields["prompts"].change(event_handler(do.kinds), fields["prompts"], asked.kinds, **QUIET)
    asked.start.click(
        event_handler(do.start), inputs_kwargs={"upload": asked.upload, **fields}, outputs=shown.evaluation,
        api_name="answers_start",
    )  # fmt: skip


def _closed() -> Any:
    """The status for a visitor, to whom no other event of the tab answers."""
    return gr.skip() if roles.caller().is_owner else empty_html(CLOSED)


def _wire_watching(do: Watching, shown: WatchingWidgets, demo: gr.Blocks) -> gr.Timer:
    seen, listed = gr.State(""), gr.State("")
    one, pager = shown.evaluation, shown.pager
    clock = gr.Timer(_EVERY_SECONDS, active=False)
    demo.load(event_handler(do.listed), one, one, **QUIET)
    demo.load(event_handler(_closed, visitor=True), None, shown.status, **QUIET)
    clock.tick(
        event_handler(do.beat), [seen, listed, one, pager.page, pager.size], [seen, listed, one, *shown.drawn],
        trigger_mode="once", **QUIET,
    )  # fmt: skip
    one.change(
        event_handler(do.opened),
        [one, pager.size],
        [seen, *shown.drawn, shown.row],
        trigger_mode="always_last",
        **QUIET,
    )

    def at(turned: Callable[[float], float]) -> Callable[..., Any]:
        return event_handler(lambda evaluation_id, page, rows: do.page(evaluation_id, turned(page or 1), rows))

    paged, table = [one, pager.page, pager.size], [shown.table, pager.page, pager.position]
    pager.back.click(at(lambda page: page - 1), paged, table, **QUIET)
    pager.forward.click(at(lambda page: page + 1), paged, table, **QUIET)
    for event in (pager.page.submit, pager.page.blur, pager.size.change):
        event(at(lambda page: page), paged, table, **QUIET)

    def row(evaluation_id: str | None, event: gr.EventData) -> str:
        return do.row(evaluation_id, str(event.value))

    shown.table.open_row(event_handler(row), one, shown.row, **QUIET)
    for button, handler, name in (
        (shown.pause, do.pause, "answers_pause"), (shown.resume, do.resume, "answers_resume"),
        (shown.stop, do.stop, "answers_stop"),
    ):  # fmt: skip
        button.click(event_handler(handler), one, None, api_name=name, concurrency_limit=None)
    shown.delete.click(event_handler(do.delete), [one, shown.typed], [one, shown.typed], api_name="answers_delete")
    return clock


def _wire_result(do: Watching, shown: WatchingWidgets, dataset: gr.Dropdown, tabs: gr.Tabs) -> None:
    job = gr.State(None)
    connect(
        shown.open.click,
        do.open,
        {"evaluation_id": shown.evaluation},
        {**job_outputs(shown.bar, job), "dataset": dataset, "tabs": tabs},
        show_progress="hidden",
        api_name="answers_open",
    )
    shown.bar.cancel.click(event_handler(lambda number: cancel(do.jobs, number)), job, None, **QUIET)
    shown.download.makes(event_handler(do.as_file), [shown.evaluation, shown.kind], **QUIET)
