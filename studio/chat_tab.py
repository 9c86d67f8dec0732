"""The Chat tab: one prompt, answered side by side by a base model and what was trained on it.

Builds the widgets of studio/chat/layout.py and connects them to the event handlers of studio/chat/parts.py.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.chat.engine import Engine
from core.chat.turns import MAX_LANES
from studio.chat.api import build_chat_call
from studio.chat.events import connect_asking, connect_cards, connect_for_visitors, connect_turns, turn_and_lane
from studio.chat.layout import ChatWidgets, build_chat_widgets
from studio.chat.live_answers import LiveAnswers
from studio.chat.model_picker import ALL_LANES, NOTHING_TRAINED
from studio.chat.parts import ChatParts
from studio.chat.view import Updates
from studio.event_values import row_number
from studio.handlers import event_handler
from studio.wiring import HEAVY, PRIVATE, UNLIMITED, connect


@dataclass(frozen=True)
class ChatTab:
    """Parts of the Chat tab that studio/app.py connects to other tabs.

    Attributes:
        row_wanted: A training row that the Data tab should open (`NearestRows.open_row`).
        live_answers: Answers while they are written, which the page reads over a route of its own.
    """

    row_wanted: gr.State
    live_answers: LiveAnswers


def build_chat_tab(engine: Engine, demo: gr.Blocks, run_events: list[Callable[..., Any]]) -> ChatTab:
    """Build the tab inside the current layout.

    Args:
        engine: Generates the answers.
        demo: The page, for its load and unload events.
        run_events: Events after which there may be new runs or adapters.
    """
    parts, widgets = ChatParts.create(engine), build_chat_widgets()
    stored = widgets.states.my_chats
    opened = {"my_chats": stored.text, "chat_id": widgets.states.chat_id}
    connect_for_visitors(demo.load, parts.chat_list.open_chat, {"my_chats": stored.text}, opened, js=stored.read)
    _connect_opening(parts, widgets, run_events)
    _connect_lanes(parts, widgets)
    connect_asking(parts, widgets)
    connect_turns(parts, widgets)
    connect_cards(parts, widgets)
    _connect_settings(parts, widgets)
    _connect_votes(parts, widgets)
    _connect_panels(parts, widgets)
    demo.unload(event_handler(parts.conversations.leave, visitor=True))
    gr.api(event_handler(build_chat_call(engine), visitor=True), api_name="chat", concurrency_limit=None)
    return ChatTab(widgets.states.row_wanted, LiveAnswers(parts.conversations))


def _connect_opening(parts: ChatParts, widgets: ChatWidgets, run_events: list[Callable[..., Any]]) -> None:
    """Choose a conversation, show it, and keep it up to date with the runs and with other pages."""
    states, conversation = widgets.states, widgets.conversation

    def show_chat(chat_id: str, my_chats: str, show: list[str]) -> Updates:
        # The refresh goes first, because it may change the lanes that the board shows.
        lanes = parts.picker.refresh(chat_id)
        return {
            **parts.actions.render_view(chat_id, show, editing=-1),
            **lanes,
            **parts.settings.show(chat_id, ALL_LANES),
            "form_scope": ALL_LANES,
            **parts.chat_list.list_earlier(my_chats, chat_id),
            **parts.voting.tally(chat_id),
            **parts.voting.blind_update(chat_id),
            **parts.suggestions.suggest(chat_id),
        }

    def refresh(chat_id: str, show: list[str], hint: str, request: gr.Request) -> Iterator[Updates]:
        # Before the page has opened its conversation there is nothing to refresh.
        if not chat_id:
            yield {}
            return
        lanes = parts.picker.refresh(chat_id)
        # "Train first" disappears once a run is trained; any other hint stays.
        new_hint = lanes.pop("hint") or ("" if hint in NOTHING_TRAINED else None)
        for updates in parts.actions.follow(chat_id, show, request, new_hint):
            yield lanes | updates

    opened = {"my_chats": states.my_chats.text, "chat_id": states.chat_id}
    earlier = {"earlier": conversation.earlier, "my_chats": states.my_chats.text}
    connect_for_visitors(conversation.new_chat.click, parts.chat_list.new_chat, opened, opened)
    connect_for_visitors(conversation.earlier.input, parts.chat_list.open_earlier, earlier, opened)
    shown = widgets.view_outputs | widgets.lane_outputs | widgets.form_outputs | widgets.suggestion_outputs
    also = {"earlier": conversation.earlier, "tally": widgets.panels.tally, "blind": widgets.lanes.blind}
    connect_for_visitors(states.chat_id.change, show_chat, opened | {"show": conversation.show}, shown | also)
    # "returned" is sent when the browser window is visible again: another page may have written meanwhile.
    for event in (functools.partial(gr.on, run_events), conversation.now.returned):
        inputs = widgets.view_inputs | {"hint": conversation.hint}
        connect_for_visitors(event, refresh, inputs, widgets.lane_outputs | widgets.view_outputs)


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

    def choose_run(chat_id: str, run_id: str) -> Updates:
        return parts.picker.choose_run(chat_id, lane, run_id)

    def choose_checkpoint(
        chat_id: str, index: float, show: list[str], scope: str, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield parts.picker.choose_checkpoint(chat_id, lane, index)
        yield from parts.actions.answer_checkpoint(chat_id, lane, show, request)

    run, checkpoint = widgets.lanes.runs[lane], widgets.lanes.checkpoints[lane]
    inputs = {"chat_id": widgets.states.chat_id, "run_id": run}
    _show_choice(parts, widgets, connect_for_visitors(run.input, choose_run, inputs, widgets.lane_outputs))
    # On release, not on every position that the slider passes: each may generate an answer.
    inputs = widgets.answer_inputs | {"index": checkpoint}
    connect_for_visitors(checkpoint.release, choose_checkpoint, inputs, widgets.lane_outputs | widgets.view_outputs)


def _show_choice(parts: ChatParts, widgets: ChatWidgets, choice: Any) -> None:
    """After a choice, render the board with its lanes; after a refused one, show the lanes as they were."""
    connect_for_visitors(choice.success, parts.actions.render_view, widgets.view_inputs, widgets.view_outputs)
    connect_for_visitors(
        choice.failure, parts.picker.show_lanes, {"chat_id": widgets.states.chat_id}, widgets.lane_outputs
    )


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
    """Suggestions, nearest training rows, rendered prompts, files, memory."""
    states, conversation, panels, chat_id = widgets.states, widgets.conversation, widgets.panels, widgets.states.chat_id

    def why(chat_id: str, event: gr.EventData) -> Updates:
        return parts.nearest_rows.search(chat_id, *turn_and_lane(event))

    def open_row(rows_source: dict | None, event: gr.EventData) -> Updates:
        return {"row_wanted": parts.nearest_rows.open_row(rows_source, row_number(event))}

    def use_suggestion(suggested: list[list[str]], event: gr.SelectData) -> Updates:
        question, answer = suggested[event.index]
        return {"prompt": question, "reference": (question, answer)}

    found = {"nearest_rows": panels.nearest_rows, "rows_source": states.rows_source, "why_panel": panels.why_panel}
    for board in (conversation.past, conversation.now):
        connect(board.why, why, {"chat_id": chat_id}, found, visitor=True, **PRIVATE, **HEAVY)
    rows_source, row_wanted = {"rows_source": states.rows_source}, {"row_wanted": states.row_wanted}
    connect_for_visitors(panels.nearest_rows.open_row, open_row, rows_source, row_wanted)
    prompt = {"prompt": conversation.prompt, "reference": states.reference}
    connect_for_visitors(conversation.suggestions.select, use_suggestion, {"suggested": states.suggested}, prompt)
    more = conversation.more_suggestions
    connect_for_visitors(more.click, parts.suggestions.suggest, {"chat_id": chat_id}, widgets.suggestion_outputs)
    shown = {"prompts": panels.prompts}
    connect(
        panels.show_prompts.click, parts.prompts.show, {"chat_id": chat_id}, shown, visitor=True, **PRIVATE, **HEAVY
    )
    # The model in memory serves everybody, so only the owner unloads it.
    connect(panels.unload.click, parts.picker.unload, **UNLIMITED)
    panels.jsonl.makes(event_handler(parts.export.as_jsonl, visitor=True), chat_id, **PRIVATE, **HEAVY)
    panels.markdown.makes(event_handler(parts.export.as_markdown, visitor=True), chat_id, **PRIVATE, **HEAVY)
