"""Evaluations on disk; their folders are the only interface between the worker and everything else.

    evaluations/<id>/config.json     the EvaluationConfig, with schema_version; written once
    evaluations/<id>/prompts.jsonl   the prompts, written once (core.evaluate.prompts)
    evaluations/<id>/answers.jsonl   one flushed line per answer: prompt, lane, text, tokens, end, note, exact, f1
    evaluations/<id>/losses.jsonl    one flushed line per reference and lane (core.evaluate.likelihood)
    evaluations/<id>/choices.jsonl   the same for every label, if the references are labels (classification/choice.py)
    evaluations/<id>/lens.jsonl      the likelihood of every answer under every lane, if asked for (core.evaluate.lens)
    evaluations/<id>/judgments/      the replies of judges about pairs of answers (judge/judging.py)
    evaluations/<id>/classifiers/    the labels that classifiers predict (classification/classifiers.py)
    evaluations/<id>/traces/         spans of the answers that stand in training rows (memorization/tracing.py)
    evaluations/<id>/harness/        results of lm-evaluation-harness (harness/results.py)
    evaluations/<id>/scores.parquet  all metrics of all rows (core.evaluate.scores); replaced atomically
    evaluations/<id>/state.json      status, the worker's process, cause; replaced atomically
    evaluations/<id>/worker.log      the output of the worker
    evaluations/<id>/control/        requests to the worker: pause, stop

The status of an evaluation follows from state.json and the process table together.
"""

import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import AliasChoices, Field, ValidationError

from core.access.quotas import Quotas
from core.errors import StudioError, sentences
from core.evaluate import prompts
from core.evaluate.answers_file import FILE, AnswerReader
from core.evaluate.config import SCHEMA_VERSION, EvaluationConfig, lane_titles, parse_lane
from core.evaluate.probes import probes
from core.evaluate.prompts import Prompts
from core.evaluate.task import find_task
from core.runs.imported import find_tuned
from core.runs.store import RunStore
from core.settings import Settings, slug
from core.system.counting import counted
from core.system.files import read_json, write_json
from core.system.jobs import run_limited
from core.system.work_folder import WorkFolder, WorkState, WorkStore

Status = Literal[
    "preparing", "running", "pausing", "stopping", "paused", "stopped", "finished", "failed", "interrupted",
    "unreadable",
]  # fmt: skip
ACTIVE: tuple[Status, ...] = ("preparing", "running", "pausing", "stopping")
# Active statuses in which no answer is added.
WAITING: tuple[Status, ...] = ("preparing", "pausing", "stopping")
RESUMABLE: tuple[Status, ...] = ("paused", "stopped", "failed", "interrupted")


class EvaluationState(WorkState):
    """Content of state.json, whose `status` is the last one written; `Evaluation.state` returns the current one.

    Attributes:
        prompts: Number of prompts.
        stage: What the worker does before it answers.
        started: When the worker was started last, in seconds since the epoch.
        answering_since: When answering began after the last start, in seconds since the epoch.
        answered_at_start: Number of answers at that time.
        answering_ended: When the last answer was written, in seconds since the epoch; losses and scores follow.
        choices: Decisions that were made for the user, each with its reason.
        precision: Quantization and compute dtype of the base weights; empty until they are loaded.
    """

    status: Status
    stage: str = ""
    prompts: int = 0
    started: float | None = None
    # Earlier versions stored these two as "since" and "had".
    answering_since: float | None = Field(None, validation_alias=AliasChoices("answering_since", "since"))
    answered_at_start: int = Field(0, validation_alias=AliasChoices("answered_at_start", "had"))
    answering_ended: float | None = None
    choices: list[str] = Field(default_factory=list)
    precision: str = ""


class Evaluation(WorkFolder[EvaluationState]):
    """One evaluation folder."""

    kind = "evaluation"
    state_type = EvaluationState
    active = ACTIVE
    # Stop comes first: it counts if both were requested.
    requested: ClassVar[dict[str, str]] = {"stop": "stopping", "pause": "pausing"}

    @property
    def prompts_file(self) -> Path:
        """Return the file of the prompts."""
        return self.folder / "prompts.jsonl"

    @property
    def answers_file(self) -> Path:
        """Return the file of the answers."""
        return self.folder / FILE

    @property
    def losses_file(self) -> Path:
        """Return the file of the losses of the references."""
        return self.folder / "losses.jsonl"

    @property
    def choices_file(self) -> Path:
        """Return the file of the losses of labels."""
        return self.folder / "choices.jsonl"

    @property
    def lens_file(self) -> Path:
        """Return the file of the likelihoods of the answers."""
        return self.folder / "lens.jsonl"

    def config(self) -> EvaluationConfig:
        """Return the settings.

        Raises:
            StudioError: The file is damaged or of another version.
        """
        try:
            saved = dict(read_json(self.folder / "config.json"))
            version = saved.pop("schema_version", None)
            if version != SCHEMA_VERSION:
                raise StudioError(
                    f"The evaluation {self.id} has version {version}, expected {SCHEMA_VERSION}: it was made by "
                    "another version of the studio. Open it with that version, or evaluate again."
                )
            return EvaluationConfig.model_validate(saved)
        except ValidationError as error:
            raise StudioError(
                f"The evaluation {self.id} has a config.json that does not fit. Correct it, or delete the evaluation.\n"
                f"{sentences(error)}"
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise self.explain_unreadable("config.json", error) from error

    def prompts(self) -> Prompts:
        """Return the prompts."""
        return Prompts(self.prompts_file)

    def set_size(self) -> int:
        """Return the number of prompts of the set, without the probes of the forgetting guard that follow them."""
        return len(self.prompts()) - (len(probes()) if self.config().guard else 0)

    def finished(self, answers: AnswerReader) -> list[int]:
        """Return the prompts of the set that every lane has answered, in order."""
        size = self.set_size()
        return sorted(index for index in answers.finished if index < size)

    def answers(self) -> AnswerReader:
        """Return the answers that are written so far."""
        return AnswerReader(self.answers_file, len(self.config().lanes)).update()

    def lane_titles(self, store: RunStore) -> list[str]:
        """Return the titles of the lanes: those of their runs; a single run without a name is "tuned"."""
        lanes = self.config().lanes
        names, ids = {}, {run for run, _ in map(parse_lane, lanes) if run}
        for run_id in ids:
            try:
                run = find_tuned(store, run_id)
                names[run_id] = run.title if len(ids) > 1 else run.label().name
            except StudioError:
                # A deleted run is titled by its id.
                continue
        return lane_titles(lanes, names)


def describe_size(config: EvaluationConfig, state: EvaluationState) -> str:
    """Return the number of prompts and of the probes that follow them, as in "60 prompts + 320 probes"."""
    asked = len(probes()) if config.guard else 0
    size = counted(state.prompts - asked, "prompt")
    return f"{size} + {counted(asked, 'probe')}" if asked else size


class EvaluationStore(WorkStore[Evaluation]):
    """All evaluations of a STUDIO_HOME."""

    folder_type = Evaluation

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.runs = RunStore(settings)

    @property
    def root(self) -> Path:
        """Return the folder that holds the evaluations."""
        return self.settings.evaluations_dir

    def find(self, evaluation_id: str | None) -> Evaluation:
        """Return an evaluation.

        Raises:
            StudioError: There is no such evaluation.
        """
        if found := self._find(evaluation_id or "none"):
            return found
        raise StudioError(f"There is no evaluation {evaluation_id!r}. List them with: python -m core evaluate list")

    def all(self) -> list[Evaluation]:
        """Return all evaluations, newest first."""
        return self.folders()

    def check_idle(self) -> None:
        """Raise StudioError if an evaluation is active."""
        if other := self.active():
            raise StudioError(
                f"The evaluation {other.id} is running, and two would slow each other down. Pause or stop it first."
            )

    def check_unused(self, run: str) -> None:
        """Raise StudioError if the active evaluation needs a run: its model or its held-out rows."""
        other = self.active()
        if other and run in {other.config().prompt_run, *(name for name, _ in map(parse_lane, other.config().lanes))}:
            raise StudioError(f"The evaluation {other.id} needs the run {run}. Stop it, or wait for its end.")

    def create(self, config: EvaluationConfig, file: Path | None = None) -> Evaluation:
        """Create the folder of an evaluation; state.json is written last, so that no list shows an incomplete one.

        Args:
            config: The settings.
            file: Path of the uploaded prompts, if `config.prompts` is "file".

        Raises:
            StudioError: There is no prompt, or the stated task does not suit the references.
        """
        name = slug(Path(config.file).stem if config.prompts == "file" else config.subset or "held-out")
        evaluation = self._new_folder(name)
        try:
            count, notes = self._write_prompts(evaluation.prompts_file, config, file)
            task = find_task(config.task, evaluation.prompts())
        except BaseException:
            for path in evaluation.folder.iterdir():
                path.unlink()
            evaluation.folder.rmdir()
            raise
        write_json(evaluation.folder / "config.json", {"schema_version": SCHEMA_VERSION, **config.model_dump()})
        state = EvaluationState(status="stopped", created=time.time(), prompts=count, choices=[*notes, task.why])
        evaluation.save_state(state)
        return evaluation

    def _write_prompts(self, path: Path, config: EvaluationConfig, file: Path | None) -> tuple[int, list[str]]:
        """Write the prompts; an uploaded file is read in a process with limits, as it can unfold to any size."""
        arguments = path, self.runs, config, file
        if config.prompts != "file":
            return prompts.write(*arguments)
        return run_limited("Reading the prompts", prompts.write, *arguments, limits=Quotas().parse_limits())
