"""The reading that the owner applied last to a dataset, stored beside it, so that every new page opens it that way.

    datasets/<id>/reading.json             there only if the reading is not the detected one

A subset does not use it: its recipe has the reading under which it was created.
"""

import shutil
from pathlib import Path

from pydantic import ValidationError

from core.data import table
from core.data.formats import Reading
from core.data.table import Dataset
from core.errors import StudioError
from core.settings import Settings
from core.system.files import write_text


def save(settings: Settings, data: Dataset, reading: Reading) -> None:
    """Store the reading of a dataset; the detected one needs no file."""
    path = table.folder(settings, data.id) / table.READING_FILE
    if reading == data.detected:
        path.unlink(missing_ok=True)
    else:
        write_text(path, reading.model_dump_json(indent=2) + "\n")


def load(settings: Settings, data: Dataset) -> Reading | None:
    """Return the stored reading of a dataset; None if it is read as detected.

    Raises:
        StudioError: The file is not a reading of this version.
    """
    path = table.folder(settings, data.id) / table.READING_FILE
    if not path.is_file():
        return None
    try:
        return Reading.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise StudioError(
            f"The saved reading of {data.source.name!r} cannot be used: {path.name} is no reading of this version. Its "
            "rows are read as detected. Choose how to read them again under “Read as”."
        ) from error


def take_over(old: Path, new: Path) -> None:
    """Copy the stored reading of a dataset to the folder of its new import, and remove the old folder."""
    if (path := old / table.READING_FILE).is_file():
        shutil.copyfile(path, new / table.READING_FILE)
    shutil.rmtree(old)
