"""Sources of losses: which model, which adapter, which tokens, and which rows a run trains on."""

import hashlib
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from core.chat.requests import base_identity
from core.chat.types import BaseIdentity
from core.data import subset as subsets
from core.data.formats import Reading
from core.data.row_losses import LossSource
from core.data.table import HELD_OUT, TRAIN, Dataset
from core.data.tokens import TemplateName
from core.errors import StudioError
from core.models import catalogue
from core.runs.adapters import adapter_folder
from core.runs.holdout import hold_out
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.files import modified_ns


def source_of_model(settings: Settings, model: str, template: TemplateName, max_length: int) -> LossSource:
    """Return the source of the losses under a base model, in the precision that a new run would use.

    Raises:
        StudioError: There is no such model.
    """
    return LossSource(
        base=BaseIdentity(catalogue.locate(settings, model).name).key, template=template, max_length=max_length
    )


def source_of_run(store: RunStore, run: Run, adapter: str = "final") -> LossSource:
    """Return the source of the losses under a run's adapter and its base, on the tokens that the run trains on.

    Raises:
        StudioError: The run has no such adapter, trains a classifier, or its model is gone.
    """
    folder = adapter_folder(run, adapter)
    config = run.config()
    if config.classifies:
        raise StudioError(
            f"The run {run.title} trains a classifier, which writes no tokens whose loss could be measured. Choose a "
            "run that generates text, or the base model alone."
        )
    return LossSource(
        base=base_identity(store, run).key, template=config.chat_template, max_length=config.max_length,
        answers_only=config.answers_only, run=run.id, adapter=adapter,
        adapter_sha256=_hash_adapter(tuple(_adapter_files(folder))),
    )  # fmt: skip


def _adapter_files(folder: Path) -> list[tuple[Path, int]]:
    """Return the files of an adapter with the times of their last changes."""
    return [(path, modified_ns(path)) for path in sorted(folder.glob("adapter_*")) if path.is_file()]


@lru_cache(maxsize=64)
def _hash_adapter(files: tuple[tuple[Path, int], ...]) -> str:
    """Return a hash of the contents; the page asks for it often, and the files may be large."""
    digest = hashlib.sha256()
    for path, _ in files:
        with path.open("rb") as stream:
            digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]


def training_rows(settings: Settings, data: Dataset, reading: Reading, run: Run) -> set[int]:
    """Return the rows of a dataset that a run trains on, without those whose turns its subset replaces.

    Raises:
        StudioError: The run trains on another dataset or on another reading of it, or its subset is gone or changed.
    """
    trained = run.subset()
    if trained is None or trained.recipe.dataset != data.id:
        other = f"the dataset {trained.recipe.dataset}" if trained else "a subset that cannot be read"
        raise StudioError(f"The run {run.title} trains on {other}, not on {data.id}. Choose that dataset.")
    if (trained.recipe.reading or data.detected) != reading:
        raise StudioError(
            f"The run {run.title} trains on rows of {data.id} that are read in another way. Choose under “How the rows "
            f"are read” what its subset {trained.name!r} uses."
        )
    config = run.config()
    if subsets.find(settings, config.subset).sha256 != trained.sha256:
        raise StudioError(
            f"The subset {config.subset!r} has changed since the run {run.title} was created, so its rows are not "
            "known any more. Choose another run, or measure the base model alone."
        )
    rows: dict[str, list[int]] = {TRAIN: [], HELD_OUT: []}
    with pq.ParquetFile(settings.subsets_dir / config.subset / "rows.parquet") as file:
        for batch in file.iter_batches(columns=["split", "row"]):
            for split, row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                rows[split].append(row)
    hold_out(config, rows)
    # Added rows are numbered from behind the last row of the dataset.
    return {row for row in rows[TRAIN] if row < data.rows and row not in trained.recipe.edited}
