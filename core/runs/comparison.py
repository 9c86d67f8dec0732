"""Comparison of runs: one summary per run, and the settings and versions in which they differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import StudioError
from core.runs.comparability import HeldOutSetup, held_out_setup_of, why_not_comparable
from core.runs.config import TITLES, QLoRAConfig, group_of
from core.runs.metrics_series import CLASSIFIER_METRICS, HELD_OUT_LOSS, Timelines
from core.runs.names import format_value
from core.runs.store import Run, Status

# The loss of one step depends mostly on its rows, so the final loss is the mean over the last tenth of the steps.
_LAST_SHARE = 0.1
# Prefix of a setting's name in lists that also name attributes of a summary: "loss" is the name of one of each.
SETTING = "setting."


@dataclass(frozen=True)
class Summary:
    """Result of one run.

    Attributes:
        run: The run's id.
        title: The run's name.
        loss: Mean over the last tenth of the steps.
        best_loss: Minimum over all steps.
        base: Held-out loss before the first update.
        best_held_out: Minimum held-out loss.
        held_out: Last held-out loss.
        accuracy: Last held-out accuracy of a classifier.
        macro_f1: Last held-out macro-F1 of a classifier.
        seconds: Time spent on training.
        tokens: Tokens trained on.
        memory_gib: Maximum over all steps.
        config: The settings; None if they cannot be read.
        held_out_setup: Settings and rows of the held-out loss; None before the first one.
    """

    run: str
    title: str
    status: Status
    created: float
    model: str = ""
    subset: str = ""
    steps: int = 0
    loss: float | None = None
    best_loss: float | None = None
    base: float | None = None
    best_held_out: float | None = None
    held_out: float | None = None
    accuracy: float | None = None
    macro_f1: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    memory_gib: float | None = None
    config: QLoRAConfig | None = None
    held_out_setup: HeldOutSetup | None = None


SORTS = tuple(name for name in Summary.__dataclass_fields__ if name not in ("run", "config", "held_out_setup"))
# Results that are comparable only if the held-out loss was measured in the same way.
HELD_OUT_RESULTS = ("best_held_out", "held_out", "base", *CLASSIFIER_METRICS.values())


class Summaries:
    """Cache of summaries, each computed again only if the run's events changed."""

    def __init__(self, timelines: Timelines):
        self._timelines = timelines
        self._kept: dict[Path, tuple[tuple[int, int], Summary]] = {}

    def of(self, run: Run) -> Summary:
        """Return the summary of a run."""
        events = run.events_file.stat() if run.events_file.exists() else None
        written = (events.st_size, events.st_mtime_ns) if events else (0, 0)
        kept = self._kept.get(run.folder)
        if kept is None or kept[0] != written:
            kept = self._kept[run.folder] = (written, self._summarize(run))
        known, state = kept[1], run.state()
        # Status and name change without an event.
        return Summary(**{**vars(known), "title": run.title, "status": state.status, "created": state.created})

    def _summarize(self, run: Run) -> Summary:
        timeline, state = self._timelines.of(run.events_file), run.saved_state()
        try:
            config = run.config()
        except StudioError:
            # The list shows the run with its status; the run's own page shows the error.
            config = None
        losses = timeline.values("loss")[1]
        held_out = timeline.values(HELD_OUT_LOSS)[1]
        memory = timeline.values("memory_gib")[1]
        is_measured = config is not None and len(held_out) > 0
        spent = timeline.curve("loss", max_points=2)
        return Summary(
            run.id, run.title, state.status, state.created,
            model=config.model if config else "",
            subset=config.subset if config else "",
            steps=timeline.steps,
            loss=float(losses[-max(1, int(len(losses) * _LAST_SHARE)) :].mean()) if len(losses) else None,
            best_loss=_least(losses),
            base=float(held_out[0]) if len(held_out) else None,
            best_held_out=_least(held_out),
            held_out=float(held_out[-1]) if len(held_out) else None,
            **{field: _last(timeline.values(title)[1]) for title, field in CLASSIFIER_METRICS.items()},
            seconds=spent[-1][2] if spent else 0.0,
            tokens=spent[-1][1] if spent else 0,
            memory_gib=float(memory.max()) if len(memory) else None,
            config=config,
            held_out_setup=held_out_setup_of(run, config, timeline.progress().prepared) if is_measured else None,
        )  # fmt: skip


def _last(values: np.ndarray) -> float | None:
    return float(values[-1]) if len(values) else None


def _least(values: np.ndarray) -> float | None:
    return float(values.min()) if len(values) else None


def sort_summaries(
    summaries: Sequence[Summary], by: str, descending: bool, reference: HeldOutSetup | None = None
) -> list[Summary]:
    """Return the summaries sorted by one attribute or setting; those without a value come last in both directions.

    Args:
        summaries: The runs.
        by: An attribute, or `SETTING` followed by a setting.
        descending: The direction.
        reference: How the first group of held-out losses is measured; those that were measured differently follow, in
            groups of their own.
    """
    there = [summary for summary in summaries if value_of(summary, by) is not None]
    rest = [summary for summary in summaries if value_of(summary, by) is None]
    found = sorted(there, key=lambda summary: value_of(summary, by), reverse=descending)
    if by in HELD_OUT_RESULTS and reference:
        found.sort(key=lambda summary: why_not_comparable(summary.held_out_setup or reference, reference))
    return [*found, *rest]


def value_of(summary: Summary, name: str) -> Any:
    """Return an attribute of a summary, or a setting of the run if the name begins with `SETTING`."""
    if not name.startswith(SETTING):
        return getattr(summary, name)
    return getattr(summary.config, name.removeprefix(SETTING)) if summary.config else None


def settings_that_differ(summaries: Sequence[Summary]) -> list[str]:
    """Return the settings with several values among the runs, as `names_that_differ`."""
    return names_that_differ([summary.config for summary in summaries if summary.config])


def names_that_differ(runs: Sequence[QLoRAConfig]) -> list[str]:
    """Return the settings with several values among configurations, without those that have columns of their own."""
    configs = [config.model_dump() for config in runs]
    names = [name for name in TITLES if name not in ("model", "subset", "max_steps")]
    return [name for name in names if len({config[name] for config in configs}) > 1]


def previous_run(run: Run, runs: Sequence[Run], has_curve: Callable[[Run], bool]) -> Run | None:
    """Return the newest run on the same subset that was created before a run and has a curve.

    Args:
        run: The run.
        runs: All runs, the newest first.
        has_curve: Returns whether a run has trained a step; one that failed in its preparation has events, but no step.
    """
    created, subset = run.saved_state().created, run.config().subset
    for other in runs:
        if other.id == run.id or other.saved_state().created > created:
            continue
        try:
            if other.config().subset == subset and has_curve(other):
                return other
        except StudioError:
            # A run without readable settings is on no known subset.
            continue
    return None


@dataclass(frozen=True)
class Difference:
    """Value of one setting or version in each compared run."""

    group: str
    title: str
    values: tuple[str, ...]


def differences(runs: Sequence[Run], timelines: Timelines) -> list[Difference]:
    """Return what differs between runs: settings first, then rows, base commit, code, packages and hardware.

    Raises:
        StudioError: The settings of a run cannot be read.
    """
    configs = [run.config().model_dump() for run in runs]
    found = [
        Difference(group_of(name), TITLES[name], tuple(format_value(config[name]) for config in configs))
        for name in TITLES
    ]
    made_with = [_provenance(run, timelines) for run in runs]
    names = dict.fromkeys(name for provenance in made_with for name in provenance)
    found += [
        Difference("Made with", name, tuple(provenance.get(name, "unknown") for provenance in made_with))
        for name in names
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


def _provenance(run: Run, timelines: Timelines) -> dict[str, str]:
    """Return the rows and versions that a run was made with, by name."""
    subset = run.subset()
    found = {"Rows": subset.describe()} if subset else {}
    prepared = timelines.of(run.events_file).progress().prepared
    if prepared is None or (provenance := prepared.lineage) is None:
        return found
    versions = {"Commit of the base": provenance.base_commit, "Code": provenance.code, "Hardware": provenance.hardware}
    return found | {name: value for name, value in versions.items() if value} | provenance.packages
