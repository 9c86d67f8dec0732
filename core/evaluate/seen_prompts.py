"""Prompts that a model was trained on: a run that has seen the rows of an evaluation looks better than it is.

The held-out rows of one run may be training rows of another one, such as its child on another subset of the same
dataset. Rows are compared by their number in the dataset, so prompts of a file are not checked.
"""

from collections.abc import Collection

import pyarrow.parquet as pq

from core.data import subset
from core.data.table import TRAIN
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.lineage import runs_of
from core.runs.holdout import hold_out
from core.runs.store import Run, RunStore


def describe_seen_prompts(runs: RunStore, config: EvaluationConfig, rows: Collection[int]) -> list[str]:
    """Return a sentence for each run among the lanes that was trained on some of the prompts.

    Args:
        runs: The runs.
        config: The settings of the evaluation.
        rows: The rows of the dataset that are prompts.
    """
    if config.prompts == "file":
        return []
    name = config.subset if config.prompts == "subset" else runs.run(config.prompt_run).config().subset
    dataset = subset.find(runs.settings, name).recipe.dataset
    titles, notes, wanted = runs.titles(), [], set(rows)
    for run in runs_of(runs, config.lanes):
        known = run.subset()
        if known is None or known.recipe.dataset != dataset:
            continue
        if seen := len(wanted & _trained_rows(runs, run)):
            notes.append(
                f"{titles.get(run.id, run.title)} was trained on {seen:,} of these {len(wanted):,} rows, so it looks "
                "better than it is. Choose rows that no model was trained on."
            )
    return notes


def _trained_rows(runs: RunStore, run: Run) -> set[int]:
    """Return the rows of the dataset that a run was trained on; none if its subset is gone."""
    config = run.config()
    try:
        known = subset.find(runs.settings, config.subset)
    except StudioError:
        # Nothing is left that could say which rows they were.
        return set()
    if known.held_out:
        found = pq.read_table(
            runs.settings.subsets_dir / known.name / "rows.parquet", columns=["row"], filters=[("split", "=", TRAIN)]
        )
        return set(found["row"].to_pylist())
    # The run has chosen its held-out rows itself; the same settings choose the same rows again.
    split = subset.load(runs.settings, config.subset)
    hold_out(config, split)
    return {row for row, _ in split[TRAIN]}
