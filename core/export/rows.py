"""Rows of a run on which exports are compared, and others from which the importance matrix is computed.

The compared rows are the first held-out ones. The importance matrix never sees them: otherwise its gain would be
measured on the rows that it was fitted to. It takes the held-out rows after them, and then training rows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.data import subset
from core.data.table import HELD_OUT, TRAIN
from core.export.config import ExportConfig
from core.runs.holdout import hold_out
from core.runs.store import Run
from core.settings import Settings
from core.system.counting import counted

if TYPE_CHECKING:
    from core.data.tokens import Renderer


@dataclass
class ExportRows:
    """Tokenized rows of a run, read when they are needed.

    Attributes:
        settings: The studio's settings.
        run: The run.
        renderer: The renderer with the run's template.
        config: How many rows are compared, and how many are read for the importance matrix.
    """

    settings: Settings
    run: Run
    renderer: "Renderer"
    config: ExportConfig

    @cached_property
    def compared(self) -> list[dict[str, Any]]:
        """Return the held-out rows that are compared, with labels at their answers."""
        return self._tokenize(self._splits[HELD_OUT][: self.config.check_rows])

    @cached_property
    def for_importance(self) -> list[dict[str, Any]]:
        """Return the rows for the importance matrix."""
        return self._tokenize([*self._later_held_out, *self._training])

    @property
    def dataset(self) -> str:
        """Return which rows the importance matrix is computed from."""
        parts = [(self._later_held_out, "held-out"), (self._training, "training")]
        counts = " and ".join(counted(len(rows), f"{kind} row") for rows, kind in parts if rows)
        return f"{counts} of the subset {self.run.config().subset}"

    @property
    def _later_held_out(self) -> list[Any]:
        return self._splits[HELD_OUT][self.config.check_rows :][: self.config.importance_rows]

    @property
    def _training(self) -> list[Any]:
        return self._splits[TRAIN][: self.config.importance_rows - len(self._later_held_out)]

    @cached_property
    def _splits(self) -> dict[str, list[Any]]:
        config = self.run.config()
        rows = subset.load(self.settings, config.subset)
        # If the subset has no held-out rows, the run chose some itself; the same settings choose the same rows again.
        hold_out(config, rows)
        return rows

    def _tokenize(self, rows: list[Any]) -> list[dict[str, Any]]:
        """Return rows as tokens; those that cannot be rendered are left out, as in the training."""
        from core.train.batches import tokenize

        return tokenize(self.renderer, rows, self.run.config().max_length, answers_only=True).rows
