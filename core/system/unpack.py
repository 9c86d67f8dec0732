"""Unpacking of zips within bounds: no path leads out of the folder, and no file is larger than allowed."""

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from core.errors import StudioError
from core.system.sizes import format_size

MAX_FILES = 10_000
# More than a compression of real files reaches; a bomb has thousands.
_MAX_RATIO = 200
_BLOCK_BYTES = 2**20


def unpack(archive: Path, folder: Path, max_bytes: int) -> list[Path]:
    """Unpack a zip into an empty folder, and return the paths of its files.

    If all files are in one folder of the zip, its content is unpacked without that folder.

    Args:
        archive: The zip.
        folder: Where to unpack it.
        max_bytes: Bytes of all files together, at most.

    Raises:
        StudioError: It is no zip, is damaged, has a link or a path out of its folder, or is too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            _check(archive.name, entries, max_bytes)
            root = _common_folder([entry.filename for entry in entries])
            return [_write(opened, entry, folder, root) for entry in entries]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise StudioError(
            f"{archive.name} cannot be unpacked: {error}. Choose a ZIP without a password, or download it again."
        ) from error


def _check(name: str, entries: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if len(entries) > MAX_FILES:
        raise StudioError(f"{name} has {len(entries):,} files. At most {MAX_FILES:,} are unpacked.")
    seen = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise StudioError(
                f"{name} has the path {entry.filename[:80]!r}, which leads out of its folder. Pack it again."
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise StudioError(f"{name} has the link {entry.filename[:80]!r}. Pack the file itself.")
        if path in seen:
            raise StudioError(f"{name} has the file {entry.filename[:80]!r} twice. Pack it again.")
        seen.add(path)
        if entry.file_size > _BLOCK_BYTES and entry.file_size > _MAX_RATIO * entry.compress_size:
            raise StudioError(
                f"{name} has the file {entry.filename[:80]!r}, which is compressed too much to be real. Pack it again."
            )
    if (total := sum(entry.file_size for entry in entries)) > max_bytes:
        raise StudioError(
            f"{name} holds {format_size(total)}, and at most {format_size(max_bytes)} fit. Free space, or choose "
            "another file."
        )


def _common_folder(names: list[str]) -> str:
    """Return the folder that all files are in, with its slash; empty if there is none."""
    first = {name.partition("/")[0] for name in names}
    return f"{first.pop()}/" if len(first) == 1 and all("/" in name for name in names) else ""


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, root: str) -> Path:
    """Write one file; `zipfile` itself raises if it is larger than its entry says."""
    path = folder / entry.filename.removeprefix(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)
    return path
