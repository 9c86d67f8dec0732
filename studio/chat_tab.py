"""The Chat tab: one prompt, answered side by side by a base model and what was trained on it.

Builds the widgets of studio/chat/layout.py and connects them to the event handlers of studio/chat/parts.py.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import skeleton_html
from core.chat.engine import Engine
from core.chat.turns import MAX_LANES
from core.errors import StudioError
from studio.chat.api import build_chat_call
from studio.chat.events import connect_asking, connect_cards, connect_for_visitors, connect_turns, turn_and_lane
from studio.chat.layout import WHY_DRAWER, ChatWidgets, build_chat_widgets
from studio.chat.live_answers import LiveAnswers
from studio.chat.parts import ChatParts
from studio.chat.view import Updates
from studio.debounce import Debounce
from studio.event_values import row_number
from studio.handlers import event_handler
from studio.html import read_static
from studio.wiring import HEAVY, LATEST_ONLY, PRIVATE, UNLIMITED, Named, connect


@dataclass(frozen=True)
class ChatTab:
    """Parts of the Chat tab that studio/app.py connects to other tabs.

    Attributes:
        row_wanted: A training row that the Data tab should open (`NearestRows.open_row`).
        live_answers: Answers while they are written, which the page reads over a route of its own.
        shown: The conversation that the page shows, by the names that `compare_with_base` takes; `chat_id` is empty
            before it shows any.
        chat_outputs: What `compare_with_base` updates, by name.
        compare_with_base: `ChatOpening.compare_with_base`.
        show_lanes_after: Renders the board with its lanes after an event that has chosen others.
    """

    row_wanted: gr.State
    live_answers: LiveAnswers
    shown: Named
    chat_outputs: Named
    compare_with_base: Callable[..., Updates]
    show_lanes_after: Callable[[Any], None]


def build_chat_tab(engine: Engine, demo: gr.Blocks, run_events: list[Callable[..., Any]]) -> ChatTab:
    """Build the tab inside the current layout.

    Args:
        engine: Generates the answers.
        demo: The page, for its load and unload events.
        run_events: Events after which there may be new runs or adapters.
    """
    parts, widgets = ChatParts.create(engine), build_chat_widgets()
    _connect_opening(parts, widgets, demo, run_events)
    _connect_lanes(parts, widgets)
    connect_asking(parts, widgets)
    connect_turns(parts, widgets)
    connect_cards(parts, widgets)
    _connect_settings(parts, widgets)
    _connect_votes(parts, widgets)
    _connect_panels(parts, widgets)
    _connect_why(parts, widgets)
    demo.unload(event_handler(parts.conversations.leave, visitor=True))
    gr.api(event_handler(build_chat_call(engine), visitor=True), api_name="chat", concurrency_limit=None)
    return ChatTab(
        widgets.states.row_wanted, LiveAnswers(parts.conversations),
        {"my_chats": widgets.states.my_chats.text, **widgets.view_inputs}, widgets.chat_outputs,
        parts.opening.compare_with_base, functools.partial(_render_after, parts, widgets),
    )  # fmt: skip


def _connect_opening(
    parts: ChatParts, widgets: ChatWidgets, demo: gr.Blocks, run_events: list[Callable[..., Any]]
) -> None:
    """Open a conversation and show it, and keep it up to date with the runs and with other pages."""
    states, conversation = widgets.states, widgets.conversation
    stored, shown = {"my_chats": states.my_chats.text}, widgets.chat_outputs
    connect_for_visitors(demo.load, parts.opening.open_chat, stored, shown, js=states.my_chats.read)
    inputs = stored | widgets.view_inputs
    connect_for_visitors(conversation.new_chat.click, parts.opening.new_chat, inputs, shown)
    inputs = stored | {"earlier": widgets.panels.earlier, "show": widgets.lanes.show}
    connect_for_visitors(widgets.panels.earlier.input, parts.opening.open_earlier, inputs, shown)
    # "returned" is sent when the browser window is visible again: another page may have written meanwhile.
    for event in (functools.partial(gr.on, run_events), conversation.now.returned):
        inputs = widgets.view_inputs | {"hint": conversation.hint}
        connect_for_visitors(event, parts.opening.refresh, inputs, widgets.lane_outputs | widgets.view_outputs)


def _connect_lanes(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Choose the base model and the number of lanes."""
    picker, chat_id = parts.picker, widgets.states.chat_id
    for widget, handler, name in (
        (widgets.lanes.base, picker.choose_base, "base"),
        (widgets.lanes.count, picker.choose_lane_count, "count"),
    ):
        inputs = {"chat_id": chat_id, name: widget}
        _show_choice(parts, widgets, connect_for_visitors(widget.input, handler, inputs, widgets.lane_outputs))
    for lane in range(MAX_LANES):
        _connect_lane(parts, widgets, lane)


def _connect_lane(parts: ChatParts, widgets: ChatWidgets, lane: int) -> None:
    """Choose the run and the checkpoint of one lane."""
    slider = Debounce()

    def choose_run(chat_id: str, run_id: str) -> Updates:
        return parts.picker.choose_run(chat_id, lane, run_id)

    def choose_checkpoint(
        chat_id: str, index: float, show: list[str], scope: str, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        # Each position may generate an answer, which the next position then replaces.
        if not slider.rests((chat_id, lane)):
            yield {}
            return
        parts.conversations.interrupt(chat_id, lane)
        parts.settings.save(chat_id, scope, values)
        yield parts.picker.choose_checkpoint(chat_id, lane, index)
        yield from parts.actions.answer_checkpoint(chat_id, lane, show, request)

    run, checkpoint = widgets.lanes.runs[lane], widgets.lanes.checkpoints[lane]
    inputs = {"chat_id": widgets.states.chat_id, "run_id": run}
    _show_choice(parts, widgets, connect_for_visitors(run.input, choose_run, inputs, widgets.lane_outputs))
    # `input`, because the keyboard does not send `release`.
    inputs, outputs = widgets.answer_inputs | {"index": checkpoint}, widgets.lane_outputs | widgets.view_outputs
    connect_for_visitors(checkpoint.input, choose_checkpoint, inputs, outputs, trigger_mode="multiple")


def _show_choice(parts: ChatParts, widgets: ChatWidgets, choice: Any) -> None:
    """After a choice, render the board with its lanes; after a refused one, show the lanes as they were."""
    _render_after(parts, widgets, choice)
    connect_for_visitors(
        choice.failure, parts.picker.show_lanes, {"chat_id": widgets.states.chat_id}, widgets.lane_outputs
    )


def _render_after(parts: ChatParts, widgets: ChatWidgets, choice: Any) -> None:
    connect_for_visitors(choice.success, parts.actions.render_view, widgets.view_inputs, widgets.view_outputs)


def _connect_settings(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Switch between the settings of all lanes and of one."""
    inputs = {"chat_id": widgets.states.chat_id, "scope": widgets.panels.scope, **widgets.form_outputs}
    connect_for_visitors(widgets.panels.scope.input, parts.settings.switch_scope, inputs, widgets.form_outputs)


def _connect_votes(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Vote, undo a vote, hide names, and export the votes."""
    conversation, chat_id = widgets.conversation, widgets.states.chat_id

    def vote(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return parts.voting.vote(chat_id, str(event.value), show)

    def undo_vote(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return parts.voting.undo_vote(chat_id, int(event.value), show)

    outputs = widgets.view_outputs | {"tally": widgets.panels.tally}
    connect_for_visitors(conversation.now.vote, vote, widgets.view_inputs, outputs)
    for board in (conversation.past, conversation.now):
        connect_for_visitors(board.undo_vote, undo_vote, widgets.view_inputs, outputs)
    connect_for_visitors(
        widgets.lanes.blind.input, parts.voting.set_blind, {"chat_id": chat_id, "blind": widgets.lanes.blind}
    )
    # The votes of everybody, so only for the owner.
    widgets.panels.preferences.makes(event_handler(parts.voting.export_preferences), chat_id, **UNLIMITED)


def _connect_panels(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Suggestions, rendered prompts, files, memory."""
    states, conversation, panels, chat_id = widgets.states, widgets.conversation, widgets.panels, widgets.states.chat_id

    def show_prompts(chat_id: str) -> Iterator[Updates]:
        yield {"prompts": skeleton_html("Loading the tokenizer …")}
        try:
            yield parts.prompts.show(chat_id)
        except StudioError:
            yield {"prompts": ""}
            raise

    def use_suggestion(suggested: list[list[str]], event: gr.SelectData) -> Updates:
        question, answer = suggested[event.index]
        return {"prompt": question, "reference": (question, answer)}

    prompt = {"prompt": conversation.prompt, "reference": states.reference}
    connect_for_visitors(conversation.suggestions.select, use_suggestion, {"suggested": states.suggested}, prompt)
    more = conversation.more_suggestions
    connect_for_visitors(more.click, parts.suggestions.suggest, {"chat_id": chat_id}, widgets.suggestion_outputs)
    # However the models were chosen: by the user, by a button of another tab, or because a run has ended.
    chosen = functools.partial(gr.on, [run.change for run in widgets.lanes.runs])
    inputs = {"chat_id": chat_id, "suggested_for": states.suggested_for}
    connect_for_visitors(chosen, parts.suggestions.follow, inputs, widgets.suggestion_outputs, **LATEST_ONLY)
    shown = {"prompts": panels.prompts}
    connect(panels.show_prompts.click, show_prompts, {"chat_id": chat_id}, shown, visitor=True, **PRIVATE, **HEAVY)
    # The model in memory serves everybody, so only the owner unloads it.
    connect(panels.unload.click, parts.picker.unload, **UNLIMITED)
    panels.jsonl.makes(event_handler(parts.export.as_jsonl, visitor=True), chat_id, **PRIVATE, **HEAVY)
    panels.markdown.makes(event_handler(parts.export.as_markdown, visitor=True), chat_id, **PRIVATE, **HEAVY)


def _connect_why(parts: ChatParts, widgets: ChatWidgets) -> None:
    """List the training rows nearest to an answer, in their drawer, and open one in the Data tab."""
    states, conversation, panels, chat_id = widgets.states, widgets.conversation, widgets.panels, widgets.states.chat_id

    def why(chat_id: str, event: gr.EventData) -> Iterator[Updates]:
        turn, lane = turn_and_lane(event)
        yield {"nearest_rows": skeleton_html("Searching the training rows …")}
        try:
            yield parts.nearest_rows.search(chat_id, turn, lane)
        except StudioError:
            yield {"nearest_rows": ""}
            raise

    def open_row(rows_source: dict | None, event: gr.EventData) -> Updates:
        return {"row_wanted": parts.nearest_rows.open_row(rows_source, row_number(event))}

    found = {"nearest_rows": panels.nearest_rows, "rows_source": states.rows_source}
    for board in (conversation.past, conversation.now):
        board.why(None, js=read_static("show_why.js").replace("DRAWER", WHY_DRAWER))
        connect(board.why, why, {"chat_id": chat_id}, found, visitor=True, **PRIVATE, **HEAVY)
    rows_source, row_wanted = {"rows_source": states.rows_source}, {"row_wanted": states.row_wanted}
    connect_for_visitors(panels.nearest_rows.open_row, open_row, rows_source, row_wanted)
