"""Clean-up of STUDIO_HOME: list what can be removed by kind, age and size, then remove it.

Never listed are runs that have not ended or are published, an adapter alone without its run, datasets, subsets and
models.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.access import roles, visibility
from core.access.quotas import size_of
from core.errors import StudioError
from core.runs.store import NOT_ENDED, RunStore
from core.settings import Settings

_DAY = 24 * 3600
# Scratch folders that are in use are younger than this.
_LEFTOVER_SECONDS = 3600
# How many levels an item lies below the folder of its run.
_LEVELS_IN_RUN = {"runs": 0, "indexes": 1, "checkpoints": 2}


@dataclass(frozen=True)
class Item:
    """A file or folder that can be removed.

    Attributes:
        kind: One of `KINDS`.
        name: Path below STUDIO_HOME or below the folder of uploads.
        path: Path on the disk.
        size: Bytes.
        age: Seconds since the last change.
    """

    kind: str
    name: str
    path: Path
    size: int
    age: float


def _item(kind: str, name: str, path: Path) -> Item:
    size = size_of(path)[0] if path.is_dir() and not path.is_symlink() else path.lstat().st_size
    return Item(kind, name, path, size, max(0.0, time.time() - path.lstat().st_mtime))


def _below(kind: str, folder: Path) -> Iterator[Item]:
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        yield _item(kind, f"{folder.name}/{path.name}", path)


def _ended(settings: Settings) -> list:
    published = set(visibility.read(settings).runs)
    runs = [run for run in RunStore(settings).runs() if run.state().status not in NOT_ENDED]
    return [run for run in runs if run.id not in published]


def _uploads(settings: Settings) -> Iterator[Item]:
    yield from _below("uploads", settings.uploads_dir)


def _exports(settings: Settings) -> Iterator[Item]:
    for item in _below("exports", settings.exports_dir):
        if item.path.name == "visitors":
            yield from _below("exports", item.path)
        elif not item.path.name.startswith("."):
            yield item


def _chats(settings: Settings) -> Iterator[Item]:
    yield from _below("chats", settings.home / "chats")


def _checkpoints(settings: Settings) -> Iterator[Item]:
    for run in _ended(settings):
        for item in _below("checkpoints", run.checkpoints_dir):
            yield Item(item.kind, f"runs/{run.id}/{item.name}", item.path, item.size, item.age)


def _indexes(settings: Settings) -> Iterator[Item]:
    """Yield the indexes of training texts; tracing answers makes one again."""
    for run in _ended(settings):
        if run.token_index_dir.is_dir():
            yield _item("indexes", f"runs/{run.id}/{run.token_index_dir.name}", run.token_index_dir)


def _runs(settings: Settings) -> Iterator[Item]:
    for run in _ended(settings):
        yield _item("runs", f"runs/{run.id}", run.folder)


def _leftovers(settings: Settings) -> Iterator[Item]:
    """Yield scratch folders that killed processes left behind."""
    kept = ("runs", "evaluations", "datasets", "subsets", "exports")
    for folder in (getattr(settings, f"{name}_dir") for name in kept):
        for path in folder.glob(".*"):
            if (
                path.is_dir()
                and (item := _item("leftovers", f"{folder.name}/{path.name}", path)).age > _LEFTOVER_SECONDS
            ):
                yield item


KINDS: dict[str, Callable[[Settings], Iterator[Item]]] = {
    "uploads": _uploads, "exports": _exports, "chats": _chats, "checkpoints": _checkpoints, "indexes": _indexes,
    "runs": _runs, "leftovers": _leftovers,
}  # fmt: skip


def list_removable(settings: Settings, kinds: Sequence[str], days: float = 0, mib: float = 0) -> list[Item]:
    """Return what can be removed, the largest first.

    Args:
        settings: The settings.
        kinds: Kinds to list, of `KINDS`.
        days: Minimum age.
        mib: Minimum size in MiB.

    Raises:
        StudioError: A kind is unknown, or the caller is not the owner.
    """
    roles.owner_only("free disk space")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise StudioError(f"There is no kind {unknown[0]!r} to clean up. There are: {', '.join(KINDS)}.")
    if days < 0 or mib < 0:
        raise StudioError(f"Days and MiB must be 0 or more (given: {days:g} and {mib:g}).")
    items = [item for kind in dict.fromkeys(kinds) for item in KINDS[kind](settings)]
    return sorted(
        (item for item in items if item.age >= days * _DAY and item.size >= mib * 2**20), key=lambda item: -item.size
    )


def remove(settings: Settings, items: Sequence[Item]) -> tuple[list[Item], dict[str, str]]:
    """Remove listed items; runs that were resumed in the meantime are left alone.

    Returns:
        The items that were removed, and why others were not, by name.
    """
    roles.owner_only("free disk space")
    removed, left = [], {}
    with RunStore(settings).lock():
        ended = {run.folder for run in _ended(settings)}
        for item in items:
            if item.kind in _LEVELS_IN_RUN and [item.path, *item.path.parents][_LEVELS_IN_RUN[item.kind]] not in ended:
                left[item.name] = "its run was resumed or published"
                continue
            try:
                if item.path.is_dir() and not item.path.is_symlink():
                    shutil.rmtree(item.path)
                else:
                    item.path.unlink(missing_ok=True)
            except OSError as error:
                left[item.name] = error.strerror or type(error).__name__
            else:
                removed.append(item)
    return removed, left
