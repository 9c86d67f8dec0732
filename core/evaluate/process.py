"""Starting, pausing, stopping, resuming and deleting evaluations.

The worker is a process in its own session, so it outlives the page and its server. Only one runs at a time, because
two would slow each other down.
"""

import time
from pathlib import Path

from core.chat import arbiter
from core.chat.requests import base_identity, resolve_lanes
from core.chat.types import BaseIdentity, LaneRequest, ResolvedLanes, adapter_key
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.prompts import Prompt
from core.evaluate.store import RESUMABLE, Evaluation, EvaluationStore
from core.models import catalogue
from core.runs.store import RunStore
from core.system.launch import launch


def resolve_evaluation_lanes(store: RunStore, config: EvaluationConfig, prompt: Prompt) -> ResolvedLanes:
    """Return the lanes of an evaluation with their adapters and their common base.

    Args:
        store: The runs.
        config: The settings of the evaluation.
        prompt: The conversation of each request; any prompt serves to resolve the lanes.

    Raises:
        StudioError: A run or an adapter does not exist, or the lanes have different bases.
    """
    run_adapters = [parse_lane(lane) for lane in config.lanes]
    requests = [
        LaneRequest(prompt.messages, config.sampling, adapter_key(run, adapter)) for run, adapter in run_adapters
    ]
    # A run decides the base; without one, it must be given.
    base = None if any(run for run, _ in run_adapters) else _base_without_run(store, config)
    resolved = resolve_lanes(store, requests, base)
    if resolved.exported:
        raise StudioError(
            f"{next(iter(resolved.exported))} is an exported file, and an evaluation has one copy of the weights for "
            "all its lanes. Choose the adapter; the report of the export compares the file with it, and Chat asks it."
        )
    if resolved.classifiers:
        raise StudioError(
            f"{next(iter(resolved.classifiers))} is a classifier, which chooses a label instead of writing an answer. "
            "Choose runs with Task generate; Chat shows the labels of a classifier for a text."
        )
    return resolved


def _base_without_run(store: RunStore, config: EvaluationConfig) -> BaseIdentity:
    """Return the base of an evaluation without a run: that of the run whose rows are used, or the named model."""
    if config.prompts == "held-out":
        return base_identity(store, store.run(config.prompt_run))
    return BaseIdentity(catalogue.locate(store.settings, config.model).name)


def submit(store: EvaluationStore, config: EvaluationConfig, file: Path | None = None) -> Evaluation:
    """Create an evaluation and start its worker.

    Args:
        store: The evaluations.
        config: The settings.
        file: Path of the uploaded prompts, if `config.prompts` is "file".

    Raises:
        StudioError: A run, subset, model or file does not exist, another evaluation is active, or the memory is used by
            a training run or a chat.
    """
    # Checked before the folder is made, so that a refused evaluation leaves nothing behind.
    base = resolve_evaluation_lanes(store.runs, config, Prompt([{"role": "user", "content": "?"}])).base
    with store.lock():
        _check_can_start(store, base)
        evaluation = store.create(config, file)
        _launch(store, evaluation, base)
    return evaluation


def resume(store: EvaluationStore, evaluation: Evaluation) -> None:
    """Start the worker again for the prompts that have no answer yet.

    Raises:
        StudioError: The evaluation or another one is active, every prompt is answered, a run or model is gone, or the
            memory is in use.
    """
    with store.lock():
        status = evaluation.state().status
        if status not in RESUMABLE:
            reason = "Every prompt is answered" if status == "finished" else "There is nothing to resume"
            raise StudioError(f"The evaluation {evaluation.id} is {status}. {reason}.")
        config = evaluation.config()
        base = resolve_evaluation_lanes(store.runs, config, evaluation.prompts()[0]).base
        _check_can_start(store, base)
        _launch(store, evaluation, base)


def _check_can_start(store: EvaluationStore, base: BaseIdentity) -> None:
    store.check_idle()
    arbiter.check_fits_for_evaluation(store.runs, base.config)


def pause(evaluation: Evaluation) -> None:
    """Ask the worker to finish the answers that are being generated, and then to exit."""
    evaluation.send_request("pause")


def stop(evaluation: Evaluation) -> None:
    """Ask the worker to exit after the current token; unfinished answers are discarded and repeated on resume."""
    evaluation.send_request("stop")


def delete(store: EvaluationStore, evaluation: Evaluation) -> None:
    """Delete an ended evaluation with its prompts and answers.

    Raises:
        StudioError: The evaluation is active.
    """
    with store.lock():
        store.remove(evaluation)


def _launch(store: EvaluationStore, evaluation: Evaluation, base: BaseIdentity) -> None:
    # Requests of an earlier start would end the new worker at once.
    for name in ("pause", "stop"):
        evaluation.request(name).unlink(missing_ok=True)
    is_local = catalogue.locate(store.settings, base.model, base.revision).local
    pid = launch(store.settings, "core.evaluate", evaluation.folder, evaluation.log, offline=is_local)
    # The caller holds the lock, and the worker waits for it before it writes its first state: this one comes first.
    state = {"status": "preparing", "cause": "", "stage": "Starting", "ended": None}
    started = state | {"started": time.time(), "answering_since": None, "answering_ended": None}
    evaluation.save_state(evaluation.saved_state().model_copy(update=started).with_process(pid))
