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

from core.chat.types import End, Generation, LaneRequest
from core.data.tokens import TemplateError
from core.errors import StudioError
from core.evaluate.answers_file import Line
from core.evaluate.metrics import exact_match, word_f1
from core.evaluate.prompts import Prompts
from core.hardware import gpu

if TYPE_CHECKING:
    import torch

    from core.chat.decoder import TokenSequence
    from core.chat.lanes import Lanes

CACHE_SHARE = 0.5  # of the memory that is free once the model is loaded
PAGED_SHARE = 0.8  # the same where keys and values lie in pages, which grow without being there twice
MAX_SEQUENCES = {"cpu": 64, "cuda": 128, "paged": 256}
JOIN_SHARE = 1 / 8  # of the rows must be free before others begin: reading a few prompts takes as long as many


@dataclass(frozen=True)
class Task:
    """One lane's answer to one prompt. Attributes: tokens: of the prompt."""

    prompt: int
    lane: int
    tokens: int


@dataclass(frozen=True)
class BatchBudget:
    """How many rows decode together, and why."""

    sequences: int
    tokens: int  # that all rows' keys and values may hold together
    note: str


@dataclass
class BatchGenerator:
    """Answers tasks over loaded lanes.

    Attributes:
        requests: what each lane is asked, but for the messages.
        max_sequences: that decode together; 0: by memory and device.
    """

    lanes: "Lanes"
    requests: list[LaneRequest]
    prompts: Prompts
    max_sequences: int = 0
    failures: list[Line] = field(default_factory=list)

    def list_tasks(
        self, known: Iterable[tuple[int, int]], progress: Callable[[int], None] = lambda at: None
    ) -> list[Task]:
        """What is still to be answered, the longest prompts first; what cannot be asked stands in `failures`.

        Args:
            known: (prompt, lane) that have an answer.
        """
        known, found = set(known), []
        for number, prompt in enumerate(self.prompts):
            progress(number)
            lengths: dict[str, int | str] = {}  # lanes of one template have the same prompt
            for lane, asked in enumerate(self.requests):
                if (number, lane) in known:
                    continue
                if asked.template not in lengths:
                    lengths[asked.template] = self._length(replace(asked, messages=prompt.messages))
                length = lengths[asked.template]
                if isinstance(length, str):
                    self.failures.append(_line(number, lane, "", 0, "failed", length, prompt.reference))
                else:
                    found.append(Task(number, lane, length))
        return sorted(found, key=lambda task: (-task.tokens, task.prompt, task.lane))

    def _length(self, lane: LaneRequest) -> int | str:
        """Return the tokens of a prompt, or why it cannot be asked. No row ends the evaluation of the others."""
        try:
            return len(self.lanes.render_prompt(lane)[0])
        except (StudioError, TemplateError) as error:
            return str(error)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return f"The prompt could not be rendered ({type(error).__name__}: {error})."

    def plan_batch(self, longest: int) -> BatchBudget:
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
        row = longest + max(lane.sampling.max_new_tokens for lane in self.requests)
        fitting, most = tokens // row, self.max_sequences or MAX_SEQUENCES.get(kind, MAX_SEQUENCES["cpu"])
        why = "as configured" if self.max_sequences else "auto: the weights are read once for all of them"
        megabytes = row * self.lanes.bytes_per_token() / 2**20
        if not fitting:
            raise StudioError(
                f"The keys and values of one answer take {megabytes:,.0f} MiB, and {free / 2**20:,.0f} MiB are free "
                "for them. Lower the length."
            )
        if fitting < most:
            why = f"no more fit into {share:.0%} of the free memory, {free / 2**30:.1f} GiB"
        rows = min(most, fitting)
        return BatchBudget(
            rows, rows * row, f"{rows} answers decode together ({why}; each takes up to {megabytes:,.1f} MiB)."
        )

    def generate(self, tasks: Iterable[Task], budget: BatchBudget, admits: Callable[[], bool]) -> Iterator[list[Line]]:
        """Yields after every step what has ended in it, until every task is answered.

        Args:
            admits: asked before others begin; once it is false, those under way are the last.
        """
        waiting, ended = deque(tasks), []
        decoder = self.lanes.decoder(is_interactive=False)
        active = 0
        while waiting or active:
            free = budget.sequences - active
            if waiting and (not active or free >= max(1, round(budget.sequences * JOIN_SHARE))):
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
        lane = replace(self.requests[task.lane], messages=prompt.messages)
        seed = prompt_seed(lane.sampling.seed, task.prompt)
        lane = replace(lane, sampling=lane.sampling.model_copy(update={"seed": seed}))
        ids, notes = self.lanes.render_prompt(lane)
        note = " ".join(notes)
        generation = Generation()
        writer = self.lanes.writer(lane, generation, is_streamed=False)

        def take(token: int) -> int | None:
            try:
                following, text, reason = writer.add(token), generation.text, note
            except Exception as error:  # of this row alone: those beside it go on
                traceback.print_exc(file=sys.stderr)
                following, text, generation.end = None, "", "failed"
                reason = f"The answer could not be decoded ({type(error).__name__}: {error})."
            if following is None:
                tokens, end = generation.tokens, generation.end
                ended.append(_line(task.prompt, task.lane, text, tokens, end, reason, prompt.reference))
            return following

        if lane.sampling.temperature == 0 and lane.sampling.repetition_penalty == 1:
            return TokenSequence(
                ids, lane.adapter, _not_asked, on_argmax=take, max_new_tokens=lane.sampling.max_new_tokens
            )
        sampler = TokenSampler(lane.sampling, ids)
        return TokenSequence(
            ids, lane.adapter, lambda logits: take(sampler.sample(logits)[0]), sampler=sampler,
            on_token=lambda token, _: take(token), max_new_tokens=lane.sampling.max_new_tokens,
        )  # fmt: skip


def prompt_seed(seed: int, prompt: int) -> int:
    """Return the seed of one prompt: other random numbers for each, the same in every lane."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {prompt}".encode(), digest_size=4).digest())


def _not_asked(logits: "torch.Tensor") -> int | None:
    raise AssertionError("a row that wants the likeliest token is not given logits")


def _line(prompt: int, lane: int, text: str, tokens: int, end: End, note: str, reference: str) -> Line:
    compared = bool(reference.strip()) and end != "failed"
    return {
        "prompt": prompt, "lane": lane, "text": text, "tokens": tokens, "end": end, "note": note,
        "exact": exact_match(text, reference) if compared else None,
        "f1": round(word_f1(text, reference), 4) if compared else None,
    }  # fmt: skip
