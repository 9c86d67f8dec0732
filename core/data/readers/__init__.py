"""Readers of files: an iterator over rows for each kind of file.

A row that cannot be read does not end the file: it is yielded with its line number and its trouble. Readers hold one
row and one chunk in memory, whatever the size of the file; a JSON document that is a single object is the exception, up
to `lines.ROW_LIMIT`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.data.readers import columnar, content, json_rows, separated, text_rows
from core.data.readers.lines import LineSource, SourceRow
from core.data.readers.unpack import COMPRESSED
from core.errors import StudioError

__all__ = ["SUFFIXES", "SourceRow", "check_kind", "kind_of", "read_rows"]

_TEXT = {
    ".jsonl": json_rows.read_lines,
    ".json": json_rows.read_document,
    ".csv": separated.read,
    ".tsv": separated.read,
    ".txt": text_rows.read,
    ".md": text_rows.read,
}
_BY_CONTENT = {
    "JSON lines": json_rows.read_lines,
    "JSON": json_rows.read_document,
    "a table": separated.read,
}
# Every file name ending that can be opened; text files may be compressed.
SUFFIXES: tuple[str, ...] = (*_TEXT, ".parquet", *(f"{kind}{pack}" for kind in _TEXT for pack in COMPRESSED))


def kind_of(name: str) -> str | None:
    """Return the ending of a file name that determines its reader (".jsonl.gz"), or None if it is unknown."""
    lower = name.lower()
    found = [suffix for suffix in SUFFIXES if lower.endswith(suffix)]
    return max(found, key=len) if found else None


def check_kind(name: str) -> str:
    """Return the ending of a file name that determines its reader.

    Raises:
        StudioError: The ending is unknown.
    """
    suffix = kind_of(name)
    if suffix is None:
        kinds = ", ".join((*_TEXT, ".parquet"))
        raise StudioError(
            f"{name!r} cannot be opened: its ending is unknown. Expected one of {kinds}; text files may also be "
            f"compressed ({' or '.join(COMPRESSED)})."
        )
    return suffix


def read_rows(
    path: Path,
    name: str,
    progress: Callable[[float], None] = lambda share: None,
    note: Callable[[str], None] = lambda words: None,
) -> Iterator[SourceRow]:
    """Yield the rows of a file, including those that cannot be read.

    Args:
        path: The file.
        name: Name of the file for the user; its ending determines the reader, unless the content is certainly another.
        progress: Callback for the share of the file that was read, 0 to 1.
        note: Callback for sentences about the file as a whole, such as its encoding.

    Raises:
        StudioError: The file as a whole cannot be read.
    """
    suffix = check_kind(name)
    if path.stat().st_size == 0:
        raise StudioError(f"{name!r} is empty (0 bytes). Choose a file with at least one row.")
    if suffix == ".parquet":
        yield from columnar.read_parquet(path, name, progress, note)
        return
    with LineSource(path, name, progress, note) as source:
        ending = "." + suffix.split(".")[1]
        if found := content.content_of(source, ending):
            note(f"{name!r} ends in {ending} and holds {found}; it is read as such")
        yield from (_BY_CONTENT[found] if found else _TEXT[ending])(source)
