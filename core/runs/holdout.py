"""Rows held out of training to measure on, where the subset holds none out itself."""

import random

from core.data.table import HELD_OUT, TRAIN
from core.runs.config import QLoRAConfig


def hold_out(config: QLoRAConfig, rows: dict[str, list]) -> list[str]:
    """Hold rows out of training where the subset holds none out; what is said about it."""
    if rows[HELD_OUT] or not config.held_out_share or not config.eval_rows:
        return []
    wanted = min(round(len(rows[TRAIN]) * config.held_out_share), len(rows[TRAIN]) - 1)
    if not wanted:
        return []
    chosen = set(random.Random(config.seed).sample(range(len(rows[TRAIN])), wanted))
    rows[HELD_OUT] = [row for at, row in enumerate(rows[TRAIN]) if at in chosen]
    rows[TRAIN] = [row for at, row in enumerate(rows[TRAIN]) if at not in chosen]
    return [f"{wanted:,} rows are held out of training to measure on, as the subset holds none out itself."]
