"""Examination of a model before a run without a process of its own, which would take 7 CPU seconds for its imports.

`examine_here` takes the place of `core.runs.preflight_model._report` in processes that have imported torch. For other
processes, `tests.helpers.fork_server` forks `python -m tests.helpers.preflight REQUEST`, which prints the report.
"""

import functools
import json
import sys
from dataclasses import asdict

from core.errors import StudioError
from core.models.catalogue import Model
from core.runs import preflight_model


def as_request(model: Model | None, text: str | None, adapter: str) -> dict:
    """Return the arguments of `preflight_model._report` as its process gets them."""
    return {"model": model and asdict(model), "text": text, "adapter": json.loads(adapter)}


def checked(report: dict) -> dict:
    """Return a report, or raise StudioError with the reason why there is none."""
    if report.get("unreadable"):
        raise StudioError(report["unreadable"])
    return report


@functools.lru_cache(maxsize=64)
def examine_here(model: Model | None, text: str | None, adapter: str) -> dict:
    """Return the report of `preflight_model._report`, made in this process."""
    return checked(preflight_model.build_report(as_request(model, text, adapter)))


if __name__ == "__main__":
    print(json.dumps(preflight_model.build_report(json.loads(sys.argv[1]))))
