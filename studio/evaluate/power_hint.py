"""Hint below the form: the smallest difference that the chosen prompts can detect."""

from core.data import subset as subset_store
from core.errors import StudioError
from core.evaluate.config import AUTO_TASK
from core.evaluate.metrics import METRICS
from core.evaluate.metrics.tasks import GENERATION, TASKS
from core.evaluate.planning import assume, describe_power
from core.evaluate.store import EvaluationStore
from studio.html import render


class PowerHint:
    """Event handler of the hint below the form."""

    def __init__(self, store: EvaluationStore):
        self.store = store

    def describe(
        self, prompts: str, run: str | None, subset: str | None, split: str | None, limit: float | None,
        task: str = AUTO_TASK, loss_rows: float | None = 0,
    ) -> dict[str, str]:  # fmt: skip
        """Return what the chosen rows can tell; nothing for a file, whose rows are not counted yet.

        Args:
            prompts: The kind of prompts.
            run: The run whose held-out rows are the prompts.
            subset: The subset whose rows are the prompts.
            split: Which rows of the subset.
            limit: Max prompts.
            task: The task, whose usual metric decides; for auto, that of generation.
            loss_rows: Rows with a loss; 0 for all. It counts where the metric is the loss.
        """
        rows = min(self._count_rows(prompts, run, subset, split), int(limit or 0))
        if rows < 1:
            return {"power": ""}
        metric = METRICS[TASKS.get(task, TASKS[GENERATION]).primary[0]]
        if metric.name in ("loss", "perplexity") and loss_rows:
            rows = min(rows, int(loss_rows))
        text, _, source = describe_power(metric, rows, assume(self.store, metric)).partition(". ")
        return {"power": render("evaluate/power", text=f"{text}.", source=source)}

    def _count_rows(self, prompts: str, run: str | None, subset: str | None, split: str | None) -> int:
        """Return the number of rows of the chosen prompts; 0 if it is not known."""
        try:
            if prompts == "held-out" and run:
                config = self.store.runs.run(run).config()
                found = subset_store.find(self.store.settings, config.subset)
                # Without held-out rows in the subset, the run took a share of its rows.
                return found.held_out or round(found.rows * config.held_out_share)
            if prompts == "subset" and subset:
                found = subset_store.find(self.store.settings, subset)
                return {"held-out": found.held_out, "train": found.rows}.get(split or "", found.rows + found.held_out)
        except StudioError:
            # The run or the subset is gone. Evaluate reports that, and the hint has nothing to add.
            return 0
        return 0
