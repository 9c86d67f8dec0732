"""Conversations on disk, and the answers being written into them.

While answers are written into a conversation, it is held in memory and belongs to the page that asked. Every other
change is refused until they end, so that two pages never overwrite each other's file.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gradio as gr

from core.chat import conversation
from core.chat.conversation import Conversation
from core.chat.engine import Engine
from core.chat.types import GenerationResult
from core.errors import StudioError
from studio.chat.drafts import Drafts
from studio.chat.in_progress import AnswersInProgress

BEING_WRITTEN = "An answer is still being written. Stop it or wait for its end, then try again."
# More than a vote adds to a conversation, and less than an answer.
_SMALL_CHANGE_BYTES = 1_000
# Longer than a token takes; a model that is being loaded takes longer, and the change is then refused.
_INTERRUPT_SECONDS = 5.0
_GONE = "This chat is no longer stored here. Press New chat to start another one."


class Conversations:
    """All conversations of this studio.

    Attributes:
        engine: The chat engine that writes their answers.
        settings: The studio's folders.
    """

    def __init__(self, engine: Engine):
        self.engine, self.settings = engine, engine.settings
        self._in_progress: dict[str, AnswersInProgress] = {}
        self._lock, self._drafts = threading.Lock(), Drafts()

    def find(self, chat_id: str) -> Conversation:
        """Return a conversation, from memory while it is being answered and from disk otherwise.

        Raises:
            StudioError: There is none with this id, or the caller may not read it.
        """
        if answers := self._in_progress.get(chat_id):
            return answers.conversation
        found = self.load(chat_id)
        if found is None:
            raise StudioError(_GONE)
        return found

    def load(self, chat_id: str) -> Conversation | None:
        """Return a conversation from disk, or a visitor's draft from memory; None if there is none with this id."""
        try:
            return self._drafts.find(chat_id) or (conversation.load(self.settings, chat_id) if chat_id else None)
        except StudioError:
            # The id is no valid file name.
            return None

    def save(self, chat: Conversation) -> None:
        """Write a conversation to disk; a visitor's without an answer is kept in memory instead.

        The first answer of a visitor's conversation may delete others beyond the quotas.
        """
        if chat.is_visitors and not chat.has_answers:
            self._drafts.save(chat)
            # The conversation has a file if its first answer ended in an error, and the question was taken back.
            conversation.delete(self.settings, chat.id)
            return
        conversation.save(self.settings, chat)
        if self._drafts.remove(chat.id):
            limit = self.engine.visitor_quota.quotas.visitor_chats
            conversation.delete_oldest_visitor_chats(self.settings, limit)

    def title(self, chat_id: str) -> str | None:
        """Return the title of a conversation with questions; None if there is none with this id."""
        try:
            return conversation.title_of(self.settings, chat_id) if chat_id else None
        except StudioError:
            return None

    @contextmanager
    def change(self, chat_id: str) -> Iterator[Conversation]:
        """Yield a conversation to be changed, and save it unless the block raises.

        Raises:
            StudioError: The conversation is being answered, does not exist, or would grow too large.
        """
        with self._lock:
            if chat_id in self._in_progress:
                raise StudioError(BEING_WRITTEN)
            chat = self.find(chat_id)
            before = conversation.byte_count(chat) if chat.is_visitors else 0
            yield chat
            # A vote is written to its own file first, so its mark must be saved at any size.
            if chat.is_visitors and conversation.byte_count(chat) > before + _SMALL_CHANGE_BYTES:
                conversation.check_size(chat)
            self.save(chat)

    # Answers in progress

    def in_progress(self, chat_id: str) -> AnswersInProgress | None:
        """Return the answers being written into a conversation, if there are any."""
        return self._in_progress.get(chat_id)

    def count_in_progress(self) -> int:
        """Return how many conversations are being answered."""
        return len(self._in_progress)

    def begin_answers(
        self, chat_id: str, lanes: Sequence[int], page: str, continued: dict[int, GenerationResult]
    ) -> AnswersInProgress:
        """Reserve a conversation for new answers to its last turn.

        Args:
            chat_id: The conversation.
            lanes: Which of its lanes are answered.
            page: Session hash of the page that asks.
            continued: The answers that are continued, by lane.

        Raises:
            StudioError: It is being answered already, or is too large.
        """
        with self._lock:
            if chat_id in self._in_progress:
                raise StudioError(BEING_WRITTEN)
            chat = self.find(chat_id)
            conversation.check_size(chat)
            answers = AnswersInProgress(chat, list(lanes), page, continued, queue_position=self.engine.queue_position)
            self._in_progress[chat_id] = answers
            return answers

    def finish_answers(self, chat_id: str, answers: AnswersInProgress) -> None:
        """Save the answers and release the conversation, however they ended; a second call does nothing."""
        if answers.released.is_set():
            return
        # A page that was closed leaves its lanes running, so they are stopped here.
        if answers.entry:
            answers.entry.stop()
        with self._lock:
            try:
                self.save(answers.snapshot("stopped"))
            finally:
                # Released even if the disk is full: otherwise the conversation could never be used again.
                self._in_progress.pop(chat_id, None)
                answers.released.set()

    def stop(self, chat_id: str, lane: int | None = None) -> None:
        """Stop the answer of one lane or of all, or leave the queue."""
        if answers := self._in_progress.get(chat_id):
            answers.stop(lane)

    def interrupt(self, chat_id: str, lane: int) -> None:
        """Stop the answer of a lane and wait for its end, if it is the only one that is written."""
        answers = self._in_progress.get(chat_id)
        if answers and answers.lanes == [lane]:
            answers.stop()
            answers.released.wait(_INTERRUPT_SECONDS)

    def leave(self, request: gr.Request) -> None:
        """Stop everything that a closed page was waiting for."""
        for answers in list(self._in_progress.values()):
            if answers.page == request.session_hash:
                answers.stop()
