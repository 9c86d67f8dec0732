"""Events of the Chat tab about questions and answers: send, retry, stop, edit, switch branches.

studio/chat_tab.py connects the rest.
"""

import functools
from collections.abc import Iterator
from typing import Any

import gradio as gr

from core.errors import StudioError
from studio.chat.layout import DRAWER, ChatWidgets
from studio.chat.parts import ChatParts
from studio.chat.view import Updates
from studio.html import read_static
from studio.wiring import UNLIMITED, connect

# Most of the Chat tab is for visitors, too: they chat within their quota of tokens.
connect_for_visitors = functools.partial(connect, visitor=True, **UNLIMITED)


def connect_asking(parts: ChatParts, widgets: ChatWidgets) -> None:
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
            raise StudioError("This question is no longer suggested. Press Suggest others.")
        reference = tuple(suggested[index])
        yield from send(prompt=reference[0], reference=reference, editing=-1, request=request, **inputs)

    inputs = widgets.answer_inputs | {"blind": widgets.lanes.blind}
    typed = inputs | {"prompt": conversation.prompt, "reference": states.reference, "editing": states.editing}
    clicked = inputs | {"suggested": states.suggested}
    events = [
        connect_for_visitors(conversation.send.click, send, typed, widgets.view_outputs),
        # Enter while an answer is written must reach the handler, which shows why it is refused.
        connect_for_visitors(conversation.prompt.submit, send, typed, widgets.view_outputs, trigger_mode="multiple"),
        connect_for_visitors(conversation.invitation.suggest, send_suggestion, clicked, widgets.view_outputs),
    ]
    _list_chats_after(parts, widgets, events)
    for event in events:
        event.failure(None, js=read_static("show_wrong_setting.js").replace("DRAWER", DRAWER))


def connect_turns(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Act on all lanes of the conversation, with the buttons below the prompt box."""
    actions, conversation, chat_id = parts.actions, widgets.conversation, {"chat_id": widgets.states.chat_id}

    def retry(chat_id: str, show: list[str], scope: str, request: gr.Request, **values: Any) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.retry(chat_id, None, show, request)

    view, outputs, branch = widgets.view_inputs, widgets.view_outputs, {"branch": widgets.panels.branch}
    connect_for_visitors(conversation.retry.click, retry, widgets.answer_inputs, outputs)
    connect_for_visitors(conversation.stop.click, actions.stop_all, view, outputs)
    connect_for_visitors(widgets.lanes.show.change, actions.render_view, view, outputs)
    events = [
        connect_for_visitors(conversation.undo.click, actions.undo, view, outputs),
        connect_for_visitors(widgets.panels.branch.input, actions.switch_branch, view | branch, outputs),
    ]
    _list_chats_after(parts, widgets, events)
    connect_for_visitors(conversation.past.change, parts.chat_list.list_branches, chat_id, branch)
    # While answers are streamed, the board of the last turn changes often and the branches do not. So changes that come
    # while this call runs are skipped.
    connect_for_visitors(conversation.now.change, parts.chat_list.list_branches, chat_id, branch, trigger_mode="once")


def connect_cards(parts: ChatParts, widgets: ChatWidgets) -> None:
    """Act on one answer or one question, with the buttons on the cards of the board."""
    actions, conversation, chat_id = parts.actions, widgets.conversation, {"chat_id": widgets.states.chat_id}

    def retry_one(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.retry(chat_id, turn_and_lane(event)[1], show, request)

    def continue_answer(
        chat_id: str, show: list[str], scope: str, event: gr.EventData, request: gr.Request, **values: Any
    ) -> Iterator[Updates]:
        parts.settings.save(chat_id, scope, values)
        yield from actions.continue_answer(chat_id, turn_and_lane(event)[1], show, request)

    def stop_lane(chat_id: str, event: gr.EventData) -> None:
        parts.conversations.stop(chat_id, turn_and_lane(event)[1])

    def earlier_attempt(chat_id: str, show: list[str], event: gr.EventData) -> Updates:
        return actions.show_earlier_attempt(chat_id, turn_and_lane(event)[1], show)

    def edit(chat_id: str, event: gr.EventData) -> Updates:
        return actions.edit(chat_id, turn_and_lane(event)[0])

    answer, outputs = widgets.answer_inputs, widgets.view_outputs
    connect_for_visitors(conversation.now.stop_lane, stop_lane, chat_id)
    connect_for_visitors(conversation.now.retry_lane, retry_one, answer, outputs)
    connect_for_visitors(conversation.now.continue_answer, continue_answer, answer, outputs)
    connect_for_visitors(conversation.now.earlier_attempt, earlier_attempt, widgets.view_inputs, outputs)
    for board in (conversation.past, conversation.now):
        connect_for_visitors(board.edit, edit, chat_id, outputs).success(None, js=read_static("focus_prompt.js"))


def _list_chats_after(parts: ChatParts, widgets: ChatWidgets, events: list[Any]) -> None:
    """List the browser's conversations again: a conversation is named after its first question."""
    inputs = {"my_chats": widgets.states.my_chats.text, "chat_id": widgets.states.chat_id}
    for event in events:
        connect_for_visitors(event.then, parts.chat_list.list_earlier, inputs, {"earlier": widgets.panels.earlier})


def turn_and_lane(event: gr.EventData) -> tuple[int, int]:
    """Return what a click on the board refers to; the lane is 0 where the event names only a turn."""
    turn, _, lane = str(event.value).partition(" ")
    return int(turn), int(lane or 0)
