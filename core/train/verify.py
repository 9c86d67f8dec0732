"""Verification of a run: its receipt against its files, and some of its steps repeated."""

from core.errors import StudioError
from core.runs import receipt as receipts
from core.runs.imported import find_tuned
from core.runs.receipt import Receipt
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.jobs import Progress, ignore_progress
from core.train.verification import Check, Verification, check_files, check_kernels

DEFAULT_STEPS = 5
MAX_STEPS = 1000
_HASHED = 0.2


def verify(
    settings: Settings, run_id: str, steps: int = DEFAULT_STEPS, start: int | None = None,
    progress: Progress = ignore_progress,
) -> Verification:  # fmt: skip
    """Compare a run with its receipt, and repeat some of its steps.

    Args:
        settings: The studio's settings.
        run_id: The run.
        steps: Steps to repeat; 0 compares the hashes only.
        start: The step of a checkpoint to repeat from, or 0; None: the last one after which as many steps follow.
        progress: Called with a share from 0 to 1 and a text.

    Raises:
        StudioError: The run has not ended, has no receipt, or cannot be repeated from the step that was named.
    """
    run = find_tuned(RunStore(settings), run_id)
    receipt = receipts.read(run)
    progress(0.0, "Computing the hashes")
    result = Verification(run=run.id, checks=check_files(settings, run, receipt))
    return _repeat(settings, run, receipt, result, steps, start, progress) if steps else result


def _repeat(
    settings: Settings, run: Run, receipt: Receipt, result: Verification, steps: int, start: int | None,
    progress: Progress,
) -> Verification:  # fmt: skip
    """Return a verification with repeated steps, or with the reason why there are none."""
    from core.train.replay import choose_start, replay

    try:
        begin = choose_start(run, steps, start)
        done = replay(
            settings, run, begin, steps, receipt.adapter_step,
            lambda share, stage: progress(_HASHED + (1 - _HASHED) * share, stage),
        )  # fmt: skip
    except StudioError as error:
        if start is not None:
            raise
        # The hashes are a result without the steps, too.
        result.checks.append(Check(name="steps", outcome="unknown", text=str(error)))
        return result
    result.start, result.steps = done.start, done.steps
    result.checks.append(check_kernels(receipt, done.kernels))
    if done.weights:
        result.checks.append(done.weights)
    return result
