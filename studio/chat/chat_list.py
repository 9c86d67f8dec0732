"""The conversations of one browser: open, start another, list them and the branches of one.

A browser keeps the ids of its conversations as JSON in its local storage. Ids are long and random, so knowing one is
the permission to open it.
"""

import json

import gradio as gr

from core.chat import conversation
from core.chat.conversation import branch_key
from core.errors import StudioError
from studio.chat.model_picker import ModelPicker
from studio.chat.view import Updates
from studio.event_values import stored_ids

_MAX_REMEMBERED = 50
_BRANCH_LABEL_CHARACTERS = 50


class ChatList:
    """Event handlers that choose which conversation a page shows."""

    def __init__(self, picker: ModelPicker):
        self.picker, self.conversations = picker, picker.conversations

    def open_chat(self, my_chats: str) -> Updates:
        """Open the first of a browser's conversations that still exists, or a new one.

        Returns:
            `my_chats`: the browser's ids, the opened conversation first; `chat_id`: its id.
        """
        ids = _first_ids(my_chats)
        for chat_id in ids:
            if self.conversations.load(chat_id):
                return _opened(chat_id, ids)
        return self._start(ids)

    def _start(self, ids: list[str]) -> Updates:
        chat = conversation.new_conversation()
        self.picker.reset_lanes(chat)
        self.conversations.save(chat)
        return _opened(chat.id, ids)

    def open_earlier(self, earlier: str, my_chats: str) -> Updates:
        """Open another of the browser's conversations."""
        if not isinstance(earlier, str):
            raise StudioError(f"There is no chat {str(earlier)[:40]!r}. Choose one from the list.")
        return self.open_chat(_format_ids([earlier, *_first_ids(my_chats)]))

    def new_chat(self, chat_id: str, my_chats: str) -> Updates:
        """Start a conversation with the same lanes and settings; the current one is kept, unless it is empty."""
        self.conversations.stop(chat_id)
        try:
            current = self.conversations.find(chat_id)
        except StudioError:
            # The conversation was deleted meanwhile, so there are no lanes and settings to copy.
            return self._start(_first_ids(my_chats))
        if not current.turns:
            # Formatted like every other answer: what a caller sent may be long, and is no list of ids.
            return _opened(chat_id, _first_ids(my_chats))
        chat = conversation.new_conversation()
        chat.base, chat.base_identity, chat.lanes = current.base, current.base_identity, current.lanes
        chat.settings, chat.blind, chat.are_lanes_chosen = current.settings, current.blind, current.are_lanes_chosen
        existing = {run.id for run in self.picker.runs_of(current)}
        if any(lane.run and lane.run not in existing for lane in chat.lanes):
            self.picker.reset_lanes(chat)
        self.conversations.save(chat)
        return _opened(chat.id, _first_ids(my_chats))

    def list_earlier(self, my_chats: str, chat_id: str) -> Updates:
        """List this browser's conversations by their first question; hidden while there is only one."""
        titles = {known: self.conversations.title(known) for known in _first_ids(my_chats)}
        if chat_id in titles and not titles[chat_id] and (chat := self.conversations.load(chat_id)):
            titles[chat_id] = chat.title()
        choices = [(title, known) for known, title in titles.items() if title]
        value = chat_id if chat_id in titles else None
        return {"earlier": gr.update(choices=choices, value=value, visible=len(choices) > 1)}

    def list_branches(self, chat_id: str) -> Updates:
        """List the branches of a conversation, each by its last question."""
        branches = self.conversations.find(chat_id).branches if chat_id else []
        choices = []
        for number, turns in enumerate(branches, 1):
            plural = "" if len(turns) == 1 else "s"
            question = turns[-1].prompt[:_BRANCH_LABEL_CHARACTERS]
            choices.append((f"{number}: {question} ({len(turns)} question{plural})", branch_key(turns)))
        return {"branch": gr.update(choices=choices, value=None, visible=bool(branches))}


def _opened(chat_id: str, ids: list[str]) -> Updates:
    return {"my_chats": _format_ids([chat_id, *ids]), "chat_id": chat_id}


def _first_ids(my_chats: str) -> list[str]:
    """Return as many ids of a browser's local storage as the page stores there."""
    return stored_ids(my_chats)[:_MAX_REMEMBERED]


def _format_ids(ids: list[str]) -> str:
    return json.dumps(list(dict.fromkeys(ids))[:_MAX_REMEMBERED])
