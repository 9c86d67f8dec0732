"""Time that a run will take on this machine, estimated before it starts and without loading a model.

    time = preparation + steps * tokens per step / tokens per second + evaluation passes * rows * seconds per row

The speeds come from a past run of this machine (`PreparedEvent.lineage.hardware`) with the same model and the same
settings of `_DECISIVE`; of several, the one whose sizes are nearest, then the newest. Without one they come from the
dry run. Tokens per row of another subset follow from the characters of its rows, at the past run's tokens per
character. Sample answers, checkpoints and a download of the model are not included.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from core.data import subset as subsets
from core.data.table import TRAIN
from core.errors import StudioError
from core.runs.config import TITLES, QLoRAConfig, applies
from core.runs.events import EvalEvent, PreparedEvent, RunEvent, StepEvent
from core.runs.example import is_example
from core.runs.store import NOT_ENDED, Run, RunStore
from core.settings import Settings, hardware
from core.system.files import modified_ns

# Settings on which the speed depends so much that a run with another value cannot be used.
_DECISIVE = (
    "model", "revision", "task", "quantization", "compute_dtype", "attention", "packing", "kernels", "lora_dora",
    "lora_bias", "lora_targets", "modules_to_save", "gradient_checkpointing", "gpus",
)  # fmt: skip
# Sizes that change the tokens per second gradually, and the factor up to which a run with another size is used.
_SIZES = {"batch_size": 4, "lora_rank": 4, "max_length": 8}
# Number of the newest runs that are looked at.
_MAX_RUNS = 50
CHARACTERS_PER_TOKEN = 4.0
# Number of the first rows of a subset whose lengths are taken for those of all its rows.
_MEASURED_ROWS = 5000
# An adapter needs no gradients of the base weights, so a forward pass is about half of a training step.
FORWARD_SHARE = 0.5


@dataclass(frozen=True)
class Speed:
    """Measured speed of a run or a dry run.

    Attributes:
        config: Its settings.
        tokens_per_second: In training steps.
        seconds_per_evaluation_row: Median over the evaluation passes; None if it had none.
        preparation_seconds: From the start of the worker to the first step.
        tokens_per_row: Mean over the rows that were trained on.
        subset_sha256: Hash of these rows; empty if it is not known.
        tokens_per_character: Mean over these rows.
        run: Id of the run; empty for a dry run.
        title: Name of the run, as it is when it is shown.
        started: When the run was created; the newest of equally good runs is used.
    """

    config: QLoRAConfig
    tokens_per_second: float
    preparation_seconds: float
    tokens_per_row: float
    tokens_per_character: float = 1 / CHARACTERS_PER_TOKEN
    seconds_per_evaluation_row: float | None = None
    subset_sha256: str = ""
    run: str = ""
    title: str = ""
    started: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Estimated duration of a run.

    Attributes:
        seconds: The whole run, from Start to the adapter.
        speed: What it is derived from.
        differs: Settings, as text, in which the past run differs from this one.
    """

    seconds: float
    speed: Speed
    differs: tuple[str, ...] = ()


class TimeEstimates:
    """Estimates from the runs of a store and from the dry runs of this server.

    Runs that have ended are read once. Dry runs are forgotten with the process.
    """

    def __init__(self, runs: RunStore):
        self.runs = runs
        self._speeds: dict[Path, tuple[int, Speed | None]] = {}
        self._dry_runs: list[Speed] = []

    def add_dry_run(self, speed: Speed) -> None:
        """Remember the speed of a dry run."""
        self._dry_runs = [*self._dry_runs[-_MAX_RUNS:], speed]

    def estimate(self, config: QLoRAConfig) -> Estimate | None:
        """Return how long a run will take, or None if there is neither a run nor a dry run to measure it from.

        Raises:
            StudioError: The subset does not exist.
        """
        # A subset that does not exist is an error even if there is no run to compare with.
        subsets.find(self.runs.settings, config.subset)
        # The example was trained on another machine, whose description may be equal.
        own = [run for run in self.runs.runs()[:_MAX_RUNS] if not is_example(run.id)]
        past = [speed for run in own if (speed := self._speed_of(run))]
        # A run has measured the evaluation passes, too, and rows of all lengths.
        speed = _nearest(config, past) or _nearest(config, self._dry_runs)
        if speed is None:
            return None
        if speed.run:
            # A run can be renamed after it was read.
            speed = replace(speed, title=self.runs.run(speed.run).title)
        names = [name for name in _SIZES if getattr(speed.config, name) != getattr(config, name)]
        differs = tuple(f"{TITLES[name].lower()} {getattr(speed.config, name):,}" for name in names)
        return Estimate(_seconds(self.runs.settings, config, speed), speed, differs)

    def _speed_of(self, run: Run) -> Speed | None:
        """Return the speed of an ended run of this machine; None if it has not enough steps or is another machine's."""
        written = modified_ns(run.events_file)
        known = self._speeds.get(run.folder)
        if known is None or known[0] != written:
            if run.saved_state().status in NOT_ENDED:
                # A run that is resumed has the speed that it had before.
                return known[1] if known else None
            known = self._speeds[run.folder] = (written, measured_speed(self.runs.settings, run))
        return known[1]


def measured_speed(settings: Settings, run: Run) -> Speed | None:
    """Return the speed that a run's events show, or None if they show none."""
    try:
        config, events = run.config(), run.events()
    except (StudioError, OSError):
        return None
    prepared = next((event for event in events if isinstance(event, PreparedEvent)), None)
    rate = _tokens_per_second(events)
    if rate is None or prepared is None or not prepared.rows:
        return None
    if prepared.lineage is None or prepared.lineage.hardware != hardware().description:
        return None
    per_row = [event.seconds / event.rows for event in events if isinstance(event, EvalEvent) and event.rows]
    subset = run.subset()
    tokens_per_row = prepared.tokens / prepared.rows
    characters = _mean(_lengths(settings, config.subset)) if not prepared.truncated else 0.0
    return Speed(
        config, rate, prepared.seconds, tokens_per_row,
        tokens_per_character=tokens_per_row / characters if characters else 1 / CHARACTERS_PER_TOKEN,
        seconds_per_evaluation_row=median(per_row) if per_row else None,
        subset_sha256=subset.sha256 if subset else "", run=run.id, started=run.saved_state().created,
    )  # fmt: skip


def _tokens_per_second(events: Sequence[RunEvent]) -> float | None:
    """Return the tokens of all steps but the first divided by their seconds; the first step also compiles kernels."""
    tokens = seconds = 0.0
    previous: StepEvent | None = None
    for event in events:
        if not isinstance(event, StepEvent):
            continue
        rate, total = event.tokens_per_second, event.tokens
        if previous is not None and isinstance(rate, float) and rate > 0 and total and previous.tokens is not None:
            tokens += total - previous.tokens
            seconds += (total - previous.tokens) / rate
        previous = event
    return tokens / seconds if seconds > 0 else None


def _nearest(config: QLoRAConfig, speeds: Sequence[Speed]) -> Speed | None:
    """Return the speed with the same decisive settings and the nearest sizes, or None."""
    values = config.model_dump()
    found = []
    for speed in speeds:
        other = speed.config.model_dump()
        same = all(other[name] == values[name] for name in _DECISIVE if applies(name, values) or applies(name, other))
        # The logarithm to the base of the allowed factor, so that each distance has the limit 1.
        distances = [abs(math.log(other[name] / values[name], limit)) for name, limit in _SIZES.items()]
        if same and max(distances) <= 1:
            found.append(((-sum(distances), speed.started), speed))
    return max(found, key=lambda item: item[0])[1] if found else None


def _seconds(settings: Settings, config: QLoRAConfig, speed: Speed) -> float:
    """Return the seconds of a run at a speed."""
    subset = subsets.find(settings, config.subset)
    shared = 0 if subset.held_out else round(subset.rows * config.held_out_share)
    rows, held_out = max(1, subset.rows - shared), min(config.eval_rows, subset.held_out or shared)
    per_row = speed.tokens_per_row
    if subset.sha256 != speed.subset_sha256 or config.max_length != speed.config.max_length:
        lengths = _lengths(settings, config.subset)
        per_row = _mean([min(config.max_length, n * speed.tokens_per_character) for n in lengths])
    steps = config.count_steps(rows)
    training = steps * config.batch_size * config.gradient_accumulation * per_row / speed.tokens_per_second
    evaluation = speed.seconds_per_evaluation_row
    if evaluation is None:
        evaluation = FORWARD_SHARE * per_row / speed.tokens_per_second
    return speed.preparation_seconds + training + count_passes(config, steps) * held_out * evaluation


def count_passes(config: QLoRAConfig, steps: int) -> int:
    """Return the evaluation passes of a run: before the first step, every `eval_steps`, and after the last step."""
    between = (steps - 1) // config.eval_steps if config.eval_steps else 0
    return 2 + between


def _lengths(settings: Settings, name: str) -> list[int]:
    """Return the characters of a subset's first rows to train on; none if the subset is gone."""
    try:
        sha256 = subsets.find(settings, name).sha256
    except StudioError:
        return []
    return _read_lengths(settings, name, sha256)


# A dictionary in place of lru_cache, which would need a hash of Settings.
_known_lengths: dict[tuple[Path, str], list[int]] = {}


def _read_lengths(settings: Settings, name: str, sha256: str) -> list[int]:
    """Return the characters of a subset's first rows to train on; each subset is read once.

    Args:
        settings: The studio's settings.
        name: The subset.
        sha256: Its content, by which the lengths are kept.
    """
    key = (settings.subsets_dir, sha256)
    if key not in _known_lengths:
        train = (messages for split, _, messages in subsets.stream(settings, name) if split == TRAIN)
        first = itertools.islice(train, _MEASURED_ROWS)
        _known_lengths[key] = [sum(len(message["content"]) for message in messages) for messages in first]
    return _known_lengths[key]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
