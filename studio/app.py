"""Assemble the page: a header, one tab per step, and the links between the tabs."""

import json
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.access.roles import Access, Way
from core.chat.engine import Engine
from core.data import subset
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.runs import example, process
from core.runs.store import RunStore
from core.settings import Settings
from core.system.jobs import Jobs
from studio.api import build_api
from studio.api_switch import ApiSwitch, build_api_switch
from studio.authorized_blocks import AuthorizedBlocks
from studio.chat_tab import ChatTab, build_chat_tab
from studio.data.page_state import open_source_row
from studio.data_tab import DataTab, build_data_tab
from studio.evaluate_tab import EvaluateTab, build_evaluate_tab
from studio.export_tab import build_export_tab
from studio.header import build_head, connect_header
from studio.html import read_static
from studio.job_bars import JobBars
from studio.journey import JourneyBar
from studio.journey_bar import build_journey_bar, connect_journey, connect_next_steps
from studio.mcp_server import is_available
from studio.owner_tab import build_owner_tab
from studio.train_tab import TrainTab, build_train_tab
from studio.wiring import PRIVATE, connect

TITLE = "QLoRA Studio"


def build(settings: Settings) -> AuthorizedBlocks:
    """Build the whole page.

    Imports no torch, which takes seconds: it is imported when a model is needed.
    """
    subset.ensure_bundled(settings)
    example.install(settings)
    runs, evaluations = RunStore(settings), EvaluationStore(settings)
    bars, engine = JobBars(Jobs()), Engine(settings)
    with AuthorizedBlocks(Access.of(settings), title=TITLE, analytics_enabled=False, fill_width=True) as demo:
        notice = build_head(TITLE, demo.access)
        bar = build_journey_bar()
        with gr.Tabs(overflow_behavior="wrap", elem_id="steps") as tabs:
            with gr.Tab("Data", id="data"):
                data = build_data_tab(settings, bars, demo)
            with gr.Tab("Train", id="train") as train_tab:
                train = build_train_tab(runs, bars, demo, train_tab.select)
            with gr.Tab("Chat", id="chat") as chat_tab:
                chat = build_chat_tab(engine, demo, [train.runs_fingerprint.change, chat_tab.select])
            with gr.Tab("Evaluate", id="evaluate") as evaluate_tab:
                changes = [train.runs_fingerprint.change, evaluate_tab.select]
                evaluate = build_evaluate_tab(evaluations, bars, demo, changes, data.dataset, tabs)
            with gr.Tab("Export", id="export") as export_tab:
                exported = build_export_tab(runs, bars, demo, [train.runs_fingerprint.change, export_tab.select])
            with gr.Tab("Owner", id="owner", visible=demo.access.way is not Way.SPACE) as owner_tab:
                switch = _build_owner_tab(settings, engine, owner_tab)
        bars.connect([demo.load, *(tab.select for tab in tabs.children)])
        build_api(runs)
        changes = [data.created.change, data.dataset.change, evaluate.evaluation.change, demo.load, tabs.select]
        lists = {"tabs": tabs, "evaluate_run": evaluate.run, "export_run": exported}
        _connect_journey(JourneyBar(runs, evaluations, chat.compare_with_base), bar, changes, lists, data, train, chat)
        _connect_training_rows(chat, evaluate, data, train, tabs)
        _follow_open_tab(tabs, demo, {"Train": train.timer, "Evaluate": evaluate.timer})
        connect_header(demo, settings, engine.visitor_quota.tokens, notice, owner_tab)

    _supervise_runs(runs, engine)
    demo.jobs, demo.visitor_tokens = bars.jobs, engine.visitor_quota.tokens
    demo.api_switch = switch
    demo.own_routes = [chat.live_answers.route(demo), *switch.routes()]
    return demo


def _build_owner_tab(settings: Settings, engine: Engine, tab: gr.Tab) -> ApiSwitch:
    """Build the parts of the Owner tab, which are filled when it is opened, and return the switch of the API."""
    owner = build_owner_tab(settings, engine.visitor_quota.quotas, engine.visitor_quota.tokens)
    switch = ApiSwitch(settings, engine, is_available(Access.of(settings).way))
    connect(tab.select, owner.fill, outputs=owner.outputs, **PRIVATE)
    build_api_switch(switch, tab.select)
    return switch


def _supervise_runs(runs: RunStore, engine: Engine) -> None:
    """Start queued runs in the background, free the GPU for them, and stop runs that exceed their quota of hours."""

    def supervise() -> None:
        engine.yield_to_run()
        process.stop_overdue(runs, engine.visitor_quota.quotas.run_hours)

    process.start_queue_watcher(runs, also=supervise)


def _connect_journey(
    do: JourneyBar, bar: gr.HTML, changes: list[Any], lists: dict[str, Block], data: DataTab, train: TrainTab,
    chat: ChatTab,
) -> None:  # fmt: skip
    """Let the bar and the next steps of a run open the tabs with what they name, and offer new subsets."""
    chosen = {
        **lists,
        "bar": bar,
        "dataset": data.dataset,
        "tools": data.tools,
        "subset": train.subset,
        "run": train.run,
        "views": train.views,
        **chat.chat_outputs,
    }
    changes = [*changes, train.runs_fingerprint.change, train.new_subset.change]
    opened = connect_journey(do, bar, changes, chosen, chat.shown)
    for event in [*opened, *connect_next_steps(do, train.next_steps, train.run, chosen, chat.shown)]:
        chat.show_lanes_after(event)
        event.success(None, js=read_static("focus_opened_tab.js"))
    _offer_new_subsets(data, train, lists["tabs"])


def _offer_new_subsets(data: DataTab, train: TrainTab, tabs: gr.Tabs) -> None:
    """Choose a subset that was just created as the one to train on next, and open the Train tab for it."""
    for created in (data.created, train.new_subset):
        connect(
            created.change,
            lambda name: {"subset": gr.update(choices=train.subsets(), value=name)},
            {"name": created},
            {"subset": train.subset},
            **PRIVATE,
        )
    opened = connect(
        data.train.click,
        lambda name: {"subset": gr.update(choices=train.subsets(), value=name), "tabs": gr.update(selected="train")},
        {"name": data.created},
        {"subset": train.subset, "tabs": tabs},
        **PRIVATE,
    )
    opened.success(None, js=read_static("focus_opened_tab.js"))


def _connect_training_rows(chat: ChatTab, evaluate: EvaluateTab, data: DataTab, train: TrainTab, tabs: gr.Tabs) -> None:
    """Connect the training rows behind an answer: they open in the Data tab, and lead to the next run."""
    _open_source_rows(chat.row_wanted, data, tabs, visitor=True)
    for row_wanted in (evaluate.rows.row_wanted, evaluate.row_wanted):
        _open_source_rows(row_wanted, data, tabs)
    _train_again(evaluate, train, tabs)


def _open_source_rows(row_wanted: gr.State, data: DataTab, tabs: gr.Tabs, visitor: bool = False) -> None:
    """Open a training row that was clicked in another tab in the Data tab."""

    def show_source_row(source: dict | None, state: dict) -> dict[str, Any]:
        if not source:
            raise StudioError("No row is chosen. Press “Similar training rows” under an answer, then click a row.")
        return {**open_source_row(source, state), "tabs": gr.update(selected="data")}

    connect(
        row_wanted.change,
        show_source_row,
        {"source": row_wanted, "state": data.state},
        {**data.row_outputs, "tabs": tabs},
        visitor=visitor,
        **PRIVATE,
    )


def _train_again(evaluate: EvaluateTab, train: TrainTab, tabs: gr.Tabs) -> None:
    """Fill the Train tab's form with the run behind a poor answer, and the newest subset of its dataset."""

    def fill(evaluation_id: str | None, lane: str | None) -> dict[str, Any]:
        run, name = evaluate.training_rows.next_run(evaluation_id, lane)
        newest = {"subset": gr.update(choices=train.subsets(), value=name), "tabs": gr.update(selected="train")}
        return {**train.duplicate(run), **newest}

    chosen = {"evaluation_id": evaluate.evaluation, "lane": evaluate.rows.lane}
    filled = connect(evaluate.rows.again.click, fill, chosen, {**train.copy_outputs, "tabs": tabs}, **PRIVATE)
    filled.success(None, js=read_static("focus_opened_tab.js"))


def _follow_open_tab(tabs: gr.Tabs, demo: gr.Blocks, timers: dict[str, gr.Timer]) -> None:
    """Let only the tab that is open poll the server, and let a reload land on it.

    Args:
        tabs: All tabs of the page.
        demo: The page, for its load event.
        timers: By the label of the tab that each one polls for.
    """
    # The event of each tab, because that of `tabs` comes only from a click: a button that opens a tab sends none.
    for tab in tabs.children:
        # This runs in the browser, where two tabs that are opened one after the other cannot overtake each other.
        active = [{"__type__": "update", "active": tab.label == label} for label in timers]
        tab.select(None, outputs=list(timers.values()), js=f"() => {json.dumps(active)}")
    gr.on([tab.select for tab in tabs.children], None, js=read_static("address_of_tab.js"))
    demo.load(None, js=read_static("tab_of_address.js"))
