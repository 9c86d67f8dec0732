"""Evaluations on their way: started, paused, stopped, resumed, deleted. The worker is a process in a session of its
own that outlives the page and its server. One at a time: two would only make each other slow.
"""

from pathlib import Path

from core.chat import arbiter
from core.chat.requests import base_identity, resolve_lanes
from core.chat.types import BaseIdentity, LaneRequest, ResolvedLanes, adapter_key
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.prompts import Prompt
from core.evaluate.store import RESUMABLE, Evaluation, EvaluationStore
from core.models import catalogue
from core.runs.launch import launch
from core.runs.store import RunStore


def resolve_evaluation_lanes(store: RunStore, config: EvaluationConfig, prompt: Prompt) -> ResolvedLanes:
    """The lanes of an evaluation as the chat takes them, each asked `prompt`.

    Raises StudioError when there is no such run or adapter, or when the lanes do not share a base.
    """
    named = [parse_lane(lane) for lane in config.lanes]
    asked = [LaneRequest(prompt.messages, config.sampling, adapter_key(run, adapter)) for run, adapter in named]
    return resolve_lanes(store, asked, None if any(run for run, _ in named) else _base(store, config))


def _base(store: RunStore, config: EvaluationConfig) -> BaseIdentity:
    """Where no lane is a run: as the run loads it whose rows are asked, else the model that is named."""
    if config.prompts == "held-out":
        return base_identity(store, store.run(config.prompt_run))
    return BaseIdentity(catalogue.find(store.settings, config.model).name)


def submit(store: EvaluationStore, config: EvaluationConfig, file: Path | None = None) -> Evaluation:
    """Make an evaluation's folder and start its worker.

    Raises StudioError when something it names does not exist, another evaluation is under way, or a training run needs
    the GPU's memory or a chat holds it.
    """
    base = resolve_evaluation_lanes(store.runs, config, Prompt([{"role": "user", "content": "?"}])).base
    with store.lock():
        _check_free(store, base)
        evaluation = store.create(config, file)
        _launch(store, evaluation, base)
    return evaluation


def resume(store: EvaluationStore, evaluation: Evaluation) -> None:
    """Go on with the prompts that have no answer yet.

    Raises StudioError when it has not ended, or has nothing left to ask.
    """
    with store.lock():
        status = evaluation.state().status
        if status not in RESUMABLE:
            why = "Every prompt is answered" if status == "finished" else "There is nothing to resume"
            raise StudioError(f"The evaluation {evaluation.id} is {status}. {why}.")
        config = evaluation.config()
        base = resolve_evaluation_lanes(store.runs, config, evaluation.prompts()[0]).base
        _check_free(store, base)
        _launch(store, evaluation, base)


def _check_free(store: EvaluationStore, base: BaseIdentity) -> None:
    if other := store.active():
        raise StudioError(
            f"The evaluation {other.id} is under way, and two would slow each other down. Pause or stop it first."
        )
    arbiter.check_fits_beside_run(store.runs, base.config)
    arbiter.check_fits_free_memory(store.settings, base.config)


def pause(evaluation: Evaluation) -> None:
    """Ask the worker to finish the answers that are under way, begin no other, and leave."""
    evaluation.send_request("pause")


def stop(evaluation: Evaluation) -> None:
    """Ask the worker to leave at once; answers under way are dropped, and asked again when it is resumed."""
    evaluation.send_request("stop")


def delete(store: EvaluationStore, evaluation: Evaluation) -> None:
    """Remove an ended evaluation with its prompts and answers.

    Raises StudioError while it is under way.
    """
    with store.lock():
        store.remove(evaluation)


def _launch(store: EvaluationStore, evaluation: Evaluation, base: BaseIdentity) -> None:
    for asked in ("pause", "stop"):
        evaluation.request(asked).unlink(missing_ok=True)
    is_local = catalogue.find(store.settings, base.model, base.revision).local
    pid = launch(store.settings, "core.evaluate", evaluation.folder, evaluation.log, offline=is_local)
    # The worker waits for the lock that we hold before it writes its own first state.
    begun = {"status": "preparing", "cause": "", "stage": "Starting", "ended": None, "since": None}
    evaluation.save_state(evaluation.saved_state().model_copy(update=begun).with_process(pid))
