"""Results of lm-evaluation-harness that are written by hand: nothing is measured."""

from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.results import HarnessResult, TaskMetric


def task_metric(**change):
    """Return the accuracy of two lanes on 40 rows: 10 of them right, and 30."""
    values = {
        "task": "colors", "version": "2.0", "shots": 3, "metric": "acc", "filter": "none", "is_higher_better": True,
        "rows": 40, "values": [0.25, 0.75], "errors": [0.1, 0.1],
        "by_row": [[1.0] * 10 + [0.0] * 30, [1.0] * 30 + [0.0] * 10],
    }  # fmt: skip
    return TaskMetric(**(values | change))


def task_result(**change):
    """Return a result of one metric of two lanes."""
    values = {
        "config": HarnessConfig(tasks="mine"), "lanes": ["base", "run-1"], "created": 1_000_000.0, "seconds": 2.0,
        "versions": {"lm-eval": "0.4.13"}, "precision": "none, float32", "metrics": [task_metric()],
    }  # fmt: skip
    return HarnessResult(**(values | change))
