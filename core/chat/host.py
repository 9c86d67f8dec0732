"""One loaded base model at a time, for whoever chats, behind a lock."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from core.chat import room
from core.chat.sampling import Sampling
from core.data.formats import Message
from core.errors import StudioError
from core.models import catalogue
from core.models.catalogue import Model
from core.models.loading import Precision, load_base
from core.runs.store import Run, RunStore
from core.settings import Settings

if TYPE_CHECKING:
    from core.chat.lanes import LaneAnswer, Lanes


_LOOKS_AGAIN = 0.2  # seconds between two looks at whether to stop waiting


class ChatHost:
    """Loads a run's base model when first asked, keeps it until another is wanted, lets one caller decode at a time."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store = RunStore(settings)
        self._lock = threading.Lock()
        self._lanes: Lanes | None = None
        self._loaded: tuple[Model, Precision] | None = None
        self.notice = ""  # what the page should say of a model that is gone

    @property
    def loaded(self) -> str | None:
        """The name of the base model in memory."""
        return self._loaded[0].name if self._loaded else None

    @property
    def busy(self) -> bool:
        """Whether somebody's answer is being written."""
        return self._lock.locked()

    def give_way(self) -> None:
        """Unload the model, after the answer that is being written, when a run that is about to load needs its memory
        of the GPU; `notice` says so."""
        run = self.store.active() if self._loaded else None
        if run is None or run.state().status != "preparing" or not room.in_the_way(self.settings, run.config()):
            return
        self.notice = (
            f"{self.loaded} left the GPU, as the run {run.title} needs its memory. It is loaded again when the run has "
            "ended and you ask something."
        )
        self.unload()

    def unload(self) -> None:
        """Free the model's memory."""
        with self._lock:
            self._drop()

    def answer(
        self,
        run_id: str,
        adapter: str,
        conversations: list[list[Message]],
        sampling: Sampling,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[list["LaneAnswer"]]:
        """The base's and the tuned model's answers, streamed together.

        Args:
            adapter: "final" or "step N", as `Run.adapters` names them.
            conversations: the base lane's, then the tuned lane's; each ends on a user turn.

        Waits while another answer is written; gives none when it is stopped before its turn.

        Raises:
            StudioError: no such run or adapter, or the prompt does not fit.
        """
        run = self.store.run(run_id)
        found = run.adapters()
        if adapter not in found:
            known = ", ".join(found) or "none yet"
            raise StudioError(f"The run {run_id} has no adapter {adapter!r}. It has: {known}.")
        key = f"{run_id}/{adapter}"
        while not self._lock.acquire(timeout=_LOOKS_AGAIN):
            if stopped():
                return
        try:
            lanes = self._load(run)
            if key not in lanes.adapters:
                from core.chat.adapters import read_adapter

                lanes.adapters.keep_only(set())
                lanes.adapters.add(key, read_adapter(found[adapter], lanes.model.dtype, lanes.model.device))
            yield from lanes.answer(conversations, [None, key], sampling, stopped)
        finally:
            self._lock.release()

    def _load(self, run: Run) -> "Lanes":
        from core.chat.lanes import Lanes
        from core.data.tokens import Renderer

        config = run.config()
        model = catalogue.find(self.settings, config.model, config.revision)
        wanted = (model, Precision(config.quantization, config.double_quantization, config.compute_dtype))
        if self._lanes is None or self._loaded != wanted:
            room.check_room(self.store, config)
            self._drop()
            self._lanes = Lanes(load_base(model, wanted[1]))
            self._loaded, self.notice = wanted, ""
        self._lanes.renderer = Renderer(self._lanes.renderer.tokenizer, config.chat_template)
        return self._lanes

    def _drop(self) -> None:
        self._lanes = self._loaded = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
