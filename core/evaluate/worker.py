"""Worker process of one evaluation.

It loads the base and the adapters, generates the missing answers, and writes each one as soon as it ends, so a crash
loses only unfinished answers. The worker alone writes state.json while it runs. SIGTERM is a stop request.
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
from core.hub.download import DownloadCancelled
from core.models import catalogue
from core.models.download import fetch
from core.models.loading import load_base
from core.settings import Settings
from core.system.fast_imports import disable_compiler, pause_gc

# Interval of the checks for a training run that needs the GPU; they read files, so not every step does it.
_RUN_CHECK_SECONDS = 2.0


class Worker:
    """The evaluation of this process."""

    def __init__(self, store: EvaluationStore, evaluation: Evaluation):
        self.store, self.evaluation = store, evaluation
        self.config = evaluation.config()
        # Why the evaluation frees the GPU for a training run; empty while it does not.
        self._yield_reason = ""
        self._last_run_check = 0.0

    def work(self) -> tuple[str, str]:
        """Generate the missing answers; return the final status and its cause."""
        prompts = self.evaluation.prompts()
        resolved = process.resolve_evaluation_lanes(self.store.runs, self.config, prompts[0])
        self._stage(f"Loading {resolved.base.model}")
        generator = self._load(resolved)
        answered = self.evaluation.answers().offsets
        missing = generator.list_missing(
            answered,
            lambda index: self._stage(f"Reading prompt {index:,} of {len(prompts):,}") if index % 1000 == 0 else None,
        )
        writer = AnswerWriter(self.evaluation.answers_file)
        writer.write(generator.failures)
        if missing:
            budget = generator.plan_batch(missing[0].tokens)
            saved = self.evaluation.saved_state()
            weights = f"The base weights are kept as {saved.precision.replace(', ', ' and computed in ')}."
            notes = (weights, generator.lanes.decoding_note, budget.note)
            self._save(
                status="running", stage="", since=time.time(), had=len(answered) + len(generator.failures),
                choices=[*saved.choices, *(note for note in notes if note not in saved.choices)],
            )  # fmt: skip
            for lines in generator.generate(missing, budget, self._may_continue):
                writer.write(lines)
                if self.evaluation.request("stop").exists():
                    return "stopped", "Stopped on request. Resume it to answer the remaining prompts."
        writer.close()
        if len(self.evaluation.answers()) < len(prompts) * len(self.config.lanes):
            return "paused", self._yield_reason or "Paused on request. Resume it to answer the remaining prompts."
        return "finished", ""

    def _load(self, resolved: ResolvedLanes) -> BatchGenerator:
        """Load the base and the adapters, if the memory is free."""
        with pause_gc():
            from core.chat.lanes import Lanes

        arbiter.check_fits_beside_run(self.store.runs, resolved.base.config, "evaluation")
        arbiter.check_fits_free_memory(self.store.settings, resolved.base.config)
        model = catalogue.find(self.store.settings, resolved.base.model, resolved.base.revision, self._stage)
        fetch(model, self._stage, lambda: any(self.evaluation.request(name).exists() for name in ("stop", "pause")))
        self._stage(f"Loading {resolved.base.model}")
        base = load_base(model, resolved.base.precision, resolved.base.attention)
        lanes = Lanes(base, self.store.settings.fast_chat)
        self._save(precision=f"{resolved.base.quantization}, {str(lanes.model.dtype).removeprefix('torch.')}")
        for name, folder in resolved.adapter_folders.items():
            lanes.add_adapter(name, folder)
        return BatchGenerator(lanes, resolved.lanes, self.evaluation.prompts(), self.config.rows)

    def _may_continue(self) -> bool:
        """Return whether new answers may begin."""
        return not self.evaluation.request("pause").exists() and not self._must_yield()

    def _must_yield(self) -> bool:
        """Return whether a training run that is about to load its model needs the memory of this GPU."""
        if not self._yield_reason and time.monotonic() - self._last_run_check > _RUN_CHECK_SECONDS:
            self._last_run_check = time.monotonic()
            run = self.store.runs.active()
            if (
                run
                and run.state().status == "preparing"
                and arbiter.run_lacks_memory(self.store.settings, run.config())
            ):
                self._yield_reason = (
                    f"The run {run.title} needs the memory of this GPU. Resume the evaluation after it."
                )
        return bool(self._yield_reason)

    def _stage(self, text: str) -> None:
        self._save(stage=text)

    def _save(self, **update: object) -> None:
        self.evaluation.save_state(self.evaluation.saved_state().model_copy(update=update))


def main(arguments: list[str]) -> int:
    """Work on the evaluation of the given folder; return the exit code."""
    disable_compiler()
    folder = Path(arguments[0])
    store = EvaluationStore(Settings(home=folder.parent.parent))
    evaluation = Evaluation(folder)

    def stop(*_: object) -> None:
        evaluation.request("stop").parent.mkdir(exist_ok=True)
        evaluation.request("stop").touch()

    signal.signal(signal.SIGTERM, stop)
    # The launcher holds this lock until it has written its own state, which must not overwrite this one.
    with store.lock():
        evaluation.save_state(evaluation.saved_state().with_process(os.getpid()))
    status, cause = _run(store, evaluation)
    result = {"status": status, "cause": cause, "stage": "", "ended": time.time()}
    evaluation.save_state(evaluation.saved_state().model_copy(update=result))
    return 1 if status == "failed" else 0


def _run(store: EvaluationStore, evaluation: Evaluation) -> tuple[str, str]:
    """Run the worker; turn every exception into the status "failed" with its cause."""
    try:
        return Worker(store, evaluation).work()
    except DownloadCancelled:
        status = "stopped" if evaluation.request("stop").exists() else "paused"
        cause = "on request, during the download of the model. Resume continues with the next file."
        return status, f"{status.capitalize()} {cause}"
    except StudioError as error:
        return "failed", str(error)
    except Exception as error:
        traceback.print_exc()
        return (
            "failed",
            f"{type(error).__name__} in the studio itself: {error}. See worker.log for details.",
        )
