"""Answers one evaluation: loads the base and its adapters, answers what has no answer yet, writes each as it ends.

The worker owns state.json from its first breath to its last. SIGTERM is a stop request.
"""

import os
import signal
import time
import traceback
from pathlib import Path

from core.chat import arbiter
from core.chat.types import ResolvedLanes
from core.errors import StudioError
from core.evaluate import process
from core.evaluate.answers_file import AnswerWriter
from core.evaluate.batch_generate import BatchGenerator
from core.evaluate.store import Evaluation, EvaluationStore
from core.models import catalogue
from core.models.loading import load_base
from core.settings import Settings
from core.system.fast_imports import uncollected, uncompiled

_LOOK_SECONDS = 2.0  # between two looks for a training run that needs the GPU


class Worker:
    """One evaluation in this process."""

    def __init__(self, store: EvaluationStore, evaluation: Evaluation):
        self.store, self.evaluation = store, evaluation
        self.config = evaluation.config()
        self._yielding = ""  # why it makes room for a training run
        self._looked = 0.0

    def work(self) -> tuple[str, str]:
        """Answer; the last status, and why it ended so."""
        prompts = self.evaluation.prompts()
        asked = process.resolve_evaluation_lanes(self.store.runs, self.config, prompts[0])
        self._stage(f"Loading {asked.base.model}")
        generator = self._loaded(asked)
        done = self.evaluation.answers().offsets
        tasks = generator.list_tasks(
            done, lambda at: self._stage(f"Reading prompt {at:,} of {len(prompts):,}") if at % 1000 == 0 else None
        )
        writer = AnswerWriter(self.evaluation.answers_file)
        writer.write(generator.failures)
        if tasks:
            budget = generator.plan_batch(tasks[0].tokens)
            saved = self.evaluation.saved_state()
            weights = f"The base weights are kept as {saved.precision.replace(', ', ' and computed in ')}."
            said = (weights, generator.lanes.decoding_note, budget.note)
            self._save(
                status="running", stage="", since=time.time(), had=len(done) + len(generator.failures),
                choices=[*saved.choices, *(words for words in said if words not in saved.choices)],
            )  # fmt: skip
            for lines in generator.generate(tasks, budget, self._goes_on):
                writer.write(lines)
                if self.evaluation.request("stop").exists():
                    return "stopped", "Stopped on request. Resume goes on with the prompts that have no answer yet."
        writer.close()
        if len(self.evaluation.answers()) < len(prompts) * len(self.config.lanes):
            return "paused", self._yielding or "Paused on request. Resume goes on."
        return "finished", ""

    def _loaded(self, asked: ResolvedLanes) -> BatchGenerator:
        with uncollected():
            from core.chat.lanes import Lanes

        arbiter.check_fits_beside_run(self.store.runs, asked.base.config)
        arbiter.check_fits_free_memory(self.store.settings, asked.base.config)
        model = catalogue.find(self.store.settings, asked.base.model, asked.base.revision)
        base = load_base(model, asked.base.precision, asked.base.attention)
        lanes = Lanes(base, self.store.settings.fast_chat)
        self._save(precision=f"{asked.base.quantization}, {str(lanes.model.dtype).removeprefix('torch.')}")
        for name, folder in asked.adapter_folders.items():
            lanes.add_adapter(name, folder)
        return BatchGenerator(lanes, asked.lanes, self.evaluation.prompts(), self.config.rows)

    def _goes_on(self) -> bool:
        """Whether other answers may begin."""
        return not self.evaluation.request("pause").exists() and not self._gives_way()

    def _gives_way(self) -> bool:
        """Whether a training run that is about to load needs this GPU's memory."""
        if not self._yielding and time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            run = self.store.runs.active()
            if (
                run
                and run.state().status == "preparing"
                and arbiter.needs_chat_memory(self.store.settings, run.config())
            ):
                self._yielding = f"It left the GPU, as the run {run.title} needs its memory. Resume goes on after it."
        return bool(self._yielding)

    def _stage(self, words: str) -> None:
        self._save(stage=words)

    def _save(self, **update: object) -> None:
        self.evaluation.save_state(self.evaluation.saved_state().model_copy(update=update))


def main(arguments: list[str]) -> int:
    uncompiled()
    folder = Path(arguments[0])
    store = EvaluationStore(Settings(home=folder.parent.parent))
    evaluation = Evaluation(folder)

    def stop(*_: object) -> None:
        evaluation.request("stop").parent.mkdir(exist_ok=True)
        evaluation.request("stop").touch()

    signal.signal(signal.SIGTERM, stop)
    with store.lock():  # the launcher writes our process before it lets go
        evaluation.save_state(evaluation.saved_state().with_process(os.getpid()))
    status, cause = _outcome(store, evaluation)
    ended = {"status": status, "cause": cause, "stage": "", "ended": time.time()}
    evaluation.save_state(evaluation.saved_state().model_copy(update=ended))
    return 1 if status == "failed" else 0


def _outcome(store: EvaluationStore, evaluation: Evaluation) -> tuple[str, str]:
    try:
        return Worker(store, evaluation).work()
    except StudioError as error:
        return "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        return (
            "failed",
            f"{type(error).__name__} in the studio itself: {error}. Its worker.log has more.",
        )
