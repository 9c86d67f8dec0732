"""Folders in which exports are written, how a file gets its name, and what happens after a job was killed.

Each file has a lock, which a process holds while it writes the file. A killed process loses its locks, so a folder
whose lock is free can be removed.
"""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import StudioError
from core.export.result import card_place

_LOCK = ".export-lock"


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target; what killed exports have left is removed before.

    Args:
        target: The file that will be written.

    Raises:
        StudioError: Another process exports the same file.
    """
    remove_leftovers(target.parent)
    lock = FileLock(_lock_of(target.parent, target.name))
    made = tempfile.TemporaryDirectory
    try:
        with lock.acquire(timeout=0), made(prefix=f".{target.name}.", dir=target.parent) as folder:
            yield Path(folder)
    except Timeout as error:
        raise StudioError(f"{target.name} is being exported already. Wait for it to end.") from error
    finally:
        remove_leftovers(target.parent)


@contextmanager
def card_folder(target: Path, scratch: Path) -> Iterator[Path]:
    """Yield an empty folder; it becomes the card of a file, under its name and "-card", when it is filled.

    Args:
        target: The file.
        scratch: Folder of the export that writes it, in which the card is made: it is removed with the export, or by
            the next one after a job that was killed.
    """
    place, made = card_place(target), scratch / "card"
    made.mkdir()
    yield made
    if place.exists():
        place.rename(scratch / "outdated-card")
    made.rename(place)


def remove_leftovers(folder: Path) -> None:
    """Remove the folders and locks of exports that no process writes any more.

    Args:
        folder: The folder of exports.
    """
    for path in folder.glob(f".*{_LOCK}"):
        try:
            with FileLock(path).acquire(timeout=0):
                for old in folder.glob(f"{path.name.removesuffix(_LOCK)}.*"):
                    if old.is_dir():
                        shutil.rmtree(old)
                path.unlink(missing_ok=True)
        except Timeout:
            # This one is being written.
            continue


def publish(path: Path, target: Path) -> None:
    """Give a file its final name."""
    with path.open("rb") as file:
        # Without the flush, a crash after the rename could leave an incomplete file.
        os.fsync(file.fileno())
    path.replace(target)


def pack(folder: Path, name: str) -> Path:
    """Pack the files of a folder into a zip beside them, and remove each once it is packed."""
    path = folder / ".zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            if file != path:
                archive.write(file, f"{name}/{file.name}")
                file.unlink()
    return path


def _lock_of(folder: Path, name: str) -> Path:
    return folder / f".{name}{_LOCK}"
