"""Checkpoints of a run: which are whole, which is the best, which may go.

    checkpoints/checkpoint-<step>/            what transformers' Trainer writes: adapter, optimiser, schedule, RNG
    checkpoints/checkpoint-<step>/whole.json  written last, when everything else is on disk: step, held-out loss

A folder without that mark was being written when the worker died; it is never resumed from or chatted with.
"""

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.system.files import read_json, write_json

_MARK = "whole.json"
_PREFIX = "checkpoint-"


class Checkpoint(BaseModel):
    """Attributes:
    loss: held-out loss at that step, where it was measured.
    tokens, seconds: trained on so far, and time spent on it.
    """

    step: int
    loss: float | None = None
    tokens: int = 0
    seconds: float = 0.0


def folder_of(checkpoints: Path, step: int) -> Path:
    return checkpoints / f"{_PREFIX}{step}"


def mark_whole(checkpoints: Path, checkpoint: Checkpoint) -> None:
    """Say that a checkpoint is whole, once its files are on disk."""
    folder = folder_of(checkpoints, checkpoint.step)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    write_json(folder / _MARK, checkpoint.model_dump())


def whole(checkpoints: Path) -> list[Checkpoint]:
    """The whole checkpoints, the newest last."""
    found = []
    for mark in checkpoints.glob(f"{_PREFIX}*/{_MARK}"):
        try:
            found.append(Checkpoint.model_validate(read_json(mark)))
        except (OSError, ValueError, ValidationError):
            continue
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def count(checkpoints: Path) -> int:
    """How many are whole, without reading any."""
    return sum(1 for _ in checkpoints.glob(f"{_PREFIX}*/{_MARK}"))


def best(checkpoints: Path) -> Checkpoint | None:
    """The whole checkpoint with the lowest held-out loss."""
    measured = [c for c in whole(checkpoints) if c.loss is not None and c.loss == c.loss]
    return min(measured, key=lambda c: (c.loss, c.step), default=None)


def remove_half(checkpoints: Path) -> None:
    """Remove what a killed worker left half written; the caller is the run's only worker."""
    known = {checkpoint.step for checkpoint in whole(checkpoints)}
    for folder in checkpoints.glob(f"{_PREFIX}*"):
        if folder.name.removeprefix(_PREFIX) not in map(str, known):
            shutil.rmtree(folder, ignore_errors=True)


def prune(checkpoints: Path, keep: int) -> None:
    """Keep the newest `keep` whole checkpoints and the best; 0 keeps all."""
    if not keep:
        return
    there = whole(checkpoints)
    top = best(checkpoints)
    for checkpoint in there[:-keep]:
        if top is None or checkpoint.step != top.step:
            folder = folder_of(checkpoints, checkpoint.step)
            (folder / _MARK).unlink(missing_ok=True)  # first no longer whole, then gone
            shutil.rmtree(folder, ignore_errors=True)
