"""The Chat tab: one prompt, answered side by side by a base model and what was trained on it.

Builds the widgets of studio/chat/layout.py and connects them to the event handlers of studio/chat/parts.py.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.data_table import value_of
from core.chat.conversation import MAX_LANES
from core.chat.engine import Engine
from core.errors import StudioError
from studio.chat.api import build_chat_call
from studio.chat.layout import ChatWidgets, build_chat_widgets
from studio.chat.model_picker import ALL_LANES, NOTHING_TRAINED
from studio.chat.parts import ChatParts
from studio.chat.view import Updates
from studio.handlers import event_handler
from studio.html import read_static
from studio.wiring import connect

# Everything here is for visitors too, unless a line says otherwise: they chat within their quota of tokens.
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
_connect = functools.partial(connect, visitor=True, **_QUIET)


@dataclass(frozen=True)
class ChatTab:
    """What studio/app.py may connect to.

    Attributes:
        row_wanted: a training row that the Data tab should open (`NearestRows.open_row`).
    """

    row_wanted: gr.State


def build_chat_tab(engine: Engine, demo: gr.Blocks, run_events: list[Callable[..., Any]]) -> ChatTab:
    """Build the tab inside the present layout.

    Args:
        engine: generates the answers.
        demo: the page, for its load and unload events.
        run_events: events after which there may be new runs or adapters.
    """
    parts, widgets = ChatParts.create(engine), build_chat_widgets()
    stored = widgets.states.my_chats
    opened = {"my_chats": stored.text, "chat_id": widgets.states.chat_id}
    _connect(demo.load, parts.chat_list.open_chat, {"my_chats": stored.text}, opened, js=stored.read)
    _connect_opening(parts, widgets, run_events)
    _connect_lanes(parts, widgets)
    _connect_asking(parts, widgets)
    _connect_turns(parts, widgets)
    _connect_settings(parts, widgets)
    _connect_votes(parts, widgets)
    _connect_panels(parts, widgets)
    demo.unload(event_handler(parts.conversations.leave, visitor=True))
    gr.api(event_handler(build_chat_call(engine), visitor=True), api_name="chat", concurrency_limit=None)
    return ChatTab(widgets.states.row_wanted)


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
    _connect(conversation.new_chat.click, parts.chat_list.new_chat, opened, opened)
    _connect(conversation.earlier.input, parts.chat_list.open_earlier, earlier, opened)
    shown = widgets.view_outputs | widgets.lane_outputs | widgets.form_outputs | widgets.suggestion_outputs
    also = {"earlier": conversation.earlier, "tally": widgets.panels.tally, "blind": widgets.lanes.blind}
    _connect(states.chat_id.change, show_chat, opened | {"show": conversation.show}, shown | also)
    # "returned" is sent when the browser window is visible again: another page may have written meanwhile.
    for event in (functools.partial(gr.on, run_events), conversation.now.returned):
        inputs = widgets.view_inputs | {"hint": conversation.hint}
        _connect(event, refresh, inputs, widgets.lane_outputs | widgets.view_outputs)


def _connect_lanes(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Choose the base model and the number of lanes."""
    picker, chat_id = parts.picker, widgets.states.chat_id
    for widget, handler, name in (
        (widgets.lanes.base, picker.choose_base, "base"),
        (widgets.lanes.count, picker.choose_lane_count, "count"),
    ):
        inputs = {"chat_id": chat_id, name: widget}
        _show_choice(parts, widgets, _connect(widget.input, handler, inputs, widgets.lane_outputs))
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
    _show_choice(parts, widgets, _connect(run.input, choose_run, inputs, widgets.lane_outputs))
    # On release, not on every position that the slider passes: each may generate an answer.
    inputs = widgets.answer_inputs | {"index": checkpoint}
    _connect(checkpoint.release, choose_checkpoint, inputs, widgets.lane_outputs | widgets.view_outputs)


def _show_choice(parts: ChatParts, widgets: ChatWidgets, choice: Any) -> None:
    """After a choice, render the board with its lanes; after a refused one, show the lanes as they were."""
    _connect(choice.success, parts.actions.render_view, widgets.view_inputs, widgets.view_outputs)
    _connect(choice.failure, parts.picker.show_lanes, {"chat_id": widgets.states.chat_id}, widgets.lane_outputs)


def _connect_asking(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Send a question: with the button, with Enter, or by clicking a suggestion on the empty board."""
    states, conversation = widgets.states, widgets.conversation

    def send(
        chat_id: str, prompt: str, reference: tuple[str, str], editing: int, show: list[str], scope: str,
        blind: bool, request: gr.Request, **values: Any,
    ) -> Iterator[Updates]:  # fmt: skip
        parts.settings.save(chat_id, scope, values)
        # The checkbox may have been ticked so recently that its own event has not arrived.
        parts.voting.set_blind(chat_id, blind)
        question, answer = reference
        # A suggestion that was edited in the prompt box has no reference answer any more.
        yield from parts.actions.send(chat_id, prompt, answer if question == prompt else "", editing, show, request)

    def send_suggestion(
        suggested: list[list[str]], event: gr.EventData, request: gr.Request, **inputs: Any
    ) -> Iterator[Updates]:
        index = int(event.value)
        if not 0 <= index < len(suggested):
            raise StudioError("This question is no longer suggested. Click Suggest others.")
        reference = tuple(suggested[index])
        yield from send(prompt=reference[0], reference=reference, editing=-1, request=request, **inputs)

    inputs = widgets.answer_inputs | {"blind": widgets.lanes.blind}
    typed = inputs | {"prompt": conversation.prompt, "reference": states.reference, "editing": states.editing}
    clicked = inputs | {"suggested": states.suggested}
    events = [
        _connect(conversation.send.click, send, typed, widgets.view_outputs),
        # Enter while an answer is written must reach the handler, which shows why it is refused.
        _connect(conversation.prompt.submit, send, typed, widgets.view_outputs, trigger_mode="multiple"),
        _connect(conversation.invitation.suggest, send_suggestion, clicked, widgets.view_outputs),
    ]
    _list_chats_after(parts, widgets, events)


def _list_chats_after(parts: ChatParts, widgets: ChatWidgets, events: list[Any]) -> None:
    """List the browser's conversations again: a conversation is named after its first question."""
    inputs = {"my_chats": widgets.states.my_chats.text, "chat_id": widgets.states.chat_id}
    for event in events:
        _connect(event.then, parts.chat_list.list_earlier, inputs, {"earlier": widgets.conversation.earlier})


def _connect_turns(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Act on turns that there are: with the buttons below the prompt box, and on the cards of the board."""
    actions, conversation, chat_id = parts.actions, widgets.conversation, {"chat_id": widgets.states.chat_id}

    def retry(chat_id: str, show: list[str], scope: str, request: gr.Request, **values: Any) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.retry(chat_id, None, show, request)

    def retry_one(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.retry(chat_id, _turn_and_lane(event)[1], show, request)

    def continue_answer(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.continue_answer(chat_id, _turn_and_lane(event)[1], show, request)

    def stop_lane(chat_id: str, event: gr.EventData) -> None:
        parts.conversations.stop(chat_id, _turn_and_lane(event)[1])

    def earlier_try(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return actions.show_earlier_try(chat_id, _turn_and_lane(event)[1], show)

    def edit(chat_id: str, event: gr.EventData) -> Updates:
        return actions.edit(chat_id, _turn_and_lane(event)[0])

    view, answer, outputs = widgets.view_inputs, widgets.answer_inputs, widgets.view_outputs
    _connect(conversation.retry.click, retry, answer, outputs)
    _connect(conversation.stop.click, parts.conversations.stop, chat_id)
    _connect(conversation.show.change, actions.render_view, view, outputs)
    _connect(conversation.now.stop_lane, stop_lane, chat_id)
    _connect(conversation.now.retry_lane, retry_one, answer, outputs)
    _connect(conversation.now.continue_answer, continue_answer, answer, outputs)
    _connect(conversation.now.earlier_try, earlier_try, view, outputs)
    for board in (conversation.past, conversation.now):
        _connect(board.edit, edit, chat_id, outputs).success(None, js=read_static("focus_prompt.js"))
    branch = {"branch": conversation.branch}
    events = [
        _connect(conversation.undo.click, actions.undo, view, outputs),
        _connect(conversation.branch.input, actions.switch_branch, view | branch, outputs),
    ]
    _list_chats_after(parts, widgets, events)
    _connect(conversation.past.change, parts.chat_list.list_branches, chat_id, branch)
    # The last turn changes with every update of a stream; branches only after it, so skip what comes meanwhile.
    _connect(conversation.now.change, parts.chat_list.list_branches, chat_id, branch, trigger_mode="once")


def _connect_settings(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Switch between the settings of all lanes and of one."""
    inputs = {"chat_id": widgets.states.chat_id, "scope": widgets.panels.scope, **widgets.form_outputs}
    _connect(widgets.panels.scope.input, parts.settings.switch_scope, inputs, widgets.form_outputs)


def _connect_votes(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Vote, undo a vote, hide names, and export the votes."""
    conversation, chat_id = widgets.conversation, widgets.states.chat_id

    def vote(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return parts.voting.vote(chat_id, str(event.value), show)

    def undo_vote(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return parts.voting.undo_vote(chat_id, int(event.value), show)

    outputs = widgets.view_outputs | {"tally": widgets.panels.tally}
    _connect(conversation.now.vote, vote, widgets.view_inputs, outputs)
    for board in (conversation.past, conversation.now):
        _connect(board.undo_vote, undo_vote, widgets.view_inputs, outputs)
    _connect(widgets.lanes.blind.input, parts.voting.set_blind, {"chat_id": chat_id, "blind": widgets.lanes.blind})
    # The votes of everybody, so only for the owner.
    widgets.panels.preferences.makes(event_handler(parts.voting.export_preferences), chat_id, **_QUIET)


def _connect_panels(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Suggestions, nearest training rows, rendered prompts, files, memory."""
    states, conversation, panels, chat_id = widgets.states, widgets.conversation, widgets.panels, widgets.states.chat_id

    def why(chat_id: str, event: gr.EventData) -> Updates:
        return parts.nearest_rows.search(chat_id, *_turn_and_lane(event))

    def open_row(rows_source: dict | None, event: gr.EventData) -> Updates:
        return {"row_wanted": parts.nearest_rows.open_row(rows_source, value_of(event))}

    def use_suggestion(suggested: list[list[str]], event: gr.SelectData) -> Updates:
        question, answer = suggested[event.index]
        return {"prompt": question, "reference": (question, answer)}

    found = {"nearest_rows": panels.nearest_rows, "rows_source": states.rows_source, "why_panel": panels.why_panel}
    for board in (conversation.past, conversation.now):
        _connect(board.why, why, {"chat_id": chat_id}, found)
    rows_source, row_wanted = {"rows_source": states.rows_source}, {"row_wanted": states.row_wanted}
    _connect(panels.nearest_rows.open_row, open_row, rows_source, row_wanted)
    prompt = {"prompt": conversation.prompt, "reference": states.reference}
    _connect(conversation.suggestions.select, use_suggestion, {"suggested": states.suggested}, prompt)
    more = conversation.more_suggestions
    _connect(more.click, parts.suggestions.suggest, {"chat_id": chat_id}, widgets.suggestion_outputs)
    _connect(panels.show_prompts.click, parts.prompts.show, {"chat_id": chat_id}, {"prompts": panels.prompts})
    _connect(panels.unload.click, parts.picker.unload, visitor=False)
    panels.jsonl.makes(event_handler(parts.export.as_jsonl, visitor=True), chat_id, **_QUIET)
    panels.markdown.makes(event_handler(parts.export.as_markdown, visitor=True), chat_id, **_QUIET)


def _turn_and_lane(event: gr.EventData) -> tuple[int, int]:
    """Return what a click on the board refers to; the lane is 0 where the event names only a turn."""
    turn, _, lane = str(event.value).partition(" ")
    return int(turn), int(lane or 0)
