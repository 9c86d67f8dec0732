"""Evaluations on disk. Their folder is the only interface between the worker and everything else.

    evaluations/<id>/config.json     the EvaluationConfig, with schema_version; written once
    evaluations/<id>/prompts.jsonl   the prompts, written once: messages, reference, row in the source
    evaluations/<id>/answers.jsonl   one flushed line an answer: prompt, lane, text, tokens, end, note, exact, f1
    evaluations/<id>/state.json      status, the worker's process, cause; replaced whole
    evaluations/<id>/worker.log      the worker's own output
    evaluations/<id>/control/        requests to the worker: pause, stop

A status is what state.json and the process table say together.
"""

import time
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from core.errors import StudioError, sentences
from core.evaluate import prompts
from core.evaluate.answers_file import FILE, Answers
from core.evaluate.config import SCHEMA_VERSION, EvaluationConfig, lane_of, titles
from core.evaluate.prompts import Prompts
from core.runs.process_identity import Worked
from core.runs.store import RunStore
from core.settings import Settings, inside, slug
from core.system.files import read_json, write_json

Status = Literal[
    "preparing", "running", "pausing", "stopping", "paused", "stopped", "finished", "failed", "interrupted",
    "unreadable",
]  # fmt: skip
ACTIVE: tuple[Status, ...] = ("preparing", "running", "pausing", "stopping")
RESUMABLE: tuple[Status, ...] = ("paused", "stopped", "failed", "interrupted")
GONE = "The process is gone without a word: killed, out of memory, or the machine restarted. Resume goes on."


class EvaluationState(Worked):
    """state.json. `status` is the last one written; `Evaluation.state` says what is true now.

    Attributes:
        prompts: how many there are.
        since, had: when answering began this time, and how many answers there were already.
        choices: what was decided for the user, each with its reason.
        precision: how the base weights were kept and computed with; empty until they are loaded.
    """

    status: Status
    cause: str = ""
    stage: str = ""
    created: float
    ended: float | None = None
    prompts: int = 0
    since: float | None = None
    had: int = 0
    choices: list[str] = Field(default_factory=list)
    precision: str = ""


class Evaluation:
    """One evaluation's folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def prompts_file(self) -> Path:
        return self.folder / "prompts.jsonl"

    @property
    def answers_file(self) -> Path:
        return self.folder / FILE

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def request(self, what: Literal["pause", "stop"]) -> Path:
        return self.folder / "control" / what

    def config(self) -> EvaluationConfig:
        """Raises StudioError when the file is damaged or another version's."""
        try:
            saved = read_json(self.folder / "config.json")
            version = saved.pop("schema_version", None)
            if version != SCHEMA_VERSION:
                raise StudioError(f"The evaluation {self.id} has version {version}, expected {SCHEMA_VERSION}.")
            return EvaluationConfig.model_validate(saved)
        except ValidationError as error:
            raise StudioError(f"The evaluation {self.id} has a config.json that does not fit:\n{sentences(error)}"
                              ) from error  # fmt: skip
        except (OSError, ValueError, AttributeError) as error:
            raise StudioError(f"The evaluation {self.id} has no readable config.json ({error}).") from error

    def saved_state(self) -> EvaluationState:
        path = self.folder / "state.json"
        try:
            return EvaluationState.model_validate(read_json(path))
        except (OSError, ValueError):
            cause = "state.json of this evaluation cannot be read. Its files are left as they are."
            return EvaluationState(status="unreadable", cause=cause, created=path.stat().st_mtime)

    def save_state(self, state: EvaluationState) -> None:
        write_json(self.folder / "state.json", state.model_dump())

    def state(self) -> EvaluationState:
        """The state as it is now: an active status without its process is "interrupted"."""
        state = self.saved_state()
        if state.status not in ACTIVE:
            return state
        if not state.process_lives():
            state = self.saved_state()  # the worker may have ended properly between the two looks
            if state.status in ACTIVE and not state.process_lives():
                return state.model_copy(update={"status": "interrupted", "cause": GONE})
            return state
        for asked, status in (("stop", "stopping"), ("pause", "pausing")):
            if self.request(asked).exists():
                return state.model_copy(update={"status": status})
        return state

    def prompts(self) -> Prompts:
        return Prompts(self.prompts_file)

    def answers(self) -> Answers:
        """A follower of its answers, read up to now."""
        return Answers(self.answers_file, len(self.config().lanes)).update()

    def lane_titles(self, store: RunStore) -> list[str]:
        """What its lanes are called: a run's name where it has one."""
        lanes = self.config().lanes
        names = {}
        for run_id in {run for run, _ in map(lane_of, lanes) if run}:
            try:
                names[run_id] = store.run(run_id).label().name
            except StudioError:
                continue  # the run was deleted: its id says enough
        return titles(lanes, names)

    def log_tail(self, lines: int = 20) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class EvaluationStore:
    """All evaluations of a STUDIO_HOME."""

    def __init__(self, settings: Settings):
        self.settings, self.runs = settings, RunStore(settings)

    def find(self, evaluation_id: str | None) -> Evaluation:
        folder = inside(self.settings.evaluations_dir, evaluation_id or "none", "name of an evaluation")
        if not (folder / "state.json").is_file():
            raise StudioError(f"There is no evaluation {evaluation_id!r}. List them with: python -m core evaluate list")
        return Evaluation(folder)

    def all(self) -> list[Evaluation]:
        """Newest first."""
        found = [Evaluation(path.parent) for path in self.settings.evaluations_dir.glob("[!.]*/state.json")]
        return sorted(found, key=lambda evaluation: evaluation.saved_state().created, reverse=True)

    def active(self) -> Evaluation | None:
        return next((evaluation for evaluation in self.all() if evaluation.state().status in ACTIVE), None)

    def listed(self) -> str:
        """Different whenever there is another evaluation, or one has another state; reads no file."""
        files = self.settings.evaluations_dir.glob("[!.]*/state.json")
        return "\n".join(sorted(f"{path.parent.name} {path.stat().st_mtime_ns}" for path in files))

    def create(self, config: EvaluationConfig, file: Path | None = None) -> Evaluation:
        """Write a new folder; state.json last, so that half of one is never seen.

        Raises StudioError when there is no prompt to ask.
        """
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{slug(Path(config.file).stem if config.prompts == 'file' else config.subset or 'held-out')}"
        folder = inside(self.settings.evaluations_dir, name, "name of an evaluation")
        for attempt in range(2, 100):
            if not folder.exists():
                break
            folder = inside(self.settings.evaluations_dir, f"{name}-{attempt}", "name of an evaluation")
        folder.mkdir()
        evaluation = Evaluation(folder)
        try:
            count, words = prompts.write(evaluation.prompts_file, self.runs, config, file)
        except BaseException:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            raise
        write_json(folder / "config.json", {"schema_version": SCHEMA_VERSION, **config.model_dump()})
        state = EvaluationState(status="stopped", created=time.time(), prompts=count, choices=words)
        evaluation.save_state(state)
        return evaluation
