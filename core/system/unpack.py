"""Unpacking of zips within bounds: no path leads out of the folder, and no file is larger than allowed.

Names are compared and joined by their parts alone: as text, "a//etc/b" without its first folder is an absolute path.
"""

import lzma
import shutil
import stat
import zipfile
import zlib
from io import BufferedReader, FileIO
from pathlib import Path, PurePosixPath

from core.errors import StudioError, reason_of, shorten_value
from core.system.sizes import format_size

MAX_FILES = 10_000
# Bytes of the list of names, which is read as a whole; each entry becomes an object about ten times as large.
_MAX_LIST_BYTES = 2**23
# File systems allow no longer ones.
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 2_000
# More than a compression of real files reaches; a bomb has thousands.
_MAX_RATIO = 200
_BLOCK_BYTES = 2**20
# Errors of a damaged archive: of `zipfile` and of the decompressors, and texts in a wrong encoding. An encrypted one is
# a RuntimeError.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, zlib.error, lzma.LZMAError)


class _Archive(BufferedReader):
    """An open zip whose list of names is only read if it is small enough; `zipfile` reads a list of any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_LIST_BYTES:
            raise zipfile.BadZipFile(f"its list of files has more than {format_size(_MAX_LIST_BYTES)}")
        return super().read(size)


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
        with _Archive(FileIO(archive)) as file, zipfile.ZipFile(file) as opened:
            entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
            paths = _check(archive.name, entries, max_bytes)
            root = _common_folder(paths)
            return [
                _write(opened, entry, folder / path.relative_to(root))
                for entry, path in zip(entries, paths, strict=True)
            ]
    except (*_DAMAGED, OSError) as error:
        raise StudioError(
            f"{archive.name} cannot be unpacked: {reason_of(error)}. Choose a ZIP without a password, or download it "
            "again."
        ) from error


def _check(name: str, entries: list[zipfile.ZipInfo], max_bytes: int) -> list[PurePosixPath]:
    """Return the paths of a zip's files.

    Args:
        name: Name of the zip, for messages.
        entries: Its files.
        max_bytes: Bytes of all files together, at most.

    Raises:
        StudioError: A file cannot be unpacked into a folder as what it is, or the files are too many or too large.
    """
    if len(entries) > MAX_FILES:
        raise StudioError(f"{name} has {len(entries):,} files. At most {MAX_FILES:,} are unpacked.")
    paths: dict[PurePosixPath, None] = {}
    for entry in entries:
        path, shown = _path_of(name, entry), shorten_value(entry.filename[:80])
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise StudioError(f"{name} has the link {shown}. Pack the file itself.")
        if path in paths:
            raise StudioError(f"{name} has the file {shown} twice. Pack it again.")
        paths[path] = None
        if entry.file_size > _BLOCK_BYTES and entry.file_size > _MAX_RATIO * entry.compress_size:
            raise StudioError(f"{name} has the file {shown}, which is compressed too much to be real. Pack it again.")
    folders = {parent for path in paths for parent in path.parents}
    if both := next((path for path in paths if path in folders), None):
        raise StudioError(f"{name} has {shorten_value(str(both)[:80])} as a file and as a folder. Pack it again.")
    if (total := sum(entry.file_size for entry in entries)) > max_bytes:
        raise StudioError(
            f"{name} holds {format_size(total)}, and at most {format_size(max_bytes)} may be unpacked. Free disk "
            "space, or choose another file."
        )
    return list(paths)


def _path_of(name: str, entry: zipfile.ZipInfo) -> PurePosixPath:
    """Return the path of an entry, relative to the folder that it is unpacked into.

    Raises:
        StudioError: It leads out of the folder, or is no path of a file.
    """
    path, shown = PurePosixPath(entry.filename), shorten_value(entry.filename[:80])
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
        raise StudioError(f"{name} has the path {shown}, which leads out of its folder. Pack the files without it.")
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in path.parts]
    is_long = max(sizes, default=0) > _MAX_NAME_BYTES or sum(sizes) > _MAX_PATH_BYTES
    if not sizes or is_long or not entry.filename.isprintable():
        raise StudioError(
            f"{name} has the path {shown}, which is no name of a file here. Rename it, and pack it again."
        )
    return path


def _common_folder(paths: list[PurePosixPath]) -> PurePosixPath:
    """Return the folder that all files are in; the empty path if there is none."""
    first = {path.parts[0] for path in paths}
    is_common = len(first) == 1 and all(len(path.parts) > 1 for path in paths)
    return PurePosixPath(first.pop()) if is_common else PurePosixPath()


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Path:
    """Write one file; `zipfile` itself raises if it is larger than its entry says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)
    return path
