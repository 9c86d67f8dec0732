"""Runs on disk. A run directory is the only interface between training and everything else.

    runs/<id>/config.json    the frozen QLoRAConfig, with schema_version; written once
    runs/<id>/subset.json    which rows: source, recipe, hash
    runs/<id>/state.json     status, the worker's process, cause; replaced whole, never edited in place
    runs/<id>/label.json     name, tags, note, whether it is archived
    runs/<id>/events.jsonl   one flushed line an event
    runs/<id>/worker.log     the worker's own output
    runs/<id>/control/       requests to the worker
    runs/<id>/checkpoints/   runs/<id>/adapter/

A status is what state.json and the process table say together.
"""

import time
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from core.access import roles, visibility
from core.data import subset as subsets
from core.data.subset import Subset
from core.errors import StudioError, sentences
from core.models import catalogue
from core.runs import checkpoints, events
from core.runs.config import READABLE_VERSIONS, SCHEMA_VERSION, QLoRAConfig
from core.runs.process_identity import Worked
from core.settings import Settings, inside, slug
from core.system.files import read_json, write_json

Status = Literal[
    "queued", "preparing", "running", "stopping", "stopped", "finished", "failed", "interrupted", "unreadable"
]
ACTIVE: tuple[Status, ...] = ("preparing", "running", "stopping")
WAITING: tuple[Status, ...] = ("queued", *ACTIVE)  # those that have not ended
RESUMABLE: tuple[Status, ...] = ("stopped", "failed", "interrupted", "finished")


class RunState(Worked):
    """state.json. `status` is the last one written; `RunStore.state` says what is true now."""

    status: Status
    cause: str = ""  # why it failed or stopped, for a person
    created: float
    ended: float | None = None
    place: float = 0.0  # in the queue; the lowest is next
    resumes: bool = False  # whether the worker goes on from the last checkpoint
    previous: dict[str, Any] = Field(default_factory=dict)  # old values of settings, until the worker reports them


class Label(BaseModel):
    """label.json: what a person says of a run."""

    name: str = Field("", max_length=100, title="Name", description="What the lists call it; empty: its id.")
    tags: list[str] = Field(default_factory=list, title="Tags", description="Words to find it by.")
    note: str = Field("", max_length=5000, title="Note", description="What it was for, what came of it.")
    archived: bool = Field(False, title="Archived", description="Out of the lists, still on disk.")


class Run:
    """One run directory."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def checkpoints_dir(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    @property
    def events_file(self) -> Path:
        return self.folder / events.FILE

    @property
    def stop_request(self) -> Path:
        return self.folder / "control" / "stop"

    def config(self) -> QLoRAConfig:
        """The run's configuration. Raises StudioError when it is damaged or another version's."""
        try:
            saved = read_json(self.folder / "config.json")
        except (OSError, ValueError) as error:
            raise StudioError(f"The run {self.id} has no readable config.json ({error}).") from error
        version = saved.pop("schema_version", None)
        if version not in READABLE_VERSIONS:
            raise StudioError(
                f"The run {self.id} has config version {version}, expected {SCHEMA_VERSION}: it was made by another "
                "version of the studio. Open it with that version."
            )
        try:
            return QLoRAConfig.model_validate(saved)
        except ValidationError as error:
            raise StudioError(f"The run {self.id} has a config.json that does not fit:\n{sentences(error)}") from error

    def subset(self) -> Subset | None:
        """The subset the run trains on, as it was; None when its file is damaged or another version's."""
        try:
            return Subset.model_validate(read_json(self.folder / "subset.json"))
        except (OSError, ValueError):
            return None

    def saved_state(self) -> RunState:
        """state.json; "unreadable", with the reason, when it is damaged. One bad run must not hide the others."""
        path = self.folder / "state.json"
        try:
            return RunState.model_validate(read_json(path))
        except (OSError, ValueError) as error:
            reason = "it is no state" if isinstance(error, ValidationError) else str(error)
            cause = f"state.json of this run cannot be read ({reason}). Its files are left as they are."
            return RunState(status="unreadable", cause=cause, created=path.stat().st_mtime)

    def problem(self) -> str | None:
        """Why nothing can be made of this run, or None."""
        state = self.saved_state()
        if state.status == "unreadable":
            return state.cause
        try:
            self.config()
        except StudioError as error:
            return str(error)
        return None

    def label(self) -> Label:
        """What a person said of the run; nothing, when that cannot be read."""
        try:
            return Label.model_validate(read_json(self.folder / "label.json"))
        except (OSError, ValueError):
            return Label()

    def save_label(self, label: Label) -> None:
        write_json(self.folder / "label.json", label.model_dump())

    @property
    def title(self) -> str:
        """Its name, or its id where it has none."""
        return self.label().name or self.id

    def save_config(self, config: QLoRAConfig) -> None:
        write_json(self.folder / "config.json", {"schema_version": SCHEMA_VERSION, **config.model_dump()})

    def save_state(self, state: RunState) -> None:
        write_json(self.folder / "state.json", state.model_dump())

    def state(self) -> RunState:
        """The state as it is now: an active status without its process is "interrupted"."""
        state = self.saved_state()
        if state.status not in ACTIVE:
            return state
        if not state.process_lives():
            state = self.saved_state()  # the worker may have ended properly between the two looks
            if state.status in ACTIVE and not state.process_lives():
                cause = "The training process is gone without a word: killed, out of memory, or the machine restarted."
                return state.model_copy(update={"status": "interrupted", "cause": cause})
        elif self.stop_request.exists():
            return state.model_copy(update={"status": "stopping"})
        return state

    def request_stop(self) -> None:
        """Ask the worker to write a checkpoint and end after the present step."""
        status = self.state().status
        if status not in ACTIVE:
            raise StudioError(f"The run {self.id} is {status}: there is nothing to stop.")
        self.stop_request.parent.mkdir(exist_ok=True)
        self.stop_request.touch()

    def events(self) -> list[events.RunEvent]:
        """Return the run's events, without those that a resume made obsolete."""
        return events.read(self.events_file)

    def log_tail(self, lines: int = 20) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 20_000))
            return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-lines:])

    def adapters(self) -> dict[str, Path]:
        """Every adapter that can be loaded, by name: "final", and "step N" for each checkpoint, newest first."""
        found = {}
        if (self.adapter / "adapter_config.json").is_file():
            found["final"] = self.adapter
        for checkpoint in reversed(checkpoints.whole(self.checkpoints_dir)):
            folder = checkpoints.folder_of(self.checkpoints_dir, checkpoint.step)
            # PiSSA's own adapter belongs to a changed base; beside it lies one for the base as it is
            plain = folder / "plain"
            found[f"step {checkpoint.step}"] = plain if plain.is_dir() else folder
        return found


class RunStore:
    """All runs of a STUDIO_HOME."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def run(self, run_id: str) -> Run:
        """Raises StudioError when there is none, or none that the caller may see: the two are told alike."""
        folder = inside(self.settings.runs_dir, run_id, "run id")
        if (folder / "state.json").is_file() and self._is_open(run := Run(folder)):
            return run
        raise StudioError(f"There is no run {run_id!r}. List them with: python -m core runs list")

    def runs(self) -> list[Run]:
        """All runs that the caller may see, newest first."""
        found = [Run(path.parent) for path in self.settings.runs_dir.glob("[!.]*/state.json")]
        seen = [run for run in found if self._is_open(run)]
        return sorted(seen, key=lambda run: run.saved_state().created, reverse=True)

    def _is_open(self, run: Run) -> bool:
        return roles.caller().is_owner or visibility.run_is_open(self.settings, run.id, run.saved_state().status)

    def listed(self) -> str:
        """Different whenever there is another run, or one has another state, label or checkpoint; reads no file."""
        found = []
        for path in self.settings.runs_dir.glob("[!.]*/state.json"):
            label = path.with_name("label.json")
            written = label.stat().st_mtime_ns if label.exists() else 0
            whole = checkpoints.count(path.with_name("checkpoints"))
            found.append(f"{path.parent.name} {path.stat().st_mtime_ns} {written} {whole}")
        return "\n".join(sorted(found))

    def active(self) -> Run | None:
        return next((run for run in self.runs() if run.state().status in ACTIVE), None)

    def create(self, config: QLoRAConfig) -> Run:
        """Write a new run directory; state.json last, so that half of one is never seen.

        Raises StudioError when the subset or the model does not exist.
        """
        subset = subsets.find(self.settings, config.subset)
        model = catalogue.find(self.settings, config.model, config.revision)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{slug(model.name.rpartition('/')[2])}-{slug(subset.name)}"[:90]
        folder = inside(self.settings.runs_dir, name, "run id")
        for attempt in range(2, 100):
            if not folder.exists():
                break
            folder = inside(self.settings.runs_dir, f"{name}-{attempt}", "run id")
        folder.mkdir()
        run = Run(folder)
        run.save_config(config)
        write_json(folder / "subset.json", subset.model_dump())
        now = time.time()
        run.save_state(RunState(status="queued", created=now, place=self._last_place() + 1))
        return run

    def queue(self) -> list[Run]:
        """The runs that wait, the next one first."""
        waiting = [(run.saved_state(), run) for run in self.runs()]
        queued = [(state.place, state.created, run) for state, run in waiting if state.status == "queued"]
        return [run for *_, run in sorted(queued, key=lambda item: item[:2])]

    def _last_place(self) -> float:
        return max((run.saved_state().place for run in self.runs()), default=0.0)
