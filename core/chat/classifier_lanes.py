"""Lanes of the chat that are classifiers: they answer at once, with the probabilities of their labels."""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from core.chat import arbiter
from core.chat.classify import LoadedClassifier
from core.chat.queue_entry import QueueEntry
from core.chat.types import BaseIdentity, Generation, LaneRequest
from core.runs.store import RunStore
from core.settings import Settings
from core.system.files import modified_ns

# Two checkpoints can be compared without loading each of them for every text.
_MAX_LOADED = 2
# The labels that an answer keeps, the most probable ones.
MAX_SHOWN_LABELS = 20
_LAST_ONLY = "A classifier reads the last question only."
_TRUNCATED = "The text is longer than {limit:,} tokens; its end was not read."


class ClassifierLanes:
    """The classifiers in memory. Only the engine's thread uses them."""

    def __init__(self, settings: Settings, store: RunStore):
        """Begin without a classifier.

        Args:
            settings: The studio's settings.
            store: Where a run that shares the GPU is found.
        """
        self._settings, self._store = settings, store
        self._loaded: OrderedDict[tuple[Path, int, BaseIdentity], LoadedClassifier] = OrderedDict()

    @property
    def base(self) -> BaseIdentity | None:
        """Return the base of a classifier in memory; None if there is none."""
        return next((one.base for one in self._loaded.values()), None)

    def drop(self) -> None:
        """Forget all classifiers."""
        self._loaded.clear()

    def answer(self, entry: QueueEntry, report: Callable[[str], None]) -> None:
        """Answer in the lanes of a question that are classifiers and have not answered yet.

        Args:
            entry: The question.
            report: Called with a text at the beginning of each stage that takes seconds.

        Raises:
            core.hub.download.DownloadCancelled: All lanes were stopped while a model was downloaded.
            StudioError: A classifier cannot be loaded, or the text cannot be classified.
        """
        for lane, generation in zip(entry.lanes, entry.generations, strict=True):
            folder = entry.request.classifiers.get(lane.adapter or "")
            if folder is not None and not generation.end:
                loaded = self._load(entry, folder, report)
                generation.waited_seconds = time.monotonic() - entry.asked
                _answer(loaded, lane, generation)

    def _load(self, entry: QueueEntry, folder: Path, report: Callable[[str], None]) -> LoadedClassifier:
        base = entry.base
        # A run that is resumed writes another adapter into the same folder.
        key = (folder, modified_ns(folder / "adapter_model.safetensors"), base)
        found = self._loaded.pop(key, None)
        if found is None:
            while len(self._loaded) >= _MAX_LOADED:
                self._loaded.popitem(last=False)
            arbiter.check_fits_beside_run(self._store, base.config)
            arbiter.check_fits_beside_evaluation(self._settings, base.config)
            found = LoadedClassifier(self._settings, base, folder, report, lambda: entry.is_stopped)
        self._loaded[key] = found
        return found


def _answer(loaded: LoadedClassifier, lane: LaneRequest, generation: Generation) -> None:
    """Write the most probable label as the text, and the probabilities beside it."""
    started = time.monotonic()
    text = loaded.read(lane.messages[-1]["content"])
    ((_, probabilities),) = loaded.classify([text])
    ranked = sorted(zip(loaded.about.labels, probabilities[0].tolist(), strict=True), key=lambda pair: -pair[1])
    notes = [_LAST_ONLY] if len(lane.messages) > 1 else []
    if text.is_truncated:
        notes.append(_TRUNCATED.format(limit=loaded.about.max_length))
    generation.note = " ".join(notes)
    generation.labels = ranked[:MAX_SHOWN_LABELS]
    generation.text, generation.tokens = ranked[0][0], len(text.ids)
    generation.seconds = generation.first_token_seconds = time.monotonic() - started
    generation.end = "end"
