"""Rows out of files, one at a time, with the line number in every complaint; what can be read is, the rest is told.

Nothing here holds more than one row and one chunk in memory, whatever the size of the file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.data.readers import columnar, json_rows, separated, text_rows
from core.data.readers.lines import LineSource, SourceRow
from core.data.readers.unpack import COMPRESSED
from core.errors import StudioError

__all__ = ["SUFFIXES", "SourceRow", "kind_of", "read_rows"]

_TEXT = {
    ".jsonl": json_rows.read_lines,
    ".json": json_rows.read_document,
    ".csv": separated.read,
    ".tsv": separated.read,
    ".txt": text_rows.read,
}
# Every ending that can be opened; the text ones may be compressed.
SUFFIXES: tuple[str, ...] = (*_TEXT, ".parquet", *(f"{kind}{pack}" for kind in _TEXT for pack in COMPRESSED))


def kind_of(name: str) -> str | None:
    """The ending of `name` that decides how it is read (".jsonl.gz"), or None when it is no known one."""
    lower = name.lower()
    found = [suffix for suffix in SUFFIXES if lower.endswith(suffix)]
    return max(found, key=len) if found else None


def read_rows(
    path: Path,
    name: str,
    at: Callable[[float], None] = lambda share: None,
    note: Callable[[str], None] = lambda words: None,
) -> Iterator[SourceRow]:
    """Yield the rows of a file, complaints in the places of those that cannot be read.

    Args:
        name: what the user calls the file; its ending decides how it is read.
        at: called now and then with the share of the file that has been read, 0 to 1.
        note: called with sentences about the file as a whole, such as the encoding that was chosen.

    Raises:
        StudioError: the file as a whole cannot be read.
    """
    suffix = kind_of(name)
    if suffix is None:
        kinds = ", ".join((*_TEXT, ".parquet"))
        raise StudioError(
            f"{name!r} is no file that can be opened here. Expected one ending in {kinds}; the text ones also with "
            f"{' or '.join(COMPRESSED)} behind."
        )
    if path.stat().st_size == 0:
        raise StudioError(f"{name!r} is empty (0 bytes). Choose a file with at least one row.")
    if suffix == ".parquet":
        yield from columnar.read_parquet(path, name, at, note)
        return
    with LineSource(path, name, at, note) as source:
        yield from _TEXT["." + suffix.split(".")[1]](source)
