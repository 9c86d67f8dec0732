"""Open a conversation and show all of it, or bring what a page shows up to date."""

from collections.abc import Iterator

import gradio as gr

from studio.chat.answer_settings import AnswerSettings
from studio.chat.chat_actions import ChatActions
from studio.chat.chat_list import ChatList
from studio.chat.model_picker import ALL_LANES, NOTHING_TRAINED
from studio.chat.suggestions import Suggestions
from studio.chat.view import Updates
from studio.chat.voting import Voting


class ChatOpening:
    """Event handlers that show a conversation.

    Opening and showing are one event: a second one would be sent only after the page has rendered the first.
    """

    def __init__(
        self, chat_list: ChatList, actions: ChatActions, settings: AnswerSettings, voting: Voting,
        suggestions: Suggestions,
    ):  # fmt: skip
        self.chat_list, self.picker = chat_list, chat_list.picker
        self.actions, self.settings, self.voting, self.suggestions = actions, settings, voting, suggestions

    def open_chat(self, my_chats: str) -> Updates:
        """Open the first of a browser's conversations that still exists, or a new one."""
        return self._show(self.chat_list.open_chat(my_chats), [])

    def new_chat(self, chat_id: str, my_chats: str, show: list[str]) -> Updates:
        """Start a conversation with the same lanes and settings."""
        return self._show(self.chat_list.new_chat(chat_id, my_chats), show)

    def compare_with_base(self, run_id: str, chat_id: str, my_chats: str, show: list[str]) -> Updates:
        """Let a run answer beside its base model: in a new conversation if this one has answers of other models.

        Otherwise the run would answer the next question as if it continued the earlier ones.

        Args:
            run_id: The run.
            chat_id: The conversation that the page shows.
            my_chats: Ids of this browser's conversations.
            show: What the answers show.

        Raises:
            StudioError: There is no such run, it has no adapter, or its base model was deleted.
        """
        chat = self.picker.conversations.find(chat_id)
        self.picker.check_can_answer(run_id)
        is_elsewhere = bool(chat.turns) and run_id not in (lane.run for lane in chat.lanes)
        if not is_elsewhere or self.picker.conversations.in_progress(chat_id):
            return self.picker.compare_with_base(chat_id, run_id)
        opened = self.chat_list.new_chat(chat_id, my_chats)
        self.picker.compare_with_base(opened["chat_id"], run_id)
        return self._show(opened, show)

    def open_earlier(self, earlier: str, my_chats: str, show: list[str]) -> Updates:
        """Open another of the browser's conversations."""
        return self._show(self.chat_list.open_earlier(earlier, my_chats), show)

    def _show(self, opened: Updates, show: list[str]) -> Updates:
        chat_id = opened["chat_id"]
        # The refresh goes first, because it may change the lanes that the board shows.
        lanes = self.picker.refresh(chat_id)
        return {
            **opened,
            **self.actions.render_view(chat_id, show, editing=-1),
            **lanes,
            **self.settings.show(chat_id, ALL_LANES),
            "form_scope": ALL_LANES,
            **self.chat_list.list_earlier(opened["my_chats"], chat_id),
            **self.chat_list.list_branches(chat_id),
            **self.voting.tally(chat_id),
            **self.voting.blind_update(chat_id),
            **self.suggestions.suggest(chat_id),
        }

    def refresh(self, chat_id: str, show: list[str], hint: str, request: gr.Request) -> Iterator[Updates]:
        """Show the runs that there are now, and what another page wrote into the conversation."""
        # Before the page has opened its conversation there is nothing to refresh.
        if not chat_id:
            yield {}
            return
        lanes = self.picker.refresh(chat_id)
        # "Train first" disappears once a run is trained; any other hint stays.
        new_hint = lanes.pop("hint") or ("" if hint in NOTHING_TRAINED else None)
        for updates in self.actions.follow(chat_id, show, request, new_hint):
            yield lanes | updates
