"""Receipt of a run: hashes of everything that its adapter was made from, written beside the adapter at the end.

    runs/<id>/adapter/receipt.json

The losses of the steps are a chain, so that no loss can be changed, removed or moved without changing all later links:

    link(0) = SHA-256(of the constant below)      link(n) = SHA-256(link(n-1), step, loss, gradient norm)

A receipt shows that files have changed since; it does not show who wrote them. `core.train.verify` checks it, and
repeats steps of the run.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from core.access.visibility import EXAMPLE_RUN
from core.errors import StudioError
from core.models import catalogue
from core.models.weight_headers import find_file
from core.runs.config import QLoRAConfig
from core.runs.events import PreparedEvent, Provenance, StepEvent
from core.runs.store import NOT_ENDED, Run
from core.settings import Settings
from core.system.files import read_json, sha256_of, write_json

FILE = "receipt.json"
_VERSION = 1
_CHAIN_START = b"qlora-studio receipt 1"
# Hexadecimal digits of a link that are stored for each step; the last link is stored as a whole.
_LINK_DIGITS = 12
_CODE = Path(__file__).resolve().parents[1]
# Files of an adapter's folder that decide how it answers.
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "classifier.json")
_BASE_FILES = ("config.json", "tokenizer.json", "model.safetensors.index.json", "model.safetensors")


class Receipt(BaseModel):
    """Content of receipt.json; hashes are SHA-256 in hexadecimal.

    Attributes:
        run: Id of the run.
        adapter: Hashes of the adapter's files.
        adapter_step: Step whose weights the adapter has.
        base: Name of the base model.
        base_files: Hashes of its weights, config and tokenizer.
        recipe: Hash of the recipe of the subset.
        rows: Hash of the conversations of the subset.
        row_order: Hash of the row numbers of all steps.
        settings: Hash of config.json.
        code: Hash of the source files of core/.
        made_with: Commit of base and code, packages, Python and hardware.
        kernels: Decisions that were made for the run, each with its reason (`PreparedEvent.choices`).
        links: Beginning of the link of each step.
        head: Link of the last step.
    """

    version: int = _VERSION
    run: str
    adapter: dict[str, str]
    adapter_step: int
    base: str
    base_files: dict[str, str]
    recipe: str
    rows: str
    row_order: str
    settings: str
    code: str
    made_with: Provenance
    kernels: list[str]
    links: list[str]
    head: str


def write(settings: Settings, run: Run, step: int) -> Receipt:
    """Write the receipt of a run into the folder of its finished adapter.

    Args:
        settings: The studio's settings.
        run: The run, with its adapter and its events.
        step: Step whose weights the adapter has.
    """
    config, subset, events = run.config(), run.subset(), run.events()
    prepared = next((e for e in reversed(events) if isinstance(e, PreparedEvent)), PreparedEvent())
    steps = steps_of(events)
    links = chain(steps)
    receipt = Receipt(
        run=run.id,
        adapter=hash_adapter(run.adapter),
        adapter_step=step,
        base=config.model,
        base_files=hash_base(settings, config),
        recipe=hash_recipe(run),
        rows=subset.sha256 if subset else "",
        row_order=hash_row_order(steps),
        settings=hash_settings(run),
        code=hash_code(),
        made_with=prepared.lineage or Provenance(),
        kernels=prepared.choices,
        links=[link[:_LINK_DIGITS] for link in links],
        head=links[-1] if links else "",
    )
    write_json(run.adapter / FILE, receipt.model_dump())
    return receipt


def find_problem(run: Run) -> str:
    """Return why a run cannot be verified, as sentences with the next step; "" if it has ended with a receipt."""
    if (status := run.state().status) in NOT_ENDED:
        return f"The run {run.title} is {status}. Wait until it has ended."
    if (run.adapter / FILE).is_file():
        return ""
    if run.kind == "adapter":
        return f"The adapter {run.title} was imported, so it has no receipt. Verify it where it was trained."
    if run.id == EXAMPLE_RUN:
        return "The example run came with the studio and has no receipt. Train a run of your own to verify it."
    if not run.adapter.is_dir():
        return f"The run {run.title} has no receipt, because it has not ended with an adapter. Resume it to get one."
    return (
        f"The run {run.title} has no receipt: an earlier version of the studio trained it. Duplicate it and train it "
        "again to get one."
    )


def read(run: Run) -> Receipt:
    """Return the receipt of a run.

    Raises:
        StudioError: The run has not ended, or its receipt is missing or damaged.
    """
    if problem := find_problem(run):
        raise StudioError(problem)
    try:
        return Receipt.model_validate(read_json(run.adapter / FILE))
    except (ValueError, ValidationError) as error:
        raise StudioError(
            f"The receipt of the run {run.title} is damaged ({type(error).__name__}), so nothing can be compared with "
            f"it. Restore {FILE} from a copy of the adapter."
        ) from error


def steps_of(events: Iterable[Any]) -> list[StepEvent]:
    """Return the events of the steps."""
    return [event for event in events if isinstance(event, StepEvent)]


def chain(steps: Iterable[StepEvent]) -> list[str]:
    """Return the link of each step."""
    link, links = hashlib.sha256(_CHAIN_START).hexdigest(), []
    for event in steps:
        link = _hash_json([link, event.step, event.loss, event.grad_norm])
        links.append(link)
    return links


def first_difference(receipt: Receipt, steps: list[StepEvent]) -> int | None:
    """Return the first step whose loss is not the one of the receipt; None if all are."""
    links = chain(steps)
    for number, link in enumerate(links):
        if number >= len(receipt.links) or link[:_LINK_DIGITS] != receipt.links[number]:
            return steps[number].step
    if len(links) < len(receipt.links):
        return (steps[-1].step if steps else 0) + 1
    return None if not links or links[-1] == receipt.head else steps[-1].step


def _hash_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def hash_row_order(steps: Iterable[StepEvent]) -> str:
    """Return the hash of the rows of each step, in their order."""
    return _hash_json([event.rows for event in steps])


def hash_settings(run: Run) -> str:
    """Return the hash of a run's settings as they are in its file: later versions may know more settings."""
    return _hash_json(read_json(run.folder / "config.json"))


def hash_recipe(run: Run) -> str:
    """Return the hash of the recipe in a run's subset.json."""
    found = read_json(run.folder / "subset.json")
    return _hash_json({name: found.get(name) for name in ("source", "recipe", "sha256")})


def hash_adapter(folder: Path) -> dict[str, str]:
    """Return the hashes of the files of an adapter."""
    return {name: sha256_of(folder / name) for name in _ADAPTER_FILES if (folder / name).is_file()}


def hash_code() -> str:
    """Return the hash of the source files of core/, so that a change shows without a git clone, too."""
    files = sorted(_CODE.rglob("*.py"))
    return _hash_json([[path.relative_to(_CODE).as_posix(), sha256_of(path)] for path in files])


def hash_base(settings: Settings, config: QLoRAConfig) -> dict[str, str]:
    """Return the hashes of the base model's weights, config and tokenizer; all bytes are read.

    Raises:
        StudioError: The model is not on this machine.
    """
    model = catalogue.find(settings, config.model, config.revision)
    found = {name: path for name in _BASE_FILES if (path := find_file(model, name))}
    if index := found.get("model.safetensors.index.json"):
        names = sorted(set(read_json(index)["weight_map"].values()))
        found |= {name: path for name in names if (path := find_file(model, name))}
    return {name: sha256_of(path) for name, path in found.items()}
