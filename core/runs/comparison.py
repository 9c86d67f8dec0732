"""Comparison of runs: one summary per run, and the settings and versions in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import StudioError
from core.runs.config import TITLES, group_of
from core.runs.metrics_series import HELD_OUT_LOSS, Timelines
from core.runs.store import Run, Status

# The loss of one step depends mostly on its rows, so the final loss is the mean over the last tenth of the steps.
_LAST_SHARE = 0.1


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
        seconds: Time spent on training.
        tokens: Tokens trained on.
        memory_gib: Maximum over all steps.
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
    seconds: float = 0.0
    tokens: int = 0
    memory_gib: float | None = None


SORTS = tuple(name for name in Summary.__dataclass_fields__ if name != "run")


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
            kept = self._kept[run.folder] = (written, self._made(run))
        known, state = kept[1], run.state()
        # Status and name change without an event.
        return Summary(**{**vars(known), "title": run.title, "status": state.status, "created": state.created})

    def _made(self, run: Run) -> Summary:
        timeline, state = self._timelines.of(run.events_file), run.saved_state()
        try:
            config = run.config()
            model, subset = config.model, config.subset
        except StudioError:
            # The list shows the run with its status; the run's own page shows the error.
            model = subset = ""
        losses = timeline.values("loss")[1]
        held_out = timeline.values(HELD_OUT_LOSS)[1]
        memory = timeline.values("memory_gib")[1]
        spent = timeline.curve("loss", max_points=2)
        return Summary(
            run.id, run.title, state.status, state.created, model, subset,
            steps=timeline.steps,
            loss=float(losses[-max(1, int(len(losses) * _LAST_SHARE)) :].mean()) if len(losses) else None,
            best_loss=_least(losses),
            base=float(held_out[0]) if len(held_out) else None,
            best_held_out=_least(held_out),
            held_out=float(held_out[-1]) if len(held_out) else None,
            seconds=spent[-1][2] if spent else 0.0,
            tokens=spent[-1][1] if spent else 0,
            memory_gib=float(memory.max()) if len(memory) else None,
        )  # fmt: skip


def _least(values: np.ndarray) -> float | None:
    return float(values.min()) if len(values) else None


def sort_summaries(summaries: Sequence[Summary], by: str, descending: bool) -> list[Summary]:
    """Return the summaries sorted by one attribute; those without a value come last in both directions."""
    there = [summary for summary in summaries if getattr(summary, by) is not None]
    rest = [summary for summary in summaries if getattr(summary, by) is None]
    return [*sorted(there, key=lambda summary: getattr(summary, by), reverse=descending), *rest]


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
        Difference(group_of(name), TITLES[name], tuple(_format(config[name]) for config in configs)) for name in TITLES
    ]
    made_with = [_provenance(run, timelines) for run in runs]
    names = dict.fromkeys(name for provenance in made_with for name in provenance)
    found += [
        Difference("Made with", name, tuple(provenance.get(name, "unknown") for provenance in made_with))
        for name in names
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value == "" else str(value)


def _provenance(run: Run, timelines: Timelines) -> dict[str, str]:
    """Return the rows and versions that a run was made with, by name."""
    subset = run.subset()
    found = {"Rows": subset.describe()} if subset else {}
    prepared = timelines.of(run.events_file).progress().prepared
    if prepared is None or (provenance := prepared.lineage) is None:
        return found
    versions = {"Commit of the base": provenance.base_commit, "Code": provenance.code, "Hardware": provenance.hardware}
    return found | {name: value for name, value in versions.items() if value} | provenance.packages
