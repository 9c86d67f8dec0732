"""Results of lm-evaluation-harness, in the folder of the run or the evaluation whose models were measured.

    <run or evaluation>/harness/<time>-<folder of tasks>.json    settings, versions, and all metrics of all lanes
    <run or evaluation>/harness/log.txt                          the output of the last measurement

Two lanes are compared row by row, as the metrics of an evaluation are, where a metric has a value per row.
"""

import math
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from core.errors import StudioError
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.task_files import METRICS
from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import PairedDifference, PairedScores, compare
from core.settings import slug
from core.system.counting import counted
from core.system.files import read_json, write_json

_FOLDER = "harness"


class TaskMetric(BaseModel):
    """One metric of a task.

    Attributes:
        task: Name of the task.
        version: Its version, as its file states it; empty for none.
        shots: Solved examples before each row.
        metric: Name of the metric.
        filter: Name of the filter of the answers; "none" without one.
        is_higher_better: Whether more is better; None if neither is.
        rows: Number of rows.
        values: By lane; None if the harness gives none.
        errors: Standard errors by lane; None if the harness gives none.
        by_row: Values by lane and row; None for a metric of the whole task, such as perplexity.
    """

    task: str
    version: str
    shots: int
    metric: str
    filter: str
    is_higher_better: bool | None
    rows: int
    values: list[float | None]
    errors: list[float | None]
    by_row: list[list[float]] | None = None

    @property
    def title(self) -> str:
        """Return the name of the task and the metric."""
        return f"{self.task}: {self.metric}" + (f", {self.filter}" if self.filter != "none" else "")

    def as_metric(self) -> Metric:
        """Return the metric in the form of those of an evaluation, for texts and tables."""
        better = {True: "higher", False: "lower", None: "neither"}[self.is_higher_better]
        is_binary = bool(self.by_row) and {value for lane in self.by_row for value in lane} <= {0.0, 1.0}
        scale = METRICS.get(self.metric, "ratio")
        return Metric(self.title, self.title, better, scale, "", f"{self.metric} of lm-evaluation-harness.", is_binary)

    def compare(self, first: int, second: int) -> PairedDifference:
        """Return the difference of two lanes, without an interval if the metric has no value per row."""
        if self.by_row:
            rows = np.array([self.by_row[first], self.by_row[second]])
            return compare(PairedScores(rows[0], rows[1], np.arange(self.rows)), seed=0)
        nan = np.full(1, math.nan)
        return compare(PairedScores(nan, nan, np.zeros(1, np.int64)), seed=0)


class HarnessResult(BaseModel):
    """Result of one measurement.

    Attributes:
        config: Its settings.
        lanes: The measured models, as in `EvaluationConfig.lanes`.
        created: Seconds since the epoch.
        seconds: Duration.
        versions: Version of each package that the values depend on, by its name.
        precision: Quantization and compute dtype of the base weights.
        metrics: In the order of the tasks.
        notes: Sentences about files that are no tasks, and decisions with their reasons.
    """

    config: HarnessConfig
    lanes: list[str]
    created: float
    seconds: float
    versions: dict[str, str]
    precision: str
    metrics: list[TaskMetric]
    notes: list[str] = []


def results_folder(owner: Path) -> Path:
    """Return the folder of the results below that of a run or an evaluation."""
    return owner / _FOLDER


def save(owner: Path, result: HarnessResult) -> Path:
    """Write a result, and return its file."""
    folder = results_folder(owner)
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(result.created))
    path = folder / f"{stamp}-{slug(result.config.tasks)}.json"
    write_json(path, result.model_dump())
    return path


def read_results(owner: Path) -> list[HarnessResult]:
    """Return the results of a run or an evaluation, the newest first.

    Raises:
        StudioError: A file is damaged.
    """
    found = []
    for path in sorted(results_folder(owner).glob("*.json"), reverse=True):
        try:
            found.append(HarnessResult.model_validate(read_json(path)))
        except (OSError, ValueError) as error:
            raise StudioError(f"{path.name} in {path.parent} is damaged. Delete it, and measure again.") from error
    return found


def describe_value(found: TaskMetric, lane: int) -> str:
    """Return the value of a lane with its standard error as text."""
    metric, value, error = found.as_metric(), found.values[lane], found.errors[lane]
    if value is None:
        return "–"
    return metric.format(value) + (f" ± {metric.format(error)}" if error is not None else "")


def describe_origin(result: HarnessResult) -> list[str]:
    """Return sentences about how a result was measured."""
    packages = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    tasks = {found.task: found for found in result.metrics}.values()
    versions = ", ".join(f"{each.task}{f' version {each.version}' * bool(each.version)}, {each.shots} examples"
                         for each in tasks)  # fmt: skip
    limited = (
        f" Limited to the first {counted(result.config.limit, 'row')} of each task." if result.config.limit else ""
    )
    return [
        f"Measured by {packages}, with weights in {result.precision}. Tasks: {versions}.{limited}",
        "The prompts are plain text, without a chat template. A value after ± is its standard error.",
        *result.notes,
    ]
