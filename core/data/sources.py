"""Opening of a dataset: the bundled one, a file, a folder saved by `datasets`, or one from the Hub.

Each function streams the rows of its source into `ingest`, and then parses them under the detected reading.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.data import parse_rows
from core.data.formats import Reading
from core.data.ingest import find_opened, ingest
from core.data.readers import SUFFIXES, SourceRow, columnar, json_tables, message_rows, read_rows, saved
from core.data.table import HELD_OUT, TRAIN, Dataset, Source
from core.errors import StudioError, reason_of
from core.hub import client
from core.hub.download import CACHE_ADVICE
from core.settings import Settings
from core.system.counting import counted
from core.system.files import sha256_of
from core.system.jobs import Progress, ignore_progress

BUNDLED = "keeper"
BUNDLED_FOLDER = Path(__file__).parent / "bundled" / BUNDLED
BUNDLED_LICENSE = "cc-by-4.0"
# Names of splits for evaluation, which become the held-out split.
_HELD_OUT_SPLITS = json_tables.SPLIT_NAMES - json_tables.TRAIN_SPLIT_NAMES

# Files of one request for their sizes.
_PATHS_PER_REQUEST = 1000
# Share of the progress bar for importing the rows; parsing them takes about as long.
_INGEST_SHARE = 0.5


def _open(
    settings: Settings,
    source: Source,
    rows: Iterator[tuple[str, SourceRow]],
    progress: Progress,
    notes: list[str] | None = None,
    reading: Reading | None = None,
) -> Dataset:
    notes = [] if notes is None else notes
    # The studio's own rows are conversations.
    rows = rows if reading else message_rows.join(rows, notes.append)
    data = ingest(settings, source, rows, notes, reading)
    stage = f"Reading the conversations of {counted(data.rows, 'row')}"
    # The first share comes seconds later, when the first of the processes has read its rows.
    progress(_INGEST_SHARE, stage)
    parse_rows.parse_dataset(settings, data, data.detected, lambda share: progress(_INGEST_SHARE * (1 + share), stage))
    return data


def _file_progress(progress: Progress) -> Callable[[float], None]:
    return lambda share: progress(_INGEST_SHARE * share, "Reading the file")


def open_bundled(settings: Settings) -> Dataset:
    """Open the bundled conversations "keeper", with a train and a held-out split."""
    files = {TRAIN: BUNDLED_FOLDER / "train.jsonl", HELD_OUT: BUNDLED_FOLDER / "heldout.jsonl"}
    key = hashlib.sha256("".join(sha256_of(path) for path in files.values()).encode()).hexdigest()
    source = Source(kind="bundled", name=BUNDLED, key=key, licence=BUNDLED_LICENSE)
    rows = ((split, read) for split, path in files.items() for read in read_rows(path, path.name))
    return _open(settings, source, rows, ignore_progress)


def open_file(
    settings: Settings, path: Path, name: str | None = None, progress: Progress = ignore_progress,
    reading: Reading | None = None,
) -> Dataset:  # fmt: skip
    """Open a file; all its rows belong to the train split unless the file itself names splits.

    Args:
        settings: The studio's settings.
        path: The file.
        name: Name of the file for the user, if `path` is a temporary copy.
        progress: Callback for the share that is done, 0 to 1, and the current step.
        reading: How the rows are read, for a file that the studio wrote; None to detect it.

    Raises:
        StudioError: The file cannot be read, is empty, or contains no text.
    """
    name = Path(name or path).name
    if not path.is_file():
        raise StudioError(f"There is no file {str(path)!r}. Expected a file ending in {', '.join(SUFFIXES)}.")
    try:
        source = Source(kind="upload", name=name, key=sha256_of(path))
    except OSError as error:
        raise StudioError(f"The file {name!r} cannot be read ({error.strerror}). Check its permissions.") from error
    notes: list[str] = []
    rows = ((_split_of(read.split), read) for read in read_rows(path, name, _file_progress(progress), notes.append))
    return _open(settings, source, rows, progress, notes, reading)


def _split_of(name: str | None) -> str:
    """Return the studio's split for the name of a split in a file; rows without one are for training."""
    return HELD_OUT if _is_held_out(name or "") else TRAIN


def _is_held_out(name: str) -> bool:
    """Return whether a split is for evaluation by its name or the first word of it (test_sft, validation-matched)."""
    lower = name.lower()
    return lower in _HELD_OUT_SPLITS or re.split(r"[_\-. ]", lower)[0] in _HELD_OUT_SPLITS


def open_folder(settings: Settings, path: Path, progress: Progress = ignore_progress) -> Dataset:
    """Open a folder that `datasets` wrote with `save_to_disk`; its splits are treated like those of the Hub.

    Raises:
        StudioError: The folder was not written in this way, or contains no text.
    """
    if not saved.is_saved(path):
        raise StudioError(f"{str(path)!r} was not saved by datasets. Expected a folder made by save_to_disk.")
    files = sorted(p for p in path.rglob("*") if p.is_file())
    key = hashlib.sha256("".join(f"{p.relative_to(path)}{sha256_of(p)}" for p in files).encode()).hexdigest()
    source = Source(kind="folder", name=path.resolve().name, key=key)
    notes: list[str] = []
    return _open(settings, source, _rows_of(saved.load_saved(path), progress, notes), progress, notes)


def check_hub_id(name: str) -> str:
    """Return the id of a dataset on the Hub without surrounding spaces.

    Raises:
        StudioError: The Hub does not allow such an id.
    """
    if not client.is_hub_id(name.strip()):
        raise StudioError(f"{name!r} is not a Hub id. Expected owner/name, such as timdettmers/openassistant-guanaco.")
    # The id becomes part of URLs and of the folder's name.
    return name.strip()


def open_hub(
    settings: Settings,
    name: str,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    progress: Progress = ignore_progress,
) -> Dataset:
    """Open a dataset of the Hub, pinned to the commit to which `revision` resolves now.

    Splits named test, validation or similar become the held-out split.

    Args:
        settings: The studio's settings.
        name: Id of the dataset, owner/name.
        config: Name of the configuration; None for the default one.
        split: Name of the only split to read; None for all.
        revision: Branch, tag or commit; None for main.
        token: Access token for a private or gated dataset; None for HF_TOKEN of the environment. It is not stored.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such dataset, configuration, split or revision, no access, no network, or no text.
    """
    name = check_hub_id(name)
    progress(0, "Connecting to the Hub")
    with client.explained("dataset", name):
        from huggingface_hub import HfApi

        info = (api := HfApi(token=token or None)).dataset_info(name, revision=revision or None)
        # The description of a gated dataset is public, its rows are not. load_dataset would hide the refusal's reason.
        api.auth_check(name, repo_type="dataset")
    source = _hub_source(name, config or None, split or None, info)
    if found := find_opened(settings, source):
        return found
    progress(0, "Downloading")
    notes: list[str] = []
    with client.explained("dataset", name):
        return _open(settings, source, _rows_of(_downloaded(source, token or None), progress, notes), progress, notes)


def _hub_source(name: str, config: str | None, split: str | None, info: Any) -> Source:
    licence = info.card_data.get("license") if info.card_data else None
    key = hashlib.sha256(json.dumps([name, config or "", split or "", info.sha]).encode()).hexdigest()
    return Source(
        kind="hub",
        name=name,
        key=key,
        revision=info.sha,
        config=config,
        split=split,
        # A card may list several licenses; then none is stated.
        licence=licence if isinstance(licence, str) else None,
    )


def _downloaded(source: Source, token: str | None) -> dict[str, Any]:
    from datasets import Dataset as Table
    from datasets import load_dataset_builder

    try:
        builder = load_dataset_builder(source.name, source.config, revision=source.revision, token=token)
        _check_disk(source, builder, token)
        builder.download_and_prepare()
        loaded = builder.as_dataset(split=source.split)
    # An unknown configuration or split; `datasets` names the known ones in its message.
    except ValueError as error:
        raise StudioError(
            f"The dataset {source.name!r} could not be opened: {reason_of(error)}. Check configuration and split."
        ) from error
    return {source.split or TRAIN: loaded} if isinstance(loaded, Table) else dict(loaded)


def _check_disk(source: Source, builder: Any, token: str | None) -> None:
    """Check that the files of a dataset of the Hub fit on the disk of the cache, by the sizes that the Hub gives."""
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub import HfApi

    here = f"hf://datasets/{source.name}@{source.revision}/"
    urls = {str(url) for files in (builder.config.data_files or {}).values() for url in files}
    paths = sorted(url.removeprefix(here) for url in urls if url.startswith(here))
    needed = 0
    for start in range(0, len(paths), _PATHS_PER_REQUEST):
        some = paths[start : start + _PATHS_PER_REQUEST]
        listed = HfApi(token=token).get_paths_info(source.name, some, repo_type="dataset", revision=source.revision)
        needed += sum(getattr(each, "size", 0) for each in listed)
    # `datasets` stores the rows beside the files that it has read them from.
    check_free_disk(Path(HF_DATASETS_CACHE), Quotas().free_gib, 2 * needed, source.name, CACHE_ADVICE)


def _rows_of(splits: dict[str, Any], progress: Progress, notes: list[str]) -> Iterator[tuple[str, SourceRow]]:
    """Yield the rows of several splits as train and held-out rows; a single split is for training.

    Args:
        splits: Tables by the name of their split.
        progress: Callback for the share that is done and the current step.
        notes: List to which sentences about converted columns are added at the end.
    """
    converter = columnar.Converter()
    total = sum(table.num_rows for table in splits.values()) or 1
    ordered = sorted(splits.items(), key=lambda item: _is_held_out(item[0]))
    number = 0
    # Training splits come first. If the first split is one for evaluation, there is nothing else to train on.
    for index, (title, table) in enumerate(ordered):
        split = HELD_OUT if index and _is_held_out(title) else TRAIN
        converter.use_schema(table.features.arrow_schema)
        for row in saved.rows_of(table, title, converter):
            number += 1
            if number % 1000 == 0:
                progress(_INGEST_SHARE * number / total, "Reading the rows")
            yield split, converter.row(number, row)
    notes += converter.notes()
