"""Import of a PEFT adapter that was made elsewhere, from the Hub or a ZIP, into STUDIO_HOME/adapters.

Only adapter_config.json and adapter_model.safetensors are taken; nothing of a repository is run, and weights that are
pickles are refused. The settings are checked as those of every adapter (`core.chat.adapter_settings`), and what cannot
be served is refused by name before anything appears in the list. A folder appears complete or not at all.
"""

import shutil
import tempfile
import time
from pathlib import Path

from core.chat import peft_model
from core.chat.peft_model import CONFIG, WEIGHTS
from core.errors import StudioError
from core.export import adapter_sources
from core.export.adapter_sources import Fetched
from core.export.import_settings import ImportSettings
from core.hub.client import is_hub_id
from core.models import catalogue, embedded
from core.runs.config import QLoRAConfig
from core.runs.imported import AdapterStore, ImportedAdapter, Origin
from core.runs.store import RunState
from core.settings import Settings, slug
from core.system.files import sha256_of, write_json
from core.system.jobs import Progress, ignore_progress

_TASKS = (None, "CAUSAL_LM")


def import_adapter(
    settings: Settings, options: ImportSettings, archive: Path | None = None, progress: Progress = ignore_progress
) -> str:
    """Import an adapter, and return its id, by which lanes name it.

    Args:
        settings: The studio's settings.
        options: The source and the base model.
        archive: The ZIP; None for the Hub.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such adapter or base model, or it cannot be served.
    """
    store = AdapterStore(settings)
    with store.exclusive():
        store.remove_leftovers()
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=store.root))
        try:
            return _import(store, options, archive, scratch, progress)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _import(
    store: AdapterStore, options: ImportSettings, archive: Path | None, scratch: Path, progress: Progress
) -> str:
    made = ImportedAdapter(scratch / "made")
    made.adapter.mkdir(parents=True)
    fetched = (
        adapter_sources.from_zip(archive, scratch, made.adapter)
        if archive
        else adapter_sources.from_hub(options.source, options.revision, _secret(options), made.adapter, progress)
    )
    progress(0.8, "Checking the adapter")
    place = store.place(slug(fetched.name, "adapter"))
    kind, named = _check(made.adapter, place.name)
    model = _find_base(store.settings, options.base.strip() or named, named)
    config = QLoRAConfig(model=model, quantization=options.quantization, compute_dtype=options.compute_dtype)
    made.save_config(config)
    _write_origin(made, fetched, named, kind)
    made.save_state(RunState(status="finished", created=time.time(), ended=time.time()))
    made.folder.rename(place)
    progress(1, "Imported")
    return place.name


def _secret(options: ImportSettings) -> str | None:
    return (options.token.get_secret_value().strip() or None) if options.token else None


def _check(folder: Path, name: str) -> tuple[str, str]:
    """Return what kind of adapter a folder holds, and the base model that it names.

    Raises:
        StudioError: It cannot be served.
    """
    # Error messages name the folder, so it has the adapter's name while it is checked.
    own = folder.rename(folder.with_name(name))
    try:
        config = peft_model.read_config(own)
        peft_model.read_tensors(own, config)
    finally:
        own.rename(folder)
    if config.task_type not in _TASKS:
        raise StudioError(
            f"The adapter {name!r} is for the task {config.task_type}. Chat and Evaluate answer with adapters of the "
            "task CAUSAL_LM."
        )
    names = peft_model.special_settings(config)
    names += [each for each in ("rank_pattern", "alpha_pattern", "use_rslora") if getattr(config, each)]
    kind = f"LoRA of rank {config.r}" + (f" with {', '.join(names)}" if names else "")
    return kind, config.base_model_name_or_path or ""


def _find_base(settings: Settings, name: str, named: str) -> str:
    """Return the base model by the name that it has here.

    Args:
        settings: The studio's settings.
        name: Name of the base, chosen or named by the adapter.
        named: The name in the adapter's settings, for messages.

    Raises:
        StudioError: There is no such model.
    """
    if name == embedded.HUB_ID:
        return embedded.NAME
    # An adapter may name the folder that it was trained on, on another machine.
    last = name.rstrip("/").rpartition("/")[2]
    local = [model.name for model in catalogue.available(settings) if model.local]
    if name not in local and last in local and not is_hub_id(name):
        return last
    try:
        return catalogue.locate(settings, name).name
    except StudioError as error:
        raise StudioError(
            f"The adapter names the base model {named[:200]!r}, and {name[:200]!r} was not found. {error} "
            "Set Base model to the model that the adapter was trained on."
        ) from error


def _write_origin(made: ImportedAdapter, fetched: Fetched, base: str, kind: str) -> None:
    hashes = {name: sha256_of(made.adapter / name) for name in (CONFIG, WEIGHTS)}
    origin = Origin(
        source=fetched.source, revision=fetched.revision, base=base, kind=kind, files=hashes, notes=fetched.notes
    )
    write_json(made.folder / "origin.json", origin.model_dump())
