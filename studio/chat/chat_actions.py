"""Actions on a conversation: ask, retry, continue, edit, undo, switch branch.

Each action returns or yields `{name: value}` for the widgets of `studio.chat.view`. A conversation is saved when an
action ends, when its answers are stopped, and every few seconds in between.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from core.chat.conversation import Conversation, Turn
from core.chat.queue_entry import QueueEntry
from core.chat.requests import resolve_lanes
from core.chat.throttle import THROTTLED_NOTICE
from core.chat.types import BaseIdentity, GenerationResult, LaneRequest
from core.errors import StudioError
from core.system.markdown import plain
from studio.chat.chat_html import board_shape, boards_html, last_board_html
from studio.chat.conversations import BEING_WRITTEN, Conversations
from studio.chat.in_progress import AnswersInProgress
from studio.chat.live_answers import SECONDS_BETWEEN_READS
from studio.chat.view import Updates, view_updates

# After a power cut, an answer lacks at most what was written since the last save.
_SAVE_EVERY_SECONDS = 2.0
_UNFINISHED = ("stopped", "interrupted", "failed")
_EMPTY_PROMPT = "The prompt is empty. Type a question first."
_ON_ANOTHER_PAGE = "This chat is being answered on another page. The answers appear here as they are written."


class ChatActions:
    """Actions on conversations, for any number of pages."""

    def __init__(self, conversations: Conversations, base_of: Callable[[Conversation], BaseIdentity]):
        """Take the conversations to act on.

        Args:
            conversations: All conversations.
            base_of: Returns a conversation's base model, or raises StudioError if it was deleted.
        """
        self.conversations, self.engine, self._base_of = conversations, conversations.engine, base_of

    def _titles(self) -> dict[str, str]:
        return self.engine.store.titles()

    # Show

    def render_view(self, chat_id: str, show: Sequence[str], **updates: Any) -> Updates:
        """Return both boards and the state of the buttons.

        Args:
            chat_id: The conversation.
            show: Options of "Show in the answers" that are ticked.
            **updates: Further arguments of `view_updates`.
        """
        answers = self.conversations.in_progress(chat_id)
        past, now = boards_html(self.conversations.find(chat_id), self._titles(), answers, show)
        state = {"busy": answers is not None, "is_stopping": bool(answers and answers.is_stopping)}
        return view_updates(past, now, **(state | updates))

    def follow(
        self, chat_id: str, show: Sequence[str], request: gr.Request, hint: str | None = None
    ) -> Iterator[Updates]:
        """Show the conversation as it is now, and answers that another page asked for until they end.

        Args:
            chat_id: The conversation.
            show: Options of "Show in the answers" that are ticked.
            request: Identifies the page.
            hint: The hint once nothing is being written; None keeps the current one.
        """
        final_hint, shape = hint, None
        while (answers := self.conversations.in_progress(chat_id)) and answers.page != request.session_hash:
            previous, shape = shape, (answers.entry, board_shape(answers))
            if shape != previous:
                yield self.render_view(chat_id, show, hint=_ON_ANOTHER_PAGE)
            final_hint = hint or ""
            answers.released.wait(SECONDS_BETWEEN_READS)
        # The page's own answers are already streamed to it by the action that asked for them.
        yield {} if answers else self.render_view(chat_id, show, hint=final_hint)

    # Ask

    def send(
        self, chat_id: str, prompt: str, reference: str, editing: int, show: list[str], request: gr.Request
    ) -> Iterator[Updates]:
        """Ask a question in all lanes.

        Args:
            chat_id: The conversation.
            prompt: The question.
            reference: The held-out row's answer to it, or "".
            editing: Index of the turn that it replaces; -1 adds a turn.
            show: Options of "Show in the answers" that are ticked.
            request: Identifies the page.
        """
        if not prompt or not prompt.strip():
            raise StudioError(_EMPTY_PROMPT)
        with self.conversations.change(chat_id) as chat:
            before = list(chat.turns)
            turn = chat.edit(editing, prompt) if editing >= 0 else chat.ask(prompt)
            turn.reference, turn.blind = reference, chat.blind
            if chat.blind:
                turn.shuffle(len(chat.lanes))
        try:
            yield from self._write(chat_id, range(len(chat.lanes)), {}, show, request, prompt="")
        except Exception as error:
            # An error of one lane leaves the others their answers; the question returns to the box if none has one.
            lanes = self.conversations.find(chat_id).turns[-1].answers
            if all(not attempts or attempts[-1].end == "failed" for attempts in lanes):
                yield self._restore_question(chat_id, prompt, before, show, _hint_of(error))
            raise
        # Stopped while it waited in the queue: the question was never answered.
        if not any(self.conversations.find(chat_id).turns[-1].answers):
            yield self._restore_question(chat_id, prompt, before, show)

    def _restore_question(
        self, chat_id: str, prompt: str, before: list[Turn], show: Sequence[str], hint: str = ""
    ) -> Updates:
        """Restore the turns from before a question, and put the question back into the prompt box."""
        with self.conversations.change(chat_id) as chat:
            chat.restore(before)
        return self.render_view(chat_id, show, prompt=prompt, hint=hint)

    def retry(self, chat_id: str, lane: int | None, show: list[str], request: gr.Request) -> Iterator[Updates]:
        """Answer the last question again with the next seed, in one lane or (None) in all."""
        with self.conversations.change(chat_id) as chat:
            lanes = _answerable_lanes(chat, lane)
            if chat.turns[-1].verdict:
                raise StudioError("You voted on these answers. Undo the vote first, or ask another question.")
        attempts = max(len(chat.turns[-1].answers[index]) for index in lanes)
        yield from self._write(chat_id, lanes, {}, show, request, seed_offset=attempts)

    def continue_answer(self, chat_id: str, lane: int, show: list[str], request: gr.Request) -> Iterator[Updates]:
        """Continue a lane's last answer from its last token."""
        with self.conversations.change(chat_id) as chat:
            _answerable_lanes(chat, lane)
            continued = chat.turns[-1].shown(lane)
            if continued is None or not continued.ids:
                raise StudioError("This model has no answer to continue. Press Retry for a new one.")
        yield from self._write(chat_id, [lane], {lane: continued}, show, request)

    def answer_checkpoint(self, chat_id: str, lane: int, show: list[str], request: gr.Request) -> Iterator[Updates]:
        """Show the answer of a lane's current checkpoint to the last question; generate it if there is none."""
        with self.conversations.change(chat_id) as chat:
            # Names hidden until a vote, and answers that were voted on, must stay as they are.
            if not chat.turns or chat.turns[-1].hidden or chat.turns[-1].verdict:
                return
            answers, settings = chat.turns[-1].answers[lane], chat.sampling(lane).model_dump()
            wanted = (*chat.lanes[lane].run_and_adapter, settings)
            known = next(
                (a for a in answers if (a.run, a.adapter, a.settings) == wanted and a.end not in _UNFINISHED), None
            )
            if known:
                # The last answer in the list is the one that is shown.
                answers.remove(known)
                answers.append(known)
        if known:
            yield self.render_view(chat_id, show)
        else:
            yield from self._write(chat_id, [lane], {}, show, request)

    # Generate and stream

    def _write(
        self, chat_id: str, lanes: Sequence[int], continued: dict[int, GenerationResult], show: Sequence[str],
        request: gr.Request, prompt: str | None = None, seed_offset: int = 0,
    ) -> Iterator[Updates]:  # fmt: skip
        """Generate answers to the last turn, and save them however they end.

        The page reads their texts by itself (studio/chat/live_answers.py): Gradio spends more on one update of its
        components than the engine on a token. An update is sent when more than the text and the figures of
        a card changes.
        """
        answers = self.conversations.begin_answers(chat_id, lanes, request.session_hash or "", continued)
        try:
            past, now = boards_html(answers.conversation, self._titles(), answers)
            yield view_updates(past, now, prompt=prompt, hint="", busy=True, editing=-1)
            answers.enter_queue(self._queue_entry(answers, seed_offset))
            yield from self._stream(answers)
        except Exception as error:
            self.conversations.finish_answers(chat_id, answers)
            # The error's toast disappears after a while; the hint stays.
            yield self.render_view(chat_id, show, hint=_hint_of(error))
            raise
        finally:
            # Also reached when the page is closed, which closes this generator.
            self.conversations.finish_answers(chat_id, answers)
        yield self.render_view(chat_id, show, hint="", editing=-1)

    def _stream(self, answers: AnswersInProgress) -> Iterator[Updates]:
        saved_at, shape, hint = time.monotonic(), None, ""
        for _ in self.engine.ask(answers.entry):
            previous = shape, hint
            shape, hint = board_shape(answers), THROTTLED_NOTICE if self.engine.throttle.is_active else ""
            if (shape, hint) != previous:
                # Every update sets busy: an older update, which was on its way when the question was sent, may
                # arrive after the first one of this stream and enable the buttons again.
                yield self._render_progress(answers, hint if hint != previous[1] else None)
            if time.monotonic() - saved_at >= _SAVE_EVERY_SECONDS:
                self.conversations.save(answers.snapshot("interrupted"))
                saved_at = time.monotonic()

    def _queue_entry(self, answers: AnswersInProgress, seed_offset: int) -> QueueEntry:
        """Return the question for the engine's queue, and note each lane's settings in `answers`."""
        chat, requests = answers.conversation, []
        for lane in answers.lanes:
            sampling = chat.sampling(lane)
            sampling = sampling.model_copy(update={"seed": (sampling.seed + seed_offset) % 2**32})
            answers.settings[lane] = sampling.model_dump()
            prefix = answers.continued[lane].ids if lane in answers.continued else []
            key = chat.lanes[lane].adapter_key
            requests.append(LaneRequest(chat.asked(lane), sampling, key, prefix_ids=prefix))
        base = self._base_of(chat) if chat.base else None
        return QueueEntry(resolve_lanes(self.engine.store, requests, base))

    def stop_all(self, chat_id: str, show: Sequence[str]) -> Iterator[Updates]:
        """Stop all answers, or leave the queue; show that they are stopping while that takes long, as for loading."""
        self.conversations.stop(chat_id)
        answers = self.conversations.in_progress(chat_id)
        if answers is None or answers.released.wait(SECONDS_BETWEEN_READS):
            return
        yield self._render_progress(answers)
        # The stream renders the end, too, but this event's update could arrive after it.
        answers.released.wait()
        yield self.render_view(chat_id, show)

    def _render_progress(self, answers: AnswersInProgress, hint: str | None = None) -> Updates:
        return view_updates(
            now=last_board_html(answers, self._titles()), hint=hint, busy=True, is_stopping=answers.is_stopping
        )

    # Change what was asked

    def undo(self, chat_id: str, show: list[str]) -> Updates:
        """Remove the last turn and put its question into the prompt box; the turn is kept as a branch."""
        with self.conversations.change(chat_id) as chat:
            prompt = chat.turns[-1].prompt if chat.turns else ""
            chat.undo()
        return self.render_view(chat_id, show, prompt=prompt, hint="", editing=-1)

    def edit(self, chat_id: str, turn: int) -> Updates:
        """Put a question into the prompt box, so that Send replaces its turn."""
        if self.conversations.in_progress(chat_id):
            raise StudioError(BEING_WRITTEN)
        chat = self.conversations.find(chat_id)
        if not 0 <= turn < len(chat.turns):
            raise StudioError(f"There is no question {turn + 1}; this conversation has {len(chat.turns)}.")
        hint = f"Editing question {turn + 1}: Send asks it again. The turns from there on are kept as a branch."
        return view_updates(prompt=chat.turns[turn].prompt, hint=hint, editing=turn)

    def show_earlier_attempt(self, chat_id: str, lane: int, show: list[str]) -> Updates:
        """Show the answer that a lane gave before the current one."""
        with self.conversations.change(chat_id) as chat:
            _answerable_lanes(chat, lane)
            chat.turns[-1].show_other_attempt(lane)
        return self.render_view(chat_id, show)

    def switch_branch(self, chat_id: str, branch: str | None, show: list[str]) -> Updates:
        """Continue with another branch; the current turns become a branch."""
        if not isinstance(branch, str) or not branch:
            raise StudioError("No branch is chosen. Choose one from the list.")
        with self.conversations.change(chat_id) as chat:
            chat.switch(branch)
        return self.render_view(chat_id, show, editing=-1)


def _answerable_lanes(chat: Conversation, lane: int | None) -> list[int]:
    """Return one lane, or all lanes if it is None.

    Raises:
        StudioError: Nothing was asked, or there is no such lane.
    """
    if not chat.turns:
        raise StudioError("Nothing was asked yet. Type a question first.")
    if lane is not None and not 0 <= lane < len(chat.lanes):
        raise StudioError(f"There is no lane {lane + 1}; this conversation has {len(chat.lanes)}.")
    return list(range(len(chat.lanes))) if lane is None else [lane]


def _hint_of(error: Exception) -> str:
    """Return an error as Markdown that shows it literally; empty for a defect, which only its toast reports."""
    return plain(str(error)) if isinstance(error, StudioError) else ""
