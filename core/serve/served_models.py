"""Names of the models that the API serves: base models, and the adapters of runs and those that were imported.

A base model has the name that runs use for it. If it is served in several precisions, each has its full label as its
name. The final adapter of a run has the id of the run, a checkpoint "RUN/step N", and an imported adapter its own name.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.chat.requests import available_bases, base_identity, resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, LaneRequest, adapter_key
from core.errors import StudioError
from core.runs.imported import all_tuned, find_tuned
from core.runs.store import Run, RunStore
from core.serve.errors import ApiError

_FINAL = "final"
_OWNER = "qlora-studio"
_MAX_SHOWN = 20
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True)
class ServedModel:
    """A model that the API serves.

    Attributes:
        name: Its name in requests.
        base: Its base model.
        adapter: Key of the adapter (`adapter_key`); None for the base itself.
        title: Title of the adapter's run; empty for a base.
        created: When it was made, in seconds of the Unix time.
    """

    name: str
    base: BaseIdentity
    adapter: str | None = None
    title: str = ""
    created: int = 0

    def describe(self) -> dict[str, str | int | None]:
        """Return the model as `/v1/models` lists it: OpenAI's fields, and the base and the run's title."""
        return {
            "id": self.name, "object": "model", "created": self.created, "owned_by": _OWNER, "base": self.base.label,
            "title": self.title or None,
        }  # fmt: skip


class ServedModels:
    """The models that are served: those of chosen runs and imported adapters, or all."""

    def __init__(self, store: RunStore, run_ids: Sequence[str] = ()):
        """Choose the runs.

        Args:
            store: Where the runs are.
            run_ids: Runs and imported adapters that are served, with their base model. Empty: all of them, and all
                local models.
        """
        self.store, self._run_ids, self._started = store, list(run_ids), int(time.time())

    def check(self) -> None:
        """Check that the chosen runs have adapters of one base model.

        Raises:
            StudioError: A run does not exist, writes no answers, has no adapter, or has another base model.
        """
        question = [{"role": "user", "content": "?"}]
        keys = []
        for run in self._chosen():
            if run.config().classifies:
                raise StudioError(f"The run {run.title} trained a classifier, which writes no answers. Leave it out.")
            if not run.adapters():
                raise StudioError(f"The run {run.title} has no adapter yet. Serve it when it has saved one.")
            keys += [adapter_key(run.id, name) for name in run.adapters()]
        resolve_lanes(self.store, [LaneRequest(question, Sampling(), key) for key in keys])

    def list_all(self) -> list[ServedModel]:
        """Return all models: the bases, then the adapters, of the newest run first."""
        found = self._bases()
        for run in self._runs():
            try:
                base = base_identity(self.store, run)
            except StudioError:
                # The page of the run reports that its model is missing.
                continue
            found += [self._adapter(run, name, base) for name in run.adapters()]
        return found

    def find(self, name: str) -> ServedModel:
        """Return a model by its name.

        Raises:
            ApiError: There is no model of that name.
        """
        run_id, _, adapter = name.partition("/")
        for run in self._runs():
            # The final adapter is named RUN, and not also RUN/final.
            if run.id == run_id and (adapter or _FINAL) in run.adapters() and adapter != _FINAL:
                return self._adapter(run, adapter or _FINAL, base_identity(self.store, run))
        bases = self._bases()
        if found := next((base for base in bases if name in (base.name, base.base.label)), None):
            return found
        known = [model.name for model in self.list_all()]
        more = f" and {len(known) - _MAX_SHOWN} more" if len(known) > _MAX_SHOWN else ""
        raise ApiError(
            404, f"There is no model {name[:_SHOWN_CHARACTERS]!r} here. Ask for one of: "
            f"{', '.join(known[:_MAX_SHOWN])}{more}.", "model", "model_not_found",
        )  # fmt: skip

    def _chosen(self) -> list[Run]:
        return [find_tuned(self.store, run_id) for run_id in self._run_ids]

    def _runs(self) -> list[Run]:
        runs = self._chosen() if self._run_ids else all_tuned(self.store)
        return [run for run in runs if not run.problem() and not run.config().classifies and run.adapters()]

    def _bases(self) -> list[ServedModel]:
        if self._run_ids:
            bases = list(dict.fromkeys(base_identity(self.store, run) for run in self._runs()))
        else:
            bases = available_bases(self.store)
        counts = Counter(base.model for base in bases)
        return [
            ServedModel(base.model if counts[base.model] == 1 else base.label, base, created=self._started)
            for base in bases
        ]

    def _adapter(self, run: Run, adapter: str, base: BaseIdentity) -> ServedModel:
        name = run.id if adapter == _FINAL else f"{run.id}/{adapter}"
        created = int(run.saved_state().created or self._started)
        return ServedModel(name, base, adapter_key(run.id, adapter), run.title, created)
