"""Opening a data set: the bundled one, a file, a saved folder, or one from the Hub.

Each streams its rows into `ingest` and then reads them as conversations in the way that was detected.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.data import parse_rows
from core.data.ingest import ingest, present
from core.data.readers import SUFFIXES, SourceRow, columnar, json_tables, read_rows
from core.data.table import HELD_OUT, TRAIN, Dataset, Source
from core.errors import StudioError
from core.hub import client
from core.settings import Settings
from core.system.files import sha256_of

BUNDLED = "keeper"
BUNDLED_FOLDER = Path(__file__).parent / "bundled" / BUNDLED
BUNDLED_LICENCE = "cc-by-4.0"
# What the splits of a data set are called that are kept for measuring, not for training.
_HELD_OUT_SPLITS = json_tables.SPLIT_NAMES - {"train", "training"}
# A folder that datasets saved has one of these in it.
_SAVED_SIGNS = ("dataset_info.json", "dataset_dict.json")

Told = Callable[[float, str], None]
_INGEST_SHARE = 0.5  # of the bar: reading the rows as conversations takes about as long


def _quiet(share: float, words: str) -> None:
    pass


def _opened(
    settings: Settings, source: Source, rows: Iterator[tuple[str, SourceRow]], progress: Told, notes: Sequence[str] = ()
) -> Dataset:
    data = ingest(settings, source, rows, notes)
    parse_rows.parse_dataset(
        settings, data, data.detected, lambda share: progress(_INGEST_SHARE * (1 + share), "Reading the conversations")
    )
    return data


def _reading(progress: Told) -> Callable[[float], None]:
    return lambda share: progress(_INGEST_SHARE * share, "Reading the file")


def open_bundled(settings: Settings) -> Dataset:
    """The Keeper: the conversations written for this project, in a train and a held-out split."""
    files = {TRAIN: BUNDLED_FOLDER / "train.jsonl", HELD_OUT: BUNDLED_FOLDER / "heldout.jsonl"}
    key = hashlib.sha256("".join(sha256_of(path) for path in files.values()).encode()).hexdigest()
    source = Source(kind="bundled", name=BUNDLED, key=key, licence=BUNDLED_LICENCE)
    rows = ((split, read) for split, path in files.items() for read in read_rows(path, path.name))
    return _opened(settings, source, rows, _quiet)


def open_file(settings: Settings, path: Path, name: str | None = None, progress: Told = _quiet) -> Dataset:
    """A file in one of the known kinds; all its rows go to the train split.

    Args:
        name: what the user calls the file, when `path` is a temporary copy.
        progress: as a share of the whole and words.

    Raises:
        StudioError: the file cannot be read, is empty, or holds no text.
    """
    name = Path(name or path).name
    if not path.is_file():
        raise StudioError(f"There is no file {str(path)!r}. Expected a file ending in {', '.join(SUFFIXES)}.")
    try:
        source = Source(kind="upload", name=name, key=sha256_of(path))
    except OSError as error:
        raise StudioError(f"The file {name!r} cannot be read ({error.strerror}). Check who may read it.") from error
    notes: list[str] = []
    rows = ((_split_of(read.split), read) for read in read_rows(path, name, _reading(progress), notes.append))
    return _opened(settings, source, rows, progress, notes)


def _split_of(name: str | None) -> str:
    """Return the studio's split for a name in a file; rows of a file without splits are there to be trained on."""
    return HELD_OUT if _is_held_out(name or "") else TRAIN


def _is_held_out(name: str) -> bool:
    """Return whether a split is for evaluation, by its name or its first word: test, test_sft, validation-matched."""
    lower = name.lower()
    return lower in _HELD_OUT_SPLITS or re.split(r"[_\-. ]", lower)[0] in _HELD_OUT_SPLITS


def is_saved(path: Path) -> bool:
    return any((path / sign).is_file() for sign in _SAVED_SIGNS)


def open_folder(settings: Settings, path: Path, progress: Told = _quiet) -> Dataset:
    """A folder that `datasets` wrote with save_to_disk, its splits like the Hub's.

    Raises StudioError when it is no such folder.
    """
    if not is_saved(path):
        raise StudioError(f"{str(path)!r} is no folder that datasets saved. Expected one made by save_to_disk.")
    files = sorted(p for p in path.rglob("*") if p.is_file())
    key = hashlib.sha256("".join(f"{p.relative_to(path)}{sha256_of(p)}" for p in files).encode()).hexdigest()
    source = Source(kind="folder", name=path.resolve().name, key=key)
    notes: list[str] = []
    return _opened(settings, source, _rows_of(columnar.load_saved(path), progress, notes), progress, notes)


def check_hub_id(name: str) -> str:
    """The name of a data set as the Hub allows it. Raises StudioError otherwise."""
    if not client.is_hub_id(name.strip()):
        raise StudioError(f"{name!r} is not a Hub id. Expected owner/name, such as timdettmers/openassistant-guanaco.")
    return name.strip()


def open_hub(
    settings: Settings,
    name: str,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Told = _quiet,
) -> Dataset:
    """A data set of the Hub, pinned to the commit that `revision` (default: main) stands for now.

    All splits are read unless one is named; those called test, validation and the like become the held-out split.

    Args:
        token: for a private or gated one; without it the environment's HF_TOKEN. Kept nowhere.

    Raises:
        StudioError: no such data set, configuration, split or revision, no access, no network, or no text in it.
    """
    name = check_hub_id(name)
    progress(0, "Asking the Hub")
    with client.explained("data set", name):
        from huggingface_hub import HfApi

        api = HfApi(token=token or None)
        info = api.dataset_info(name, revision=revision or None)
        # The description of a gated data set is public, its rows are not, and load_dataset hides why it was refused.
        api.auth_check(name, repo_type="dataset")
    licence = info.card_data.get("license") if info.card_data else None
    source = Source(
        kind="hub",
        name=name,
        key=hashlib.sha256(json.dumps([name, config or "", split or "", info.sha]).encode()).hexdigest(),
        revision=info.sha,
        config=config or None,
        split=split or None,
        licence=licence if isinstance(licence, str) else None,
    )
    if found := present(settings, source):
        return found
    progress(0, "Downloading")
    notes: list[str] = []
    with client.explained("data set", name):
        return _opened(settings, source, _rows_of(_downloaded(source, token or None), progress, notes), progress, notes)


def _downloaded(source: Source, token: str | None) -> dict[str, Any]:
    from datasets import Dataset as Table
    from datasets import load_dataset

    try:
        loaded = load_dataset(source.name, source.config, split=source.split, revision=source.revision, token=token)
    except ValueError as error:  # an unknown configuration or split, both told by datasets in one sentence
        raise StudioError(f"The data set {source.name!r} could not be opened: {error}") from error
    return {source.split or TRAIN: loaded} if isinstance(loaded, Table) else dict(loaded)


def _rows_of(splits: dict[str, Any], progress: Told, notes: list[str]) -> Iterator[tuple[str, SourceRow]]:
    """Yield the rows of several splits, as train and held-out ones; an only split is there to be trained on."""
    converter = columnar.Converter()
    total = sum(table.num_rows for table in splits.values()) or 1
    ordered = sorted(splits.items(), key=lambda item: _is_held_out(item[0]))
    number = 0
    for place, (title, table) in enumerate(ordered):
        split = HELD_OUT if place and _is_held_out(title) else TRAIN
        for row in table:
            number += 1
            if number % 1000 == 0:
                progress(_INGEST_SHARE * number / total, "Reading the rows")
            yield split, converter.row(number, row)
    notes += converter.notes()
