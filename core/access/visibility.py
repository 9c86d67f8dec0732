"""Published runs and datasets, which visitors may see; their names are stored in published.json.

A visitor sees the bundled datasets and the example run, the published datasets, and the published runs that are
finished.
"""

from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, Field, ValidationError

from core.access import roles
from core.errors import StudioError
from core.settings import Settings
from core.system.files import read_json, write_json

Kind = Literal["runs", "datasets"]
# Id of the run that comes with the studio (core/runs/example.py).
EXAMPLE_RUN = "example-keeper"


class Published(BaseModel):
    """Names of the published runs and datasets."""

    runs: list[str] = Field(default_factory=list)
    datasets: list[str] = Field(default_factory=list)


def _file(settings: Settings) -> Path:
    return settings.home / "published.json"


def read(settings: Settings) -> Published:
    """Return what is published.

    Raises:
        StudioError: The file is damaged. Treating it as empty would lose all names at the next save.
    """
    try:
        return Published.model_validate(read_json(_file(settings)))
    except FileNotFoundError:
        return Published()
    except (OSError, ValueError, ValidationError) as error:
        raise StudioError(f"{_file(settings).name} cannot be read ({error}). Repair it, or remove it.") from error


def publish(settings: Settings, kind: Kind, name: str, visible: bool) -> None:
    """Publish or unpublish a run or a dataset.

    Args:
        settings: The settings.
        kind: What it is.
        name: Its id.
        visible: Whether visitors may see it from now on.
    """
    roles.owner_only("publish runs and datasets")
    with FileLock(f"{_file(settings)}.lock"):
        found = read(settings)
        kept = [one for one in getattr(found, kind) if one != name]
        write_json(_file(settings), found.model_copy(update={kind: [*kept, *[name] * visible]}).model_dump())


def can_see_run(settings: Settings, run_id: str, status: str) -> bool:
    """Return whether the current caller may see a run."""
    if roles.caller().is_owner:
        return True
    return status == "finished" and (run_id == EXAMPLE_RUN or run_id in read(settings).runs)


def can_see_dataset(settings: Settings, dataset: str, bundled: bool) -> bool:
    """Return whether the current caller may see a dataset."""
    return roles.caller().is_owner or bundled or dataset in read(settings).datasets
