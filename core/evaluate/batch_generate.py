"""Batched generation of the answers of all lanes to many prompts.

The missing answers are sorted by the length of their prompts, the longest first, and finished sequences are replaced by
the next ones. Neighbors therefore have similar lengths, which keeps padding low, and the largest memory need appears at
the start. The number of concurrent sequences is limited by the memory that their keys and values may take.
"""

import hashlib
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import psutil

from core.chat.types import Generation, LaneRequest
from core.data.tokens import TemplateError
from core.errors import StudioError
from core.evaluate.line_file import Line
from core.evaluate.metrics.overlap import exact_match, word_f1
from core.evaluate.prompts import Prompt, Prompts
from core.hardware import gpu
from core.system.counting import counted

if TYPE_CHECKING:
    import torch

    from core.chat.decoder import TokenSequence
    from core.chat.lanes import Lanes

# Share of the free memory, once the model is loaded, that keys and values may take. A growing cache is copied while it
# grows, so half of the memory stays free for the copy.
CACHE_SHARE = 0.5
# The same for a paged cache, which grows without a copy.
PAGED_SHARE = 0.8
# Default limit of sequences that decode together, by device or kind of cache.
MAX_SEQUENCES = {"cpu": 64, "cuda": 128, "paged": 256}
# Share of the batch that must be free before new sequences join: a prefill of few prompts takes as long as one of many.
JOIN_SHARE = 1 / 8


@dataclass(frozen=True)
class MissingAnswer:
    """One lane's answer to one prompt that is still to be generated.

    Attributes:
        prompt: Index of the prompt.
        lane: Index of the lane.
        tokens: Length of the rendered prompt.
    """

    prompt: int
    lane: int
    tokens: int


@dataclass(frozen=True)
class BatchBudget:
    """Limit of the sequences that decode together.

    Attributes:
        sequences: Number of sequences.
        tokens: Tokens that the keys and values of all sequences may hold together.
        note: The limit and its reason, for the user.
    """

    sequences: int
    tokens: int
    note: str


@dataclass
class BatchGenerator:
    """Generator of answers with loaded lanes.

    Attributes:
        lanes: The loaded base and adapters.
        requests: The request of each lane, without its messages.
        prompts: The prompts to answer.
        max_sequences: Limit of sequences that decode together; 0 chooses it by memory and device.
        failures: Lines of prompts that could not be rendered, as `list_missing` finds them.
        joined: Number of sequences that have joined the batch.
        begun: Number of those whose prompt is read, so that their answer has begun.
    """

    lanes: "Lanes"
    requests: list[LaneRequest]
    prompts: Prompts
    max_sequences: int = 0
    failures: list[Line] = field(default_factory=list)
    joined: int = field(default=0, init=False)
    begun: int = field(default=0, init=False)

    def list_missing(
        self, answered: Iterable[tuple[int, int]], progress: Callable[[int], None] = lambda index: None
    ) -> list[MissingAnswer]:
        """Return the missing answers, the longest prompts first; prompts that cannot be rendered go to `failures`.

        Args:
            answered: (prompt, lane) pairs that have an answer already.
            progress: Called with the index of each prompt.
        """
        answered, missing = set(answered), []
        for index, prompt in enumerate(self.prompts):
            progress(index)
            # Lanes with the same template have the same prompt, so each template is rendered once.
            lengths: dict[str, int | str] = {}
            for lane, request in enumerate(self.requests):
                if (index, lane) in answered:
                    continue
                if request.template not in lengths:
                    lengths[request.template] = self._prompt_length(replace(request, messages=prompt.messages))
                length = lengths[request.template]
                if isinstance(length, str):
                    self.failures.append(_make_line(index, lane, Generation(end="failed", note=length), prompt))
                else:
                    missing.append(MissingAnswer(index, lane, length))
        return sorted(missing, key=lambda one: (-one.tokens, one.prompt, one.lane))

    def _prompt_length(self, request: LaneRequest) -> int | str:
        """Return the tokens of a prompt, or the reason why it cannot be rendered."""
        try:
            return len(self.lanes.render_prompt(request)[0])
        except (StudioError, TemplateError) as error:
            return str(error)
        except Exception as error:
            # A chat template is foreign code that may raise anything; one bad prompt must not end the evaluation.
            traceback.print_exc(file=sys.stderr)
            return f"The prompt could not be rendered ({type(error).__name__}: {error})."

    def plan_batch(self, longest_prompt: int) -> BatchBudget:
        """Return how many sequences fit into the free memory.

        Args:
            longest_prompt: Tokens of the longest prompt.

        Raises:
            StudioError: Not even one sequence fits.
        """
        device = self.lanes.model.device.type
        share, kind = (PAGED_SHARE, "paged") if self.lanes.has_paged_cache else (CACHE_SHARE, device)
        gpu_memory = gpu.memory() if device == "cuda" else None
        free_bytes = (gpu_memory.free if gpu_memory else psutil.virtual_memory().available) * share
        bytes_per_token = self.lanes.bytes_per_token()
        # Every sequence is counted at its longest: its prompt and all tokens that it may generate.
        sequence_tokens = longest_prompt + max(request.sampling.max_new_tokens for request in self.requests)
        fitting = int(free_bytes / bytes_per_token) // sequence_tokens
        limit = self.max_sequences or MAX_SEQUENCES.get(kind, MAX_SEQUENCES["cpu"])
        reason = "as configured" if self.max_sequences else "auto: the weights are read once for all of them"
        mebibytes = sequence_tokens * bytes_per_token / 2**20
        if not fitting:
            raise StudioError(
                f"The keys and values of one answer take {mebibytes:,.0f} MiB, but only {free_bytes / 2**20:,.0f} MiB "
                "are free for them. Lower the length."
            )
        if fitting < limit:
            reason = f"no more fit into {share:.0%} of the free memory, {free_bytes / 2**30:.1f} GiB"
        sequences = min(limit, fitting)
        how = counted(sequences, "answer decodes at a time", "answers decode together")
        note = f"{how} ({reason}; each takes up to {mebibytes:,.1f} MiB)."
        return BatchBudget(sequences, sequences * sequence_tokens, note)

    def generate(
        self, missing: Iterable[MissingAnswer], budget: BatchBudget, may_continue: Callable[[], bool]
    ) -> Iterator[list[Line]]:
        """Yield after every decode step the answers that ended in it, until none is missing.

        Args:
            missing: The answers to generate, in the order of `list_missing`.
            budget: The limit of concurrent sequences.
            may_continue: Asked before new sequences join; once it is false, only the running ones are finished.
        """
        waiting, ended = deque(missing), []
        decoder = self.lanes.decoder(is_interactive=False)
        min_joining = max(1, round(budget.sequences * JOIN_SHARE))
        active = 0
        while waiting or active:
            free = budget.sequences - active
            if waiting and (not active or free >= min_joining):
                if may_continue():
                    joining = [self._make_sequence(waiting.popleft(), ended) for _ in range(min(free, len(waiting)))]
                    # Sequences of one adapter lie side by side, so its product is one slice of the batch, not a copy.
                    decoder.join(sorted(joining, key=lambda sequence: sequence.adapter or ""))
                    active += len(joining)
                    self.joined += len(joining)
                else:
                    waiting.clear()
            if active:
                decoder.step()
            active -= len(ended)
            # A copy is yielded, because the callbacks of the sequences continue to append to the same list.
            yield list(ended)
            ended.clear()

    def _make_sequence(self, missing: MissingAnswer, ended: list[Line]) -> "TokenSequence":
        """Return the sequence of an answer; its line is appended to `ended` when it ends."""
        from core.chat.decoder import TokenSequence
        from core.chat.sampler import NO_TOKEN, TokenSampler, most_likely

        prompt, request = self.prompts[missing.prompt], self.requests[missing.lane]
        sampling = request.sampling.model_copy(update={"seed": prompt_seed(request.sampling.seed, missing.prompt)})
        request = replace(request, messages=prompt.messages, sampling=sampling)
        prompt_ids, notes = self.lanes.render_prompt(request)
        take = self._make_callback(missing, prompt, request, Generation(note=" ".join(notes)), ended)
        if sampling.temperature == 0 and sampling.repetition_penalty == 1:
            # Greedy decoding needs the argmax only, so no logits leave the device.
            return TokenSequence(
                prompt_ids, request.adapter, _reject_logits, on_argmax=take, max_new_tokens=sampling.max_new_tokens
            )
        sampler = TokenSampler(sampling, prompt_ids)

        def take_from(logits: "torch.Tensor") -> int | None:
            return take(*sampler.sample(logits)) if most_likely(logits) != NO_TOKEN else take(NO_TOKEN)

        return TokenSequence(
            prompt_ids, request.adapter, take_from, sampler=sampler, on_token=take,
            max_new_tokens=sampling.max_new_tokens,
        )  # fmt: skip

    def _make_callback(
        self, missing: MissingAnswer, prompt: Prompt, request: LaneRequest, generation: Generation, ended: list[Line]
    ) -> Callable[[int], int | None]:
        """Return the callback that adds a token to a missing answer, and returns None once the answer has ended."""
        from core.chat.sampler import NO_TOKEN, check_finite

        writer = self.lanes.writer(request, generation, is_streamed=False)

        def take(token: int, logprob: float = 0.0) -> int | None:
            self.begun += not generation.tokens
            try:
                check_finite(math.nan if token == NO_TOKEN else logprob)
                next_token = writer.add(token)
            except Exception as error:
                # Only this answer fails; the other sequences of the batch continue.
                next_token, generation.text, generation.end = None, "", "failed"
                generation.note = str(error)
                if not isinstance(error, StudioError):
                    traceback.print_exc(file=sys.stderr)
                    generation.note = f"The answer could not be decoded ({type(error).__name__}: {error})."
            if next_token is None:
                ended.append(_make_line(missing.prompt, missing.lane, generation, prompt))
            return next_token

        return take


def prompt_seed(seed: int, prompt: int) -> int:
    """Return the seed of one prompt: different for each prompt, and the same in every lane."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {prompt}".encode(), digest_size=4).digest())


def _reject_logits(logits: "torch.Tensor") -> int | None:
    raise AssertionError("A sequence with on_argmax must not be given logits.")


def _make_line(prompt_index: int, lane: int, generation: Generation, prompt: Prompt) -> Line:
    """Return an answer as a line of answers.jsonl, scored if the prompt has a reference."""
    reference, text, end = prompt.reference, generation.text, generation.end
    is_scored = bool(reference.strip()) and end != "failed"
    f1 = word_f1(text, reference) if is_scored else None
    return {
        "prompt": prompt_index, "lane": lane, "text": text, "tokens": generation.tokens, "end": end,
        "note": generation.note,
        "exact": exact_match(text, reference) if is_scored else None,
        "f1": None if f1 is None else round(f1, 4),
    }  # fmt: skip
