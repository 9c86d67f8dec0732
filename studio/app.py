"""Assembles the page: a header and one tab a step, and the links between them."""

import gradio as gr

from core.access.roles import Access, Way
from core.chat.engine import Engine
from core.data import subset
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.runs import process
from core.runs.store import RunStore
from core.settings import Settings, hardware
from core.system.jobs import Jobs
from studio.api import build_service
from studio.authorized_blocks import Guarded
from studio.chat_tab import build_chat_tab
from studio.data.page_state import looking_at
from studio.data_tab import build_data_tab
from studio.evaluate_tab import build_answers_tab
from studio.handlers import event_handler
from studio.header import build_welcome, duplicate
from studio.owner_tab import build_owner_tab
from studio.train_tab import build_train_tab

TITLE = "QLoRA Studio"


def build(settings: Settings) -> Guarded:
    """The whole page. Imports no torch: models are loaded when somebody asks for one."""
    subset.ensure_bundled(settings)
    runs = RunStore(settings)
    jobs, engine = Jobs(), Engine(settings)
    with Guarded(Access.of(settings), title=TITLE, analytics_enabled=False, fill_width=True) as demo:
        _head()
        notice = gr.HTML(elem_id="notice", padding=False, visible=demo.access.way is Way.SPACE)
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Data", id="data"):
                data = build_data_tab(settings, jobs, demo)
            with gr.Tab("Train", id="train") as train_tab:
                train = build_train_tab(runs, jobs, demo, train_tab.select)
            with gr.Tab("Chat", id="chat") as chat_tab:
                chat = build_chat_tab(engine, demo, [train.listed.change, chat_tab.select])
            with gr.Tab("Answers", id="answers") as many:
                changed = [train.listed.change, many.select]
                answers = build_answers_tab(EvaluationStore(settings), jobs, demo, changed, data.dataset, tabs)
            with gr.Tab("Owner", id="owner", visible=demo.access.way is not Way.SPACE) as owner_tab:
                owner = build_owner_tab(settings, engine.visitor_quota.quotas, engine.visitor_quota.tokens)
        build_service(runs)
        link = {"show_progress": "hidden", "api_visibility": "private"}
        # A subset just cut is the one to train on next.
        for cut in (data.cut, train.cut):
            cut.change(
                event_handler(lambda name: gr.update(choices=train.subsets(), value=name)), cut, train.subset, **link
            )

        def show_row(wanted: dict | None, lens: dict) -> tuple:
            if not wanted:
                raise StudioError("No row is wanted. Click Why? under an answer, and a row there.")
            return *looking_at(wanted, lens), gr.update(selected="data")

        chat.row_wanted.change(
            event_handler(show_row, visitor=True), [chat.row_wanted, data.lens], [*data.shows_row, tabs], **link
        )

        def seen(event: gr.SelectData) -> list[gr.Timer]:
            return [gr.Timer(active=event.value == tab) for tab in ("Train", "Answers")]  # nobody looks: nothing asked

        tabs.select(event_handler(seen, visitor=True), None, [train.clock, answers.clock], **link)
        owner_tab.select(owner.fill, None, owner.filled, **link)
        build_welcome(demo, settings, engine.visitor_quota.tokens, notice, owner_tab)

    def look_after() -> None:
        engine.yield_to_run()
        process.end_overdue(runs, engine.visitor_quota.quotas.run_hours)

    process.keep_going(runs, also=look_after)
    demo.jobs = jobs
    return demo


def _head() -> None:
    with gr.Row(elem_id="head"):
        gr.HTML(
            f'<div class="qs-head"><h1>{TITLE}</h1><span>Fine-tune Llama models without a script</span>'
            f"<span>{hardware().description}</span></div>",
            padding=False,
        )
        duplicate()
