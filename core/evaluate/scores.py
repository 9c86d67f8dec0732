"""Scores of an evaluation: a value of every metric for each prompt and lane, and the groups of the prompts.

    scores.parquet    one row per prompt, in their order
        cluster             row in the source; turns of one conversation share it
        group.<name>        label of the prompt in this grouping (core.evaluate.traits)
        <metric>.<lane>     float64, null where the metric has no value (core.evaluate.metrics.registry)

`core.evaluate.scoring` writes the file. Its metadata has the version of the metrics and the sizes of the files it was
computed from; a file that does not match them is not used.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel

from core.evaluate.metrics import METRICS, VERSION, Metric
from core.evaluate.metrics.tasks import GENERATION
from core.system.files import file_size

if TYPE_CHECKING:
    from core.evaluate.statistics.paired import PairedScores
    from core.evaluate.store import Evaluation

FILE = "scores.parquet"
CLUSTER, GROUP = "cluster", "group."
METADATA = b"studio"


class ScoresInfo(BaseModel):
    """Metadata of scores.parquet.

    Attributes:
        version: `metrics.VERSION` when it was written.
        sources: Sizes of the files it was computed from, in bytes, by name.
        lanes: Number of lanes.
        summaries: One number per lane for every metric, by name; None where no row has a value.
        task: Task of the prompt set, stated or found (`core.evaluate.task`).
        notes: Sentences about the task, and about references that were cut or could not be used, for the user.
    """

    version: int
    sources: dict[str, int]
    lanes: int
    summaries: dict[str, list[float | None]]
    task: str = GENERATION
    notes: list[str] = []


class Scores:
    """Scores of one evaluation, read from its file column by column.

    Attributes:
        prompts: Number of prompts.
        lanes: Number of lanes.
        metrics: The metrics that have a value in this evaluation, in the order of the registry.
        task: Task of the prompt set, stated or found.
        notes: Sentences about the task and what could not be scored, for the user.
    """

    def __init__(self, path: Path):
        self._path = path
        schema = pq.read_schema(path)
        self._info = read_info(schema.metadata)
        self._columns = set(schema.names)
        self.prompts: int = pq.read_metadata(path).num_rows
        self.lanes = self._info.lanes
        self.task, self.notes = self._info.task, self._info.notes
        self.metrics: list[Metric] = [
            metric
            for name, metric in METRICS.items()
            if any(value is not None for value in self._info.summaries.get(name, []))
        ]

    def values(self, metric: str, lane: int) -> np.ndarray:
        """Return the value of a metric for each prompt, (prompts,), float64; NaN where it has none."""
        name = column_name(metric, lane)
        if metric not in METRICS or not 0 <= lane < self.lanes:
            raise KeyError(f"There is no metric {metric!r} of lane {lane}.")
        if name not in self._columns:
            return np.full(self.prompts, np.nan)
        return self._column(name).astype(np.float64)

    def summary(self, metric: str, lane: int) -> float | None:
        """Return one number for a lane, as `Metric.summary` describes it; None if no row has a value."""
        return self._info.summaries.get(metric, [None] * self.lanes)[lane]

    def rows(self, metric: str) -> int:
        """Return the number of prompts for which a lane has a value of a metric."""
        values = np.array([self.values(metric, lane) for lane in range(self.lanes)])  # (lanes, prompts)
        return int((~np.isnan(values)).any(axis=0).sum())

    def pair(self, metric: str, first: int, second: int) -> "PairedScores":
        """Return a metric of two lanes, to compare them row by row."""
        from core.evaluate.statistics.paired import PairedScores

        return PairedScores(self.values(metric, first), self.values(metric, second), self.clusters)

    @cached_property
    def clusters(self) -> np.ndarray:
        """Return the row in the source of each prompt, (prompts,), int64."""
        return self._column(CLUSTER)

    @cached_property
    def groups(self) -> Mapping[str, np.ndarray]:
        """Return the label of each prompt, (prompts,), by the name of the grouping."""
        names = [name for name in pq.read_schema(self._path).names if name.startswith(GROUP)]
        return {name.removeprefix(GROUP): self._column(name) for name in names}

    def _column(self, name: str) -> Any:
        return pq.read_table(self._path, columns=[name])[name].to_numpy()


def column_name(metric: str, lane: int) -> str:
    """Return the column of scores.parquet that holds a metric of a lane."""
    return f"{metric}.{lane}"


def read_info(metadata: Mapping[bytes, bytes]) -> ScoresInfo:
    """Return the metadata of scores.parquet from that of its schema."""
    return ScoresInfo.model_validate(json.loads(metadata[METADATA]))


def source_sizes(evaluation: "Evaluation") -> dict[str, int]:
    """Return the sizes of the files that scores are computed from, in bytes."""
    files = evaluation.answers_file, evaluation.losses_file, evaluation.choices_file
    return {path.name: file_size(path) for path in files}


def find(evaluation: "Evaluation") -> Scores | None:
    """Return the scores of an evaluation; None if there are none that match its answers and this version."""
    path = evaluation.folder / FILE
    if not path.is_file():
        return None
    info = read_info(pq.read_schema(path).metadata)
    is_current = info.version == VERSION and info.sources == source_sizes(evaluation)
    return Scores(path) if is_current else None
