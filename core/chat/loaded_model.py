"""A model in the engine's memory: its lanes, its decoder, and the memory budget of its answers."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from core.chat import arbiter
from core.chat.prompt_scoring import score_prompts
from core.chat.queue_entry import QueueEntry
from core.chat.types import BaseIdentity
from core.chat.whole_prompt import fit_answer
from core.errors import StudioError
from core.hardware import gpu
from core.models import catalogue, support
from core.models.catalogue import Model
from core.models.download import fetch
from core.models.loading import LoadedBase, load_base, read_config
from core.runs.exported import ExportedModel
from core.runs.store import RunStore
from core.settings import Settings
from core.system.memory import release_freed_memory

_MAX_LOADED_ADAPTERS = 12
# Share of the memory that is free after loading, for keys and values.
_CACHE_SHARE = 0.6
_NO_BATCH = object()


class LoadedModel:
    """A loaded base model.

    Attributes:
        base: Which model it is.
        lanes: Renders the prompts, and holds the adapters and the end tokens.
        decoder: Decoder of all sequences under way.
        budget_bytes: Memory for the keys and values of all sequences together.
        exported: The file whose weights it has; None for those of the base (`core.chat.exported_model`).
    """

    exported: ExportedModel | None = None

    def __init__(
        self,
        settings: Settings,
        store: RunStore,
        base: BaseIdentity,
        report: Callable[[str], None] = lambda stage: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ):
        """Load a model.

        Args:
            settings: The studio's settings.
            store: Where a run that shares the GPU is found.
            base: The model.
            report: Called at the beginning of each stage that takes seconds, and repeatedly during a download.
            is_cancelled: Whether to stop a download.

        Raises:
            DownloadCancelled: `is_cancelled` returned true.
            StudioError: A run or an evaluation needs the GPU's memory, or the model cannot be loaded.
        """
        from core.chat.lanes import Lanes

        arbiter.check_fits_beside_run(store, base.config)
        self._is_beside_evaluation = arbiter.check_fits_beside_evaluation(settings, base.config)
        model = catalogue.find(settings, base.model, base.revision, report)
        _check_can_write(model)
        fetch(model, report, is_cancelled)
        report(loading_stage(base))
        self.base = base
        self.lanes = Lanes(self._load(model, report), settings.fast_chat)
        self.decoder = self.lanes.decoder()
        self._scoring: list[tuple[QueueEntry, Iterator[None]]] = []
        self.measure_budget()

    def measure_budget(self) -> None:
        """Set the memory for keys and values to a share of what is free now."""
        gpu_memory = gpu.memory() if self.device == "cuda" else None
        self.budget_bytes = (gpu_memory.free if gpu_memory else psutil.virtual_memory().available) * _CACHE_SHARE
        if self._is_beside_evaluation:
            # No more than what the arbiter has checked: the evaluation's own caches still grow.
            self.budget_bytes = min(self.budget_bytes, arbiter.CACHE_BYTES)

    def _load(self, model: Model, report: Callable[[str], None]) -> LoadedBase:
        """Return the weights and the tokenizer."""
        return load_base(model, self.base.precision, self.base.attention)

    @property
    def notes(self) -> list[str]:
        """Return how its answers are decoded, as sentences for the page."""
        return [self.lanes.decoding_note]

    @property
    def device(self) -> str:
        """Return the kind of device the model is on: "cpu" or "cuda"."""
        return self.lanes.model.device.type

    def reserve(self, entry: QueueEntry, taken: Sequence[int], beside: int = 0) -> int | None:
        """Render the prompts of a question, and return the bytes that its keys and values may take.

        Args:
            entry: The question, of which it decodes its own lanes.
            taken: Bytes of the questions that are being answered.
            beside: Bytes of the question's lanes that other models decode.

        Returns:
            None if there is no memory for it until one of these has ended.

        Raises:
            StudioError: The question cannot be answered at all.
        """
        own = entry.lanes_of(self.exported)
        if not entry.prompts.keys() >= set(own):
            entry.prompts |= {index: self.lanes.render_prompt(entry.lanes[index]) for index in own}
            self._fit_answers(entry, own)
        # Reserved for the longest possible answers, so that no sequence runs out of memory in the middle.
        cache_bytes = self.lanes.bytes_per_token() * sum(
            len(entry.prompts[index].ids) + len(lane.prefix_ids) + lane.sampling.max_new_tokens
            for index in own
            if (lane := entry.lanes[index])
        )
        if cache_bytes + beside + sum(taken) <= self.budget_bytes:
            return cache_bytes
        if taken:
            return None
        raise StudioError(
            f"The conversation takes {(cache_bytes + beside) / 2**30:.1f} GiB of memory beside the model, and "
            f"{self.budget_bytes / 2**30:.1f} GiB are free for it. Lower the length, or use fewer lanes."
        )

    def _fit_answers(self, entry: QueueEntry, own: Sequence[int]) -> None:
        """Shorten the answers of programs that ask for as many tokens as the context leaves."""
        lanes, context = list(entry.lanes), self.lanes.context_length()
        for index in own:
            lanes[index] = fit_answer(lanes[index], len(entry.prompts[index].ids), context)
        entry.request = replace(entry.request, lanes=lanes)

    def start(self, entry: QueueEntry) -> None:
        """Start the answers of a question, whose memory is reserved and whose adapters are loaded.

        The answers of a program that asks for the probabilities of its prompts begin once these are computed.
        """
        if any(lane.program and lane.program.scores_prompt for lane in entry.lanes):
            self._scoring.append((entry, score_prompts(self.lanes, entry)))
        else:
            self._start_answers(entry)

    def step(self) -> None:
        """Decode one token of every sequence, and compute the probabilities of one batch of each question's prompts."""
        self.decoder.step()
        for entry, batches in list(self._scoring):
            if entry.is_stopped:
                self._scoring.remove((entry, batches))
                for generation in entry.generations:
                    generation.end = generation.end or "stopped"
            elif self._is_scored(entry, batches):
                self._scoring.remove((entry, batches))

    def _is_scored(self, entry: QueueEntry, batches: Iterator[None]) -> bool:
        """Compute the next batch of a question's prompts; once there is none, start its answers and return True."""
        try:
            if next(batches, _NO_BATCH) is not _NO_BATCH:
                return False
            self._start_answers(entry)
        except Exception as error:
            # An error fails its own question, not the others.
            for generation in entry.generations:
                generation.error, generation.end = error, "failed"
        return True

    def _start_answers(self, entry: QueueEntry) -> None:
        waited = time.monotonic() - entry.asked
        # Made only now, because their clocks start here: the tokens per second include neither waiting nor loading.
        sequences = []
        for index in entry.lanes_of(self.exported):
            request, generation = entry.lanes[index], entry.generations[index]
            if self.exported:
                # The decoder has no adapter of that name: the weights are the file's own.
                request = replace(request, adapter=None)
            generation.waited_seconds = waited
            if request.program and not request.program.writes_answer:
                generation.end = "length"
                continue
            is_stopped = functools.partial(entry.stopped_lanes.__contains__, index)
            sequences.append(self.lanes.sequence(request, entry.prompts[index], generation, is_stopped))
        self.decoder.join(sequences)

    def load_adapters(self, folders: dict[str, Path], in_use: Iterable[str], on_load: Callable[[], None]) -> None:
        """Load the adapters of a question.

        If some are missing, the oldest unused ones are dropped until at most `_MAX_LOADED_ADAPTERS` are loaded, or all
        that are left are used.

        Args:
            folders: The question's adapters, by key.
            in_use: Keys of adapters that other questions use now.
            on_load: Called before each adapter is read.

        Raises:
            StudioError: An adapter cannot be applied to this model.
        """
        adapters = self.lanes.adapters
        missing = [key for key in folders if key not in adapters]
        if missing:
            needed = {*folders, *in_use}
            # In the order of loading: the oldest leave first.
            unused = [key for key in adapters if key not in needed]
            # Those in use count as well: their memory is taken.
            excess = max(0, len([*adapters, *missing]) - _MAX_LOADED_ADAPTERS)
            adapters.keep_only([*needed, *unused[excess:]])
        for key in missing:
            on_load()
            self.lanes.add_adapter(key, folders[key])


def _check_can_write(model: Model) -> None:
    """Check that a model can write answers, before its weights are downloaded.

    Raises:
        StudioError: The model cannot write answers.
    """
    if why := support.unanswerable_reason(read_config(model)):
        raise StudioError(
            f"{model.name} cannot write answers: {why}. Choose a run that is a classifier in every lane, or another "
            "base model."
        )


def loading_stage(base: BaseIdentity) -> str:
    """Return the name of the stage in which the weights are read."""
    return f"Loading {base.model}"


def release_memory() -> None:
    """Return freed memory to the system and to the GPU, after the last reference to a model is gone."""
    import torch

    release_freed_memory()
    if torch.cuda.is_available():
        # cuBLAS keeps a workspace of 32 MiB for every stream that has multiplied.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def held_bytes() -> int:
    """Return the bytes that torch's allocator holds on the GPU, or the process without a GPU."""
    import torch

    return torch.cuda.memory_reserved() if torch.cuda.is_available() else psutil.Process().memory_info().rss
