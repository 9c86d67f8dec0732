"""Tables of `datasets`: folders written by `save_to_disk`, and the rows of such a table or of one from the Hub.

A folder or a repository comes from anyone. The files that a folder names must lie in it, its rows are read as Arrow
holds them whatever output format was stored, and no column is decoded that names a picture or a sound by an address.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.readers.columnar import Converter, check_columns
from core.errors import StudioError, reason_of
from core.system.files import read_json

# Rows that are Python objects at the same time.
_SLICE_ROWS = 100
_STATE, _SPLITS = "state.json", "dataset_dict.json"
# A folder written by `save_to_disk` contains one of these files.
_SAVED_FILES = ("dataset_info.json", _SPLITS)


def is_saved(path: Path) -> bool:
    """Return whether a folder was written by `save_to_disk`."""
    return any((path / name).is_file() for name in _SAVED_FILES)


def load_saved(folder: Path) -> dict[str, Any]:
    """Return the tables of a folder written by `save_to_disk` by split; a single table is the split "train".

    Raises:
        StudioError: The folder cannot be loaded, or names files outside.
    """
    import pyarrow as pa
    from datasets import Dataset, load_from_disk

    try:
        _check_files(folder)
        loaded = load_from_disk(str(folder))
        tables = {"train": loaded} if isinstance(loaded, Dataset) else dict(loaded)
        for table in tables.values():
            # Arrow trusts the offsets inside a file.
            table.data.table.validate(full=True)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, pa.ArrowException) as error:
        raise StudioError(
            f"{folder.name!r} was not saved by datasets ({reason_of(error)}). Expected one made by save_to_disk."
        ) from error
    return tables


def _check_files(folder: Path) -> None:
    """Check that the files of a saved folder lie in it.

    Raises:
        StudioError: A file or a split is named by a path, or is a link out of the folder.
    """
    for path in folder.rglob("*"):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise StudioError(f"{folder.name!r} has a link out of it: {path.name!r}. Put the file itself there.")
    named = []
    if (folder / _SPLITS).is_file():
        named += read_json(folder / _SPLITS)["splits"]
    for path in folder.rglob(_STATE):
        state = read_json(path)
        named += [file["filename"] for key in ("_data_files", "_indices_data_files") for file in state.get(key) or []]
    if outside := next((name for name in named if Path(name).name != name), None):
        raise StudioError(
            f"{folder.name!r} names the file {outside!r}. Expected the name of a file in the folder itself; save it "
            "again with save_to_disk."
        )


def rows_of(table: Any, name: str, converter: Converter) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table as Python values.

    Args:
        table: A `datasets.Dataset`.
        name: Name of its source for the user.
        converter: Converter that is to count what is left out.
    """
    check_columns(table.column_names, name)
    features = table.features.copy()
    _leave_undecoded(features)
    # JSON whose values are of several types is stored as text.
    has_json = any(needed for needed in features._column_requires_decoding.values())
    plain = table.with_format("arrow")
    for start in range(0, len(plain), _SLICE_ROWS):
        for row in converter.rows(plain[start : start + _SLICE_ROWS]):
            yield _decoded(features, row) if has_json else row


def _decoded(features: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the values of its JSON columns; if one of them is no JSON, all stay text."""
    try:
        return features.decode_example(row)
    except (ValueError, RecursionError):
        return row


def _leave_undecoded(feature: Any) -> None:
    """Let pictures, sounds and documents stay bytes or names of files: to decode them would open what they name."""
    from datasets.features import Json

    if isinstance(feature, dict):
        for inner in feature.values():
            _leave_undecoded(inner)
    elif isinstance(feature, (list, tuple)):
        for inner in feature:
            _leave_undecoded(inner)
    elif hasattr(feature, "decode") and not isinstance(feature, Json):
        feature.decode = False
    elif (inner := getattr(feature, "feature", None)) is not None:
        _leave_undecoded(inner)
