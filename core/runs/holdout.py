"""Random held-out rows for runs whose subset has none; the seed makes the choice repeatable."""

import random

from core.data.table import HELD_OUT, TRAIN
from core.runs.config import QLoRAConfig
from core.system.counting import counted


def hold_out(config: QLoRAConfig, rows: dict[str, list]) -> list[str]:
    """Move rows from the training split to the held-out split if the subset has no held-out rows.

    Args:
        config: The settings of the run.
        rows: Rows by split, changed in place.

    Returns:
        A list with a sentence on what was held out; an empty one if nothing was.
    """
    if rows[HELD_OUT] or not config.held_out_share or not config.eval_rows:
        return []
    # At least one row must remain to train on.
    wanted = min(round(len(rows[TRAIN]) * config.held_out_share), len(rows[TRAIN]) - 1)
    if not wanted:
        return []
    chosen = set(random.Random(config.seed).sample(range(len(rows[TRAIN])), wanted))
    rows[HELD_OUT] = [row for at, row in enumerate(rows[TRAIN]) if at in chosen]
    rows[TRAIN] = [row for at, row in enumerate(rows[TRAIN]) if at not in chosen]
    return [
        f"{counted(wanted, 'row is', 'rows are')} held out of training for evaluation, because the subset has no "
        "held-out rows."
    ]
