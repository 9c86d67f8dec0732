"""Adapters that were made elsewhere: lanes in Chat and Evaluate beside those of runs.

adapters/<id>/config.json    base model and precision, as the settings of a run
adapters/<id>/state.json     when it was imported
adapters/<id>/origin.json    where it is from, its commit and the hashes of its files
adapters/<id>/adapter/       adapter_config.json and adapter_model.safetensors, as PEFT reads them

An imported adapter is read like a run that has ended, but no list of runs has it: it has no rows, no events, and cannot
be resumed. `core.export.import_adapter` writes the folder.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout
from pydantic import BaseModel, ValidationError

from core.access import roles
from core.errors import StudioError
from core.runs.store import Run, RunStore
from core.settings import inside, is_plain_name
from core.system.files import read_json
from core.system.work_folder import WorkStore


class Origin(BaseModel):
    """Where an imported adapter is from, stored in origin.json.

    Attributes:
        source: Hub id, or name of the ZIP.
        revision: Commit of the Hub repository; empty for a ZIP.
        base: Base model that its adapter_config.json names.
        kind: What it is in words, such as "LoRA of rank 16 with DoRA".
        files: SHA-256 of each file, by name.
        notes: Decisions that were made, each with its reason.
    """

    source: str
    revision: str = ""
    base: str = ""
    kind: str = ""
    files: dict[str, str] = {}
    notes: list[str] = []


class ImportedAdapter(Run):
    """Folder of one imported adapter."""

    kind = "adapter"

    @property
    def title(self) -> str:
        """Return its name, which is made of the source's."""
        return self.id

    def adapters(self) -> dict[str, Path]:
        """Return the adapter as the final one."""
        return {"final": self.adapter} if (self.adapter / "adapter_config.json").is_file() else {}

    def origin(self) -> Origin:
        """Return where it is from; nothing but its id if origin.json cannot be read."""
        try:
            return Origin.model_validate(read_json(self.folder / "origin.json"))
        except (OSError, ValueError, ValidationError):
            return Origin(source=self.id)


class AdapterStore(WorkStore[ImportedAdapter]):
    """All imported adapters of a STUDIO_HOME."""

    folder_type = ImportedAdapter

    @property
    def root(self) -> Path:
        """Return the folder that holds them."""
        return self.settings.adapters_dir

    def is_visible(self, folder: ImportedAdapter) -> bool:
        """Return whether the current caller may see an adapter: only the owner."""
        return roles.caller().is_owner

    def find(self, name: str) -> ImportedAdapter:
        """Return an imported adapter.

        Raises:
            StudioError: There is none of that name.
        """
        if found := self._find(name):
            return found
        known = ", ".join(each.id for each in self.folders()) or "none yet"
        raise StudioError(f"There is no imported adapter {name!r}. There are: {known}.")

    def place(self, name: str) -> Path:
        """Return the free folder of a new adapter, with a number if the name is taken by another one or by a run."""
        for number in range(1, 1_000):
            path = inside(self.root, name if number == 1 else f"{name}-{number}", "adapter name")
            if not path.exists() and not (self.settings.runs_dir / path.name).exists():
                return path
        raise StudioError(f"There are too many adapters named {name!r}. Remove some first.")

    def delete(self, name: str) -> None:
        """Delete an imported adapter.

        Raises:
            StudioError: There is none of that name, or a file cannot be deleted.
        """
        with self.exclusive():
            self.remove(self.find(name))

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other imports and deletions away within the with statement.

        Raises:
            StudioError: Another one is going on.
        """
        try:
            with self.lock().acquire(timeout=0):
                yield
        except Timeout as error:
            raise StudioError("Another adapter is being imported. Wait for it to end, or cancel it.") from error

    def remove_leftovers(self) -> None:
        """Remove what killed imports and deletions have left; the caller holds the lock."""
        for path in self.root.glob(".[!l]*"):
            shutil.rmtree(path)


def find_tuned(store: RunStore, name: str) -> Run:
    """Return the run or the imported adapter of an id.

    Raises:
        StudioError: There is neither, or the caller may not see it.
    """
    found = AdapterStore(store.settings)._find(name) if isinstance(name, str) and is_plain_name(name) else None
    return found or store.run(name)


def all_tuned(store: RunStore) -> list[Run]:
    """Return all runs that the caller may see, newest first, then the imported adapters."""
    return [*store.runs(), *AdapterStore(store.settings).folders()]
