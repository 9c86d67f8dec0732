"""Ask, retry, continue, edit, undo, branch and stop: what a conversation goes through, whoever's page it is on."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.chat import conversation
from core.chat.conversation import Answer, Conversation
from core.chat.engine import Base, Engine, Ticket
from core.chat.requests import Asked, ticket
from core.chat.throttle import THROTTLED_NOTICE
from core.errors import StudioError
from core.system.markdown import plain
from studio.chat.chat_html import boards, last_board
from studio.chat.in_progress import Live

# A page update a token would cost more than the token: at most so many a second.
UPDATES_A_SECOND = 10
# While a run needs the same processors: a page at most the one, all together at most the other.
SLOW_UPDATES_A_SECOND, SLOW_UPDATES_IN_SUM = 0.5, 4
_WRITING = "An answer is still being written. Stop it, or wait for its end."
_CUT = ("stopped", "interrupted")  # ends of answers that would have gone on
_ELSEWHERE = "This chat is being answered on another page. Its answers come here as they are written."
_KEPT_EVERY = 2.0  # seconds between two looks at what is written, which a power cut then cannot take
_LOOKS_A_SECOND = 4  # at what another page is being answered
IDLE, BUSY = gr.update(interactive=False), gr.update(interactive=True)  # the Stop button


@dataclass(frozen=True)
class View:
    """What a page is shown; None stays as it is.

    Attributes: past, now: the boards; prompt: the prompt box; editing: the question that Send replaces.
    """

    past: str | None = None
    now: str | None = None
    prompt: str | None = None
    hint: str | None = None
    busy: bool | None = None
    editing: int | None = None

    def values(self) -> list[Any]:
        stop = gr.skip() if self.busy is None else (BUSY if self.busy else IDLE)
        texts = [gr.skip() if text is None else text for text in (self.past, self.now, self.prompt, self.hint)]
        return [*texts, stop, gr.skip() if self.editing is None else self.editing, *self._asking()]

    def _asking(self) -> list[Any]:
        """Send, Retry all and Undo: while an answer is written they cannot be pressed, and Send says why."""
        if self.busy is None:
            return [gr.skip()] * 3
        send = gr.update(interactive=not self.busy, value="Answering…" if self.busy else "Send")
        return [send, *([IDLE, IDLE] if self.busy else [BUSY, BUSY])]


class Talking:
    """Conversations lie on disk; the one that is being answered is in memory, and belongs to one page until its end."""

    def __init__(self, engine: Engine, base_named: Callable[[str], Base]):
        self.engine, self.settings, self.base_named = engine, engine.settings, base_named
        self._live: dict[str, Live] = {}
        self._lock = threading.Lock()

    def find(self, chat_id: str) -> Conversation:
        if live := self._live.get(chat_id):
            return live.kept
        kept = conversation.load(self.settings, chat_id) if chat_id else None
        if kept is None:
            raise StudioError("This conversation is not here any more. Click New chat.")
        return kept

    @contextmanager
    def changing(self, chat_id: str) -> Iterator[Conversation]:
        """A conversation to be changed; it is on disk afterwards. Refused while an answer is written into it."""
        with self._lock:
            if chat_id in self._live:
                raise StudioError(_WRITING)
            kept = self.find(chat_id)
            yield kept
            conversation.save(self.settings, kept)

    def drawn(self, chat_id: str, show: Sequence[str], **more: Any) -> list[Any]:
        live = self._live.get(chat_id)
        past, now = boards(self.find(chat_id), live, show)
        return View(past, now, **({"busy": live is not None} | more)).values()

    def follow(
        self, chat_id: str, show: Sequence[str], request: gr.Request, hint: str | None = None
    ) -> Iterator[list[Any]]:
        """What was said on another page since this one was seen last; what is being said there, until its end.

        Args:
            hint: what is to be said when nothing is being written; None: what is said stays.
        """
        words = hint
        while (live := self._live.get(chat_id)) and live.page != request.session_hash:
            yield self.drawn(chat_id, show, hint=_ELSEWHERE)
            words = hint or ""
            live.ended.wait(1 / _LOOKS_A_SECOND)
        yield View().values() if live else self.drawn(chat_id, show, hint=words)  # its own is drawn as it is written

    # Questions

    def send(
        self, chat_id: str, prompt: str, reference: str, editing: int, show: list[str], request: gr.Request
    ) -> Iterator[list[Any]]:
        """Ask in all lanes; in the place of question `editing` where that is 0 or more."""
        if not prompt or not prompt.strip():
            raise StudioError("The prompt is empty. Type a question first.")
        with self.changing(chat_id) as kept:
            turn = kept.edit(editing, prompt) if editing >= 0 else kept.ask(prompt)
            turn.reference, turn.blind = reference, kept.blind
            if kept.blind:
                turn.shuffle(len(kept.lanes))
        try:
            yield from self._write(chat_id, range(len(kept.lanes)), {}, show, request, prompt="")
        except Exception as error:  # nothing that was there is lost, the question neither
            yield self._given_back(chat_id, prompt, editing, show, _words(error))
            raise
        if not any(self.find(chat_id).turns[-1].answers):  # stopped before its turn
            yield self._given_back(chat_id, prompt, editing, show)

    def _given_back(self, chat_id: str, prompt: str, editing: int, show: Sequence[str], hint: str = "") -> list[Any]:
        with self.changing(chat_id) as kept:
            kept.turns.pop()
            if editing >= 0:
                kept.turns = kept.branches.pop()
        return self.drawn(chat_id, show, prompt=prompt, hint=hint)

    def retry(self, chat_id: str, lane: int | None, show: list[str], request: gr.Request) -> Iterator[list[Any]]:
        """Answer the last question again, in one lane or all, with the next seed."""
        with self.changing(chat_id) as kept:
            lanes = self._answerable(kept, lane)
            if kept.turns[-1].verdict:
                raise StudioError("You voted on these answers. Undo the vote first, or ask again.")
        more = max(len(kept.turns[-1].answers[at]) for at in lanes)
        yield from self._write(chat_id, lanes, {}, show, request, seeds_on=more)

    def go_on(self, chat_id: str, lane: int, show: list[str], request: gr.Request) -> Iterator[list[Any]]:
        """Let the last answer of a lane go on from its last word."""
        with self.changing(chat_id) as kept:
            self._answerable(kept, lane)
            before = kept.turns[-1].shown(lane)
            if before is None or not before.ids:
                raise StudioError("There is no answer to go on with. Click Retry.")
        yield from self._write(chat_id, [lane], {lane: before}, show, request)

    def move(self, chat_id: str, lane: int, show: list[str], request: gr.Request) -> Iterator[list[Any]]:
        """After another checkpoint was chosen: show its answer to the last question, and write it if there is none."""
        with self.changing(chat_id) as kept:
            if not kept.turns or kept.turns[-1].hidden or kept.turns[-1].verdict:
                return  # what is voted on stays as it was; the next question goes to the new one
            found, settings = kept.turns[-1].answers[lane], kept.sampling(lane).model_dump()
            wanted = (*kept.lanes[lane].run_and_adapter, settings)
            known = next((a for a in found if (a.run, a.adapter, a.settings) == wanted and a.end not in _CUT), None)
            if known:
                found.remove(known)
                found.append(known)
        if known:
            yield self.drawn(chat_id, show)
        else:
            yield from self._write(chat_id, [lane], {}, show, request)

    def _answerable(self, kept: Conversation, lane: int | None) -> list[int]:
        if not kept.turns:
            raise StudioError("Nothing was asked yet. Type a question first.")
        if lane is not None and not 0 <= lane < len(kept.lanes):
            raise StudioError(f"There is no lane {lane + 1}; this conversation has {len(kept.lanes)}.")
        return list(range(len(kept.lanes))) if lane is None else [lane]

    # What is written

    def _write(
        self, chat_id: str, lanes: Sequence[int], before: dict[int, Answer], show: Sequence[str],
        request: gr.Request, prompt: str | None = None, seeds_on: int = 0,
    ) -> Iterator[list[Any]]:  # fmt: skip
        with self._lock:
            if chat_id in self._live:
                raise StudioError(_WRITING)
            live = Live(self.find(chat_id), list(lanes), request.session_hash or "", before)
            self._live[chat_id] = live
        try:
            yield View(*boards(live.kept, live), prompt=prompt, hint="", busy=True, editing=-1).values()
            live.ticket = self._ticket(live, seeds_on)
            for lane in live.stopped:
                live.ticket.stop(live.lanes.index(lane))
            yield from self._followed(live)
        except Exception as error:
            self._keep(chat_id, live)
            yield self.drawn(chat_id, show, hint=_words(error))  # it stays on the page when the toast is gone
            raise
        finally:
            self._keep(chat_id, live)
        yield self.drawn(chat_id, show, hint="", editing=-1)

    def _followed(self, live: Live) -> Iterator[list[Any]]:
        shown_at, kept_at, board, hint = 0.0, time.monotonic(), None, ""
        for asked in self.engine.ask(live.ticket):
            if time.monotonic() - shown_at >= self._update_every():
                before, (board, hint) = (board, hint), (last_board(live), self._hint(asked))
                if (board, hint) != before:
                    # busy again each time: an update from before the question may come after its first
                    yield View(now=board, hint=hint if hint != before[1] else None, busy=True).values()
                shown_at = time.monotonic()
            if time.monotonic() - kept_at >= _KEPT_EVERY:
                conversation.save(self.settings, live.so_far("interrupted"))
                kept_at = time.monotonic()

    def _update_every(self) -> float:
        """Seconds between two updates of a page."""
        if not self.engine.throttle.is_active:
            return 1 / UPDATES_A_SECOND
        return max(1 / SLOW_UPDATES_A_SECOND, len(self._live) / SLOW_UPDATES_IN_SUM)

    def _ticket(self, live: Live, seeds_on: int) -> Ticket:
        kept, asked = live.kept, []
        for lane in live.lanes:
            sampling, (run, adapter) = kept.sampling(lane), kept.lanes[lane].run_and_adapter
            sampling = sampling.model_copy(update={"seed": (sampling.seed + seeds_on) % 2**32})
            live.settings[lane] = sampling.model_dump()
            begun = live.before[lane].ids if lane in live.before else []
            asked.append(Asked(kept.asked(lane), sampling, run, adapter, begun))
        base = self.base_named(kept.base) if kept.base else None
        return ticket(self.engine.store, asked, base)

    def _keep(self, chat_id: str, live: Live) -> None:
        """What was said is kept, whether it ended by itself, was stopped, or its page was closed; once."""
        if live.ended.is_set():
            return
        if live.ticket:
            live.ticket.stop()
        with self._lock:
            try:
                conversation.save(self.settings, live.so_far("stopped"))
            finally:
                self._live.pop(chat_id, None)
                live.ended.set()

    def _hint(self, asked: Ticket) -> str:
        """What the answers wait for."""
        if asked.stage == "Waiting":
            before = self.engine.queue_position(asked)
            words = f"{before} before yours" if before else "yours is next"
            return f"Waiting for other answers to end: {words}. Stop gives up waiting."
        if asked.stage:
            return f"{asked.stage}: this takes a few seconds, once."
        return THROTTLED_NOTICE if self.engine.throttle.is_active else ""

    def stop(self, chat_id: str, lane: int | None = None) -> None:
        """End one lane's answer or all, or a place in the queue."""
        live = self._live.get(chat_id)
        for at in (live.lanes if lane is None else [lane]) if live else []:
            if at in live.lanes:
                live.stopped.add(at)
                if live.ticket:
                    live.ticket.stop(live.lanes.index(at))

    def leave(self, request: gr.Request) -> None:
        """Whoever closes the page gives its lanes and its place up."""
        for chat_id, live in list(self._live.items()):
            if live.page == request.session_hash:
                self.stop(chat_id)

    # What was said

    def undo(self, chat_id: str, show: list[str]) -> list[Any]:
        """Take the last question back into the prompt box; it is kept as a branch."""
        with self.changing(chat_id) as kept:
            prompt = kept.turns[-1].prompt if kept.turns else ""
            kept.undo()
        return self.drawn(chat_id, show, prompt=prompt, hint="", editing=-1)

    def edit(self, chat_id: str, at: int) -> list[Any]:
        """A question in the prompt box, to be asked anew in its place."""
        if chat_id in self._live:
            raise StudioError(_WRITING)
        kept = self.find(chat_id)
        if not 0 <= at < len(kept.turns):
            raise StudioError(f"There is no question {at + 1}; this conversation has {len(kept.turns)}.")
        words = f"Question {at + 1} is in the prompt box: Send asks it anew. What was said since is kept as a branch."
        return View(prompt=kept.turns[at].prompt, hint=words, editing=at).values()

    def other_try(self, chat_id: str, lane: int, show: list[str]) -> list[Any]:
        with self.changing(chat_id) as kept:
            self._answerable(kept, lane)
            kept.turns[-1].other_try(lane)
        return self.drawn(chat_id, show)

    def switch(self, chat_id: str, branch: str | None, show: list[str]) -> list[Any]:
        if not isinstance(branch, str) or not branch:
            raise StudioError("No branch is chosen. Choose one in the list.")
        with self.changing(chat_id) as kept:
            kept.switch(branch)
        return self.drawn(chat_id, show, editing=-1)


def _words(error: Exception) -> str:
    """What went wrong, in Markdown, where a person can mend it; a defect is told in its toast alone."""
    return plain(str(error)) if isinstance(error, StudioError) else ""
