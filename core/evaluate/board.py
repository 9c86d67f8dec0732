"""The board: all evaluated runs of one base model, with their gain over it and what differs between them.

Runs are compared only within one set of prompts (`core.evaluate.prompt_sets`). Their differences to the base model are
paired by row; none of them is corrected for the number of runs, so the best of many is likely to look too good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.chat.turns import BASE
from core.data.subset import Subset
from core.errors import StudioError
from core.evaluate.config import parse_lane
from core.evaluate.lineage import runs_of
from core.evaluate.metrics import METRICS, Metric
from core.evaluate.prompt_sets import PromptSet, find_sets
from core.evaluate.statistics.paired import PairedDifference, compare
from core.evaluate.store import EvaluationStore
from core.evaluate.verdict import AUTO, NOT_JUDGED, choose_metric
from core.evaluate.verdict_groups import outcome_of
from core.evaluate.verdict_text import describe_outcome
from core.runs.config import QLoRAConfig
from core.runs.store import Run

# Orders of the rows beside those by a column: by the family tree, and by the gain over the parent.
TREE, PARENT = "tree", "parent"


@dataclass(frozen=True)
class BoardCell:
    """A metric of a run beside that of the base model.

    Attributes:
        difference: Run minus base, over the rows that both have.
        evaluations: Ids of the evaluations the values are from.
        is_best: Whether no other run of the board has a better difference.
    """

    difference: PairedDifference
    evaluations: list[str]
    is_best: bool = False


@dataclass(frozen=True)
class BoardRow:
    """A run, or one of its checkpoints.

    Attributes:
        lane: As in `EvaluationConfig.lanes`.
        title: Display name of the run, with the step of a checkpoint.
        parent: Lane of the nearest ancestor on the board; "" for none.
        depth: Number of its ancestors on the board.
        created: When the run was created, in seconds since the epoch.
        config: The run's settings.
        subset: What it was trained on; None if that cannot be read.
        cells: By the name of the metric; a metric without values of both models has none.
        to_parent: Difference to `parent` by the first metric of the board; None without a parent.
        parent_gain: The mean of `to_parent`, negated if less is better; None without it.
    """

    lane: str
    title: str
    parent: str
    depth: int
    created: float
    config: QLoRAConfig
    subset: Subset | None
    cells: dict[str, BoardCell] = field(default_factory=dict)
    to_parent: PairedDifference | None = None
    parent_gain: float | None = None


@dataclass(frozen=True)
class Board:
    """Runs of one base model on one set of prompts.

    Attributes:
        model: The base model.
        prompts: The set; None if nothing was evaluated.
        metrics: Its columns; the first one decides.
        rows: In the order of the family tree: each run is followed by those that were duplicated from it.
        notes: Sentences about what is missing.
    """

    model: str
    prompts: PromptSet | None
    metrics: list[Metric]
    rows: list[BoardRow]
    notes: list[str]


def make_board(
    store: EvaluationStore,
    prompts: PromptSet,
    metrics: Sequence[str] = (),
    unscored: Sequence[str] = (),
    subset: str = "",
) -> Board:
    """Return the board of a set of prompts.

    Args:
        store: The evaluations.
        prompts: The set (`find_sets`).
        metrics: Names of the columns; empty for the one that decides in a verdict.
        unscored: Ids of evaluations without scores, for a note.
        subset: Only runs that were trained on it; empty for all.

    Raises:
        StudioError: A metric does not exist, or has no value.
    """
    chosen = [_find_metric(prompts, name) for name in metrics] or _primary(prompts)
    runs = {run.id: run for run in runs_of(store.runs, prompts.lanes)}
    gone = sum(lane != BASE and parse_lane(lane)[0] not in runs for lane in prompts.lanes)
    shown = {run_id: run for run_id, run in runs.items() if subset in ("", run.config().subset)}
    rows = _mark_best([_with_values(row, prompts, chosen) for row in _family(store, prompts, shown)], chosen)
    notes = []
    if BASE not in prompts.lanes:
        notes.append(
            "No evaluation of these prompts has the base model, so gains are unknown. Evaluate a run beside it on them."
        )
    if gone:
        notes.append(f"{gone:,} evaluated model{'s' * (gone != 1)} left out: the run was deleted or cannot be read.")
    if not chosen:
        notes.append("No row has a reference or a label, so no metric can judge the answers.")
    if unscored:
        plural = "s" * (len(unscored) != 1)
        notes.append(
            f"{len(unscored):,} finished evaluation{plural} left out, without scores of this version. Compute the "
            f"verdict on its page, or run: python -m core evaluate show {unscored[0]}"
        )
    return Board(prompts.key.model, prompts, chosen, rows, notes)


def judged_metrics(prompts: PromptSet) -> list[Metric]:
    """Return the metrics that can be columns of the board: those that judge answers and have values."""
    names = {metric.name for found in prompts.evaluations for metric in found.scores.metrics}
    return [METRICS[name] for name in METRICS
            if name in names and name not in NOT_JUDGED and METRICS[name].better != "neither"]  # fmt: skip


def _find_metric(prompts: PromptSet, name: str) -> Metric:
    known = judged_metrics(prompts)
    found = next((metric for metric in known if metric.name == name), None)
    if found is None:
        raise StudioError(f"The metric {name!r} has no values on these prompts, or judges nothing. Choose one of: "
                          f"{', '.join(metric.name for metric in known) or 'none'}.")  # fmt: skip
    return found


def _primary(prompts: PromptSet) -> list[Metric]:
    """Return the metric that decides in the newest evaluation of two models that has one, else the first that judges.

    The list is empty if no metric judges the answers.
    """
    for found in prompts.evaluations:
        if found.scores.lanes > 1:
            metric, _ = choose_metric(found.scores, 0, 1, AUTO)
            if metric:
                return [metric]
    return judged_metrics(prompts)[:1]


def _family(store: EvaluationStore, prompts: PromptSet, runs: Mapping[str, Run]) -> list[BoardRow]:
    """Return a row per lane without values, each followed by its descendants; siblings are in the order of creation."""
    titles = store.runs.titles()
    lanes = [lane for lane in prompts.lanes if parse_lane(lane)[0] in runs]
    found: dict[str, BoardRow] = {}
    for lane in lanes:
        run_id, adapter = parse_lane(lane)
        run = runs[run_id]
        title = titles.get(run_id, run.title) + ("" if adapter == "final" else f", {adapter}")
        parent = _nearest_ancestor(store, lane, lanes)
        found[lane] = BoardRow(lane, title, parent, 0, run.saved_state().created, run.config(), run.subset())
    ordered: list[BoardRow] = []

    def add(row: BoardRow, depth: int) -> None:
        ordered.append(replace(row, depth=depth))
        for child in sorted((each for each in found.values() if each.parent == row.lane), key=_age):
            add(child, depth + 1)

    for root in sorted((row for row in found.values() if not row.parent), key=_age):
        add(root, 0)
    return ordered


def _age(row: BoardRow) -> tuple[float, str]:
    return row.created, row.title


def _nearest_ancestor(store: EvaluationStore, lane: str, lanes: Sequence[str]) -> str:
    """Return the lane of the nearest ancestor: of a checkpoint the final adapter, of a run its parent's lane."""
    run_id, adapter = parse_lane(lane)
    if adapter != "final" and run_id in lanes:
        return run_id
    seen = {run_id}
    for run in runs_of(store.runs, [lane]):
        parent = run.parent()
        while parent and parent.run not in seen:
            seen.add(parent.run)
            of_parent = [each for each in lanes if parse_lane(each)[0] == parent.run]
            if of_parent:
                return parent.run if parent.run in of_parent else of_parent[0]
            # The parent was not evaluated; its own parent may have been.
            parent = next((each.parent() for each in runs_of(store.runs, [parent.run])), None)
    return ""


def _with_values(row: BoardRow, prompts: PromptSet, metrics: Sequence[Metric]) -> BoardRow:
    cells = {}
    for metric in metrics:
        if paired := prompts.pair(metric.name, BASE, row.lane):
            found = compare(paired[0], seed=0)
            if found.rows:
                cells[metric.name] = BoardCell(found, paired[1])
    to_parent = parent_gain = None
    if row.parent and metrics and (paired := prompts.pair(metrics[0].name, row.parent, row.lane)):
        found = compare(paired[0], seed=0)
        if found.rows:
            to_parent, parent_gain = found, gain(metrics[0], found)
    return replace(row, cells=cells, to_parent=to_parent, parent_gain=parent_gain)


def gain(metric: Metric, found: PairedDifference) -> float:
    """Return the mean difference, negated if less is better."""
    return -found.difference if metric.better == "lower" else found.difference


def _mark_best(rows: Sequence[BoardRow], metrics: Sequence[Metric]) -> list[BoardRow]:
    best = {
        metric.name: max((gain(metric, row.cells[metric.name].difference) for row in rows if metric.name in row.cells),
                         default=math.nan)
        for metric in metrics
    }  # fmt: skip
    return [
        replace(row, cells={
            name: replace(cell, is_best=len(rows) > 1 and gain(METRICS[name], cell.difference) == best[name])
            for name, cell in row.cells.items()
        })
        for row in rows
    ]  # fmt: skip


def compare_rows(prompts: PromptSet, metric: Metric, first: BoardRow, second: BoardRow) -> str:
    """Return the verdict about two runs as a sentence; "" if one of them has no scores."""
    paired = prompts.pair(metric.name, first.lane, second.lane)
    if paired is None:
        return ""
    found = compare(paired[0], seed=0)
    return f"{second.title} beside {first.title}: {describe_outcome(metric, found, outcome_of(metric, found))}"


def boards_of(store: EvaluationStore) -> tuple[dict[str, list[PromptSet]], list[str]]:
    """Return the sets of prompts by base model, and the ids of evaluations without scores."""
    sets, unscored = find_sets(store)
    found: dict[str, list[PromptSet]] = {}
    for each in sets:
        found.setdefault(each.key.model, []).append(each)
    return found, unscored
