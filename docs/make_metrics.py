"""Write the table of metrics of docs/evaluate.md from the registry in core.evaluate.metrics.

Run it with `python docs/make_metrics.py`; a test fails if the page differs from what this script writes.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.evaluate.metrics import METRICS, Metric  # noqa: E402

PAGE = Path(__file__).with_name("evaluate.md")
BEGIN = "<!-- The table is written by `python docs/make_metrics.py`. -->\n"
END = "<!-- end of the table of metrics -->\n"
_HEAD = "| metric | column | needs | better | meaning, formula and source |\n|---|---|---|---|---|\n"
_NEEDS = {"": "an answer", "reference": "a reference", "label": "a label", "likelihood": "a reference",
          "encoder": "a reference and a model of the BERT family"}  # fmt: skip
_BETTER = {"higher": "higher", "lower": "lower", "neither": "–"}


def line(metric: Metric) -> str:
    """Return the table row of a metric."""
    cells = (metric.title, f"`{metric.name}`", _NEEDS[metric.needs], _BETTER[metric.better], metric.explanation)
    return "| " + " | ".join(cells).replace("<", "&lt;") + " |\n"


def page() -> str:
    """Return the whole page with the current table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + _HEAD + "".join(map(line, METRICS.values())) + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
