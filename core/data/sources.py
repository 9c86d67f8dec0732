"""Opening a data set: the bundled one, a file from the user, or one from the Hub. Each ends in `table.ingest`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core import hub
from core.data.readers import SUFFIXES, BadLine, read_rows
from core.data.table import Dataset, Source, dataset_id, find, ingest
from core.errors import StudioError
from core.files import sha256_of
from core.settings import Settings

BUNDLED = "keeper"
BUNDLED_FOLDER = Path(__file__).parent / "bundled" / BUNDLED
BUNDLED_LICENCE = "CC-BY-4.0"
TRAIN, HELD_OUT = "train", "held-out"
# What the splits of a data set are called that are kept for measuring, not for training.
_HELD_OUT_SPLITS = {"test", "validation", "valid", "val", "dev", "eval", "heldout", "held-out", "held_out"}

Rows = Iterator[tuple[str, dict[str, Any] | BadLine]]


def open_bundled(settings: Settings) -> Dataset:
    """The Keeper: the conversations written for this project, in a train and a held-out split."""
    files = {TRAIN: BUNDLED_FOLDER / "train.jsonl", HELD_OUT: BUNDLED_FOLDER / "heldout.jsonl"}
    key = hashlib.sha256("".join(sha256_of(path) for path in files.values()).encode()).hexdigest()
    source = Source(kind="bundled", name=BUNDLED, key=key, licence=BUNDLED_LICENCE)
    rows = ((split, row) for split, path in files.items() for row in read_rows(path, path.name))
    return ingest(settings, source, rows)


def open_file(settings: Settings, path: Path, name: str | None = None) -> Dataset:
    """A .jsonl, .json, .csv or .parquet file; all its rows go to the train split.

    Args:
        name: what the user calls the file, when `path` is a temporary copy.

    Raises:
        StudioError: the file cannot be read, is empty, or no format is recognised.
    """
    name = Path(name or path).name
    if not path.is_file():
        raise StudioError(f"There is no file {str(path)!r}. Expected a file ending in {', '.join(SUFFIXES)}.")
    try:
        source = Source(kind="upload", name=name, key=sha256_of(path))
    except OSError as error:
        raise StudioError(f"The file {name!r} cannot be read ({error.strerror}). Check who may read it.") from error
    return ingest(settings, source, ((TRAIN, row) for row in read_rows(path, name)))


def open_hub(
    settings: Settings, name: str, config: str | None = None, split: str | None = None, revision: str | None = None
) -> Dataset:
    """A data set of the Hub, pinned to the commit that `revision` (default: main) stands for now.

    All splits are read unless one is named; those called test, validation and the like become the held-out split.
    A private or gated one needs HF_TOKEN in the environment.

    Raises:
        StudioError: no such data set, configuration, split or revision, no access, no network, or no known format.
    """
    name = name.strip()
    if not hub.is_hub_id(name):
        raise StudioError(f"{name!r} is not a Hub id. Expected owner/name, such as timdettmers/openassistant-guanaco.")
    with hub.explained("data set", name):
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(name, revision=revision or None).sha
        # The description of a gated data set is public, its rows are not, and load_dataset hides why it was refused.
        HfApi().auth_check(name, repo_type="dataset")
    chosen = "|".join([name, config or "", split or "", commit])
    key = hashlib.sha256(chosen.encode()).hexdigest()
    source = Source(kind="hub", name=name, key=key, revision=commit, config=config or None)
    if (settings.datasets_dir / dataset_id(source) / "about.json").is_file():
        return find(settings, dataset_id(source))
    with hub.explained("data set", name):
        return ingest(settings, source, _hub_rows(name, config or None, split or None, commit))


def _hub_rows(name: str, config: str | None, split: str | None, commit: str) -> Rows:
    from datasets import Dataset as Table
    from datasets import load_dataset

    try:
        loaded = load_dataset(name, config, split=split, revision=commit)
    except ValueError as error:  # an unknown configuration or split, both told by datasets in one sentence
        raise StudioError(f"The data set {name!r} could not be opened: {error}") from error
    splits = {split or TRAIN: loaded} if isinstance(loaded, Table) else dict(loaded)
    several = len(splits) > 1
    for title, table in splits.items():
        kept_back = several and title.lower() in _HELD_OUT_SPLITS
        for row in table:
            yield HELD_OUT if kept_back else TRAIN, row
