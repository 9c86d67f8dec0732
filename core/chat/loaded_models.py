"""The models in the engine's memory: a base model with its adapters, and exported files beside it.

Each decodes its own lanes of a question. What a question does not need is forgotten when another one is loaded for it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from core.chat.exported_model import LoadedExport
from core.chat.loaded_model import LoadedModel, release_memory
from core.chat.queue_entry import QueueEntry
from core.chat.types import BaseIdentity
from core.runs.exported import ExportedModel
from core.runs.store import RunStore
from core.settings import Settings


class LoadedModels:
    """The models in memory. Only the engine's thread changes them.

    Attributes:
        main: The base model; None if none is loaded.
    """

    def __init__(self, settings: Settings, store: RunStore):
        """Begin without a model.

        Args:
            settings: The studio's settings.
            store: Where a run that shares the GPU is found.
        """
        self._settings, self._store = settings, store
        self.main: LoadedModel | None = None
        self._exported: dict[ExportedModel, LoadedExport] = {}

    def __iter__(self) -> Iterator[LoadedModel]:
        """Iterate over all of them, the base model first."""
        yield from [*([self.main] if self.main else []), *self._exported.values()]

    @property
    def base(self) -> BaseIdentity | None:
        """Return the base model in memory; if there is none, that of an exported file; None without a model."""
        return next((model.base for model in self), None)

    @property
    def decoding_note(self) -> str:
        """Return how answers are decoded, as sentences; empty without a model."""
        # Several models may be decoded in the same way.
        return " ".join(dict.fromkeys(note for model in self for note in model.notes))

    def lacks(self, entry: QueueEntry) -> bool:
        """Return whether a model of a question's decoded lanes is not loaded."""
        return any(self._find(entry, file) is None for file in entry.models)

    def load(self, entry: QueueEntry, report: Callable[[str], None]) -> None:
        """Load the models that a question needs, after forgetting those that it does not need; nothing is decoded now.

        Args:
            entry: The question.
            report: Called with a text at the beginning of each stage that takes seconds.

        Raises:
            DownloadCancelled: All lanes of the question were stopped during a download.
            StudioError: A model cannot be loaded.
        """
        self.main = self._find(entry, None)
        self._exported = {file: model for file, model in self._exported.items() if file in entry.models}
        # First free the memory: the arbiter and the loader measure what is free.
        release_memory()
        entry.prompts = {}
        try:
            for file in entry.models:
                if self._find(entry, file) is None:
                    self._load(entry, file, report)
        finally:
            for model in self:
                model.measure_budget()

    def _load(self, entry: QueueEntry, file: ExportedModel | None, report: Callable[[str], None]) -> None:
        common = report, lambda: entry.is_stopped
        if file is None:
            self.main = LoadedModel(self._settings, self._store, entry.base, *common)
        else:
            self._exported[file] = LoadedExport(self._settings, self._store, entry.base, file, *common)

    def _find(self, entry: QueueEntry, file: ExportedModel | None) -> LoadedModel | None:
        """Return the loaded model of a file; for None, the base model of a question."""
        if file is not None:
            return self._exported.get(file)
        return self.main if self.main and self.main.base == entry.base else None

    def reserve(self, entry: QueueEntry, taken: Sequence[int]) -> int | None:
        """Render the prompts of a question, and return the bytes that its keys and values may take.

        Args:
            entry: The question, whose models are loaded.
            taken: Bytes of the questions that are being answered.

        Returns:
            None if there is no memory for it until one of these has ended.

        Raises:
            StudioError: The question cannot be answered at all.
        """
        total = 0
        for model in self._of(entry):
            size = model.reserve(entry, taken, total)
            if size is None:
                return None
            total += size
        return total

    def load_adapters(self, entry: QueueEntry, in_use: Iterable[str], on_load: Callable[[], None]) -> None:
        """Load the adapters of a question onto the base model.

        Args:
            entry: The question, whose models are loaded.
            in_use: Keys of adapters that other questions use now.
            on_load: Called before each adapter is read.

        Raises:
            StudioError: An adapter cannot be applied to this model.
        """
        if self.main and None in entry.models:
            self.main.load_adapters(entry.request.adapter_folders, in_use, on_load)

    def start(self, entry: QueueEntry) -> None:
        """Start the answers of a question, whose memory is reserved and whose adapters are loaded."""
        for model in self._of(entry):
            model.start(entry)

    def step(self) -> None:
        """Decode one token of every sequence."""
        for model in self:
            model.step()

    @property
    def device(self) -> str:
        """Return the kind of device the models are on: "cpu" or "cuda"; empty without a model."""
        return next((model.device for model in self), "")

    def drop(self) -> None:
        """Forget all models."""
        self.main, self._exported = None, {}

    def _of(self, entry: QueueEntry) -> list[LoadedModel]:
        return [model for file in entry.models if (model := self._find(entry, file))]
