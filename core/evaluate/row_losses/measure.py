"""Measurement of the loss of every row of a dataset under a base model, and under the adapter of a run.

The rows are rendered, masked and truncated as for training, and computed by batched forward passes without generation.
Each loss is appended to a file as soon as it is known, so a measurement that was cancelled or killed continues where it
stopped. `core.data.row_losses` describes the files.

    done = rows with a line for every lane                     (bool per row and lane)
    for 512 rows that lack one:  render -> token_losses -> append lines
    lines -> arrays by row -> Parquet -> remove the lines
"""

import itertools
import json
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from core.chat import arbiter
from core.chat.types import BaseIdentity, adapter_key
from core.data import row_losses
from core.data.formats import Message, Reading
from core.data.row_losses import LossSource
from core.data.rows import Rows
from core.data.table import Dataset
from core.data.tokens import Rendered, TemplateError
from core.errors import StudioError
from core.evaluate.line_file import Line, LineWriter
from core.evaluate.reading_speed import ReadingSpeed
from core.evaluate.row_losses.lines import BASE_LANE, TUNED_LANE, make_line, read_done, write_parquet
from core.evaluate.row_losses.sources import source_of_run, training_rows
from core.evaluate.store import EvaluationStore
from core.models import catalogue
from core.models.download import fetch
from core.models.loading import load_base
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.counting import counted
from core.system.fast_imports import disable_compiler, pause_gc
from core.system.jobs import Progress, ignore_progress

if TYPE_CHECKING:
    from core.chat.lanes import Lanes

# Rows that are rendered at once. Texts of similar length are put into one batch, so a window holds many.
_WINDOW_ROWS = 512
_RUN_CHECK_SECONDS = 2.0


def measure(
    settings: Settings, data: Dataset, reading: Reading, source: LossSource, progress: Progress = ignore_progress
) -> str:
    """Measure the losses of a source unless they are there, and return the path of the file; a job.

    Args:
        settings: The studio's settings.
        data: The dataset.
        reading: How its rows are parsed.
        source: What is measured.
        progress: Callback for the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The memory is in use, the run or model is gone, or a training run needs the GPU meanwhile.
    """
    disable_compiler()
    target = row_losses.path_of(settings, data, reading, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if not target.is_file():
            _Measurement(settings, data, reading, source, target, progress).work()
    return str(target)


@dataclass
class _Measurement:
    """One measurement while it runs.

    Attributes:
        target: The Parquet file; the lines are beside it.
        speed: Tokens that were read, and the time that it took without loading the model.
    """

    settings: Settings
    data: Dataset
    reading: Reading
    source: LossSource
    target: Path
    progress: Progress
    speed: ReadingSpeed = field(default_factory=lambda: ReadingSpeed(0))
    _last_run_check: float = field(default=0.0, init=False)

    def work(self) -> None:
        """Measure the rows that have no line yet, and write the Parquet file."""
        store = RunStore(self.settings)
        rows = Rows(self.settings, self.data.id, self.reading)
        usable = {row for (row,) in rows.query("row", set(), after="WHERE problem IS NULL").fetchall()}
        run = store.run(self.source.run) if self.source.run else None
        if run and source_of_run(store, run, self.source.adapter) != self.source:
            raise StudioError(f"The run {run.title} has changed meanwhile. Measure again.")
        wanted = usable & training_rows(self.settings, self.data, self.reading, run) if run else usable
        if not wanted:
            raise StudioError(f"{self.data.id} has no row to measure. Choose how its rows are read, or another run.")
        lanes = [BASE_LANE, TUNED_LANE] if run else [BASE_LANE]
        lines = self.target.with_suffix(".jsonl")
        done = read_done(lines, self.data.rows, len(lanes))
        missing = {row for row in wanted if not done[row].all()}
        if missing:
            model = self._load(store, run)
            writer = LineWriter(lines)
            try:
                self._measure(store, model, rows, writer, missing, len(wanted), done)
            finally:
                writer.close()
        self.progress(0.99, "Writing the losses")
        speed = self.speed.tokens / self.speed.seconds if self.speed.seconds else 0.0
        write_parquet(lines, self.target, self.source, speed)
        lines.unlink()

    def _load(self, store: RunStore, run: Run | None) -> "Lanes":
        """Load the base and the adapter, if the memory is free."""
        base = BaseIdentity(*json.loads(self.source.base))
        EvaluationStore(self.settings).check_idle()
        arbiter.check_fits_for_evaluation(store, base.config)

        def report(stage: str) -> None:
            self.progress(0.0, stage)

        with pause_gc():
            from core.chat.lanes import Lanes

        report(f"Loading {base.model}")
        model = catalogue.find(self.settings, base.model, base.revision, report)
        fetch(model, report)
        lanes = Lanes(load_base(model, base.precision, base.attention), self.settings.fast_chat)
        if run:
            lanes.add_adapter(self._adapter, run.adapters()[self.source.adapter])
        return lanes

    @property
    def _adapter(self) -> str | None:
        return adapter_key(self.source.run, self.source.adapter)

    def _measure(
        self, store: RunStore, lanes: "Lanes", rows: Rows, writer: LineWriter, missing: set[int], total: int,
        done: np.ndarray,
    ) -> None:  # fmt: skip
        """Append the lines of the missing rows."""
        count, self.speed = total - len(missing), ReadingSpeed(len(missing))
        self.progress(0.98 * count / total, f"Measuring the loss: {count:,} of {counted(total, 'row')}")
        for window in _windows(rows.usable_rows(missing)):
            for lines in self._measure_window(lanes, window, done):
                self._check_run(store)
                writer.write(lines)
                # A row counts once, with the line of its last lane.
                count += sum(line["lane"] == (TUNED_LANE if self.source.run else BASE_LANE) for line in lines)
                left = self.speed.describe_left() if count < total else ""
                self.progress(0.98 * count / total, f"Measuring the loss: {count:,} of {counted(total, 'row')}{left}")

    def _measure_window(
        self, lanes: "Lanes", window: Iterable[tuple[int, str, list[Message]]], done: np.ndarray
    ) -> Iterator[list[Line]]:
        """Yield the lines of some rows, batch by batch."""
        from core.chat.forward import TargetText, token_losses

        keys, texts, failures = [], [], []
        for row, _, messages in window:
            rendered = render_row(lanes, messages, self.source)
            for lane, adapter in enumerate([None, self._adapter] if self.source.run else [None]):
                if done[row, lane]:
                    continue
                if isinstance(rendered, str):
                    failures.append(make_line(row, lane, note=rendered))
                    continue
                keys.append((row, lane, rendered.is_truncated))
                texts.append(TargetText(rendered.input_ids, rendered.labels, adapter))
        self.speed.add_window(len(window), sum(len(text.ids) for text in texts))
        yield failures
        for batch in token_losses(lanes, texts):
            self.speed.add_read(sum(len(texts[at].ids) for at, _ in batch))
            yield [make_line(*keys[at], losses=losses) for at, losses in batch]

    def _check_run(self, store: RunStore) -> None:
        """Raise StudioError if a training run that is about to load its model needs the memory of this GPU."""
        if time.monotonic() - self._last_run_check < _RUN_CHECK_SECONDS:
            return
        self._last_run_check = time.monotonic()
        if run := arbiter.find_waiting_run(store):
            raise StudioError(
                f"The run {run.title} needs the memory of this GPU. The losses measured so far are kept: measure again "
                "after the run to continue."
            )


def _windows(rows: Iterator[tuple[int, str, list[Message]]]) -> Iterator[list[tuple[int, str, list[Message]]]]:
    while window := list(itertools.islice(rows, _WINDOW_ROWS)):
        yield window


def render_row(lanes: "Lanes", messages: list[Message], source: LossSource) -> Rendered | str:
    """Return a row as training reads it, or why it has no loss."""
    context = lanes.context_length() or source.max_length
    length = min(source.max_length, context)
    try:
        rendered = lanes.renderer(source.template).render(messages, length, all_text=not source.answers_only)
    except TemplateError as error:
        return str(error)
    except Exception as error:
        # A chat template is foreign code that may raise anything; one bad row must not end the measurement.
        traceback.print_exc(file=sys.stderr)
        return f"the row could not be rendered ({type(error).__name__}: {error})"
    return rendered.no_loss_reason(length) or rendered
