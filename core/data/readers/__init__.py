"""Readers of files: an iterator over rows for each kind of file.

A row that cannot be read does not end the file: it is yielded with its line number and its trouble. Readers hold one
row and one chunk in memory, whatever the size of the file; a JSON document that is a single object is the exception, up
to `lines.ROW_LIMIT`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from core.data.readers import arrow, columnar, content, json_rows, sections, sums, text_rows, yaml_rows
from core.data.readers.file_kinds import GZIP, ZSTANDARD, FileKind, kind_of_bytes, kind_of_file, kind_of_text
from core.data.readers.lines import LineSource, SourceRow
from core.data.readers.unpack import COMPRESSED
from core.errors import StudioError

__all__ = ["ADVISED", "SUFFIXES", "SourceRow", "check_kind", "kind_of", "read_rows"]

_TEXT = {
    ".jsonl": json_rows.read_lines,
    ".json": json_rows.read_document,
    ".csv": sums.read,
    ".tsv": sums.read,
    ".txt": text_rows.read,
    ".md": text_rows.read,
    ".yml": yaml_rows.read,
    ".yaml": yaml_rows.read,
}
_BY_CONTENT = {
    "JSON lines": json_rows.read_lines,
    "JSON": json_rows.read_document,
    "a table": sums.read,
}
_COLUMNAR = {
    ".parquet": columnar.read_parquet,
    ".arrow": arrow.read_arrow,
    ".feather": arrow.read_arrow,
}
# Every file name ending that can be opened; text files may be compressed.
SUFFIXES: tuple[str, ...] = (*_TEXT, *_COLUMNAR, *(f"{kind}{pack}" for kind in _TEXT for pack in COMPRESSED))
# Endings of files that the server refuses with advice: the page lets them be uploaded, so that the advice is shown.
ADVISED = (
    ".xlsx", ".xls", ".ods", ".docx", ".doc", ".pdf", ".ipynb", ".mbox", ".vtt", ".srt", ".npy", ".npz", ".pkl",
    ".pickle", ".sqlite", ".db", ".tar", ".zip", ".log",
)  # fmt: skip
# The ending of a name, in front of that of a compression.
_ENDING = re.compile(r"\.[A-Za-z]{2,8}\d?")
_HEAD_CHARACTERS = 2**16


def kind_of(name: str) -> str | None:
    """Return the ending of a file name that determines its reader (".jsonl.gz"), or None if it is unknown.

    A compressed file whose name does not say what is inside, such as "pile.zst", is text until its content is seen.
    """
    lower = name.lower()
    found = [suffix for suffix in SUFFIXES if lower.endswith(suffix)]
    if found:
        return max(found, key=len)
    pack = next((pack for pack in COMPRESSED if lower.endswith(pack)), "")
    is_plain = pack and not _ENDING.fullmatch(Path(lower.removesuffix(pack)).suffix)
    return f".txt{pack}" if is_plain else None


def check_kind(name: str, path: Path) -> str:
    """Return the ending of a file name that determines its reader.

    Args:
        name: Name of the file for the user.
        path: The file, whose content says what it is if its ending is unknown.

    Raises:
        StudioError: The ending is unknown.
    """
    suffix = kind_of(name)
    if suffix is None:
        found = _kind_of_content(path)
        pack = next((pack for pack in COMPRESSED if name.lower().endswith(pack)), "")
        if found in (GZIP, ZSTANDARD) and pack:
            raise StudioError(
                f"{name!r} is {found.name}, and its name does not show which kind of text it contains. Rename it, for "
                f"example to data.csv{pack}; if it is an archive, unpack it first."
            )
        if found:
            raise StudioError(f"{name!r} is {found.name}. {found.advice}.")
        kinds = ", ".join((*_TEXT, *_COLUMNAR))
        raise StudioError(
            f"{name!r} cannot be opened: its ending is unknown. Name a file by what it holds: {kinds}; text files may "
            f"also be compressed ({' or '.join(COMPRESSED)})."
        )
    return suffix


def _kind_of_content(path: Path) -> FileKind | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD_CHARACTERS)
    if found := kind_of_bytes(head):
        return kind_of_file(found, path)
    return kind_of_text(head.decode("utf-8", "replace"))


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
    suffix = check_kind(name, path)
    if path.stat().st_size == 0:
        raise StudioError(f"{name!r} is empty (0 bytes). Choose a file with at least one row.")
    if suffix in _COLUMNAR:
        yield from _COLUMNAR[suffix](path, name, progress, note)
        return
    with LineSource(path, name, progress, note) as source:
        ending = "." + suffix.split(".")[1]
        if refused := kind_of_text(source.head(_HEAD_CHARACTERS)):
            raise StudioError(f"{name!r} is {refused.name}, although its name ends in {ending}. {refused.advice}.")
        found = content.content_of(source, ending)
        if not name.lower().endswith(suffix):
            pack = suffix.removeprefix(ending)
            advice = "" if found else f". If it is a table, name it .csv{pack} or .tsv{pack}"
            note(f"the name {name!r} does not say what is inside; it is read as {found or 'plain text'}{advice}")
        elif found:
            note(f"{name!r} ends in {ending} and holds {found}; it is read as such")
        yield from sections.expand((_BY_CONTENT[found] if found else _TEXT[ending])(source), note)
