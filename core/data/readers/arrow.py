"""Reader of Arrow files and streams, and of Feather files of version 2, in slices of bounded size.

`datasets` caches its tables as streams. Every batch is checked as a whole before its values are used: Arrow itself
trusts the offsets inside a file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.data.readers.columnar import Converter, check_columns, check_ratio
from core.data.readers.file_kinds import ARROW, HEAD_BYTES, kind_of_bytes, kind_of_file
from core.data.readers.lines import SourceRow
from core.errors import StudioError, reason_of

# Rows that are Python objects at the same time.
_SLICE_ROWS = 100
_FILE_MAGIC = b"ARROW1"


def read_arrow(
    path: Path, name: str, progress: Callable[[float], None], note: Callable[[str], None] = lambda words: None
) -> Iterator[SourceRow]:
    """Yield the rows of an Arrow or Feather file.

    Args:
        path: The file.
        name: Name of the file for the user.
        progress: Callback for the share of the file that was read, 0 to 1.
        note: Callback for sentences about converted columns, called at the end.

    Raises:
        StudioError: The file is damaged or of another kind, or has too many columns.
    """
    import pyarrow as pa

    is_file = _is_file(path, name)
    converter = Converter()
    number, unpacked, packed = 0, 0, path.stat().st_size
    try:
        with pa.OSFile(str(path)) as source:
            for batch, share in _batches(source, is_file, packed):
                check_columns(batch.schema.names, name)
                batch.validate(full=True)
                converter.use_schema(batch.schema)
                for row in _rows(batch, converter):
                    number += 1
                    read = converter.row(number, row)
                    unpacked += len(read.raw)
                    check_ratio(name, unpacked, packed)
                    yield read
                progress(share)
    except (pa.ArrowException, OSError) as error:
        raise StudioError(
            f"{name!r} is not a readable Arrow file ({reason_of(error)}). Save its rows as .parquet and open that file."
        ) from error
    # The position in a stream is that of its last batch, before the mark of its end.
    progress(1.0)
    for words in converter.notes():
        note(words)


def _is_file(path: Path, name: str) -> bool:
    """Return whether the content is an Arrow file; otherwise it may be a stream.

    Raises:
        StudioError: It is certainly of another kind.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = kind_of_bytes(head)
    if found and found != ARROW:
        found = kind_of_file(found, path)
        raise StudioError(f"{name!r} is {found.name}, although its name says Arrow. {found.advice}.")
    return head.startswith(_FILE_MAGIC)


def _batches(source: Any, is_file: bool, size: int) -> Iterator[tuple[Any, float]]:
    """Yield the batches of a file or a stream, with the share of the file up to each."""
    import pyarrow as pa

    if is_file:
        with pa.ipc.open_file(source) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index), (index + 1) / reader.num_record_batches
        return
    with pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield batch, min(1.0, source.tell() / max(1, size))


def _rows(batch: Any, converter: Converter) -> Iterator[dict[str, Any]]:
    for start in range(0, batch.num_rows, _SLICE_ROWS):
        yield from converter.rows(batch.slice(start, _SLICE_ROWS))
