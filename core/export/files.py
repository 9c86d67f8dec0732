"""Finished files in exports/: their list, and the deletion of one of them with its card."""

import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import StudioError
from core.evaluate.result import NAME_PREFIX
from core.export.config import FORMS
from core.export.result import card_place
from core.runs.exported import CARD_ZIP, GGUF
from core.settings import Settings, inside
from core.system.files import replacing

# Ends the name of a file's signature (`core.export.signing`).
SIGNATURE = ".sig"
# Patterns of file names with the label of the content; the first that matches counts.
_KINDS = [
    (re.compile(pattern), label)
    for pattern, label in (
        (rf".*{re.escape(SIGNATURE)}", "Signature"),
        (rf".*-(final|step-\d+)-.*{re.escape(CARD_ZIP)}", "Card"),
        (rf"{re.escape(NAME_PREFIX)}.*\.(jsonl|csv|parquet)", "Evaluation"),
        (r".*-adapter\.zip", FORMS["adapter"].label),
        (r".*-mlx(-x[\d.e-]+)?\.zip", FORMS["mlx"].label),
        (r".*-combined(-x[\d.e-]+)?\.zip", FORMS["combined"].label),
        (r".*-adapter(-original)?(-x[\d.e-]+)?\.gguf", FORMS["gguf-adapter"].label),
        (r".*-types(-no-imatrix)?(-ollama)?(-original)?(-x[\d.e-]+)?\.zip", "Comparison of GGUF types"),
        (r".*-ollama(-original)?(-x[\d.e-]+)?\.zip", FORMS["ollama"].label),
        (r".*-(bfloat16|float16|float32)-nf4(-original)?(-x[\d.e-]+)?\.zip", FORMS["merged-4bit"].label),
        (r".*-(bfloat16|float16|float32)(-original)?(-x[\d.e-]+)?\.zip", FORMS["merged"].label),
        (r".*\.gguf", FORMS["gguf"].label),
        (r".*-curves\.csv", "Points of a run"),
        (r".*-report\.zip", "Report of a run"),
        (r".*-preferences\.jsonl", "Votes"),
        (r".*\.zip", "Subset"),
    )
]


@dataclass(frozen=True)
class ExportFile:
    """A finished file.

    Attributes:
        name: Its name in exports/.
        form: What it holds, by its name.
        size: Its bytes.
        made: When it was written, in seconds since the epoch.
        has_card: Whether a folder with its card lies beside it, which `pack_card` packs.
    """

    name: str
    form: str
    size: int
    made: float
    has_card: bool = False


def describe_form(name: str) -> str:
    """Return what a file holds, by its name."""
    return next((label for pattern, label in _KINDS if pattern.fullmatch(name)), "File")


def list_files(settings: Settings) -> list[ExportFile]:
    """Return the finished files, the newest first, without those of visitors and those that are being written."""
    found = []
    for path in settings.exports_dir.iterdir():
        if not path.name.startswith(".") and path.is_file() and not path.is_symlink():
            about = path.stat()
            found.append(
                ExportFile(path.name, describe_form(path.name), about.st_size, about.st_mtime, _has_card(path))
            )
    return sorted(found, key=lambda file: (-file.made, file.name))


def find_file(settings: Settings, name: str) -> Path:
    """Return the path of a finished file.

    Raises:
        StudioError: There is no such file.
    """
    path = inside(settings.exports_dir, name, "name of a file")
    if name not in [file.name for file in list_files(settings)]:
        raise StudioError(f"There is no file {name!r} in exports/ any more. List the files again.")
    return path


def pack_card(settings: Settings, name: str) -> Path:
    """Pack the card that lies beside a finished file, and return the ZIP; it is made anew at each call.

    Raises:
        StudioError: There is no such file, or it has no card beside it.
    """
    path = find_file(settings, name)
    card, target = card_place(path), _card_zip(path)
    if not _has_card(path):
        raise StudioError(f"{name} has no card beside it. Export the model again to get one.")
    with replacing(target) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(card.iterdir()):
            archive.write(file, f"{card.name}/{file.name}")
    return target


def _has_card(path: Path) -> bool:
    card = card_place(path)
    return path.suffix == GGUF and card.is_dir() and not card.is_symlink()


def _card_zip(path: Path) -> Path:
    return path.with_name(f"{path.stem}{CARD_ZIP}")


def delete_file(settings: Settings, name: str) -> int:
    """Delete a finished file with the card and the signature that lie beside it, and return the bytes of the file.

    Raises:
        StudioError: There is no such file.
    """
    path = find_file(settings, name)
    size = path.stat().st_size
    path.unlink()
    path.with_name(f"{name}{SIGNATURE}").unlink(missing_ok=True)
    if _has_card(path):
        shutil.rmtree(card_place(path))
        _card_zip(path).unlink(missing_ok=True)
    return size
