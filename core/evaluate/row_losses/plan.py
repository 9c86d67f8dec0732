"""Size and estimated time of a measurement, before it starts and without loading a model."""

from dataclasses import dataclass

from core.chat.types import BaseIdentity
from core.data import row_losses
from core.data.formats import Reading
from core.data.row_losses import LossSource
from core.data.rows import Rows
from core.data.table import Dataset
from core.evaluate.row_losses.sources import training_rows
from core.runs.events import StepEvent
from core.runs.example import is_example
from core.runs.progress import duration
from core.runs.store import RunStore
from core.runs.time_estimate import CHARACTERS_PER_TOKEN, FORWARD_SHARE
from core.system.counting import counted

# The newest runs whose speed is looked up.
_MAX_RUNS = 20


@dataclass(frozen=True)
class Plan:
    """A measurement before it starts.

    Attributes:
        data: The dataset.
        reading: How its rows are parsed.
        source: What is measured.
        rows: Number of rows.
        tokens: Estimated number of tokens that the model reads.
        seconds: Estimated duration; None if no speed of this model is known here.
        reason: Where the speed comes from.
    """

    data: Dataset
    reading: Reading
    source: LossSource
    rows: int
    tokens: int
    seconds: float | None
    reason: str

    def describe(self) -> str:
        """Return the size and the estimated time as a sentence."""
        size = f"{counted(self.rows, 'row')}, about {counted(self.tokens, 'token')}"
        if self.seconds is None:
            return f"{size}. The time is not known yet: {self.reason}."
        return f"{size}: about {duration(max(1, int(self.seconds)))}, by the speed of {self.reason}."


def plan(store: RunStore, data: Dataset, reading: Reading, source: LossSource) -> Plan:
    """Return how many rows a measurement has, and how long it will take.

    Raises:
        StudioError: The run trains on other rows than those of the dataset.
    """
    rows = Rows(store.settings, data.id, reading)
    wanted = sorted(training_rows(store.settings, data, reading, store.run(source.run))) if source.run else None
    estimated = f"least($longest, ceil(characters / {CHARACTERS_PER_TOKEN}))"
    count, tokens = rows.query(
        f"count(*), coalesce(sum({estimated}), 0)", set(), {"longest": source.max_length, "wanted": wanted},
        "WHERE problem IS NULL AND ($wanted IS NULL OR list_contains($wanted, row))",
    ).fetchone()  # fmt: skip
    speed, reason = _find_speed(store, data, reading, source)
    passes = 2 if source.run else 1
    return Plan(data, reading, source, count, int(tokens) * passes, tokens * passes / speed if speed else None, reason)


def _find_speed(store: RunStore, data: Dataset, reading: Reading, source: LossSource) -> tuple[float | None, str]:
    """Return tokens per second and where they come from, or None and why there are none."""
    if speed := row_losses.measured_speed(store.settings, data, reading, source.base):
        return speed, "an earlier measurement"
    for run in store.runs()[:_MAX_RUNS]:
        if is_example(run.id) or run.problem() or run.config().classifies:
            continue
        if BaseIdentity.from_config(run.config()).key != source.base:
            continue
        steps = [event for event in run.events() if isinstance(event, StepEvent)]
        if steps and isinstance(speed := steps[-1].tokens_per_second, float) and speed > 0:
            return speed / FORWARD_SHARE, f"the run {run.title}"
    return None, "no run and no measurement of this model was made here. The progress shows it after the first rows"
