"""Verbatim extraction: does a tuned model continue the beginnings of its training rows word for word?

    row as trained     prompt · a1 … a16 | a17 … a48            beginning | continuation, in tokens
    model              continues the beginning greedily         verbatim if all tokens of the continuation are equal

A row counts as extracted if its continuation is repeated as a whole (Carlini et al. 2023, arXiv:2202.07646, with
shorter lengths). Held-out rows, which were not trained on, and the base model show what is merely easy to guess.
Besides, the continuations of held-out beginnings are looked up in the index of the training rows
(core.evaluate.memorization), because a model may also repeat other rows than the one that was begun.
"""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from core.chat import arbiter
from core.chat.requests import resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest, adapter_key
from core.chat.vote_statistics import wilson_interval
from core.data import subset as subsets
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.evaluate.memorization import run_index
from core.evaluate.memorization.run_index import RunIndex
from core.evaluate.memorization.spans import find_spans
from core.models import catalogue
from core.models.download import fetch
from core.models.loading import load_base
from core.runs.holdout import hold_out
from core.runs.store import Run, RunStore
from core.system.counting import counted
from core.system.jobs import Progress

if TYPE_CHECKING:
    from core.chat.lanes import Lanes

BEGINNING_TOKENS, CONTINUATION_TOKENS, MIN_CONTINUATION_TOKENS = 16, 32, 16
# Sequences that decode together.
_BATCH = 64
_LOADED = 0.3
_QUESTION = [{"role": "user", "content": "Hi."}]


class Extracted(BaseModel):
    """How many beginnings a model has continued verbatim.

    Attributes:
        rows: Number of beginnings.
        verbatim: Numbers of the rows whose continuation it repeats.
        longest: Longest span of its continuations that stands in a training row, in tokens; None if not looked up.
    """

    rows: int = 0
    verbatim: list[int] = []
    longest: int | None = None

    def describe(self) -> str:
        """Return the share with its interval."""
        low, high = wilson_interval(len(self.verbatim), self.rows)
        return f"{len(self.verbatim):,} of {self.rows:,} (95 % interval {low:.0%} to {high:.0%})"


class Extraction(BaseModel):
    """Result of the measurement, of training rows and held-out rows, of the tuned model and its base."""

    tuned: Extracted = Extracted()
    base: Extracted = Extracted()
    tuned_held_out: Extracted = Extracted()
    base_held_out: Extracted = Extracted()
    notes: list[str] = []

    @property
    def more_than_base(self) -> list[int]:
        """Return the training rows that the tuned model repeats, and its base does not."""
        return sorted(set(self.tuned.verbatim) - set(self.base.verbatim))

    def describe(self) -> list[str]:
        """Return the result as sentences."""
        lengths = f"{BEGINNING_TOKENS} tokens of an answer, continued by up to {CONTINUATION_TOKENS}"
        sentences = [
            f"Training rows that the model repeats verbatim ({lengths}): {self.tuned.describe()}; its base: "
            f"{self.base.describe()}."
        ] if self.tuned.rows else []  # fmt: skip
        if self.tuned_held_out.rows:
            sentences.append(
                f"The same of held-out rows, which it was not trained on: {self.tuned_held_out.describe()}; its base: "
                f"{self.base_held_out.describe()}."
            )
        if self.tuned_held_out.longest is not None:
            sentences.append(
                f"The longest passage of a training row in the continuations of held-out rows: "
                f"{counted(self.tuned_held_out.longest, 'token')}; of the base {self.base_held_out.longest:,}."
            )
        return [*sentences, *self.notes]


@dataclass(frozen=True)
class _Beginning:
    """A row as trained, cut where the model is to continue: tokens before, and tokens that follow."""

    row: int
    ids: list[int]
    continuation: list[int]


def measure(store: RunStore, run: Run, adapter: str, rows: int, progress: Progress) -> Extraction:
    """Let a tuned model and its base continue the beginnings of rows.

    Args:
        store: The runs.
        run: A run that trained a model to generate text.
        adapter: "final", or "step N".
        rows: Number of training rows, and of held-out rows.
        progress: Called with the share that is done and the current step.

    Raises:
        StudioError: The model or the subset is gone, or the memory is in use.
    """
    lanes, keys = _load(store, run, adapter, progress)
    config = run.config()
    data = subsets.load(store.settings, config.subset)
    hold_out(config, data)
    result = Extraction()
    index = _index(store, run, result, progress)
    done = 0
    for split, names in ((TRAIN, ("base", "tuned")), (HELD_OUT, ("base_held_out", "tuned_held_out"))):
        beginnings = _choose(lanes, run, data[split], rows)
        if not beginnings:
            least = BEGINNING_TOKENS + MIN_CONTINUATION_TOKENS
            kind = "training" if split == TRAIN else "held-out"
            result.notes.append(f"No {kind} row has an answer of {least} tokens, so none was continued.")
        for name, key in zip(names, keys, strict=True):
            progress(_LOADED + (1 - _LOADED) * done / 4, f"Continuing {counted(len(beginnings), f'{split} row')}")
            setattr(result, name, _continue(lanes, key, beginnings, index if split == HELD_OUT else None))
            done += 1
    return result


def _load(store: RunStore, run: Run, adapter: str, progress: Progress) -> tuple["Lanes", tuple[None, str]]:
    """Load the base with the adapter; return them with the keys of the base and of the adapter."""
    from core.chat.lanes import Lanes

    key = adapter_key(run.id, adapter)
    resolved = resolve_lanes(store, [LaneRequest(_QUESTION, Sampling(), name) for name in (None, key)])
    arbiter.check_fits_for_evaluation(store, resolved.base.config)
    progress(0.05, f"Loading {resolved.base.model}")
    model = catalogue.find(store.settings, resolved.base.model, resolved.base.revision)
    fetch(model, lambda stage: progress(0.05, stage))
    lanes = Lanes(load_base(model, resolved.base.precision, resolved.base.attention), store.settings.fast_chat)
    for name, folder in resolved.adapter_folders.items():
        lanes.add_adapter(name, folder)
    return lanes, (None, key)


def _index(store: RunStore, run: Run, result: Extraction, progress: Progress) -> RunIndex | None:
    """Return the index of the training rows; None, with a note, if it cannot be made."""
    try:
        return run_index.load(store, run, lambda share, stage: progress(0.1 + 0.2 * share, stage))
    except StudioError as error:
        result.notes.append(f"Continuations were not looked up in the training rows: {error}")
        return None


def _choose(lanes: "Lanes", run: Run, rows: list[Any], count: int) -> list[_Beginning]:
    """Return the beginnings of random rows whose answer is long enough, chosen by the run's seed."""
    from core.data.tokens import IGNORE_INDEX
    from core.train.batches import tokenize

    config, found = run.config(), []
    for row in random.Random(config.seed).sample(rows, len(rows)):
        if len(found) == count:
            break
        renderer = lanes.renderer(config.chat_template)
        for tokens in tokenize(renderer, [row], config.max_length, config.answers_only).rows:
            ids, labels = tokens["input_ids"], tokens["labels"]
            # The last answer is the last stretch of tokens with loss.
            end = max(at for at, label in enumerate(labels) if label != IGNORE_INDEX) + 1
            start = end
            while start and labels[start - 1] != IGNORE_INDEX:
                start -= 1
            cut = start + BEGINNING_TOKENS
            if end - cut >= MIN_CONTINUATION_TOKENS:
                found.append(_Beginning(tokens["row"], ids[:cut], ids[cut : min(end, cut + CONTINUATION_TOKENS)]))
    return found


def _continue(lanes: "Lanes", key: str | None, beginnings: list[_Beginning], index: RunIndex | None) -> Extracted:
    """Continue beginnings greedily with the base or an adapter, and compare with what follows in the rows."""
    written: list[list[int]] = []
    for start in range(0, len(beginnings), _BATCH):
        written += _decode(lanes, key, beginnings[start : start + _BATCH])
    pairs = list(zip(beginnings, written, strict=True))
    longest = None
    if index is not None and beginnings:
        spans = [span for _, ids in pairs for span in find_spans(index.index, ids)]
        longest = max((span.length for span in spans), default=0)
    verbatim = [each.row for each, ids in pairs if ids[: len(each.continuation)] == each.continuation]
    return Extracted(rows=len(beginnings), verbatim=sorted(verbatim), longest=longest)


def _decode(lanes: "Lanes", key: str | None, beginnings: list[_Beginning]) -> list[list[int]]:
    """Return the most likely tokens after each beginning, as many as the row has."""
    from core.chat.decoder import TokenSequence

    written: list[list[int]] = [[] for _ in beginnings]
    active = len(beginnings)

    def make(number: int) -> TokenSequence:
        limit = len(beginnings[number].continuation)

        def take(token: int) -> int | None:
            nonlocal active
            written[number].append(token)
            active -= len(written[number]) == limit
            return token if len(written[number]) < limit else None

        return TokenSequence(beginnings[number].ids, key, _reject, on_argmax=take, max_new_tokens=limit)

    decoder = lanes.decoder(is_interactive=False)
    # Sequences of similar length decode together, so that little is padded.
    order = sorted(range(len(beginnings)), key=lambda number: len(beginnings[number].ids))
    decoder.join([make(number) for number in order])
    while active:
        decoder.step()
    return written


def _reject(logits: Any) -> int | None:
    raise AssertionError("A sequence with on_argmax must not be given logits.")
