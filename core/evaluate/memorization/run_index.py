"""Index of the texts that a run was trained on, kept in the run's folder.

    runs/<id>/token_index/              the files of `token_index`
    runs/<id>/token_index/about.json    what it was made of: `IndexKey`, and the number of rows and texts

Every turn of a training row is a text of its own, tokenized by the run's tokenizer without special tokens. The index is
written beside the runs and renamed when it is complete, so a killed job leaves nothing under the final name. It is made
anew if the subset, the held-out rows or the tokenizer are no longer those that it was made of.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from core.access.free_disk import check_free_disk
from core.access.quotas import Quotas
from core.data import subset
from core.data.table import HELD_OUT, TRAIN
from core.errors import StudioError
from core.evaluate.memorization import token_index
from core.evaluate.memorization.token_index import TokenIndex
from core.models import catalogue
from core.models.tokenizer import encode
from core.runs.holdout import hold_out
from core.runs.store import Run, RunStore
from core.system.files import read_json, write_json
from core.system.jobs import Progress, ignore_progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ABOUT = "about.json"
# Raise it whenever an index of the same rows would differ: existing indexes are then built again.
_VERSION = 1
# Texts that are tokenized at once.
_BATCH_TEXTS = 256


class IndexKey(BaseModel):
    """Sources and settings of an index; an index with another key is outdated.

    Attributes:
        subset: Name of the subset.
        sha256: Hash of its conversations.
        held_out: Settings that choose held-out rows where the subset has none: seed, share, and number to evaluate.
        tokenizer: Hash of the tokenizer.
        version: `_VERSION` when it was made.
    """

    subset: str
    sha256: str
    held_out: tuple[int, float, int]
    tokenizer: str
    version: int = _VERSION


class IndexAbout(BaseModel):
    """Content of about.json.

    Attributes:
        key: What the index is made of.
        rows: Number of training rows.
        skipped: Number of texts that the tokenizer fails on, which are not searched.
    """

    key: IndexKey
    rows: int
    skipped: int = 0


class RunIndex:
    """The index of a run with its tokenizer.

    Attributes:
        about: What the index is made of.
        index: The index.
        tokenizer: The run's tokenizer, to tokenize answers in the same way.
    """

    def __init__(self, folder: Path, tokenizer: "PreTrainedTokenizerBase"):
        self.about = IndexAbout.model_validate(read_json(folder / _ABOUT))
        self.index, self.tokenizer = TokenIndex(folder), tokenizer

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the tokens of a text and the (start, end) of each in its characters.

        Raises:
            ValueError: The tokenizer fails on the text.
        """
        found = encode(self.tokenizer, text, return_offsets_mapping=True)
        return found["input_ids"], found["offset_mapping"]


def load(store: RunStore, run: Run, progress: Progress = ignore_progress) -> RunIndex:
    """Return the index of a run; it is made now if there is none of its present rows and tokenizer.

    Args:
        store: The runs.
        run: The run.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The subset or the model is gone, the rows hold no text, the run is deleted meanwhile, or the disk
            has too little free space.
    """
    from core.models.loading import load_tokenizer

    config = run.config()
    progress(0.0, "Loading the tokenizer")
    tokenizer = load_tokenizer(catalogue.find(store.settings, config.model, config.revision))
    key = IndexKey(
        subset=config.subset,
        sha256=subset.find(store.settings, config.subset).sha256,
        held_out=(config.seed, config.held_out_share, config.eval_rows),
        tokenizer=hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
    )
    if _read_key(run.token_index_dir) != key:
        _build(store, run, key, tokenizer, progress)
    return RunIndex(run.token_index_dir, tokenizer)


def _read_key(folder: Path) -> IndexKey | None:
    """Return the key of an index; None if there is none, or if its description is unreadable."""
    try:
        return IndexAbout.model_validate(read_json(folder / _ABOUT)).key
    except (OSError, ValueError):
        return None


def _build(
    store: RunStore, run: Run, key: IndexKey, tokenizer: "PreTrainedTokenizerBase", progress: Progress
) -> None:  # fmt: skip
    """Make the index of a run, and put it in the place of an older one."""
    check_free_disk(store.settings.home, Quotas().free_gib)
    # Beside the runs, where the clean-up finds what a killed job leaves behind.
    scratch = Path(tempfile.mkdtemp(prefix=".index-", dir=store.settings.runs_dir))
    try:
        made = scratch / "made"
        made.mkdir()
        texts = _TrainingTexts(store, run, tokenizer)
        token_index.build(made, texts, progress)
        about = IndexAbout(key=key, rows=texts.rows, skipped=texts.skipped)
        write_json(made / _ABOUT, about.model_dump())
        with store.lock():
            if not run.folder.is_dir():
                raise StudioError(f"The run {run.id} was deleted while its rows were indexed. Choose another one.")
            if run.token_index_dir.exists():
                run.token_index_dir.rename(scratch / "outdated")
            made.rename(run.token_index_dir)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _TrainingTexts:
    """The tokenized texts of a run's training rows, read in one pass with a few hundred texts in memory.

    Attributes:
        rows: Number of training rows; known at the end.
        skipped: Number of texts that the tokenizer fails on.
    """

    def __init__(self, store: RunStore, run: Run, tokenizer: "PreTrainedTokenizerBase"):
        self._store, self._config, self._tokenizer = store, run.config(), tokenizer
        self.rows = self.skipped = 0

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """Yield row and tokens of each text."""
        batch: list[tuple[int, str]] = []
        for row, texts in self._read():
            self.rows += 1
            batch += [(row, text) for text in texts if text]
            if len(batch) >= _BATCH_TEXTS:
                yield from self._encode(batch)
                batch = []
        if batch:
            yield from self._encode(batch)

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and turns of each training row, without the rows that the run itself held out."""
        settings, name = self._store.settings, self._config.subset
        held_out = self._held_out_positions()
        position = 0
        for split, row, messages in subset.stream(settings, name):
            if split != TRAIN:
                continue
            if position not in held_out:
                yield row, [message["content"] for message in messages]
            position += 1

    def _held_out_positions(self) -> set[int]:
        """Return which rows of the training split the run itself holds out, by their position in it."""
        found = subset.find(self._store.settings, self._config.subset)
        if found.held_out:
            return set()
        rows: dict[str, list] = {TRAIN: list(range(found.rows)), HELD_OUT: []}
        hold_out(self._config, rows)
        return set(rows[HELD_OUT])

    def _encode(self, batch: list[tuple[int, str]]) -> Iterator[tuple[int, list[int]]]:
        texts = [text for _, text in batch]
        try:
            found = encode(self._tokenizer, texts)["input_ids"]
        except ValueError:
            # One text makes the whole batch fail: each is tried alone, and those that fail are counted.
            found = [self._encode_alone(text) for text in texts]
        yield from ((row, ids) for (row, _), ids in zip(batch, found, strict=True) if ids)

    def _encode_alone(self, text: str) -> list[int]:
        try:
            return encode(self._tokenizer, text)["input_ids"]
        except ValueError:
            self.skipped += 1
            return []
