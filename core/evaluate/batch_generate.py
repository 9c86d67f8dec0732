"""The answers of all lanes to many prompts, as rows of one batch: whoever has ended leaves at once, the next come in.

Rows begin in groups of like length, the longest first: little is padded, and what memory it takes shows early. How many
rows there may be is bounded by what their keys and values take together.
"""

import hashlib
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psutil

from core.chat.types import End, Lane
from core.data.tokens import TemplateError
from core.errors import StudioError
from core.evaluate.answers_file import Line
from core.evaluate.metrics import exact, word_f1
from core.evaluate.prompts import Prompts
from core.hardware import gpu

if TYPE_CHECKING:
    import torch

    from core.chat.decoder import TokenSequence
    from core.chat.lanes import Lanes

CACHE_SHARE = 0.5  # of the memory that is free once the model is loaded
PAGED_SHARE = 0.8  # the same where keys and values lie in pages, which grow without being there twice
MOST_ROWS = {"cpu": 64, "cuda": 128, "paged": 256}
JOIN_SHARE = 1 / 8  # of the rows must be free before others begin: reading a few prompts takes as long as many
_SEEN_TOKENS = 24  # at the end of an answer, where a stop word may have come to stand


@dataclass(frozen=True)
class Task:
    """One lane's answer to one prompt. Attributes: tokens: of the prompt."""

    prompt: int
    lane: int
    tokens: int


@dataclass(frozen=True)
class Room:
    """How many rows decode together, and why."""

    rows: int
    tokens: int  # that all rows' keys and values may hold together
    words: str


@dataclass
class Answering:
    """Answers tasks over loaded lanes.

    Attributes:
        asked: what each lane is asked, but for the messages.
        most_rows: that decode together; 0: by memory and device.
    """

    lanes: "Lanes"
    asked: list[Lane]
    prompts: Prompts
    most_rows: int = 0
    refused: list[Line] = field(default_factory=list)

    def tasks(self, known: Iterable[tuple[int, int]], progress: Callable[[int], None] = lambda at: None) -> list[Task]:
        """What is still to be answered, the longest prompts first; what cannot be asked stands in `refused`.

        Args:
            known: (prompt, lane) that have an answer.
        """
        known, found = set(known), []
        for number, prompt in enumerate(self.prompts):
            progress(number)
            lengths: dict[str, int | str] = {}  # lanes of one template have the same prompt
            for lane, asked in enumerate(self.asked):
                if (number, lane) in known:
                    continue
                if asked.template not in lengths:
                    lengths[asked.template] = self._length(replace(asked, messages=prompt.messages))
                length = lengths[asked.template]
                if isinstance(length, str):
                    self.refused.append(_line(number, lane, "", 0, "failed", length, prompt.reference))
                else:
                    found.append(Task(number, lane, length))
        return sorted(found, key=lambda task: (-task.tokens, task.prompt, task.lane))

    def _length(self, lane: Lane) -> int | str:
        """Return the tokens of a prompt, or why it cannot be asked. No row ends the evaluation of the others."""
        try:
            return len(self.lanes.render_prompt(lane)[0])
        except (StudioError, TemplateError) as error:
            return str(error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return f"The prompt could not be rendered ({type(error).__name__}: {error})."

    def room(self, longest: int) -> Room:
        """How many rows fit.

        Args:
            longest: tokens of the longest prompt.

        Raises:
            StudioError: not even one does.
        """
        device = self.lanes.model.device.type
        card = gpu.memory() if device == "cuda" else None
        share, kind = (PAGED_SHARE, "paged") if self.lanes.has_paged_cache else (CACHE_SHARE, device)
        free = (card.free if card else psutil.virtual_memory().available) * share
        tokens = int(free / self.lanes.bytes_per_token())
        row = longest + max(lane.sampling.max_new_tokens for lane in self.asked)
        fitting, most = tokens // row, self.most_rows or MOST_ROWS.get(kind, MOST_ROWS["cpu"])
        why = "as configured" if self.most_rows else "auto: the weights are read once for all of them"
        megabytes = row * self.lanes.bytes_per_token() / 2**20
        if not fitting:
            raise StudioError(
                f"The keys and values of one answer take {megabytes:,.0f} MiB, and {free / 2**20:,.0f} MiB are free "
                "for them. Lower the length."
            )
        if fitting < most:
            why = f"no more fit into {share:.0%} of the free memory, {free / 2**30:.1f} GiB"
        rows = min(most, fitting)
        return Room(rows, rows * row, f"{rows} answers decode together ({why}; each takes up to {megabytes:,.1f} MiB).")

    def answer(self, tasks: Iterable[Task], room: Room, admits: Callable[[], bool]) -> Iterator[list[Line]]:
        """Yields after every step what has ended in it, until every task is answered.

        Args:
            admits: asked before others begin; once it is false, those under way are the last.
        """
        waiting, ended = deque(tasks), []
        decoder = self.lanes.decoder(waits=False)
        active = 0
        while waiting or active:
            free = room.rows - active
            if waiting and (not active or free >= max(1, round(room.rows * JOIN_SHARE))):
                if admits():
                    joining = [self._row(waiting.popleft(), ended) for _ in range(min(free, len(waiting)))]
                    # the rows of a lane side by side: one product an adapter, without a copy
                    decoder.join(sorted(joining, key=lambda row: row.adapter or ""))
                    active += len(joining)
                else:
                    waiting.clear()
            if active:
                decoder.step()
            active -= len(ended)
            yield list(ended)
            ended.clear()

    def _row(self, task: Task, ended: list[Line]) -> "TokenSequence":
        from core.chat.decoder import TokenSequence
        from core.chat.sampler import TokenSampler

        prompt = self.prompts[task.prompt]
        lane = replace(self.asked[task.lane], messages=prompt.messages)
        seed = seed_of(lane.sampling.seed, task.prompt)
        lane = replace(lane, sampling=lane.sampling.model_copy(update={"seed": seed}))
        ids, notes = self.lanes.render_prompt(lane)
        note = " ".join(notes)
        written = _Written(self.lanes, lane)

        def take(token: int) -> int | None:
            try:
                end, reason = written.take(token), note
                text = written.text() if end else ""
            except Exception as error:  # of this row alone: those beside it go on
                traceback.print_exc(file=sys.stderr)
                end, text, reason = "failed", "", f"The answer could not be decoded ({type(error).__name__}: {error})."
            if end:
                ended.append(_line(task.prompt, task.lane, text, written.tokens, end, reason, prompt.reference))
            return None if end else token

        if lane.sampling.temperature == 0 and lane.sampling.repetition_penalty == 1:
            return TokenSequence(
                ids, lane.adapter, _not_asked, on_argmax=take, max_new_tokens=lane.sampling.max_new_tokens
            )
        picker = TokenSampler(lane.sampling, ids)
        return TokenSequence(
            ids, lane.adapter, lambda logits: take(picker.sample(logits)[0]), sampler=picker,
            on_token=lambda token, _: take(token), max_new_tokens=lane.sampling.max_new_tokens,
        )  # fmt: skip


def seed_of(seed: int, prompt: int) -> int:
    """Return the seed of one prompt: other random numbers for each, the same in every lane."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {prompt}".encode(), digest_size=4).digest())


def _not_asked(logits: "torch.Tensor") -> int | None:
    raise AssertionError("a row that wants the likeliest token is not given logits")


class _Written:
    """One answer under way: its tokens, and why it ends."""

    def __init__(self, lanes: "Lanes", lane: Lane):
        self._lanes, self._sampling, self._stops = lanes, lane.sampling, lanes.stop_conditions(lane)
        self.ids: list[int] = []
        self.tokens = 0  # that the model wrote, the one that ended the answer included
        self._cut: str | None = None

    def take(self, token: int) -> End:
        self.tokens += 1
        if end := self._stops.at_token(token):
            return end
        self.ids.append(token)
        if self._stops.longest and (end := self._stopped()):
            return end
        return "length" if len(self.ids) >= self._sampling.max_new_tokens else ""

    def _stopped(self) -> End:
        """Return how the text ends the answer now; only its end is read, unless something was found there."""
        end, _ = self._stops.in_text(self.ids[-max(_SEEN_TOKENS, self._stops.longest) :])  # a token is a byte or more
        if end:
            end, text = self._stops.in_text(self.ids)
            self._cut = text if end else None
        return end

    def text(self) -> str:
        return self._decoded(self.ids) if self._cut is None else self._cut

    def _decoded(self, ids: list[int]) -> str:
        return self._lanes.base.tokenizer.decode(ids, skip_special_tokens=True)


def _line(prompt: int, lane: int, text: str, tokens: int, end: End, note: str, reference: str) -> Line:
    compared = bool(reference.strip()) and end != "failed"
    return {
        "prompt": prompt, "lane": lane, "text": text, "tokens": tokens, "end": end, "note": note,
        "exact": exact(text, reference) if compared else None,
        "f1": round(word_f1(text, reference), 4) if compared else None,
    }  # fmt: skip
