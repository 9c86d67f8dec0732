"""Runs side by side: what came of each in a line, and what they differ in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import StudioError
from core.runs.config import TITLES, group_of
from core.runs.metrics_series import HELD_OUT, Timelines
from core.runs.store import Run, Status

_LAST_SHARE = 0.1  # one step's loss is mostly chance: the last tenth of the steps says where a run ended


@dataclass(frozen=True)
class Summary:
    """Attributes:
    loss: the mean over the last tenth of the steps. best_loss: the least of a step.
    base: held-out loss before the first update. best_held_out, held_out: the least and the last.
    seconds, tokens: spent on training. memory_gib: the most that a step took.
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
    """Summaries of runs, each made again only when the run's files changed."""

    def __init__(self, timelines: Timelines):
        self._timelines = timelines
        self._kept: dict[Path, tuple[tuple[int, int], Summary]] = {}

    def of(self, run: Run) -> Summary:
        events = run.events_file.stat() if run.events_file.exists() else None
        written = (events.st_size, events.st_mtime_ns) if events else (0, 0)
        kept = self._kept.get(run.folder)
        if kept is None or kept[0] != written:
            kept = self._kept[run.folder] = (written, self._made(run))
        known, state = kept[1], run.state()
        # the status and the name change without an event
        return Summary(**{**vars(known), "title": run.title, "status": state.status, "created": state.created})

    def _made(self, run: Run) -> Summary:
        timeline, state = self._timelines.of(run.events_file), run.saved_state()
        try:
            config = run.config()
            model, subset = config.model, config.subset
        except StudioError:
            model = subset = ""  # the list shows it, with its status; its own page says what is wrong
        losses = timeline.values("loss")[1]
        held_out = timeline.values(HELD_OUT)[1]
        memory = timeline.values("memory_gib")[1]
        spent = timeline.curve("loss", most=2)
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


def arranged(summaries: Sequence[Summary], by: str, descending: bool) -> list[Summary]:
    """Sorted by one attribute; what has no value comes last either way."""
    there = [summary for summary in summaries if getattr(summary, by) is not None]
    rest = [summary for summary in summaries if getattr(summary, by) is None]
    return [*sorted(there, key=lambda summary: getattr(summary, by), reverse=descending), *rest]


@dataclass(frozen=True)
class Difference:
    """What one setting, or one part of what a run was made with, is in each run."""

    group: str
    title: str
    values: tuple[str, ...]


def differences(runs: Sequence[Run], timelines: Timelines) -> list[Difference]:
    """Only what differs: settings first, then the rows, the base's commit, the code, packages and hardware.

    Raises StudioError when a run's configuration cannot be read.
    """
    configs = [run.config().model_dump() for run in runs]
    found = [
        Difference(group_of(name), TITLES[name], tuple(_said(config[name]) for config in configs)) for name in TITLES
    ]
    lineages = [_lineage(run, timelines) for run in runs]
    names = dict.fromkeys(name for lineage in lineages for name in lineage)
    found += [
        Difference("Made with", name, tuple(lineage.get(name, "unknown") for lineage in lineages)) for name in names
    ]
    return [difference for difference in found if len(set(difference.values)) > 1]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "–" if value == "" else str(value)


def _lineage(run: Run, timelines: Timelines) -> dict[str, str]:
    """What the run was made with, by name."""
    subset = run.subset()
    found = {"Rows": subset.describe()} if subset else {}
    prepared = timelines.of(run.events_file).progress().prepared
    if prepared is None or (lineage := prepared.lineage) is None:
        return found
    versions = {"Commit of the base": lineage.base_commit, "Code": lineage.code, "Hardware": lineage.hardware}
    return found | {name: value for name, value in versions.items() if value} | lineage.packages
