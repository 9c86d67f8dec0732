"""Checkpoints of a run: which are complete, which is the best, and which can be removed.

    checkpoints/checkpoint-<step>/            what transformers' Trainer writes: adapter, optimizer, schedule, RNG
    checkpoints/checkpoint-<step>/whole.json  written last, when all else is on disk: step, held-out loss

A folder without whole.json was being written when the worker crashed. It is never resumed from or used in the chat.
"""

import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ValidationError

from core.system.files import log_unreadable, read_json, write_json

# Name of the file that marks a checkpoint as complete, as earlier versions wrote it.
_MARK = "whole.json"
_PREFIX = "checkpoint-"


class Checkpoint(BaseModel):
    """whole.json of a checkpoint.

    Attributes:
        step: Optimizer updates so far.
        loss: Held-out loss at that step, if it was evaluated.
        tokens: Tokens trained on so far.
        seconds: Time spent on training so far.
    """

    step: int
    loss: float | None = None
    tokens: int = 0
    seconds: float = 0.0


def folder_of(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint at a step."""
    return checkpoints / f"{_PREFIX}{step}"


def mark_complete(checkpoints: Path, checkpoint: Checkpoint) -> None:
    """Flush the files of a checkpoint to the disk, and mark it as complete."""
    folder = folder_of(checkpoints, checkpoint.step)
    # After a power failure, whole.json must not exist without the content of the other files.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    write_json(folder / _MARK, checkpoint.model_dump())


def complete(checkpoints: Path) -> list[Checkpoint]:
    """Return the complete checkpoints, the newest last."""
    found = []
    for mark in checkpoints.glob(f"{_PREFIX}*/{_MARK}"):
        try:
            found.append(_read_mark(mark))
        except OSError as error:
            log_unreadable(mark, str(error))
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda checkpoint: checkpoint.step)


def _read_mark(mark: Path) -> Checkpoint | None:
    """Return the checkpoint that a mark describes; None if there is no mark, or a damaged one.

    Raises:
        OSError: The mark is there, and the system cannot read it.
    """
    try:
        return Checkpoint.model_validate(read_json(mark))
    except (FileNotFoundError, ValueError, ValidationError):
        return None


def count(checkpoints: Path) -> int:
    """Return the number of complete checkpoints without reading them."""
    return sum(1 for _ in checkpoints.glob(f"{_PREFIX}*/{_MARK}"))


def can_resume(checkpoints: Path) -> bool:
    """Return whether training can go on from the newest complete checkpoint, or start over because there is none."""
    there = complete(checkpoints)
    # transformers' Trainer needs its own state besides the adapter; the example run comes without it.
    return not there or (folder_of(checkpoints, there[-1].step) / "trainer_state.json").is_file()


def best(checkpoints: Path) -> Checkpoint | None:
    """Return the complete checkpoint with the lowest held-out loss, the first of equals; None if none was evaluated."""
    # A loss that is NaN is unequal to itself.
    measured = [c for c in complete(checkpoints) if c.loss is not None and c.loss == c.loss]
    return min(measured, key=lambda c: (c.loss, c.step), default=None)


def remove_incomplete(checkpoints: Path) -> None:
    """Remove checkpoints that a killed worker left incomplete; the caller is the run's only worker.

    Raises:
        OSError: A mark cannot be read. Its checkpoint may be complete, so it stays, and the run must not start over.
    """
    for folder in checkpoints.glob(f"{_PREFIX}*"):
        if _read_mark(folder / _MARK) is None:
            shutil.rmtree(folder, ignore_errors=True)


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints and the best; 0 keeps all."""
    if not keep:
        return
    there = complete(checkpoints)
    top = best(checkpoints)
    for checkpoint in there[:-keep]:
        if top is None or checkpoint.step != top.step:
            folder = folder_of(checkpoints, checkpoint.step)
            # Without its mark first, a half-removed checkpoint does not count as complete.
            (folder / _MARK).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
