"""The chat's engine: one base model in memory, whose lanes decode together, and the queue in front of it.

Exported files among the lanes are models of their own beside it (`core.chat.loaded_models`).

Any thread may ask. Questions are admitted in the order in which they came, the owner's before visitors', as many at
once as the numbers of sequences and the memory allow. A question for another base model waits until no answer of the
current one is being written. One thread of the engine owns the model. The queue and the end of an entry are changed
under the condition `_changed`; the fields of a generation are written by the engine's thread alone, and read without a
lock.
"""

import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator

from core.access import roles
from core.chat import arbiter
from core.chat.classifier_lanes import ClassifierLanes
from core.chat.loaded_model import held_bytes, loading_stage, release_memory
from core.chat.loaded_models import LoadedModels
from core.chat.queue_entry import ActiveEntry, QueueEntry, insertion_index
from core.chat.throttle import Throttle
from core.chat.types import BaseIdentity, Generation
from core.chat.visitor_quota import VisitorQuota
from core.errors import StudioError
from core.hub.download import DownloadCancelled
from core.runs.store import RunStore
from core.settings import Settings

# On two cores a step of 32 sequences takes 1.3 times as long as one of 8, so a smaller limit would only add waiting.
MAX_SEQUENCES = 32
# Sequences that are kept free of visitors, for a question of the owner with four lanes.
OWNERS_SEQUENCES = 4
# An asker looks at the growing answers this often. Waking the asker at every token would stop the model's thread each
# time.
SECONDS_BETWEEN_YIELDS = 0.25


class Engine:
    """The engine of one studio.

    Attributes:
        store: Where the runs are.
        visitor_quota: What visitors may ask.
        throttle: Slows the chat down while a run trains on the same processors.
        notice: Why the model was unloaded, for the page; empty if there is nothing to report.
    """

    def __init__(self, settings: Settings, max_sequences: int = MAX_SEQUENCES):
        """Start without a model and without a thread.

        Args:
            settings: The studio's settings.
            max_sequences: How many lanes may decode together.
        """
        self.settings, self.store = settings, RunStore(settings)
        self.visitor_quota, self.throttle = VisitorQuota(settings), Throttle(self.store)
        self.notice = ""
        self._max_sequences = max_sequences
        self._changed = threading.Condition()
        # Counts the changes, so that an asker misses none between two waits.
        self._version = 0
        self._waiting: deque[QueueEntry] = deque()
        self._active: list[ActiveEntry] = []
        self._models = LoadedModels(settings, self.store)
        self._classifiers = ClassifierLanes(settings, self.store)
        self._unload_requested = False
        self._thread: threading.Thread | None = None

    @property
    def loaded(self) -> BaseIdentity | None:
        """Return the base model in memory; that of a classifier if no other model is loaded."""
        return self._models.base or self._classifiers.base

    @property
    def decoding_note(self) -> str:
        """Return how the loaded model's answers are decoded, as sentences; empty if none is loaded."""
        return self._models.decoding_note

    def queue_position(self, entry: QueueEntry) -> int:
        """Return how many questions wait before an entry; those that are being answered do not count."""
        with self._changed:
            return self._waiting.index(entry) if entry in self._waiting else 0

    def ask(self, entry: QueueEntry) -> Iterator[QueueEntry]:
        """Queue a question, and yield its entry until all its lanes have ended.

        It is yielded when its stage changes, when it is done, and every `SECONDS_BETWEEN_YIELDS` in between. Closing
        the iterator stops the answers.

        Args:
            entry: A new entry; its generations are written by the engine's thread.

        Raises:
            StudioError: The question cannot be answered, for a reason that the asker can change.
        """
        settle = self.visitor_quota.reserve(entry)
        entry.generations = [Generation() for _ in entry.lanes]
        entry.has_priority = roles.caller().is_owner
        with self._changed:
            # With no question before it, it waits at most for its model; the page shows that at once.
            if not (self._waiting or self._active):
                is_ready = not self._models.lacks(entry) if entry.models else entry.base == self.loaded
                entry.stage = "" if is_ready else loading_stage(entry.base)
            self._waiting.insert(insertion_index(self._waiting, entry), entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="studio-chat", daemon=True)
                self._thread.start()
            self._notify()
        seen, done = -1, False
        try:
            while not done:
                seen, done = self._wait_for_change(seen, entry)
                if entry.error:
                    raise entry.error
                yield entry
        finally:
            # Also reached when the page is closed in the middle of an answer.
            entry.stop()
            settle()

    def unload(self) -> int:
        """Unload the model after the answers under way, and return the number of bytes that were freed."""
        if self.loaded is None:
            return 0
        held = held_bytes()
        with self._changed:
            self._unload_requested = True
            self._notify()
            self._changed.wait_for(lambda: not self._unload_requested)
        return max(0, held - held_bytes())

    def yield_to_run(self) -> None:
        """Unload the model if a run that is about to load needs its GPU memory; `notice` then gives the reason."""
        base = self.loaded
        run = arbiter.find_waiting_run(self.store) if base else None
        if base is None or run is None:
            return
        self.unload()
        self.notice = (
            f"{base.model} was unloaded from the GPU, because the run {run.title} needs its memory. Your next question "
            "after the run loads it again."
        )

    def _wait_for_change(self, seen: int, entry: QueueEntry) -> tuple[int, bool]:
        """Wait for a change since version `seen`, but not long; return the version, and whether the entry is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, SECONDS_BETWEEN_YIELDS)
            return self._version, entry.is_done

    # Everything below runs in the engine's own thread.

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._active or self._unload_requested):
                    self._changed.wait()
            try:
                self._run_once()
            except Exception as error:
                # The model failed: all who asked it get the error, and the queue continues with a freshly loaded model.
                if not isinstance(error, StudioError):
                    traceback.print_exc(file=sys.stderr)
                self._fail(error)

    def _run_once(self) -> None:
        """Admit questions, decode one token of every sequence, and end the questions that are answered."""
        if self._unload_requested and not self._active:
            self._drop_model()
            with self._changed:
                self._unload_requested = False
                self._notify()
        if not self._unload_requested:
            self._admit_waiting()
        if self._sequence_count():
            self.throttle.step(self._models.step, self._models.device)
        self._end_finished()

    def _admit_waiting(self) -> None:
        """Admit waiting questions in their order, until one does not fit."""
        for entry in [entry for entry in self._waiting if entry.is_stopped]:
            self._leave_queue(entry)
            self._end(entry)
        while self._waiting:
            entry = self._waiting[0]
            # Visitors' questions leave `OWNERS_SEQUENCES` sequences free for a question of the owner.
            limit = self._max_sequences - (0 if entry.has_priority else OWNERS_SEQUENCES)
            is_full = self._sequence_count() + len(entry.decoded_lanes) > limit
            if self._sequence_count() and entry.decoded_lanes and (self._models.lacks(entry) or is_full):
                return
            try:
                if not self._admit(entry):
                    return
            except DownloadCancelled:
                # All lanes of the question were stopped while its model was being downloaded.
                self._end(entry)
            except Exception as error:
                # Such an error concerns this question alone: its prompt may be too long.
                if not isinstance(error, StudioError):
                    traceback.print_exc(file=sys.stderr)
                self._end(entry, error)
            self._leave_queue(entry)

    def _leave_queue(self, entry: QueueEntry) -> None:
        with self._changed:
            self._waiting.remove(entry)
            self._notify()

    def _admit(self, entry: QueueEntry) -> bool:
        """Start the answers of a question, and return whether there was memory for them now.

        Raises:
            StudioError: The question cannot be answered at all.
        """
        self._classifiers.answer(entry, lambda stage: self._set_stage(entry, stage))
        cache_bytes = 0
        if entry.decoded_lanes:
            if self._models.lacks(entry):
                self._load(entry)
            cache_bytes = self._models.reserve(entry, [active.cache_bytes for active in self._active])
            if cache_bytes is None:
                return False
            in_use = {one.adapter for active in self._active for one in active.entry.lanes if one.adapter}
            self._models.load_adapters(entry, in_use, lambda: self._set_stage(entry, "Loading the adapter"))
            self._models.start(entry)
        self._active.append(ActiveEntry(entry, cache_bytes))
        entry.is_admitted = True
        entry.stage = ""
        return True

    def _load(self, entry: QueueEntry) -> None:
        self._set_stage(entry, loading_stage(entry.base))
        self._models.load(entry, lambda stage: self._set_stage(entry, stage))
        self.notice = ""

    def _end_finished(self) -> None:
        """End the questions whose lanes have all ended."""
        for active in [active for active in self._active if all(one.end for one in active.entry.generations)]:
            self._active.remove(active)
            error = next((one.error for one in active.entry.generations if one.error), None)
            self._end(active.entry, error)

    def _notify(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _sequence_count(self) -> int:
        return sum(not generation.end for active in self._active for generation in active.entry.generations)

    def _set_stage(self, entry: QueueEntry, stage: str) -> None:
        with self._changed:
            entry.stage = stage
            self._notify()

    def _end(self, entry: QueueEntry, error: Exception | None = None) -> None:
        for generation in entry.generations:
            generation.end = generation.end or ("failed" if error else "stopped")
        with self._changed:
            entry.error, entry.is_done, entry.stage = error, True, ""
            self._notify()

    def _fail(self, error: Exception) -> None:
        active, self._active = self._active, []
        for one in active:
            self._end(one.entry, error)
        # After an error inside a step, the decoder's state is unknown.
        self._drop_model()

    def _drop_model(self) -> None:
        self._models.drop()
        self._classifiers.drop()
        release_memory()
