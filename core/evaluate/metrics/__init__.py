"""Metrics of answers: a registry, and functions that score one answer or add up many.

`registry` describes every metric; `overlap`, `form` and `source` compute them for one answer; `running` sums a few of
them while answers arrive.
"""

from core.evaluate.metrics.registry import GROUPS, METRICS, VERSION, Metric

__all__ = ["GROUPS", "METRICS", "VERSION", "Metric"]
